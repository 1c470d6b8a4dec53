"""Centring embeddings by language: by hand, its properties, and as a baseline beside what a run was trained to."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hybridkit import comparison, evaluation, metrics, params, runs, sweep
from hybridkit.centring import centred, of_benchmark
from hybridkit.corpora import museum, xquad_r
from hybridkit.errors import KitError
from hybridkit.ranks import GoldRanks
from hybridkit.runs import Run


def test_by_hand():
    """Means of (2, 1) and (0, 5): what is left is (-2, 0), (2, 0) and (0, -4), (3, 0), (-3, 4)."""
    vectors = np.array([[0, 1], [0, 1], [4, 1], [3, 5], [-3, 9]], np.float16)
    found = centred(vectors, np.array(["en", "de", "en", "de", "de"]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[-1, 0], [0, -1], [1, 0], [1, 0], [-0.6, 0.8]], atol=1e-7)


whole = arrays(np.int8, (12, 3), elements=st.integers(-50, 50))
shifts = arrays(np.int8, (3, 3), elements=st.integers(-100, 100))


@given(vectors=whole, shift=shifts, order=st.permutations(range(12)))
def test_what_a_language_adds_to_all_its_texts_changes_nothing(vectors, shift, order):
    """Four texts in each of three languages: whole numbers, so that the means are exact."""
    languages, places = np.array(["ar", "de", "en"] * 4), np.array(list(range(3)) * 4)
    vectors = vectors.astype(np.float32)
    plain, moved = centred(vectors, languages), centred(vectors + shift[places], languages)
    assert np.array_equal(plain, moved)
    assert np.array_equal(centred(vectors[list(order)], languages[list(order)]), plain[list(order)])
    lengths = np.linalg.norm(plain, axis=1)
    assert (np.isclose(lengths, 1, atol=1e-6) | (lengths == 0)).all()


@given(seed=st.integers(0, 2**32 - 1), copies=st.integers(1, 40))
def test_texts_that_are_the_mean_of_their_language_have_nothing_left(seed, copies):
    draw = np.random.default_rng(seed)
    vectors = np.concatenate([np.repeat(draw.normal(size=(1, 64)), copies, axis=0), draw.normal(size=(2, 64))])
    found = centred(vectors.astype(np.float32), np.array([*["th"] * copies, "en", "en"]))
    assert (found[:copies] == 0).all()
    np.testing.assert_allclose(found[-2], -found[-1], atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
def test_copies_of_a_text_keep_one_vector(seed):
    draw = np.random.default_rng(seed)
    row, languages = draw.integers(0, 5, 30), np.array(["en"] * 30)
    found = centred(draw.normal(size=(5, 33)).astype(np.float32)[row], languages)
    assert all((found[row == one] == found[row == one][:1]).all() for one in set(row.tolist()))


def test_a_language_on_a_place_of_its_own_is_brought_back_in_xquad_r(shared_data, tmp_path, monkeypatch):
    """Ready vectors for the real benchmark, in which a question is like its answer, and far off lies its language."""
    monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
    benchmark = xquad_r.load()
    draw = np.random.default_rng(0)
    asked = {question: number for number, question in enumerate(dict.fromkeys(benchmark.questions))}
    meaning = draw.normal(size=(len(asked), 32))
    queries = meaning[[asked[question] for question in benchmark.questions]]
    candidates = draw.normal(size=(len(benchmark.candidate_ids), 32))
    np.add.at(candidates, benchmark.gold_candidate, queries[benchmark.gold_query])
    alike = of_benchmark(queries, candidates, benchmark)
    place = {code: 8 * draw.normal(size=32) for code in benchmark.languages}
    for name, side, codes in (
        ("queries", queries, benchmark.query_languages),
        ("candidates", candidates, benchmark.candidate_languages),
    ):
        moved = side + np.array([place[code] for code in codes.tolist()])
        np.save(tmp_path / f"{name}.npy", moved.astype(np.float32))
    plain, back = evaluation.evaluate_both(benchmark, embeddings=tmp_path)
    assert (plain.system, back.system) == (tmp_path.name, f"{tmp_path.name}, centred")
    before, after = metrics.summary(plain), metrics.summary(back)
    assert before["multilingual mAP"] < 0.1 and after["multilingual mAP"] > 0.5
    expected = metrics.summary(evaluation.gold_ranks(*alike, benchmark))
    assert after == pytest.approx(expected, abs=1e-3, rel=1e-3), "where a language lies makes no difference any more"
    vectors = [np.load(tmp_path / f"{name}.npy") for name in ("queries", "candidates")]
    again = evaluation.gold_ranks(*of_benchmark(*vectors, benchmark), benchmark)
    assert np.array_equal(again.above, back.above) and np.array_equal(again.tied, back.tied)


@pytest.fixture(scope="module")
def base(tmp_path_factory, small_encoder):
    """A run that needs no training: its model is the base encoder."""
    from hybridkit import encoders

    patch = pytest.MonkeyPatch()
    patch.setenv("HYBRIDKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    small = {"museum_exhibits": 100, "museum_evaluation_exhibits": 20, "encoder": str(small_encoder)}
    model = tmp_path_factory.mktemp("model") / "model"
    encoders.base_encoder(str(small_encoder), 32, "", "").save_pretrained(str(model))
    yield params.for_run("tiny", "mono", 0, small), model
    patch.undo()


@pytest.fixture
def run(base, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    found = Run(base[0])
    shutil.copytree(base[1], found.folder / "model")
    return found


@pytest.fixture
def encodings(monkeypatch):
    """How often a benchmark was encoded, as a list that grows."""
    calls, embed = [], evaluation.embed
    monkeypatch.setattr(evaluation, "embed", lambda *given, **named: calls.append(1) or embed(*given, **named))
    return calls


def finished(run):
    runs.write_text(run.folder / "training.json", "{}")
    run.save_plan(1)
    sweep.finish(run, {})
    return [(run.final, runs.read_manifest(run.final))]


def test_texts_are_encoded_once_and_every_table_has_both(run, encodings):
    measured = run.metrics()
    assert len(encodings) == 1
    other = json.loads((run.folder / "metrics-centred.json").read_text())
    assert measured == json.loads((run.folder / "metrics.json").read_text()) != other
    assert other["museum"].keys() == measured["museum"].keys()
    vectors = of_benchmark(
        *evaluation.embed(evaluation.load(str(run.folder / "model")), museum.benchmark(20)), museum.benchmark(20)
    )
    expected = evaluation.gold_ranks(*vectors, museum.benchmark(20), system="")
    assert np.array_equal(GoldRanks.open(run.folder / "ranks-centred" / "museum").above, expected.above)
    found = finished(run)
    assert set(comparison.figures_of(found)["embeddings"]) == {"as trained"}
    table = comparison.figures_of(found, centred=True)
    assert len(table[table["embeddings"] == "centred"]) == sum(map(len, other["museum"].values()))
    for name, figures in zip(comparison.EMBEDDINGS, (measured, other), strict=True):
        value = comparison.by_mixture(table, "multilingual mAP", embeddings=name).set_index("mixture")["mean"]["mono"]
        assert value == figures["museum"]["training languages"]["multilingual mAP"]
    text = comparison.to_markdown(table)
    main, *baselines = text.split("the same models, with each language's mean taken away")
    assert len(baselines) == 2 and "| BM25 |" in main and "| BM25 |" not in baselines[1]
    assert f"{other['museum']['training languages']['multilingual mAP']:,.3f}" in baselines[0]


def test_a_run_from_before_has_no_centred_figures_until_they_are_asked_for(run, encodings):
    run.metrics()
    for name in ("ranks-centred", "metrics-centred.json"):
        (shutil.rmtree if name.startswith("ranks") else type(run.folder).unlink)(run.folder / name)
    ((place, manifest),) = finished(run)
    before = comparison.figures_of([(place, manifest)], centred=True)
    assert set(before["embeddings"]) == {"as trained"}
    assert "mean taken away" not in comparison.to_markdown(before)
    kept = {path: path.stat().st_mtime_ns for path in (place / "ranks").rglob("*.*")}
    del encodings[:]
    run.metrics()
    assert len(encodings) == 1
    assert kept == {path: path.stat().st_mtime_ns for path in (place / "ranks").rglob("*.*")}, "figures told are kept"
    after = comparison.figures_of([(place, manifest)], centred=True)
    assert set(after["embeddings"]) == {"as trained", "centred"}
    (place / "metrics-centred.json").write_text("{")
    again = comparison.figures_of([(place, manifest)], centred=True)
    assert again.equals(after), "damaged figures are computed from the gold ranks"


def test_what_is_counted_over_shards_is_not_centred(run, monkeypatch):
    monkeypatch.setattr(evaluation, "IN_MEMORY", 100)
    assert not run.has_centred("museum")
    run.metrics()
    assert not (run.folder / "ranks-centred").exists() and not (run.folder / "metrics-centred.json").exists()
    with pytest.raises(KitError, match=r"museum has 1,320 candidates, and centring is offered up to 100: leave it out"):
        run.gold_ranks("museum", centred=True)


def test_a_run_without_a_model_keeps_its_figures(run):
    run.gold_ranks("museum")
    shutil.rmtree(run.folder / "model")
    shutil.rmtree(run.folder / "ranks-centred")
    assert not run.has_centred("museum") and run.metrics()
    assert not (run.folder / "metrics-centred.json").exists()

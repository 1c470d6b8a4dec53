"""The export to trec_eval's formats, judged by trec_eval itself (pytrec_eval)."""

import json
from dataclasses import replace

import numpy as np
import pytest
import pytrec_eval
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ranks import stand_in

from hybridkit import evaluation, metrics, params, ranks, trec
from hybridkit.cli import main
from hybridkit.corpora import catalogue
from hybridkit.corpora.benchmark import make_benchmark
from hybridkit.encoders import load
from hybridkit.errors import KitError
from hybridkit.trec import export


@pytest.fixture
def parallel():
    """300 questions in three languages, 1,400 passages, one relevant passage a language; vectors without ties."""
    random = np.random.default_rng(5)
    languages = np.array(["de", "en", "zh"])
    query_languages = languages[np.arange(300) % 3]
    candidate_languages = languages[random.permuted(np.repeat([0, 1, 2], [300, 1000, 100]))]
    rows = {code: np.flatnonzero(candidate_languages == code)[:100] for code in languages}
    # One question in ten has no relevant passage in Chinese, as in MLQA-R.
    golds = [
        (q, int(rows[code][q // 3])) for q in range(300) for code in languages if code != "zh" or (q // 3) % 10 or q % 3
    ]
    benchmark = stand_in(query_languages, candidate_languages, golds)
    queries, candidates = (random.normal(size=(count, 24)).astype(np.float16) for count in (300, 1400))
    for query, gold in golds:
        candidates[gold] += queries[query] / 2
    return queries, candidates, benchmark


def lists(path):
    """A run file as trec_eval reads it."""
    with path.open(encoding="utf-8") as file:
        return pytrec_eval.parse_run(file)


def relevance(path):
    with path.with_suffix(".qrels").open(encoding="utf-8") as file:
        return pytrec_eval.parse_qrel(file)


def judged(path, measure):
    """trec_eval's mean by language of the query (ids are q0, q1, ... in turn de, en, zh)."""
    found = pytrec_eval.RelevanceEvaluator(relevance(path), {measure}).evaluate(lists(path))
    by_language = {}
    for query, values in found.items():
        code = ("de", "en", "zh")[int(query[1:]) % 3]
        by_language.setdefault(code, []).append(values[measure.replace(".", "_")])
    return {code: (len(values), np.mean(values)) for code, values in by_language.items()}


def test_trec_eval_finds_the_kits_own_figures_in_every_setting(parallel, tmp_path):
    queries, candidates, benchmark = parallel
    gold = ranks.gold_ranks(queries, candidates, benchmark)
    assert gold.tied_share == 0
    rows = metrics.table(gold)
    paths = export(queries, candidates, benchmark, tmp_path / "out", "x", top=100, cross_lingual=True)
    assert {path.stem for path in paths} == {"monolingual", "multilingual"} | {f"cross-lingual-{c}" for c in gold.pools}
    seen = 0
    for path in paths:
        for measure, column in (("recall.1", "Recall@1"), ("recall.100", "Recall@100"), ("ndcg_cut.10", "nDCG@10")):
            found = judged(path, measure)
            setting = path.stem if "cross" not in path.stem else "cross-lingual"
            part = rows[rows["setting"] == setting]
            if setting == "cross-lingual":
                part = part[part["pool"] == path.stem[-2:]]
            kit = {row.query_language: (row.queries, row[column]) for _, row in part.iterrows()}
            assert found == {code: (count, pytest.approx(value, abs=1e-12)) for code, (count, value) in kit.items()}
            seen += len(found)
    assert seen == 3 * (3 + 3 + 6)
    assert {values[0] for values in judged(paths[1], "recall.1").values()} == {100}


def test_every_place_in_the_lists_is_that_of_the_gold_ranks(parallel, tmp_path):
    queries, candidates, benchmark = parallel
    gold = ranks.gold_ranks(queries, candidates, benchmark)
    path = export(queries, candidates, benchmark, tmp_path / "out", "tag-1", top=1400)[1]
    place = {}
    for line in path.read_text().splitlines():
        query, zero, document, rank, score, tag = line.split(" ")
        assert (zero, tag) == ("Q0", "tag-1") and int(rank) + int(score) == 1401
        place[query, document] = int(rank)
    assert len(place) == 300 * 1400
    names = [benchmark.query_ids[q] for q in gold.gold_query]
    assert [place[pair] for pair in zip(names, gold.gold_candidate)] == gold.ranks(gold.pools).tolist()


def test_equal_scores_stand_in_trec_evals_order(tmp_path):
    """By id, descending, as trec_eval itself orders them if it is given equal scores; also across the end of a list."""
    languages = ["de"] * 4 + ["en"] * 4
    benchmark = stand_in(["de"], languages, [(0, 2)])
    benchmark.candidate_ids = ["b", "10", "9", "é", "a", "Z", "~", "0"]
    vectors = np.ones((8, 2), np.float32)
    vectors[1] = 2
    for top in (3, 8):
        path = export(np.ones((1, 2), np.float32), vectors, benchmark, tmp_path / str(top), "x", top)[1]
        found = sorted(lists(path)["q0"], key=lists(path)["q0"].get, reverse=True)
        rest = sorted(set(benchmark.candidate_ids) - {"10"}, key=lambda one: one.encode(), reverse=True)
        assert found == ["10", *rest][:top]
    assert [line.split()[2] for line in path.with_name("monolingual.run").read_text().splitlines()] == [
        "10",
        "é",
        "b",
        "9",
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 50), st.integers(1, 30))
def test_the_best_are_those_of_a_stable_sort(seed, size, top, levels):
    random = np.random.default_rng(seed)
    scores = random.integers(-levels, levels, (5, 40)).astype(np.float32) / 4
    columns = random.permutation(40)[:size]
    expected = columns[np.argsort(-scores[:, columns], axis=1, kind="stable")[:, :top]]
    assert trec._best(scores, columns, top).tolist() == expected.tolist()


def test_scores_are_those_of_the_evaluation(run_folder, tmp_path, monkeypatch):
    """Copies of texts move candidates to other tiles: the lists follow the layout in which the ranks were counted."""
    folder, _ = run_folder
    chosen = params.load([folder / "params.yaml"])
    benchmark = catalogue.benchmark("museum", chosen)
    texts = list(benchmark.candidate_texts)
    languages = benchmark.candidate_languages
    texts[-1] = texts[np.flatnonzero(languages == languages[-1])[0]]
    copied = replace(benchmark, candidate_texts=texts)
    monkeypatch.setattr(catalogue, "benchmark", lambda *_: copied)
    evaluated, listed = [], []
    monkeypatch.setattr(trec, "_check_same", lambda *_: None)
    monkeypatch.setattr(ranks.Layout, "result", lambda layout, *_: evaluated.append(layout.order))
    monkeypatch.setattr(trec, "_score_blocks", lambda queries, candidates: listed.append(candidates) or [])
    evaluation.evaluate_model(str(folder / "model"), copied)
    trec.export_run(folder, tmp_path / "out")
    vectors = evaluation.embed(load(str(folder / "model")), copied)[1]
    assert not np.array_equal(evaluated[0], ranks.pool_order(copied))
    np.testing.assert_array_equal(listed[0], vectors[evaluated[0]])


@pytest.mark.parametrize("side", [0, 1])
def test_vectors_without_scores_are_named(parallel, tmp_path, side):
    parallel[side][7, 3] = np.nan
    with pytest.raises(KitError, match=f'"{"qc"[side]}7"'):
        export(*parallel, tmp_path / "out", "x")
    assert not (tmp_path / "out").exists()


def test_ids_with_spaces_stay_one_column(tmp_path):
    benchmark = make_benchmark(
        "b", "CC0", ["q 1"], ["?"], ["en"], ["a b", "100%"], ["x", "y"], ["en"] * 2, [("q 1", "a b")]
    )
    path = export(np.ones((1, 2), np.float32), np.eye(2, dtype=np.float32), benchmark, tmp_path / "o", "x")[0]
    assert relevance(path) == {"q%201": {"a%20b": 1}} and set(lists(path)["q%201"]) == {"a%20b", "100%25"}


@pytest.mark.parametrize(("top", "said"), [(0, "must be from 1 to 16,777,216"), (2**24 + 1, "choose another --top")])
def test_a_length_that_scores_cannot_tell_apart(parallel, tmp_path, top, said):
    with pytest.raises(KitError, match=said):
        export(*parallel, tmp_path / "out", "x", top)


@pytest.fixture
def run_folder(tmp_path, small_encoder):
    """A folder of a run: parameters, a model, and the gold ranks of the museum's smallest benchmark."""
    from hybridkit import encoders, evaluation

    chosen = params.for_run(overrides={"museum_evaluation_exhibits": 20, "encoder": str(small_encoder)})
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "params.yaml").write_text(params.to_yaml(chosen))
    model = encoders.base_encoder(str(small_encoder), 48, "Query: ", "Passage: ")
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    gold = evaluation.evaluate_model(str(folder / "model"), catalogue.benchmark("museum", chosen))
    gold.save(folder / "ranks" / "museum")
    return folder, gold


def test_the_command_exports_a_run_and_says_where_the_gold_ranks_are(run_folder, tmp_path):
    folder, gold = run_folder
    answer = CliRunner().invoke(main, ["export", str(folder), "--trec", str(tmp_path / "out"), "--top", "5"])
    assert answer.exit_code == 0, answer.output
    assert "multilingual.run and multilingual.qrels" in answer.output and "golds.parquet" in answer.output
    path = tmp_path / "out" / "museum" / "multilingual.run"
    found = lists(path)
    assert len(found) == len(gold.query_ids) and {len(one) for one in found.values()} == {5}
    untied = ~gold.tied.any(axis=1)
    first = untied & (gold.ranks(gold.pools) == 1)
    for row in np.flatnonzero(first):
        best = found[gold.query_ids[gold.gold_query[row]]]
        assert max(best, key=best.get) == gold.gold_candidate[row]
    assert first.any()
    again = CliRunner().invoke(main, ["export", str(folder), "--trec", str(tmp_path / "out")])
    assert again.exit_code == 1 and "name a new folder" in again.output


def test_what_cannot_be_exported_is_one_sentence(run_folder, tmp_path):
    folder, _ = run_folder

    def told(*arguments):
        answer = CliRunner().invoke(main, ["export", *map(str, arguments), "--trec", str(tmp_path / "out")])
        assert answer.exit_code == 1 and answer.output.count("\n") == 1 and not (tmp_path / "out").exists()
        return answer.output

    assert "is no folder of a run" in told(tmp_path)
    assert "'xquad-r' is no benchmark of this run; it has museum" in told(folder, "--benchmark", "xquad-r")
    (folder / "model").rename(folder / "elsewhere")
    assert "holds no trained model" in told(folder)
    about = folder / "ranks" / "museum" / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"fingerprint": "f" * 64}))
    (folder / "elsewhere").rename(folder / "model")
    assert "museum has changed since" in told(folder)

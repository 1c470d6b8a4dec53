"""The bias explorer on the reference runs, its controls, and the lists that a run keeps beside its gold ranks."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from hybridkit import explorer, reference, runs
from hybridkit.errors import KitError
from hybridkit.files import write_text
from hybridkit.params import for_run, to_yaml
from hybridkit.ranked_lists import RankedLists
from hybridkit.runs import Run


@pytest.fixture
def found(tmp_path, monkeypatch):
    """The reference runs, as a reader without runs of his own sees them."""
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path))
    run = Run(for_run("tiny", "hybrid-0.25"))
    gold, own, _ = reference.of_run(run, parallel=True)
    lists = reference.lists_of_run(run, own)
    assert not own and lists.system == gold.system == "tiny-mlm hybrid-0.25 seed 0"
    return explorer.systems(run, gold, lists, own)


def test_reference_lists_belong_to_their_gold_ranks():
    for mixture in reference.mixtures():
        gold, lists = reference.gold_ranks(mixture), reference.ranked_lists(mixture)
        assert (lists.system, lists.fingerprint, lists.pools) == (gold.system, gold.fingerprint, gold.pools)
        assert set(lists.questions) <= set(gold.questions) and len(set(lists.questions)) == reference.LISTED
        assert len(lists.query_ids) == 11 * reference.LISTED and (lists.places >= 0).all()
        place = {
            (query, lists.candidate_ids[row]): rank
            for query, rows in zip(lists.query_ids.tolist(), lists.places, strict=True)
            for rank, row in enumerate(rows, start=1)
        }
        there = list(zip(gold.query_ids[gold.gold_query].tolist(), gold.gold_candidate.tolist(), strict=True))
        known = np.array([pair in place for pair in there])
        ranks = gold.ranks(gold.pools)
        # Doubles and floats may order neighbours differently whose scores differ in the last bits.
        assert np.abs(ranks[known] - [place[pair] for pair, here in zip(there, known) if here]).max() <= 1
        listed = np.isin(gold.query_ids[gold.gold_query], lists.query_ids)
        assert (known == (listed & (ranks <= 20)))[np.abs(ranks - 20.5) > 1].all()
    with pytest.raises(KitError, match="no reference lists of 'hybrid-0.99'"):
        reference.ranked_lists("hybrid-0.99")


def test_the_reference_stays_small():
    files = [path for path in reference.FOLDER.rglob("*") if path.is_file()]
    study = [path for path in files if path.parent.name == "study"]
    assert sum(path.stat().st_size for path in files) - sum(path.stat().st_size for path in study) < 4 * 2**20
    assert sum(path.stat().st_size for path in study) < 4 * 2**20


def test_systems_stand_in_the_order_of_the_ratio(found):
    assert list(found) == [0, 0.25, 0.5, 0.75, 1]
    assert [one.title.split()[1] for one in found.values()] == [
        "cross",
        "hybrid-0.25",
        "hybrid-0.50",
        "hybrid-0.75",
        "mono",
    ]
    assert len(explorer.questions_of(found)) == reference.LISTED


def test_answers_and_who_outranks_them_agree(found):
    question = explorer.questions_of(found)[3]
    ranks = explorer.over_ratio(found, question, "de")
    assert ranks.shape == (5, 11) and list(ranks.index) == list(found)
    for alpha, one in found.items():
        above = explorer.outranked_by(one.gold, question, "de")
        assert (1 + above.sum(axis=1)).to_dict() == ranks.loc[alpha].to_dict()
        top = explorer.top(one, question, "de", 20)
        places = top[top["answer"]].set_index("language")["place"]
        assert places.to_dict() == {code: rank for code, rank in ranks.loc[alpha].items() if rank <= 20}
        assert len(top) == 20 and top["candidate"].is_unique


def test_ties_count_half_as_in_the_ranks():
    gold = reference.gold_ranks("BM25")
    question = gold.questions[gold.gold_query[gold.tied.any(axis=1)]][0]
    ranks = explorer.answers(gold, question, "de")
    assert (ranks % 1 == 0.5).any()
    assert (1 + explorer.outranked_by(gold, question, "de").sum(axis=1)).to_dict() == ranks.to_dict()


def test_the_view_says_what_it_shows(found):
    question = explorer.questions_of(found)[0]
    picture = explorer.view(found, question, "en", 1.0)
    worst = explorer.answers(found[1.0].gold, question, "en")
    assert f"{worst.idxmax()} {worst.max():,.0f}" in picture.alt and "at alpha 1" in picture.alt
    assert f"{worst.max() - 1:,.0f} candidates above it" in picture.alt


def test_what_cannot_be_shown_is_one_sentence(found):
    one = found[0.5]
    for call in (explorer.answers, explorer.outranked_by):
        with pytest.raises(KitError, match="no question 'nobody'"):
            call(one.gold, "nobody", "en")
    gold = one.gold
    unanswered = gold.questions[0]
    kept = gold.questions[gold.gold_query] != unanswered
    columns = ("gold_query", "gold_language", "gold_candidate", "above", "tied")
    without = {0.5: explorer.System(replace(gold, **{name: getattr(gold, name)[kept] for name in columns}), None)}
    assert set(explorer.questions_of(without)) == {*gold.questions.tolist()} - {unanswered}
    with pytest.raises(KitError, match="museum has no answer to the question"):
        explorer.view(without, unanswered, "en", 0.5)
    unlisted = min(set(one.gold.questions) - set(one.lists.questions))
    with pytest.raises(KitError, match="no ranked list"):
        explorer.top(one, unlisted, "en")
    with pytest.raises(KitError, match=r"Run\.ranked_lists"):
        explorer.top(replace(one, lists=None), unlisted, "en")


def test_controls_call_what_they_control(monkeypatch):
    pytest.importorskip("ipywidgets")
    seen = []

    def show(question, asked, alpha):
        seen.append((question, asked, alpha))

    def controls():
        return explorer.controls(show, {"What?": "q1", "Who?": "q2"}, ["de", "en"], [0, 0.5, 1], "en", 0.5)

    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert controls() is None, "nobody is there to move them"
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook")
    question, asked, alpha = controls().children[:3]
    assert seen.pop() == ("q1", "en", 0.5) and not seen
    alpha.value = 1
    asked.value, question.label = "de", "Who?"
    assert seen == [("q1", "en", 1), ("q1", "de", 1), ("q2", "de", 1)]


def test_controls_without_ipywidgets(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert explorer.controls(print, {"What?": "q1"}, ["en"], [0.5], "en", 0.5) is None


@pytest.fixture
def own_run(tmp_path, monkeypatch, small_encoder):
    """A run with a model that was not trained, on the museum's smallest benchmark."""
    from hybridkit import encoders

    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    run = Run(for_run("tiny", "hybrid-0.25", 0, {"museum_evaluation_exhibits": 20, "encoder": str(small_encoder)}))
    model = encoders.base_encoder(str(small_encoder), 48, "Query: ", "Passage: ")
    model.save_pretrained(str(run.folder / "model"), create_model_card=False)
    return run


def test_a_run_keeps_its_lists_beside_its_gold_ranks(own_run, monkeypatch):
    from hybridkit import evaluation

    encoded, embed = [], evaluation.embed
    monkeypatch.setattr(evaluation, "embed", lambda *given, **more: encoded.append(1) or embed(*given, **more))
    gold = own_run.gold_ranks("museum")
    lists = own_run.ranked_lists("museum")
    assert len(encoded) == 1, "one encoding serves both"
    assert (lists.system, lists.fingerprint) == (own_run.title, gold.fingerprint)
    assert set(lists.questions) == set(gold.questions), "120 questions are fewer than are drawn"
    queries = own_run.folder / "lists" / "museum" / "queries.parquet"
    queries.write_bytes(queries.read_bytes()[:100])
    ranks = (own_run.folder / "ranks" / "museum" / "golds.parquet").stat().st_mtime_ns
    again = own_run.ranked_lists("museum")
    assert len(encoded) == 2 and np.array_equal(lists.places, again.places), "damaged lists are made anew"
    assert (own_run.folder / "ranks" / "museum" / "golds.parquet").stat().st_mtime_ns == ranks
    assert np.array_equal(RankedLists.open(queries.parent).places, lists.places)


def test_lists_that_cannot_be_made_are_one_sentence(own_run, monkeypatch):
    from hybridkit import evaluation

    benchmark = own_run.benchmarks["museum"]
    own_run.benchmarks["museum"] = replace(benchmark, own_language_only=True)
    with pytest.raises(KitError, match="No ranked lists are made of museum"):
        own_run.ranked_lists("museum")
    monkeypatch.setattr(evaluation, "evaluate_model", lambda *_: "gold ranks")
    monkeypatch.setattr(evaluation, "IN_MEMORY", 10)
    assert evaluation.evaluate_run("x", benchmark, "") == (("gold ranks",), None)
    (own_run.folder / "model").rename(own_run.folder / "elsewhere")
    with pytest.raises(KitError, match="no trained model"):
        own_run.ranked_lists("museum")
    assert reference.lists_of_run(own_run, own=True) is None


def test_own_runs_come_first_where_there_are_any(tmp_path, monkeypatch):
    """Two runs of one's own, one finished and one not, of the reference's benchmark: a copy of mono's results."""
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path))
    monkeypatch.setattr(Run, "benchmarks", {"museum": None})  # its results are there, so its texts are not needed
    gold, lists = reference.gold_ranks("mono"), reference.ranked_lists("mono")
    run, other = Run(for_run("tiny", "hybrid-0.50")), Run(for_run("tiny", "cross"))
    replace(gold, system="mine").save(run.folder / "ranks" / "museum")
    replace(lists, system="mine").save(run.folder / "lists" / "museum")
    replace(gold, system="finished").save(other.final / "ranks" / "museum")
    write_text(other.final / "params.yaml", to_yaml(other.parameters))
    manifest = {"key": other.key, "parameters": other.parameters.model_dump()}
    write_text(other.final / runs.MANIFEST, json.dumps(manifest))
    read, own, _ = reference.of_run(run, parallel=True)
    found = explorer.systems(run, read, reference.lists_of_run(run, own), own)
    assert own and found[0.5].title == "mine" and found[0.5].lists.system == "mine"
    assert found[0].title == "finished" and found[0].lists is None
    assert found[1].title == "tiny-mlm mono seed 0", "the reference stands in for the rest"
    fewer = sorted(set(lists.questions))[:3] + sorted(set(gold.questions) - set(lists.questions))[:4]
    cut = explorer.systems(run, reference.only(read, fewer), None, own)
    assert {tuple(sorted(set(one.gold.questions))) for one in cut.values()} == {tuple(sorted(fewer))}
    assert explorer.questions_of(cut) == fewer[:3], "those with ranked lists"
    both = explorer.answers(cut[1].gold, fewer[0], "en"), explorer.answers(gold, fewer[0], "en")
    assert both[0].equals(both[1]), "ranks are still those in the whole pool"
    # Another benchmark: no reference run fits it.
    elsewhere = replace(read, fingerprint="other")
    unlisted = explorer.systems(run, elsewhere, None, own)
    assert list(unlisted) == [0, 0.5]
    assert explorer.questions_of(unlisted) == sorted(set(gold.questions)), "each once, though asked in every language"

"""The study that ships: what is kept of replicates, what is drawn from them, and the choices that follow."""

from itertools import product

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridkit import choices, comparison, params, replicates, runs, simplex, statistics, study
from hybridkit.errors import KitError
from hybridkit.ranks import GoldRanks
from hybridkit.statistics import Answers, Replicate

SKILLS = {"mono": 0.0, "hybrid-0.50": 1.0, "uniform": 0.3, "cross-then-mono": 0.8}
SCOPES = {"training languages": ["en", "de"], "all languages": ["en", "de", "vi"], "unseen languages": ["vi"]}
QUESTIONS = 60


def gold(skill, seed, english_pool=False):
    """Gold ranks of questions in three languages, each with an answer in each; or, with one pool, of questions that are
    asked in one of them and have an English answer."""
    random = np.random.default_rng(seed)
    hard = np.random.default_rng(99).random(QUESTIONS)
    asked = ("en", "de", "vi")
    pools = ("en",) if english_pool else asked
    codes = [asked[q % 3 :][:1] if english_pool else asked for q in range(QUESTIONS)]
    queries = [(q, code) for q in range(QUESTIONS) for code in codes[q]]
    golds = [(i, code) for i in range(len(queries)) for code in pools]
    expected = np.array([[hard[queries[i][0]] * 30 * np.exp(-skill)] * len(pools) for i, _ in golds])
    return GoldRanks(
        benchmark="made up",
        system="",
        pools=pools,
        pool_sizes=np.full(len(pools), 500),
        query_ids=np.arange(len(queries)).astype(str),
        query_languages=np.array([code for _, code in queries]),
        questions=np.array([str(q) for q, _ in queries]),
        gold_query=np.array([i for i, _ in golds]),
        gold_language=np.array([code for _, code in golds]),
        gold_candidate=np.arange(len(golds)).astype(str),
        above=np.minimum(random.poisson(expected), 400).astype(np.int32),
        tied=np.zeros((len(golds), len(pools)), np.int32),
    )


def made(seeds=range(3), encoders=("tiny-mlm", "tiny-aligned"), **how):
    """Replicates and rows of mixtures with known skills, of both encoders; more seeds for mono."""
    found, rows = [], []
    for encoder, (place, name) in product(encoders, enumerate(SKILLS)):
        for seed in (*seeds, *([7] if name == "mono" else [])):
            one = gold(SKILLS[name], 100 * place + seed, **how)
            found.append(Replicate(name, seed, one, SCOPES, encoder, "abcdef"))
            p = params.for_run("tiny", name, seed, {"encoder": encoder})
            rows += comparison.rows_of(p, {"made up": comparison.measure(one, ["en", "de"])}, "abcdef")
    return pd.DataFrame(rows), found


@pytest.fixture(params=[False, True], ids=["parallel", "English pool"])
def kept(request, tmp_path, monkeypatch):
    """A study that was saved and read again, and what it was made of."""
    monkeypatch.setattr(study, "FOLDER", tmp_path)
    rows, found = made(english_pool=request.param)
    study.save(tmp_path / "tiny", rows, found, {"profile": "tiny"})
    return study.shipped("tiny"), rows, found


def test_what_is_saved_is_read_again(kept):
    read, rows, found = kept
    wanted = rows[rows["metric"].isin(comparison.HEADLINE)].reset_index(drop=True)
    pd.testing.assert_frame_equal(read.rows, wanted[read.rows.columns], atol=1e-6, check_dtype=False)
    assert read.encoders == ["tiny-mlm", "tiny-aligned"] and study.about()["profile"] == "tiny"
    assert len(read.replicates) == len(found) == 26
    for mine, theirs in zip(read.replicates, map(study.keep, found), strict=True):
        assert (mine.mixture, mine.seed, mine.encoder) == (theirs.mixture, theirs.seed, theirs.encoder)
        assert mine.kept.keys() == theirs.kept.keys() and {place[0] for place in mine.kept} <= set(study.SCOPES)
        for place, answers in theirs.kept.items():
            for of in ("values", "adds"):
                right, got = getattr(answers, of), getattr(mine.kept[place], of)
                # Where all questions count alike, what they add follows from the values.
                alike = of == "values" or np.allclose(answers.adds, answers.values / len(answers.values))
                share = np.abs(right).max() / np.abs(answers.values).max() if alike else 1
                step = share * 2.0 ** np.floor(np.log2(np.abs(right).max() / share)) / 1024
                assert np.abs(got - right).max() < step and abs(got.sum() - right.sum()) <= step / 2 * 1.001


@given(st.lists(st.floats(-3000, 3000), max_size=50))
def test_rounding_keeps_the_sum(values):
    rounded = study._rounded(np.array(values))
    assert np.abs(rounded - values).max(initial=0) < 1 and abs(rounded.sum() - sum(values)) <= 0.5 + 1e-9
    whole = np.rint(values)
    assert study._rounded(whole).tolist() == whole.tolist()


def test_constant_and_empty_lists_are_kept(tmp_path):
    lists = [np.full(7, 0.3), np.zeros(5), None, np.full(3, -20.0), np.array([1e-9, 2e-9])]
    pq.write_table(pa.table(study._packed("values", lists)), tmp_path / "packed.parquet")
    read = study._unpacked("values", pq.read_table(tmp_path / "packed.parquet"))
    assert [len(one) for one in read] == [7, 5, 0, 3, 2]
    for got, right in zip(read, lists, strict=True):
        if right is not None:
            assert np.abs(got - right).max() <= np.abs(right).max() / 1024 and got.sum() == pytest.approx(
                right.sum(), 1e-3
            )


def test_statistics_are_those_of_the_gold_ranks(kept):
    read, _, found = kept
    with pytest.warns(statistics.KitWarning, match="seed 7"):
        mine, theirs = (statistics.compare_with("mono", which) for which in (read.replicates, found))
    theirs = theirs[theirs["scope"].isin(study.SCOPES)].reset_index(drop=True)
    columns = ["encoder", "scope", "metric", "mixture", "seeds", "sign_flip_p"]
    pd.testing.assert_frame_equal(mine[columns], theirs[columns])
    numbers = ["mean", "difference", "low", "high"]
    spread = theirs["high"] - theirs["low"]
    assert (mine[numbers] - theirs[numbers]).abs().div(spread + 1e-9, axis=0).max().max() < 1e-3
    assert (mine["p"] - theirs["p"]).abs().max() < 1e-3
    assert (mine["questions_won"] - theirs["questions_won"]).abs().max() <= 0.05  # ties may fall apart


def test_parts_of_a_study(kept):
    read = kept[0]
    part = read.of("tiny-mlm")
    assert {model.encoder for model in part.replicates} == {"tiny-mlm"} and len(part.replicates) == 13
    assert set(part.rows["scope"]) == {"training languages"} == {s for m in part.replicates for s, _ in m.kept}
    assert set(part.simplex().rows["mixture"]) == {"mono", "hybrid-0.50", "uniform"}
    assert {model.mixture for model in part.only(["mono"]).replicates} == {"mono"}
    assert part.points()["mixture"].tolist() == ["mono", "hybrid-0.50", "uniform"]
    assert part.beyond("end_", "switch_") == ["cross-then-mono"] and part.beyond("switch_") == []
    assert not read.of("tiny-mlm", "no such languages").replicates
    with pytest.raises(KitError, match="no run of 'xlm-r'; it has tiny-mlm, tiny-aligned"):
        read.of("xlm-r")
    with pytest.raises(KitError, match="no runs to draw from"):
        part.only([]).common()


def test_edge_has_intervals_over_seeds_and_questions(kept):
    part = kept[0].of("tiny-aligned")
    known = statistics.with_intervals(part.replicates).set_index(["mixture", "metric"])
    edge = part.simplex().edge().set_index(["mixture", "metric"])
    assert set(edge.index.get_level_values(0)) == {"mono", "hybrid-0.50"}
    defined = edge["mean"].notna()
    assert defined.any()
    for place, row in edge[defined].iterrows():
        assert (row["low"], row["high"]) == pytest.approx((known.loc[place, "low"], known.loc[place, "high"]))


def model(name, seed, value=0.5):
    return study.Kept(name, seed, "e", "s", "b", ("f", ()), {("t", "monolingual mAP"): Answers(value + np.zeros(4), value / 4 + np.zeros(4))})  # fmt: skip


@pytest.mark.parametrize(
    "seeds, mixtures, common",
    [
        ({"mono": [0, 1, 2, 3], "cross": [0, 1, 2], "multi": [0]}, ["mono", "cross"], [0, 1, 2]),
        ({"mono": [0, 1], "cross": [2], "multi": [2]}, ["mono"], [0, 1]),
        ({"mono": [0], "cross": [0], "multi": [1]}, ["mono", "cross"], [0]),
        ({"mono": range(6), "cross": range(6)}, ["mono", "cross"], list(range(6))),
    ],
)
def test_draws_are_of_seeds_in_common(seeds, mixtures, common):
    part = study.Study(pd.DataFrame(), [model(name, seed) for name, its in seeds.items() for seed in its], "")
    assert part.common() == (mixtures, common)
    drawn = part.draws()
    assert list(drawn) == ["monolingual mAP"] and list(drawn["monolingual mAP"]) == mixtures
    assert np.allclose(drawn["monolingual mAP"], 0.5)


def test_draws_are_those_of_the_statistics(kept):
    part = kept[0].of("tiny-mlm").simplex()
    shares = statistics.best_in_draws(part.replicates, ["monolingual mAP"]).set_index("mixture")["share"]
    mine = simplex.best_shares(part.draws()["monolingual mAP"].to_dict("list"))
    assert mine.to_dict() == pytest.approx(shares.to_dict())


def test_damaged_or_missing_studies_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "FOLDER", tmp_path)
    with pytest.raises(KitError, match="profile 'small' ships with the kit; there is none"):
        study.shipped("small")
    rows, found = made(encoders=["tiny-mlm"])
    study.save(tmp_path / "tiny", rows, found, {})
    with pytest.raises(KitError, match="there is tiny"):
        study.shipped("small")
    path = tmp_path / "tiny.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(KitError, match="no readable study"):
        study.shipped("tiny")


def test_a_learners_own_runs_are_taken_where_they_are_enough(tmp_path, monkeypatch):
    rows, found = made(encoders=["tiny-mlm"])
    monkeypatch.setattr(study, "FOLDER", tmp_path)
    study.save(tmp_path / "tiny", rows, found, {})
    manifests = []
    monkeypatch.setattr(runs, "finished_like", lambda run: manifests)
    monkeypatch.setattr(comparison, "figures_of", lambda *_, **__: rows)
    monkeypatch.setattr(replicates, "of_folders", lambda *_: found)
    run = runs.Run(params.for_run("tiny"))
    assert "ship with the kit. You have 0 finished runs" in study.of_run(run).told
    for name in ("mono", "hybrid-0.50", "cross-then-mono", "variants"):  # two of them are three weights alone
        manifests.append((tmp_path, {"parameters": params.for_run("tiny", name).model_dump()}))
    assert "You have 4 finished runs" in study.of_run(run).told
    for name in ("cross", "uniform"):
        manifests.append((tmp_path, {"parameters": params.for_run("tiny", name).model_dump()}))
    own = study.of_run(run)
    assert own.told == "These are your own 6 runs of the profile tiny."
    assert (
        all(isinstance(one, study.Kept) for one in own.replicates) and own.of("tiny-mlm").points()["seeds"].max() == 4
    )
    other = runs.Run(params.for_run("tiny", overrides={"profile": "mine"}))  # of which none ships: three mixtures do
    assert "your own" in study.of_run(other).told
    del manifests[2:]
    assert "the runs of the profile tiny that ship" in study.of_run(other).told


# Choices


def frames(**values):
    return {"monolingual mAP": pd.DataFrame(values)}


def test_choices_by_hand():
    """Four draws: a is best in two and a half, b in one and a half, and loses .06 in one of them."""
    drawn = frames(a=[0.9, 0.9, 0.9, 0.84], b=[0.8, 0.895, 0.9, 0.9], c=[0.1, 0.2, 0.3, 0.4])
    (row,) = choices.choices(drawn, 6).to_dict("records")
    assert (row["choose"], row["best in"], row["costs little in"]) == ("a", 2.5 / 4, 3 / 4)
    assert row["about as good"] == ["a"] and row["how sure"] == "open" and row["goal"] == "within each language"
    assert choices.told(row) == "within each language: choose a, which reaches 0.885 (open); about as good: none"
    drawn = frames(a=[0.9, 0.9], b=[0.895, 0.905])
    for seeds, word in ((6, "sure"), (3, "fairly: 3 seeds"), (1, "not known: one seed")):
        (row,) = choices.choices(drawn, seeds).to_dict("records")
        assert row["how sure"] == word and row["about as good"] == ["a", "b"]
    shown = choices.readable(choices.choices(drawn, 6))
    assert shown.loc["within each language"].tolist() == ["a", "0.900", "50 %", "100 %", "b", "sure"]
    many = choices.choices(frames(**{name: [0.9] for name in "abcdefg"}), 6)
    assert choices.readable(many)["about as good"].tolist() == ["6 others"]
    assert "many do; 7 mixtures are about as good, a with 0.900 among them" in choices.told(many.iloc[0])
    assert choices.losses(drawn).to_dict() == {"within each language": {"a": 0.0, "b": 0.0}}


def test_rank_distance_is_less_is_better_and_counts_in_doublings():
    drawn = {"rank distance": pd.DataFrame({"a": [40.0, 40.0], "b": [48.0, 48.0], "c": [80.0, 160.0]})}
    (row,) = choices.choices(drawn, 6).to_dict("records")
    assert row["choose"] == "a" and row["about as good"] == ["a", "b"]
    assert row["reaches"] == pytest.approx(40) and choices.told(row).endswith("about as good: b")
    assert choices.losses(drawn)["least language bias"]["c"] == pytest.approx(1.5)


def test_who_finds_nothing_is_not_chosen_for_its_little_bias():
    drawn = frames(a=[0.8, 0.8], b=[0.4, 0.4], c=[0.39, 0.39])
    drawn["rank distance"] = pd.DataFrame({"a": [160.0, 160.0], "b": [80.0, 80.0], "c": [20.0, 20.0]})
    row = choices.choices(drawn, 6).to_dict("records")[-1]
    assert (row["choose"], row["best in"], row["about as good"]) == ("b", 1.0, ["b"])
    assert choices.losses(drawn)["least language bias"].to_dict() == pytest.approx({"a": 1, "b": 0, "c": -2})


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=8))
def test_a_choice_costs_little_at_least_as_often_as_it_is_the_best(values):
    drawn = pd.DataFrame(values, columns=["a", "b", "c"])
    found = choices.choices({goal: drawn for goal in simplex.GOALS}, 6)
    assert found["figure"].tolist() == [*simplex.GOALS, "all alike"]
    for row in found.to_dict("records"):
        assert row["costs little in"] >= row["best in"] - 1e-9 and row["choose"] in row["about as good"]


def test_the_safest_is_the_least_bad_where_it_is_worst():
    parts = {"one": pd.DataFrame({"across languages": {"a": 0.0, "b": 0.02, "c": 0.5}, "only here": {"a": 0.0}}),
             "two": pd.DataFrame({"across languages": {"b": 0.03, "a": 0.4, "c": 0.025, "d": 0.0}})}  # fmt: skip
    (row,) = choices.safest(parts).to_dict("records")
    assert row == {"goal": "across languages", "choose": "b", "one": 0.02, "two": 0.03, "about as safe": []}
    near = {name: table.loc[["a", "b"]] / 100 for name, table in parts.items()}
    assert choices.safest(near).to_dict("records")[0]["about as safe"] == ["a"]

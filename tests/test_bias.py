"""Bias measures against hand examples, plain loops, and their chance levels by enumeration and in random order."""

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kruskal
from test_ranks import from_scores, random_benchmark, stand_in

from hybridkit import bias_table, per_question, reference
from hybridkit.bias import (
    in_several_languages,
    language_pair_ranks,
    peer,
    rank_distance,
    same_language_first,
    worst_rank,
)
from hybridkit.bias_table import ndcg_gap
from hybridkit.errors import KitError, KitWarning
from hybridkit.metrics import SETTINGS, summary, table

LANGUAGES = ["ar", "de", "en", "zh"]


def parallel(questions: int, others: int):
    """Each question asked in every language, one gold a language, and `others` more candidates a language."""
    languages = np.repeat(LANGUAGES, questions + others)
    golds = {
        (asked * questions + q, pool * (questions + others) + q)
        for asked in range(4)
        for pool in range(4)
        for q in range(questions)
    }
    found = stand_in(np.repeat(LANGUAGES, questions), languages, golds)
    found.questions = [f"question {q}" for _ in LANGUAGES for q in range(questions)]
    return found


def test_rank_distance_by_hand():
    benchmark = stand_in(["en", "en", "de"], ["de", "en", "en", "zh"], {(0, 0), (0, 1), (1, 0), (1, 3), (2, 2)})
    gold = from_scores([[1, 4, 3, 2], [4, 3, 2, 4], [1, 2, 3, 4]], benchmark)
    rows = rank_distance(gold)
    assert rows["query_language"].tolist() == ["en"], "the German query has one gold: no distance"
    # Ranks 4 and 1; then two golds that tie for the first two places.
    assert rows.loc[0, ["queries", "mean", "median"]].tolist() == [2, 1.5, 1.5]
    assert rows.loc[0, "chance"] == pytest.approx(5 / 3)
    only = rank_distance(gold, ["en", "de"]).iloc[0]
    assert (only["queries"], only["mean"], only["chance"]) == (1, 2, pytest.approx(4 / 3))
    assert rank_distance(gold, ["zh"]).empty


def test_golds_in_one_language_have_no_distance():
    """Two golds in English alone do not count, with two in German and one in English all three do: ranks 1, 2 and 4."""
    benchmark = stand_in(["en", "en"], ["de", "de", "en", "en"], {(0, 2), (0, 3), (1, 0), (1, 1), (1, 3)})
    gold = from_scores([[1, 2, 3, 4], [4, 3, 2, 1]], benchmark)
    for measure, value in ((rank_distance, 3), (worst_rank, 4)):
        assert measure(gold).loc[0, ["queries", "mean"]].tolist() == [1, value]
        assert measure(gold, ["en"]).empty
    by_question = per_question.figures(gold, ["de", "en"], [("multilingual", "rank distance")])
    assert by_question["multilingual", "rank distance"].counts.tolist() == [[0], [1]]
    assert summary(gold)["rank distance"] == 3 and np.isnan(summary(gold, ["en"])["rank distance"])
    assert reference.has_parallel_answers(gold)
    one = from_scores([[1, 2, 3, 4]], stand_in(["en"], ["de", "de", "en", "en"], {(0, 2), (0, 3)}))
    assert not reference.has_parallel_answers(one) and np.isnan(summary(one)["rank distance"])


@pytest.mark.parametrize("name", reference.RANKED)
def test_every_museum_question_counts(name):
    """All golds are in different languages there, so the distance is that of all queries with two golds or more."""
    gold = reference.gold_ranks(name)
    assert in_several_languages(gold.gold_query, gold.gold_language).all()
    every = pd.Series(gold.ranks(gold.pools)).groupby(gold.gold_query).agg(np.ptp)
    by_language = every.groupby(gold.query_languages).mean()
    assert rank_distance(gold)["mean"].tolist() == pytest.approx(by_language.tolist())


def test_rank_distance_agrees_with_a_loop():
    random = np.random.default_rng(4)
    benchmark = random_benchmark(random, 40, 50, golds=3)  # of some queries all in one language
    benchmark.gold_query[:3] = benchmark.gold_query[0]
    gold = from_scores(random.integers(0, 20, (40, 50)), benchmark)
    ranks = gold.ranks(gold.pools)
    for row in rank_distance(gold).itertuples():
        asked = np.flatnonzero(gold.query_languages == row.query_language)
        asked = [query for query in asked if len(set(gold.gold_language[gold.gold_query == query])) > 1]
        distances = [np.ptp(ranks[gold.gold_query == query]) for query in asked]
        assert row.queries == len(asked)
        assert (row.mean, row.median) == pytest.approx((np.mean(distances), np.median(distances)))


@pytest.mark.parametrize("candidates, golds", [(6, 2), (7, 3), (9, 4)])
def test_chance_level_by_enumeration(candidates, golds):
    """The mean over all places that the golds can take."""
    expected = np.mean([max(places) - min(places) for places in combinations(range(1, candidates + 1), golds)])
    benchmark = stand_in(["en"], ["de"] + ["en"] * (candidates - 1), {(0, c) for c in range(golds)})
    assert rank_distance(from_scores([np.arange(candidates)], benchmark)).at[0, "chance"] == pytest.approx(expected)


def test_random_order_is_at_the_chance_levels():
    random = np.random.default_rng(8)
    gold = from_scores(random.random((4 * 300, 4 * 330)), parallel(300, 30))
    distance = rank_distance(gold)
    assert distance["chance"].tolist() == pytest.approx([1321 * 3 / 5] * 4)
    assert summary(gold)["rank distance"] == pytest.approx(1321 * 3 / 5, rel=0.03)
    first = same_language_first(gold)
    assert first["chance"].tolist() == [0.25] * 4 and first["queries"].tolist() == [300] * 4
    assert first["share"].mean() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 1200) ** 0.5)


def test_ranks_of_language_pairs():
    random = np.random.default_rng(2)
    benchmark = random_benchmark(random, 20, 30, golds=6)
    gold = from_scores(random.integers(0, 9, (20, 30)), benchmark)
    for chosen in (None, ["ar", "zh"]):
        ranks = gold.ranks(chosen or gold.pools)
        rows = language_pair_ranks(gold, chosen)
        pairs = set(zip(gold.query_languages[gold.gold_query].tolist(), gold.gold_language.tolist()))
        assert set(zip(rows["query_language"], rows["gold_language"])) == {
            pair for pair in pairs if chosen is None or set(pair) <= set(chosen)
        }
        for row in rows.itertuples():
            here = (gold.query_languages[gold.gold_query] == row.query_language) & (
                gold.gold_language == row.gold_language
            )
            assert row.golds == here.sum()
            assert (row.mean, row.median) == pytest.approx((ranks[here].mean(), np.median(ranks[here])))


def test_a_system_that_prefers_the_language_of_the_query():
    benchmark = parallel(5, 2)
    same = benchmark.query_languages[:, None] == benchmark.candidate_languages
    relevant = np.zeros(same.shape)
    relevant[benchmark.gold_query, benchmark.gold_candidate] = 1
    assert (same_language_first(from_scores(relevant + 10 * same, benchmark))["share"] == 1).all()
    # The right passage in any language before all others: nothing to tell the versions apart.
    blind = same_language_first(from_scores(relevant, benchmark))
    assert blind["share"].tolist() == blind["chance"].tolist() == [0.25] * 4
    assert (same_language_first(from_scores(relevant - 10 * same, benchmark))["share"] == 0).all()
    assert same_language_first(from_scores(relevant, benchmark), ["de", "en"])["chance"].tolist() == [0.5, 0.5]
    assert same_language_first(from_scores(relevant, benchmark), ["en"]).empty
    assert (rank_distance(from_scores(relevant, benchmark))["mean"] == 0).all()


def test_queries_without_a_gold_in_their_language_do_not_count():
    benchmark = stand_in(["en", "en", "en"], ["de", "en", "zh"], {(0, 0), (0, 2), (1, 0), (1, 1), (2, 1)})
    rows = same_language_first(from_scores([[3, 2, 1], [1, 2, 3], [1, 2, 3]], benchmark))
    assert rows.loc[0, ["queries", "share", "chance"]].tolist() == [1, 1, 0.5]


def test_ratio_and_logarithm_by_hand():
    # Seven candidates; the golds of the first query stand at ranks 1 and 7, of the second at 3 and 4.
    benchmark = stand_in(["en", "en"], ["en", "de"] + ["de"] * 5, {(0, 0), (0, 1), (1, 0), (1, 1)})
    gold = from_scores([[9, 1, 8, 7, 6, 5, 4], [5, 4, 9, 8, 3, 2, 1]], benchmark)
    row = rank_distance(gold).iloc[0]
    # Distances 6 and 1; in random order (7 + 1) (2 - 1) / (2 + 1) = 8/3.
    assert (row["mean"], row["chance"]) == (3.5, pytest.approx(8 / 3))
    assert row["ratio"] == pytest.approx(3.5 / (8 / 3))
    assert row["ratio"] > 1, "the ratio can exceed 1"
    assert row["mean_log"] == pytest.approx((np.log10(7) + np.log10(2)) / 2)


def test_worst_rank_by_hand():
    benchmark = stand_in(["en", "en", "de"], ["de", "en", "en", "zh"], {(0, 0), (0, 1), (1, 0), (1, 3), (2, 2)})
    gold = from_scores([[1, 4, 3, 2], [4, 3, 2, 4], [1, 2, 3, 4]], benchmark)
    rows = worst_rank(gold)
    assert rows["query_language"].tolist() == ["en"], "the German query has one gold"
    # Worst ranks 4, and 1.5 where both golds tie for the first place; chance 2 (4 + 1) / (2 + 1).
    assert rows.loc[0, ["queries", "mean", "median"]].tolist() == [2, 2.75, 2.75]
    assert rows.loc[0, "chance"] == pytest.approx(10 / 3)
    assert rows.loc[0, "ratio"] == pytest.approx(2.75 / (10 / 3))
    assert rows.loc[0, "mean_log"] == pytest.approx((np.log10(4) + np.log10(1.5)) / 2)
    assert worst_rank(gold, ["zh"]).empty


@pytest.mark.parametrize("candidates, golds", [(6, 2), (7, 3), (9, 4)])
def test_chance_level_of_the_worst_rank_by_enumeration(candidates, golds):
    expected = np.mean([max(places) for places in combinations(range(1, candidates + 1), golds)])
    benchmark = stand_in(["en"], ["de"] + ["en"] * (candidates - 1), {(0, c) for c in range(golds)})
    assert worst_rank(from_scores([np.arange(candidates)], benchmark)).at[0, "chance"] == pytest.approx(expected)


def test_peer_by_hand():
    """Ranks 1 and 2 in German, 3 and 4 in English: mean 2.5, SSG = 2 (1) + 2 (1) = 4, SSA = 5, H = 3 * 4 / 5 = 2.4."""
    benchmark = stand_in(["en"], ["de", "de", "en", "en", "zh"], {(0, c) for c in range(4)})
    row = peer(from_scores([[9, 8, 7, 6, 1]], benchmark)).iloc[0]
    assert (row["queries"], row["left_out"]) == (1, 0)
    assert row["peer"] == pytest.approx(chi2.sf(2.4, 1)) == pytest.approx(0.1213, abs=1e-4)
    # Ranks 1 and 4 against 2 and 3: equal means, H = 0.
    assert peer(from_scores([[9, 6, 8, 7, 1]], benchmark)).at[0, "peer"] == 1
    assert peer(from_scores([[1, 1, 1, 1, 1]], benchmark)).at[0, "peer"] == 1, "all ranks are equal"


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["de", "en", "zh"]), min_size=4, max_size=12), st.integers(0, 2**32 - 1))
def test_peer_agrees_with_scipy_where_every_candidate_is_relevant(languages, seed):
    """The golds' ranks are then the ranks of a Kruskal-Wallis test, ties and all."""
    scores = np.random.default_rng(seed).integers(0, 9, len(languages))
    benchmark = stand_in(["en"], languages, {(0, c) for c in range(len(languages))})
    groups = [-scores[np.array(languages) == code] for code in sorted(set(languages))]
    row = peer(from_scores([scores], benchmark)).iloc[0]
    if len(groups) < 2:
        assert (row["queries"], row["left_out"]) == (0, 1) and np.isnan(row["peer"])
    else:
        expected = kruskal(*groups).pvalue if len(set(scores.tolist())) > 1 else 1
        assert row["peer"] == pytest.approx(expected)


def test_peer_falls_as_a_language_gets_worse_and_is_high_for_one_that_mixes():
    benchmark = stand_in(["en"], ["de"] * 6 + ["en"] * 6 + ["zh"] * 40, {(0, c) for c in range(12)})
    mixed = np.concatenate([np.arange(52, 40, -2), np.arange(51, 40, -2), np.zeros(40)])
    found = []
    for worse in (0, 3, 6, 30):
        scores = mixed.copy()
        scores[6:12] -= worse
        scores[12:] = 40 - np.arange(40)
        found.append(peer(from_scores([scores], benchmark)).at[0, "peer"])
    assert found[0] > 0.5 and found == sorted(found, reverse=True) and found[-1] < 0.01


def test_peer_measures_nothing_where_each_language_has_one_relevant_passage():
    gold = from_scores(np.random.default_rng(1).random((4 * 3, 4 * 5)), parallel(3, 2))
    with pytest.warns(KitWarning, match="12 of 12 queries .* one relevant passage in each language"):
        rows = peer(gold)
    assert rows["peer"].isna().all() and rows["queries"].eq(0).all() and rows["left_out"].eq(3).all()
    # What it would be, by the formula: groups of one rank have SSG = SSA.
    ranks = gold.ranks(gold.pools)[gold.gold_query == 0]
    assert kruskal(*[[rank] for rank in ranks]).pvalue == pytest.approx(chi2.sf(3, 3))
    assert chi2.sf(10, 10) == pytest.approx(0.4405, abs=5e-5), "eleven languages"


def test_no_warning_of_peer_where_it_works():
    benchmark = stand_in(["en"], ["de", "de", "en"], {(0, c) for c in range(3)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        peer(from_scores([[3, 2, 1]], benchmark))
    with pytest.warns(KitWarning, match="1 of 1"):
        assert peer(from_scores([[3, 2, 1]], benchmark), ["en"]).at[0, "left_out"] == 1


def test_ndcg_gap_by_hand():
    """The golds stand at ranks 1, 1 in English and 2, 4 in German: nDCG 1, and half of 1/log2(3) + 1/log2(5)."""
    benchmark = stand_in(["en", "en", "de", "de"], ["en", "de", "en", "de"], {(0, 0), (1, 2), (2, 1), (3, 3)})
    scores = [[9, 1, 2, 3], [1, 2, 9, 3], [9, 8, 1, 2], [9, 8, 7, 6]]
    rows = ndcg_gap(from_scores(scores, benchmark)).set_index("setting")
    low = (1 / np.log2(3) + 1 / np.log2(5)) / 2
    row = rows.loc["multilingual"]
    assert (row["best"], row["worst"], row["languages"]) == ("en", "de", 2)
    assert row["gap"] == pytest.approx(1 - low) and row["deviation"] == pytest.approx((1 - low) / 2)
    assert row["mean"] == pytest.approx((1 + low) / 2)
    assert "cross-lingual" not in rows.index, "no query has a gold in another language"
    assert ndcg_gap(from_scores(scores, benchmark), ["en"])["gap"].eq(0).all()
    # With one place, the German queries find nothing.
    assert ndcg_gap(from_scores(scores, benchmark), k=1).set_index("setting").at["multilingual", "gap"] == 1


@st.composite
def parallel_scores(draw):
    """A parallel benchmark and scores with ties."""
    questions, others = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    benchmark = parallel(questions, others)
    levels = draw(st.sampled_from([2, 10, 1000]))
    return benchmark, random.integers(0, levels, (4 * questions, 4 * (questions + others))).astype(float)


def bench(gold, **options):
    """The table without the rows of single languages: measure to value, and by query language."""
    rows = bias_table.table(gold, **options)
    return rows.set_index(["measure", "query_language"])["value"]


@settings(max_examples=8)
@given(parallel_scores(), st.permutations(LANGUAGES))
def test_relabelling_of_languages_changes_nothing_but_names(example, names):
    benchmark, scores = example
    before = bench(from_scores(scores, benchmark))
    new = dict(zip(LANGUAGES, names, strict=True))
    renamed = stand_in(
        [new[code] for code in benchmark.query_languages.tolist()],
        [new[code] for code in benchmark.candidate_languages.tolist()],
        set(zip(benchmark.gold_query.tolist(), benchmark.gold_candidate.tolist(), strict=True)),
    )
    after = bench(from_scores(scores, renamed))
    expected = {(measure, new.get(code, code)): value for (measure, code), value in before.items()}
    assert expected == pytest.approx(after.to_dict(), nan_ok=True)


@settings(max_examples=8)
@given(parallel_scores(), st.integers(1, 5), st.sampled_from(LANGUAGES))
def test_irrelevant_passages_below_all_golds_change_nothing_but_the_chance_levels(example, more, code):
    benchmark, scores = example
    before = bench(from_scores(scores, benchmark))
    wider = stand_in(
        benchmark.query_languages,
        np.append(benchmark.candidate_languages, [code] * more),
        set(zip(benchmark.gold_query.tolist(), benchmark.gold_candidate.tolist(), strict=True)),
    )
    after = bench(from_scores(np.hstack([scores, np.full((len(scores), more), -1.0)]), wider))
    ratio = [measure for measure, _ in before.index if "ratio" in measure]
    same = before.drop(index=ratio, level="measure")
    assert same.to_dict() == pytest.approx(after.drop(index=ratio, level="measure").to_dict(), nan_ok=True)
    # The chance levels rise, so the ratios fall; a distance of 0 stays one.
    fell = after.loc[ratio] < before.loc[ratio]
    assert (fell | (before.loc[ratio] == 0)).all()


@settings(max_examples=20)
@given(parallel_scores(), st.permutations(LANGUAGES))
def test_a_language_at_the_end_of_the_list_raises_distance_and_worst_rank(example, languages):
    benchmark, scores = example
    lead, code = languages[:2]
    said, candidates = benchmark.candidate_languages[benchmark.gold_candidate], len(benchmark.candidate_ids)

    def put(language, score):
        golds = said == language
        scores[benchmark.gold_query[golds], benchmark.gold_candidate[golds]] = score
        return from_scores(scores, benchmark)

    # The language must not be the one that leads: without it the answers might stand closer together.
    before, after = put(lead, 10_000), put(code, -1)
    assert rank_distance(after)["mean"].eq(candidates - 1).all() and worst_rank(after)["mean"].eq(candidates).all()
    for measure in (rank_distance, worst_rank):
        assert (measure(before)[["mean", "median"]] <= measure(after)[["mean", "median"]]).all(axis=None)
    ranks = language_pair_ranks(after).set_index("gold_language")["mean"]
    assert ranks[code].eq(candidates).all() and ranks[lead].eq(1).all()
    assert same_language_first(after).set_index("query_language")["share"].to_dict() == {
        asked: float(asked == lead) for asked in LANGUAGES
    }


def test_a_language_that_is_served_badly_opens_the_ndcg_gap():
    benchmark = parallel(5, 2)
    relevant = np.zeros((20, 28))
    relevant[benchmark.gold_query, benchmark.gold_candidate] = 1
    assert ndcg_gap(from_scores(relevant, benchmark))["gap"].tolist() == pytest.approx([0, 0, 0])
    relevant[benchmark.query_languages == "zh"] *= -1
    rows = ndcg_gap(from_scores(relevant, benchmark))
    assert rows["worst"].eq("zh").all() and rows["gap"].gt(0.3).all() and rows["setting"].tolist() == list(SETTINGS)
    nothing = from_scores(-relevant * (benchmark.query_languages != "zh")[:, None], benchmark)
    assert ndcg_gap(nothing).set_index("setting").at["multilingual", "gap"] < 0.2, "equally bad is equal"


def test_the_table_holds_the_measures_and_their_means():
    gold = from_scores(np.random.default_rng(3).random((12, 20)), parallel(3, 2))
    rows = bias_table.table(gold, k=3)
    assert list(rows) == ["measure", "query_language", "value", "chance", "fair"]
    one = rows[rows["measure"] == "rank distance"].set_index("query_language")
    expected = rank_distance(gold).set_index("query_language")
    assert one["value"].drop("mean").to_dict() == expected["mean"].to_dict()
    assert one.at["mean", "value"] == pytest.approx(expected["mean"].mean()) == summary(gold)["rank distance"]
    assert one["chance"].tolist() == pytest.approx([21 * 3 / 5] * 5)
    quality = table(gold, recall_at=(), ndcg_at=(3,))
    means = quality[quality["setting"] == "monolingual"]["nDCG@3"]
    gap = rows[rows["measure"] == "nDCG@3 gap, monolingual"]
    assert gap["value"].item() == pytest.approx(means.max() - means.min()) and gap["query_language"].item() == "mean"
    assert rows[rows["measure"] == "PEER"]["value"].isna().all()
    few = bias_table.table(gold, languages=["de", "en"])
    assert set(few["query_language"]) == {"de", "en", "mean"}
    assert bias_table.table(gold, languages=["de"])["measure"].str.contains("rank distance").sum() == 0
    with pytest.raises(KitError, match="de, en"):
        bias_table.table(gold, languages=["xx"])

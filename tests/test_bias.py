"""Bias measures against hand examples, plain loops, and their chance levels by enumeration and in random order."""

from itertools import combinations

import numpy as np
import pytest
from test_ranks import from_scores, random_benchmark, stand_in

from hybridkit.bias import language_pair_ranks, rank_distance, same_language_first
from hybridkit.metrics import summary

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
    return stand_in(np.repeat(LANGUAGES, questions), languages, golds)


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


def test_rank_distance_agrees_with_a_loop():
    random = np.random.default_rng(4)
    benchmark = random_benchmark(random, 40, 50, golds=3)
    benchmark.gold_query[:3] = benchmark.gold_query[0]
    gold = from_scores(random.integers(0, 20, (40, 50)), benchmark)
    ranks = gold.ranks(gold.pools)
    for row in rank_distance(gold).itertuples():
        asked = np.flatnonzero(gold.query_languages == row.query_language)
        distances = [np.ptp(ranks[gold.gold_query == query]) for query in asked]
        assert row.queries == len(asked)
        assert (row.mean, row.median) == pytest.approx((np.mean(distances), np.median(distances)))


@pytest.mark.parametrize("candidates, golds", [(6, 2), (7, 3), (9, 4)])
def test_chance_level_by_enumeration(candidates, golds):
    """The mean over all places that the golds can take."""
    expected = np.mean([max(places) - min(places) for places in combinations(range(1, candidates + 1), golds)])
    benchmark = stand_in(["en"], ["en"] * candidates, {(0, c) for c in range(golds)})
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

"""Metrics against hand examples, pytrec_eval, scikit-learn and plain loops over the definitions."""

from fractions import Fraction
from math import log2

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score
from test_ranks import from_scores, random_benchmark, stand_in

from hybridkit.errors import KitError
from hybridkit.metrics import SETTINGS, average_precision, ndcg, rank_golds, recall, reciprocal_rank, summary, table


def test_hand_example():
    """Targets {0, 1, 2} and the ranking [0, 5, 1, 6, 2]."""
    ranking = [0, 5, 1, 6, 2]
    golds = rank_golds([1 + ranking.index(target) for target in (2, 0, 1)])
    assert average_precision(golds)[0] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert round(average_precision(golds)[0], 4) == 0.7556
    assert reciprocal_rank(golds).tolist() == [1]
    assert recall(golds, 1)[0] == pytest.approx(1 / 3) and recall(golds, 3)[0] == pytest.approx(2 / 3)
    assert ndcg(golds, 3)[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / log2(3) + 1 / 2))


def test_hand_example_with_ties():
    """Two golds and a stranger share the first three places: middle rank 2, middle position 1.5 of the golds."""
    golds = rank_golds([2, 2])
    assert average_precision(golds)[0] == 0.75
    assert reciprocal_rank(golds)[0] == 0.5
    assert recall(golds, 1)[0] == 0 and recall(golds, 2)[0] == 1
    three = rank_golds([2, 2, 2])  # all three would count at rank 2, above the ideal of two
    assert ndcg(three, 2)[0] == 1


def random_rankings(seed: int, queries: int = 60, candidates: int = 150):
    """Relevance (queries, candidates) and the rank of every candidate, without ties."""
    random = np.random.default_rng(seed)
    relevant = random.random((queries, candidates)) < random.uniform(0.01, 0.3, (queries, 1))
    relevant[:, 0] = True
    return relevant, 1 + random.permuted(np.tile(np.arange(candidates), (queries, 1)), axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_trec_eval(seed):
    relevant, ranks = random_rankings(seed)
    asked = {str(q): {str(c): int(relevant[q, c]) for c in range(150)} for q in range(60)}
    run = {str(q): {str(c): float(150 - ranks[q, c]) for c in range(150)} for q in range(60)}
    measures = {"map", "recip_rank", "recall.1,10,100", "ndcg_cut.10"}
    expected = pytrec_eval.RelevanceEvaluator(asked, measures).evaluate(run)
    query, candidate = np.nonzero(relevant)
    golds = rank_golds(ranks[query, candidate], query)
    assert golds.queries.tolist() == list(range(60))
    for name, found in (
        ("map", average_precision(golds)),
        ("recip_rank", reciprocal_rank(golds)),
        ("recall_1", recall(golds, 1)),
        ("recall_10", recall(golds, 10)),
        ("recall_100", recall(golds, 100)),
        ("ndcg_cut_10", ndcg(golds, 10)),
    ):
        assert found == pytest.approx([expected[str(q)][name] for q in range(60)], abs=1e-9), name


def test_agrees_with_scikit_learn():
    relevant, ranks = random_rankings(9)
    query, candidate = np.nonzero(relevant)
    order = np.random.default_rng(0).permutation(len(query))
    golds = rank_golds(ranks[query, candidate][order], query[order])
    for q in range(60):
        assert average_precision(golds)[q] == pytest.approx(average_precision_score(relevant[q], -ranks[q]))
        assert ndcg(golds, 10)[q] == pytest.approx(ndcg_score([relevant[q]], [-ranks[q]], k=10))


def by_definition(scores, relevant, k: int) -> dict[str, float]:
    """Every metric of one query from its scores, one candidate at a time, in exact fractions."""

    def middle(one, others) -> Fraction:
        above = sum(scores[o] > scores[one] for o in others)
        tied = sum(scores[o] == scores[one] for o in others) - 1
        return 1 + above + Fraction(tied, 2)

    everyone = range(len(scores))
    ranks = {one: middle(one, everyone) for one in relevant}
    gain = sum(1 / log2(1 + rank) for rank in ranks.values() if rank <= k)
    return {
        "mAP": float(sum(middle(one, relevant) / ranks[one] for one in relevant) / len(relevant)),
        "MRR": float(1 / min(ranks.values())),
        f"Recall@{k}": sum(rank <= k for rank in ranks.values()) / len(relevant),
        f"nDCG@{k}": min(gain / sum(1 / log2(2 + i) for i in range(min(k, len(relevant)))), 1),
    }


@given(
    scores=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    data=st.data(),
    k=st.integers(1, 13),
)
def test_ties_agree_with_the_definition(scores, data, k):
    relevant = sorted(data.draw(st.sets(st.integers(0, len(scores) - 1), min_size=1)))
    benchmark = stand_in(["en"], ["en"] * len(scores), {(0, c) for c in relevant})
    rows = table(from_scores([scores], benchmark), recall_at=[k], ndcg_at=[k])
    assert rows["setting"].tolist() == ["monolingual", "multilingual"]
    for name, value in by_definition(scores, relevant, k).items():
        assert rows[name].tolist() == pytest.approx([value, value]), name
        assert 0 <= value <= 1


@pytest.fixture(scope="module")
def ragged():
    """Queries in three languages, one of them without candidates, and not all with golds in all four; many ties."""
    random = np.random.default_rng(3)
    benchmark = random_benchmark(random, 30, 60, golds=5)
    scores = random.integers(0, 12, (30, 60))
    return benchmark, scores, from_scores(scores, benchmark)


def expected_rows(benchmark, scores) -> dict[tuple[str, str, str], dict[str, float]]:
    """Every setting by loops over queries and pools."""
    found = {}
    pools = {code: [code] for code in sorted(set(benchmark.candidate_languages))}
    for asked in sorted(set(benchmark.query_languages)):
        for name, pool in (pools | {"all": list(pools)}).items():
            columns = np.flatnonzero(np.isin(benchmark.candidate_languages, pool))
            values = []
            for query in np.flatnonzero(benchmark.query_languages == asked):
                golds = benchmark.gold_candidate[benchmark.gold_query == query]
                relevant = [i for i, column in enumerate(columns) if column in golds]
                if relevant:
                    values.append(by_definition(scores[query][columns], relevant, 10))
            setting = SETTINGS[2] if name == "all" else SETTINGS[0] if name == asked else SETTINGS[1]
            found[setting, asked, name] = {"queries": len(values)} | {
                key: float(np.mean([value[key] for value in values])) for key in values[0]
            }
    return found


def test_every_setting_agrees_with_loops(ragged):
    benchmark, scores, gold = ragged
    expected = expected_rows(benchmark, scores)
    rows = table(gold).set_index(["setting", "query_language", "pool"])
    assert rows.index.is_unique and set(rows.index) == set(expected)
    assert rows["queries"].min() < 12, "the example has queries without a gold in some language"
    for key, values in expected.items():
        assert rows.loc[key, list(values)].to_dict() == pytest.approx(values), key


def test_choosing_languages_equals_a_smaller_benchmark(ragged):
    benchmark, scores, gold = ragged
    chosen = ["ar", "en"]
    columns = np.flatnonzero(np.isin(benchmark.candidate_languages, chosen))
    kept = {int(column): i for i, column in enumerate(columns)}
    asked = np.isin(benchmark.query_languages, chosen)
    golds = {(q, kept[c]) for q, c in zip(benchmark.gold_query, benchmark.gold_candidate) if c in kept and asked[q]}
    smaller = stand_in(benchmark.query_languages, benchmark.candidate_languages[columns], golds)
    assert table(gold, chosen).equals(table(from_scores(scores[:, columns], smaller)))
    assert summary(gold, chosen) == pytest.approx(summary(from_scores(scores[:, columns], smaller)))
    only = table(gold, ["ar"])
    assert only[["setting", "query_language", "pool"]].to_numpy().tolist() == [
        ["monolingual", "ar", "ar"],
        ["multilingual", "ar", "all"],
    ]


def test_numbers_of_settings_and_perfect_ranks():
    languages = ["ar", "de", "en"]
    benchmark = stand_in(languages, languages, {(q, c) for q in range(3) for c in range(3)})
    rows = table(from_scores(np.zeros((3, 3)) + [3, 2, 1], benchmark))
    assert rows.groupby("setting").size().to_dict() == {"monolingual": 3, "cross-lingual": 6, "multilingual": 3}
    assert (rows[["mAP", "MRR", "nDCG@10"]] == 1).all(axis=None)
    assert rows.loc[rows["setting"] == "multilingual", "Recall@1"].tolist() == pytest.approx([1 / 3] * 3)


def test_macro_averages_as_in_the_paper(ragged):
    """Cross-lingual: first over the corpora for each query language, whatever the numbers of queries."""
    benchmark, scores, gold = ragged
    expected = expected_rows(benchmark, scores)

    def mean(setting: str, asked: str) -> float:
        return np.mean([row["mAP"] for (kind, query, _), row in expected.items() if (kind, query) == (setting, asked)])

    found = summary(gold)
    every = ["ar", "en", "sw"]
    asking = {"monolingual": ["ar", "en"], "cross-lingual": every, "multilingual": every}
    for setting in SETTINGS:
        assert found[f"{setting} mAP"] == pytest.approx(np.mean([mean(setting, asked) for asked in asking[setting]]))
    ranks = gold.ranks(gold.pools)
    spread = [np.ptp(ranks[gold.gold_query == query]) for query in range(30)]
    by_language = [np.mean([s for s, asked in zip(spread, gold.query_languages) if asked == c]) for c in every]
    assert found["rank distance"] == pytest.approx(np.mean(by_language))
    names = ["mAP", "MRR", "Recall@1", "Recall@10", "Recall@100", "nDCG@10"]
    assert list(found) == [f"{setting} {name}" for setting in SETTINGS for name in names] + ["rank distance"]


def test_settings_that_a_benchmark_lacks():
    """Questions in Yoruba over English passages: no monolingual setting, and no two passages to compare."""
    benchmark = stand_in(["yo", "yo"], ["en", "en"], {(0, 0), (1, 1)})
    gold = from_scores(np.eye(2), benchmark)
    assert table(gold)[["setting", "pool"]].to_numpy().tolist() == [["cross-lingual", "en"], ["multilingual", "all"]]
    found = summary(gold)
    assert found["cross-lingual mAP"] == found["multilingual mAP"] == 1
    assert np.isnan(found["monolingual mAP"]) and np.isnan(found["rank distance"])
    assert table(gold, ["en"]).empty and np.isnan(list(summary(gold, ["en"]).values())).all()
    with pytest.raises(KitError, match="en, yo"):
        table(gold, ["de"])


def test_languages_without_passages_restrict_the_queries_alone():
    """Yoruba and Swahili questions over English passages: those in Swahili meet every passage."""
    scores = np.array([[0.9, 0.1, 0.2], [0.3, 0.4, 0.8], [0.5, 0.6, 0.7]])
    gold = from_scores(scores, stand_in(["yo", "sw", "sw"], ["en"] * 3, {(0, 0), (1, 1), (2, 2)}))
    found = table(gold, ["sw"])
    assert found[["setting", "query_language", "pool"]].to_numpy().tolist() == [
        ["cross-lingual", "sw", "en"], ["multilingual", "sw", "all"]
    ]  # fmt: skip
    assert found["mAP"].tolist() == [0.75, 0.75]  # ranks 2 and 1
    assert summary(gold, ["sw"])["cross-lingual mAP"] == 0.75 and summary(gold)["cross-lingual mAP"] == 0.875

"""Language bias from gold ranks: how differently a query's parallel passages rank in one pool of all languages."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hybridkit.ranks import GoldRanks, chosen


def rank_distance(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """Rank distance by query language: the worst minus the best rank of a query's golds in the multilingual pool.

    Columns: query_language, queries, mean, median, chance. Only queries with two golds or more count. `languages`
    restricts queries and candidates (None: all). `chance` is the expected distance when the pool is in random order,
    (N + 1) (g - 1) / (g + 1) for N candidates and g golds, averaged over the queries. The figure of arXiv 2408.10536
    (table 2) is the mean of `mean` over the query languages.
    """
    query, _, ranks, candidates = _multilingual(gold, languages)
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    if not len(starts):
        return pd.DataFrame({name: [] for name in ("query_language", "queries", "mean", "median", "chance")})
    golds = np.diff(starts, append=len(query))
    rows = pd.DataFrame(
        {
            "query_language": gold.query_languages[query[starts]],
            "distance": np.maximum.reduceat(ranks, starts) - np.minimum.reduceat(ranks, starts),
            "chance": (candidates + 1) * (golds - 1) / (golds + 1),
        }
    )[golds > 1]
    by_language = rows.groupby("query_language")
    distance = by_language["distance"].agg(queries="count", mean="mean", median="median")
    return distance.assign(chance=by_language["chance"].mean()).reset_index()


def language_pair_ranks(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """Ranks in the multilingual pool by language of the query and of the gold, for heat maps.

    Columns: query_language, gold_language, golds, mean, median; `languages` as in `rank_distance`.
    """
    query, language, ranks, _ = _multilingual(gold, languages)
    rows = pd.DataFrame(
        {
            "query_language": gold.query_languages[query],
            "gold_language": language,
            "rank": ranks,
        }
    )
    by_pair = rows.groupby(["query_language", "gold_language"])["rank"]
    return by_pair.agg(golds="count", mean="mean", median="median").reset_index()


def same_language_first(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """How often a query's passage in its own language ranks above all its parallel versions.

    Columns: query_language, queries, share, chance. Where k golds tie for the best rank, each counts 1 / k, so that a
    system that cannot tell them apart is at the chance level: 1 / L for one gold in each of L languages. Queries count
    that have golds in their own language and in others; `languages` as in `rank_distance`.
    """
    query, language, ranks, _ = _multilingual(gold, languages)
    own = language == gold.query_languages[query]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    if not len(starts):
        return pd.DataFrame({name: [] for name in ("query_language", "queries", "share", "chance")})
    golds = np.diff(starts, append=len(query))
    best = ranks == np.repeat(np.minimum.reduceat(ranks, starts), golds)
    owns = np.add.reduceat(own, starts, dtype=np.int64)
    share = np.add.reduceat(best & own, starts, dtype=np.int64) / np.add.reduceat(best, starts, dtype=np.int64)
    rows = pd.DataFrame(
        {"query_language": gold.query_languages[query[starts]], "share": share, "chance": owns / golds}
    )[(owns > 0) & (owns < golds)]
    by_language = rows.groupby("query_language")
    found = by_language["share"].agg(queries="count", share="mean")
    return found.assign(chance=by_language["chance"].mean()).reset_index()


def _multilingual(gold: GoldRanks, languages: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Query, language and rank of each chosen gold in the pool of the chosen languages, and the size of that pool.

    Golds that the benchmark does not rank in that pool are left out.
    """
    part = chosen(gold, languages)
    ranks = gold.ranks(part.pools)[part.golds]
    there = ~np.isnan(ranks)
    return gold.gold_query[part.golds][there], gold.gold_language[part.golds][there], ranks[there], part.candidates

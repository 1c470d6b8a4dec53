"""Retrieval metrics from gold ranks: mAP, MRR, Recall@k and nDCG@k for every setting, and their macro-averages.

Equal scores share the middle rank, so ranks may be halves: precision at a gold is its middle position among the
query's golds divided by its middle rank, and a gold counts for a cut-off k if its middle rank is at most k.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybridkit import bias
from hybridkit.ranks import GoldRanks, chosen

#: The kinds of settings: query and pool in one language, in two languages, and one pool of all languages.
SETTINGS = ("monolingual", "cross-lingual", "multilingual")


@dataclass(frozen=True, eq=False)
class RankedGolds:
    """The golds of each query in order of rank: `queries` (queries,), numbers of the queries, ascending; `starts`
    and `sizes` (queries,), where each query's golds begin and how many they are; `ranks` (golds,), from 1."""

    queries: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    ranks: np.ndarray

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values` (golds,) over each query's golds (queries,)."""
        return np.add.reduceat(values, self.starts, dtype=np.float64) if len(self.starts) else np.zeros(0)


def rank_golds(ranks: Sequence[float], query: Sequence[int] | None = None) -> RankedGolds:
    """Sort golds by query and rank; `query` (golds,) numbers the query of each, None means that there is one."""
    ranks = np.asarray(ranks, np.float64)
    query = np.zeros(len(ranks), np.int64) if query is None else np.asarray(query, np.int64)
    # Middle ranks are halves, so query and rank fit exactly into one whole number, whose sort is much the faster.
    key = query * (int(2 * ranks.max(initial=0)) + 1) + (2 * ranks).astype(np.int64)
    order = np.argsort(key)
    query = query[order]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    return RankedGolds(query[starts], starts, np.diff(starts, append=len(query)), ranks[order])


def average_precision(golds: RankedGolds) -> np.ndarray:
    """Average precision of each query (queries,), without cut-off: the mean of precision at each of its golds."""
    position = np.arange(len(golds.ranks)) - np.repeat(golds.starts, golds.sizes)
    tie = np.diff(golds.ranks, prepend=np.nan) != 0
    tie[golds.starts] = True
    first = np.flatnonzero(tie)
    length = np.diff(first, append=len(tie))
    middle = np.repeat(position[first] + (length + 1) / 2, length)
    return golds.sum(middle / golds.ranks) / golds.sizes


def reciprocal_rank(golds: RankedGolds) -> np.ndarray:
    """1 / rank of each query's best gold (queries,)."""
    return 1 / golds.ranks[golds.starts]


def recall(golds: RankedGolds, k: int) -> np.ndarray:
    """Share of each query's golds that rank within k (queries,)."""
    return golds.sum(golds.ranks <= k) / golds.sizes


def ndcg(golds: RankedGolds, k: int) -> np.ndarray:
    """nDCG at k of each query (queries,): gain 1, discount 1 / log2(1 + rank), ideal min(golds, k) best ranks.

    Several golds tied across the cut-off would all count at their middle rank; the value is held at 1 at most.
    """
    gain = np.where(golds.ranks <= k, 1 / np.log2(1 + golds.ranks), 0)
    ideal = np.cumsum(1 / np.log2(np.arange(k) + 2))[np.minimum(golds.sizes, k) - 1]
    return np.minimum(golds.sum(gain) / ideal, 1)


def _measures(golds: RankedGolds, recall_at: Sequence[int], ndcg_at: Sequence[int]) -> dict[str, np.ndarray]:
    """Every metric of each query, by the name of its column."""
    found = {"mAP": average_precision(golds), "MRR": reciprocal_rank(golds)}
    found |= {f"Recall@{k}": recall(golds, k) for k in recall_at}
    return found | {f"nDCG@{k}": ndcg(golds, k) for k in ndcg_at}


def _rows(measures: dict[str, np.ndarray], setting: np.ndarray, settings: int) -> pd.DataFrame:
    """Mean of each metric over the queries of each setting, whose numbers `setting` (queries,) gives."""
    counted = np.bincount(setting, minlength=settings)
    means = {
        name: np.bincount(setting, weights=values, minlength=settings) / np.maximum(counted, 1)
        for name, values in measures.items()
    }
    return pd.DataFrame({"queries": counted, **means})


def _ranked(ranks: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The golds that are ranked in a pool: their ranks and queries."""
    there = ~np.isnan(ranks)
    return ranks[there], query[there]


def table(
    gold: GoldRanks,
    languages: Sequence[str] | None = None,
    recall_at: Sequence[int] = (1, 10, 100),
    ndcg_at: Sequence[int] = (10,),
) -> pd.DataFrame:
    """Metrics of every setting, one row each; `languages` restricts queries and candidates (None: all).

    Columns: setting, query_language, pool (language code, or "all" for the multilingual pool), queries (how many
    counted: those with a gold in the pool), mAP, MRR, Recall@k, nDCG@k. Settings that no query counts for are left
    out, and so are those that the benchmark does not rank. Settings as in section 4 of arXiv 2408.10536.
    """
    part = chosen(gold, languages)
    asked, query_language = np.unique(gold.query_languages, return_inverse=True)
    pools = len(gold.pools)
    setting = (gold.gold_query * pools + gold.pool_index)[part.golds]
    single = rank_golds(*_ranked(gold.own_ranks()[part.golds], setting))
    alone = _rows(
        _measures(single, recall_at, ndcg_at),
        query_language[single.queries // pools] * pools + single.queries % pools,
        len(asked) * pools,
    )
    alone.insert(0, "query_language", np.repeat(asked, pools))
    alone.insert(1, "pool", np.tile(gold.pools, len(asked)))
    same = alone["query_language"] == alone["pool"]
    alone.insert(0, "setting", np.where(same, *SETTINGS[:2]))
    union = rank_golds(*_ranked(gold.ranks(part.pools)[part.golds], gold.gold_query[part.golds]))
    joint = _rows(_measures(union, recall_at, ndcg_at), query_language[union.queries], len(asked))
    joint.insert(0, "setting", SETTINGS[2])
    joint.insert(1, "query_language", asked)
    joint.insert(2, "pool", "all")
    rows = pd.concat([alone[same], alone[~same], joint], ignore_index=True)
    return rows[rows["queries"] > 0].reset_index(drop=True)


def summary(gold: GoldRanks, languages: Sequence[str] | None = None) -> dict[str, float]:
    """Macro-averages of every metric as in the paper, and the rank distance; `languages` as in `table`.

    Monolingual: over languages. Cross-lingual: for each query language over the other languages' candidates, then
    over query languages. Multilingual and rank distance: over query languages, the latter of queries with golds in two
    languages or more (`bias.extremes`). Keys: "monolingual mAP" and so on, "rank distance". NaN where the benchmark has
    no such setting.
    """
    rows = table(gold, languages)
    means = rows.groupby(["setting", "query_language"]).mean(numeric_only=True).groupby("setting").mean()
    means = means.drop(columns="queries").reindex(SETTINGS)
    found = {f"{setting} {name}": float(means.at[setting, name]) for setting in SETTINGS for name in means.columns}
    return found | {"rank distance": float(bias.rank_distance(gold, languages)["mean"].mean())}

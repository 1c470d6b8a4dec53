"""Language bias from gold ranks: how differently a query's parallel passages rank in one pool of all languages.

Each measure tells in its docstring its source, range, what it rewards and where it misleads; docs/bias.md sets them
side by side. Those that look at whole ranked lists are in `list_bias`, the table of them all in `bias_table`.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hybridkit.errors import KitWarning
from hybridkit.ranks import GoldRanks, chosen


def rank_distance(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """Rank distance by query language: the worst minus the best rank of a query's golds in the multilingual pool.

    Columns: query_language, queries, mean, median, chance, mean_log, ratio. Only queries whose golds are in two
    languages or more count (`extremes`): of passages in one language there is no bias to tell. `languages` restricts
    queries and candidates (None: all). `chance` is the expected distance when the pool is in random order,
    (N + 1) (g - 1) / (g + 1) for N candidates and g golds, averaged over the queries; `ratio` is mean / chance;
    `mean_log` is the mean of log10(1 + distance), so that a distance of 0, where all tie, has one.

    Source: arXiv 2408.10536, section 4, after arXiv 2305.09025: over "parallel [...] relevant documents across different
    languages" (footnote 6); table 2 there is the mean of `mean` over the query languages. The chance level, `ratio` and
    `mean_log` are the kit's own. Range: from g - 1 (0 where golds tie) to N - 1; `ratio` from 0, and above 1 where whole
    languages are listed one after another. Rewards parallel passages that stand together, wherever that is. Misleads: a
    useless system that keeps them together at the bottom is perfect; a mean hangs on few bad ranks (see `median` and
    `mean_log`), and a maximum on one language.
    """
    rows = extremes(gold, languages)
    rows["value"] = rows["worst"] - rows["best"]
    rows["chance"] = (rows["candidates"] + 1) * (rows["golds"] - 1) / (rows["golds"] + 1)
    rows["log"] = np.log10(1 + rows["value"])
    return _by_language(rows)


def worst_rank(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """Worst-rank recovery, Max@R: how far down a reader must go to have seen all of a query's parallel golds.

    Columns, and what counts, as in `rank_distance`; `chance` is g (N + 1) / (g + 1), `mean_log` the mean of log10 of
    the rank.

    Source: arXiv 2604.05684 names the measure and says what it is, the worst rank needed to recover all parallel
    relevant documents, for pools of two languages. Its normalised form could not be read, so this is the kit's own
    variant: the rank itself, any number of languages, and the ratio to chance. Range: from g (golds at the top;
    (g + 1) / 2 where they tie there) to N. Rewards finding every language's passage near the top, so unlike the rank
    distance it does not reward a system that finds nothing. Misleads: it mixes quality and bias (a weak system without
    any bias has a bad value), and one language decides it.
    """
    rows = extremes(gold, languages)
    rows["value"] = rows["worst"]
    rows["chance"] = rows["golds"] * (rows["candidates"] + 1) / (rows["golds"] + 1)
    rows["log"] = np.log10(rows["value"])
    return _by_language(rows)


def language_pair_ranks(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """Ranks in the multilingual pool by language of the query and of the gold, for heat maps.

    Columns: query_language, gold_language, golds, mean, median; `languages` as in `rank_distance`.

    Source: the kit's own. Range: from 1 to N, (N + 1) / 2 on average in random order. Rewards nothing by itself: it
    tells which pairs a bias comes from. Misleads: golds take places from each other, so where all g of a query stand at
    the top their mean rank is (g + 1) / 2 and not 1.
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

    Source: the kit's own; arXiv 2605.07249 describes a language preference rate of this kind, whose formula could not
    be read. Range: 0 to 1, `chance` for a system that is blind to language. Rewards nothing by itself: readers of one
    language may want 1. Misleads: it looks at the order alone, so places 1 and 2 count like places 1 and 9,000.
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


def peer(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """PEER, the probability of equal expected rank: do golds of different languages rank alike? By query language.

    Columns: query_language, queries (that count), left_out, peer (mean over the queries that count, NaN for none). For
    a query with n golds, H = (n - 1) SSG / SSA, SSA the sum of squares of the golds' ranks around their mean and SSG
    that of the languages' mean ranks, each weighted by its golds; PEER is the probability that a chi-square variable
    with (languages - 1) degrees of freedom exceeds H, and 1 where all ranks are equal. `languages` as in `rank_distance`.

    Queries of which each language has one gold are left out with a KitWarning: there every group is a single rank, SSG
    = SSA and H = n - 1, so the value is the same whatever the ranks (0.4405 for 11 languages). It measures nothing. So
    are those with golds in one language alone, for which the published measure is 1 by definition.

    Source: arXiv 2405.00978, after the authors' code (github.com/hltcoe/peer_measure, which was read): like it, H is
    taken from the ranks in the list, not ranked anew among the golds as in a textbook Kruskal-Wallis test. The kit's
    own variant in this: golds alone with weight 1, no cut-off (every gold's rank is known, none is unretrieved), equal
    scores share the middle rank. Range: 0 to 1; published reading: 1 is fair. Rewards languages whose golds have the
    same mean rank. Misleads: a p-value grows smaller with more golds at the same bias; in random order it is about .5
    on average and not 1; a useless system can be perfect.
    """
    query, language, ranks, _ = _multilingual(gold, languages)
    if not len(query):
        return pd.DataFrame({name: [] for name in ("query_language", "queries", "left_out", "peer")})
    rows = pd.DataFrame({"query": query, "language": language, "rank": ranks})
    rows["query_language"] = gold.query_languages[query]
    each = _equal_rank_probability(rows)
    if (each["golds"] == each["groups"]).any():
        told = (
            f"{(each['golds'] == each['groups']).sum():,} of {len(each):,} queries of {gold.benchmark} have one relevant "
            "passage in each language, where PEER is the same whatever their ranks; they are left out. Report the rank "
            "distance there."
        )
        warnings.warn(told, KitWarning, stacklevel=2)
    counts = (each["groups"] > 1) & (each["golds"] > each["groups"])
    each["peer"] = each["peer"].where(counts)
    by_language = each.assign(left_out=~counts).groupby("query_language")
    return by_language.agg(queries=("peer", "count"), left_out=("left_out", "sum"), peer=("peer", "mean")).reset_index()


def _equal_rank_probability(rows: pd.DataFrame) -> pd.DataFrame:
    """For each query: query_language, golds, groups (languages that have some), peer."""
    from scipy.stats import chi2

    rows = rows.assign(away=rows["rank"] - rows.groupby("query")["rank"].transform("mean"))
    # A group of n ranks adds n (mean - overall mean) ^ 2 = (sum of the ranks' distances) ^ 2 / n.
    group = rows.groupby(["query", "language"])["away"].agg(["sum", "count"])
    between = (group["sum"] ** 2 / group["count"]).groupby("query").agg(["sum", "count"])
    each = rows.groupby("query").agg(query_language=("query_language", "first"), golds=("rank", "count"))
    each["groups"] = between["count"]
    within_all = (rows["away"] ** 2).groupby(rows["query"]).sum()
    alike = within_all == 0
    statistic = (each["golds"] - 1) * between["sum"] / within_all.mask(alike, 1)
    each["peer"] = np.where(alike, 1.0, chi2.sf(statistic, np.maximum(each["groups"] - 1, 1)))
    return each


def extremes(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """Best and worst rank in the multilingual pool of each query whose golds are in two languages or more.

    Columns: query (its row), query_language, best, worst, golds (how many), candidates (of the pool). `languages` as in
    `rank_distance`, which with everything that is called so is made from these.
    """
    query, language, ranks, candidates = _multilingual(gold, languages)
    parallel = in_several_languages(query, language)
    query, ranks = query[parallel], ranks[parallel]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    if not len(starts):
        names = ("query", "query_language", "best", "worst", "golds", "candidates")
        return pd.DataFrame({name: np.zeros(0, np.int64 if name == "query" else float) for name in names})
    return pd.DataFrame(
        {
            "query": query[starts],
            "query_language": gold.query_languages[query[starts]],
            "best": np.minimum.reduceat(ranks, starts),
            "worst": np.maximum.reduceat(ranks, starts),
            "golds": np.diff(starts, append=len(query)),
            "candidates": candidates,
        }
    )


def in_several_languages(query: np.ndarray, language: np.ndarray) -> np.ndarray:
    """Which golds (golds,) belong to a query with golds in two languages or more; `query` (golds,) is ascending."""
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    if not len(starts):
        return np.zeros(0, bool)
    golds = np.diff(starts, append=len(query))
    return np.repeat(np.logical_or.reduceat(language != np.repeat(language[starts], golds), starts), golds)


def _by_language(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of `rank_distance` from each query's value, chance and log."""
    by_language = rows.groupby("query_language")
    found = by_language["value"].agg(queries="count", mean="mean", median="median")
    found["chance"] = by_language["chance"].mean()
    found["mean_log"] = by_language["log"].mean()
    return found.assign(ratio=found["mean"] / found["chance"]).reset_index()


def _multilingual(gold: GoldRanks, languages: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Query, language and rank of each chosen gold in the pool of the chosen languages, and the size of that pool.

    Golds that the benchmark does not rank in that pool are left out.
    """
    part = chosen(gold, languages)
    ranks = gold.ranks(part.pools)[part.golds]
    there = ~np.isnan(ranks)
    return gold.gold_query[part.golds][there], gold.gold_language[part.golds][there], ranks[there], part.candidates

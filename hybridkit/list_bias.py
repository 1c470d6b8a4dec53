"""Language bias from ranked lists: which languages fill the top, and whether it depends on who asks.

Each measure looks at the first `k` places of every list; `languages` restricts queries and candidates (None: all). A
list that is shorter than k, because it was restricted or is all of its pool, counts as it is. docs/bias.md sets the
measures side by side.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from hybridkit.errors import KitError
from hybridkit.ranked_lists import RankedLists

#: Places that are looked at where nothing else is said: half the depth of a list, so that lists stay long enough when
#: they are restricted to some languages.
TOP = 10


def language_share(lists: RankedLists, k: int = TOP, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """Share of each language in the first k places, by query language, and its share of the pool.

    Columns: query_language, language, share, pool; the shares of a query language sum to 1, over all its queries'
    places together. A query language whose lists are all empty is left out.

    Source: the kit's own. Range: 0 to 1; a system that is blind to language has `share` near `pool`. Rewards nothing by
    itself. Misleads: it does not ask what is relevant; where relevant passages are not spread like the pool, the pool is
    the wrong yardstick.
    """
    lists, top = _top(lists, k, languages)
    asked, query = np.unique(lists.query_languages, return_inverse=True)
    said = np.append(np.searchsorted(lists.pools, lists.candidate_languages), -1)[top]
    counts = np.zeros((len(asked), len(lists.pools)))
    there = said >= 0
    np.add.at(counts, (np.broadcast_to(query[:, None], said.shape)[there], said[there]), 1)
    counted = counts.sum(axis=1) > 0
    shares = counts[counted] / counts[counted].sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "query_language": np.repeat(asked[counted], len(lists.pools)),
            "language": np.tile(np.array(lists.pools, np.str_), counted.sum()),
            "share": shares.ravel(),
            "pool": np.tile(lists.pool_sizes / lists.pool_sizes.sum(), counted.sum()),
        }
    )


def share_divergence(lists: RankedLists, k: int = TOP, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """How far the languages of the first k places are from those of the pool, by query language, in bits.

    Columns: query_language, kl, js. With shares p of the top and q of the pool (`language_share`), logarithms to base 2:
    kl = sum p log(p / q), where a language that is absent from the top adds 0 (each one in the top is in the pool, so kl
    is finite); js = (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2, the divergence and not its square root.

    Source: the two textbook divergences; using them so is the kit's own. Range: kl from 0 to log2 of (1 / the smallest
    pool share), js from 0 to 1; 0 is fair. In random order both are a little above 0, kl about (L - 1) / (2 n ln 2) for
    n places in all. Rewards a top that mirrors the pool. Misleads: shares are of all queries of a language together, so
    lists in one language each, a different one every time, look fair; and a useless system can be.
    """
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import entropy

    rows = [
        (code, entropy(part["share"], part["pool"], base=2), jensenshannon(part["share"], part["pool"], base=2) ** 2)
        for code, part in language_share(lists, k, languages).groupby("query_language")
    ]
    return pd.DataFrame(rows, columns=["query_language", "kl", "js"])


def own_language_share(lists: RankedLists, k: int = TOP, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """Share of the query's own language in the first k places: a preference for the asker's language, right or wrong.

    Columns: query_language, queries, share (mean over queries), chance (the language's share of the pool). Queries in
    languages without candidates do not count.

    Source: the kit's own. Range: 0 to 1, `chance` for a system that is blind to language. Rewards nothing by itself:
    readers of one language may want 1. Misleads: with one relevant passage in each language, a good list of k places is
    mostly wrong candidates, whose language the measure counts as much as that of the answers.
    """
    lists, top = _top(lists, k, languages)
    said = np.append(lists.candidate_languages, "")[top]
    there = top >= 0
    size = dict(zip(lists.pools, lists.pool_sizes / lists.pool_sizes.sum(), strict=True))
    own = ((said == lists.query_languages[:, None]) & there).sum(axis=1)
    rows = pd.DataFrame({"query_language": lists.query_languages, "own": own, "places": there.sum(axis=1)})
    rows = rows[(rows["places"] > 0) & rows["query_language"].isin(lists.pools)]
    by_language = (rows["own"] / rows["places"]).groupby(rows["query_language"])
    found = by_language.agg(queries="count", share="mean").reset_index()
    return found.assign(chance=found["query_language"].map(size).astype(float))


def rank_correlation(lists: RankedLists, k: int = TOP, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """MRC, mean rank correlation: do translations of a question get the same list? By query language.

    Columns: query_language, questions, mean. For a question and two of its languages, Spearman's correlation of the two
    rankings; for a language the mean over the others, then over questions that are asked in two languages or more.
    Lists know the first k places alone, so the correlation is over the candidates in either of the two tops, and those
    that one list lacks share the middle of the places after its end. Pairs of lists with fewer than two candidates, or
    of which one is empty, do not count.

    Source: arXiv 2509.06195, whose formula is Spearman's correlation of whole rankings, averaged so; how it is cut at k
    could not be read, so for lists that are shorter than the pool this is the kit's own variant. With whole rankings
    the two are the same. Range: -1 to 1, 1 is fair. Random whole rankings have 0, but two lists of k places without a
    common candidate have -6 k^2 / (7 k^2 - 1), about -.86: a low value of the cut measure says "other candidates", not
    "reverse order". Rewards lists that do not depend on the asker's language, be they good or bad.
    """
    if k < 2:
        raise KitError(f"The rank correlation of the first {k} places was asked for: it needs at least 2.")
    lists, top = _top(lists, k, languages)
    rows = []
    for question in np.unique(lists.questions):
        asked = np.flatnonzero(lists.questions == question)
        pairs = [(a, b, _spearman(top[a], top[b])) for a, b in combinations(asked, 2)]
        rows += [(lists.query_languages[one], question, value) for a, b, value in pairs for one in (a, b)]
    table = pd.DataFrame(rows, columns=["query_language", "question", "value"]).dropna()
    each = table.groupby(["query_language", "question"])["value"].mean()
    return each.groupby("query_language").agg(questions="count", mean="mean").reset_index()


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two lists of candidates; NaN where it is not defined."""
    one, other = one[one >= 0], other[other >= 0]
    union = np.union1d(one, other)
    if len(union) < 2 or not len(one) or not len(other):
        return np.nan
    ranks = []
    for found in (one, other):
        rank = np.full(len(union), (len(found) + 1 + len(union)) / 2)
        rank[np.searchsorted(union, found)] = np.arange(1, len(found) + 1)
        ranks.append(rank - rank.mean())
    return float(ranks[0] @ ranks[1] / np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))


def _top(lists: RankedLists, k: int, languages: Sequence[str] | None) -> tuple[RankedLists, np.ndarray]:
    """The lists of the chosen languages and their first k places, -1 where a list has ended.

    Shape (queries, k), or fewer columns where the whole pool has fewer candidates.
    """
    depth = lists.places.shape[1]
    if k < 1 or depth < min(k, lists.pool_sizes.sum()):
        raise KitError(
            f"The first {k} places were asked for, but the lists of {lists.benchmark} hold {depth}: give a k from 1 to "
            f"{depth}."
        )
    lists = lists.restricted(languages)
    return lists, lists.places[:, :k]

"""Every bias measure of a system in one tidy table, and the gap in nDCG between languages."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hybridkit import bias, list_bias, metrics
from hybridkit.errors import KitWarning
from hybridkit.ranked_lists import RankedLists
from hybridkit.ranks import GoldRanks, chosen

#: How the rows are called that are means over the query languages.
MEAN = "mean"
_COLUMNS = ["measure", "query_language", "value", "chance", "fair"]


def ndcg_gap(gold: GoldRanks, languages: Sequence[str] | None = None, k: int = 10) -> pd.DataFrame:
    """How unequally languages are served: nDCG@k by query language, its range and its standard deviation.

    Columns: setting, languages (how many), mean, best, worst (query languages), gap (highest minus lowest), deviation
    (of the population: divided by their number). A row a setting (`metrics.SETTINGS`); cross-lingual is first averaged
    over the other languages' pools. `languages` as in `bias.rank_distance`.

    Source: the kit's own use of a range and a standard deviation; nDCG as in `metrics.ndcg`. Range: 0 to 1, 0 is equal;
    the deviation at most half the gap. Rewards equal quality for every asker. Misleads: equally bad is equal, so read
    `mean` beside it; a gap grows with the number of languages; questions in one language may be harder in themselves.
    """
    rows = metrics.table(gold, languages, recall_at=(), ndcg_at=(k,))
    by_language = rows.groupby(["setting", "query_language"])[f"nDCG@{k}"].mean()
    found = []
    for setting in metrics.SETTINGS:
        if setting not in by_language.index:  # a setting that the benchmark does not have
            continue
        values = by_language[setting]
        spread = {"gap": values.max() - values.min(), "deviation": values.std(ddof=0)}
        ends = {"best": values.idxmax(), "worst": values.idxmin()}
        found.append({"setting": setting, "languages": len(values), "mean": values.mean()} | ends | spread)
    columns = ["setting", "languages", "mean", "best", "worst", "gap", "deviation"]
    return pd.DataFrame(found, columns=columns)


def table(
    gold: GoldRanks,
    lists: RankedLists | None = None,
    languages: Sequence[str] | None = None,
    k: int = list_bias.TOP,
) -> pd.DataFrame:
    """All bias measures of a system, a row for each measure and query language, and one for the mean over them.

    Columns: measure, query_language ("mean" for the mean over the query languages, which alone gaps have), value,
    chance (what a random order gives), fair (what a system has that serves all languages alike), NaN where there is
    no such level, and value NaN where a measure is not defined (PEER where each language has one relevant passage).
    Measures of whole lists are there where `lists` are given; `k`: their first places, 2 or more, and the cut-off of
    nDCG. `languages` restricts queries and candidates (None: all). What each measure says, and where it misleads, is
    told by the functions of `bias` and `list_bias`.
    """
    parts = [pd.DataFrame(rows, columns=_COLUMNS) for rows in _of_ranks(gold, languages)]
    if lists is not None:
        parts += [pd.DataFrame(rows, columns=_COLUMNS) for rows in _of_lists(lists, k, languages)]
    parts = [_with_mean(part) for part in parts if len(part)]
    gaps = [
        {"measure": f"nDCG@{k} {what}, {row.setting}", "query_language": MEAN, "value": getattr(row, what), "fair": 0.0}
        for row in ndcg_gap(gold, languages, k).itertuples()
        for what in ("gap", "deviation")
    ]
    filled = [part for part in (*parts, pd.DataFrame(gaps, columns=_COLUMNS)) if len(part)]
    levels = {name: float for name in ("value", "chance", "fair")}
    return (
        pd.concat([part.astype(levels) for part in filled], ignore_index=True)
        if filled
        else pd.DataFrame(columns=_COLUMNS)
    )


def _with_mean(part: pd.DataFrame) -> pd.DataFrame:
    """The rows of one measure and their mean over the query languages."""
    levels = part[["value", "chance", "fair"]].astype(float)
    mean = {"measure": part["measure"].iloc[0], "query_language": MEAN} | levels.mean().to_dict()
    return pd.concat([part, pd.DataFrame([mean])], ignore_index=True)


def _rows(measure: str, found: pd.DataFrame, value: str, chance=np.nan, fair=np.nan) -> pd.DataFrame:
    columns = {"query_language": found["query_language"], "value": found[value], "chance": chance, "fair": fair}
    return pd.DataFrame({"measure": measure, **columns})


def _of_ranks(gold: GoldRanks, languages: Sequence[str] | None) -> Iterator[pd.DataFrame]:
    """The measures from gold ranks, one after the other."""
    for name, found in (
        ("rank distance", bias.rank_distance(gold, languages)),
        ("worst rank", bias.worst_rank(gold, languages)),
    ):
        yield _rows(name, found, "mean", found["chance"])
        yield _rows(f"{name}, median", found, "median")
        yield _rows(f"{name}, mean of log10", found, "mean_log")
        yield _rows(f"{name}, ratio to chance", found, "ratio", 1.0)
    pairs = bias.language_pair_ranks(gold, languages)
    own = pairs["query_language"] == pairs["gold_language"]
    for name, part in (("own language", pairs[own]), ("other languages", pairs[~own])):
        means = part.groupby("query_language", as_index=False)["mean"].mean()
        yield _rows(f"mean rank, {name}", means, "mean", (chosen(gold, languages).candidates + 1) / 2)
    first = bias.same_language_first(gold, languages)
    yield _rows("own language first", first, "share", first["chance"], first["chance"])
    with warnings.catch_warnings():  # a NaN in the table tells as much
        warnings.simplefilter("ignore", KitWarning)
        probability = bias.peer(gold, languages)
    yield _rows("PEER", probability, "peer", fair=1.0)


def _of_lists(lists: RankedLists, k: int, languages: Sequence[str] | None) -> Iterator[pd.DataFrame]:
    """The measures from ranked lists, one after the other."""
    divergence = list_bias.share_divergence(lists, k, languages)
    yield _rows(f"KL of the top {k} from the pool, bits", divergence, "kl", fair=0.0)
    yield _rows(f"JS of the top {k} and the pool, bits", divergence, "js", fair=0.0)
    own = list_bias.own_language_share(lists, k, languages)
    yield _rows(f"own language in the top {k}", own, "share", own["chance"], own["chance"])
    yield _rows(f"MRC@{k}", list_bias.rank_correlation(lists, k, languages), "mean", fair=1.0)

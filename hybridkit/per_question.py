"""Figures by question: what each question adds to a figure, so that figures can be resampled and compared in pairs.

Translations of one question stand or fall together, so what is drawn is always a question in all its languages.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hybridkit import bias, metrics
from hybridkit.errors import KitError
from hybridkit.ranks import GoldRanks, chosen

#: How often the questions are drawn anew for an interval.
DRAWS = 1000
_AT_ONCE = 100


@dataclass(frozen=True, eq=False)
class Figure:
    """One metric in one setting, by question.

    The means of the paper are over columns, pairs of a query language and a pool: `column_language` (columns,) is the
    place of the query language in `languages`; `sums` and `counts` (questions, columns) are the sum of the metric over
    a question's queries there and how many these are, 0 where none counts.
    """

    languages: tuple[str, ...]
    column_language: np.ndarray
    sums: np.ndarray
    counts: np.ndarray

    def by_language(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The figure of each query language (draws, languages), question q counted `weights[draw, q]` times.

        `weights` (draws, questions); None: every question once. NaN where no query of a language counts.
        """
        weights = np.ones((1, len(self.sums))) if weights is None else weights
        counted = weights @ self.counts
        there = counted > 0
        values = np.where(there, weights @ self.sums / np.where(there, counted, 1), 0)
        member = np.eye(len(self.languages))[self.column_language]
        with np.errstate(invalid="ignore"):
            return (values @ member) / (there @ member)

    def contributions(self) -> np.ndarray:
        """What each question adds (questions,) to the mean over languages: they sum to it."""
        return self.sums @ self._weights()

    def by_question(self) -> np.ndarray:
        """The figure of each question (questions,), whose mean is the mean over languages; NaN where none counts.

        A question that is asked in every column has the mean over languages of its own values. Where columns have
        different questions it has the value that makes the spread of these values tell the spread of the figure (the
        pseudo-values of the infinitesimal jackknife: Efron, The Jackknife, the Bootstrap and Other Resampling Plans,
        1982, chapter 6).
        """
        adds, weights = self.contributions(), self._weights()
        means = self.sums.sum(axis=0) / np.maximum(self.counts.sum(axis=0), 1)
        counting = self.counts.any(axis=1)
        off = adds - self.counts @ (means * weights)
        return np.where(counting, adds.sum() + np.count_nonzero(counting) * off, np.nan)

    def _weights(self) -> np.ndarray:
        """What one query of each column (columns,) counts for in the mean over languages; 0 where there is none."""
        total = self.counts.sum(axis=0)
        columns = np.bincount(self.column_language[total > 0], minlength=len(self.languages))
        several = columns[self.column_language] * np.count_nonzero(columns) * total
        return np.divide(1, several, out=np.zeros(len(total)), where=total > 0)


def figures(
    gold: GoldRanks, languages: Sequence[str], wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Figure]:
    """Figures of the `wanted` settings and metrics, over queries and candidates in `languages`.

    Their means are those of `metrics.summary`. The rank distance belongs to the multilingual setting, and counts for the
    queries of `bias.extremes`.
    """
    wanted = set(wanted)
    found = {}
    for setting in {setting for setting, _ in wanted}:
        golds, pools = _ranked(gold, languages, setting)
        for metric in {metric for kind, metric in wanted if kind == setting}:
            distance = (setting, metric) == ("multilingual", "rank distance")
            values, numbers = _distances(gold, languages) if distance else _values(metric, golds)
            found[setting, metric] = _figure(gold, languages, values, *np.divmod(numbers, pools))
    return found


def _ranked(gold: GoldRanks, languages: Sequence[str], setting: str) -> tuple[metrics.RankedGolds, int]:
    """The golds of a setting, numbered by query x pools + pool, and that number of pools."""
    part = chosen(gold, languages)
    query, own, pools = gold.gold_query[part.golds], gold.pool_index[part.golds], len(gold.pools)
    if setting == "multilingual":
        ranks, number, pools = gold.ranks(part.pools)[part.golds], query, 1
        mine = np.ones(len(query), bool)
    else:
        same = gold.query_languages[query] == np.array(gold.pools)[own]
        ranks, number = gold.own_ranks()[part.golds], query * pools + own
        mine = same if setting == "monolingual" else ~same
    mine = mine & ~np.isnan(ranks)  # golds that are not ranked in this pool
    return metrics.rank_golds(ranks[mine], number[mine]), pools


def _distances(gold: GoldRanks, languages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The rank distances, and the query of each."""
    rows = bias.extremes(gold, languages)
    return (rows["worst"] - rows["best"]).to_numpy(), rows["query"].to_numpy()


def _values(metric: str, golds: metrics.RankedGolds) -> tuple[np.ndarray, np.ndarray]:
    """A metric's values, and the number of the query and pool of each."""
    name, _, cut = metric.partition("@")
    known = {"mAP": metrics.average_precision, "MRR": metrics.reciprocal_rank}
    known |= {"Recall": lambda g: metrics.recall(g, int(cut)), "nDCG": lambda g: metrics.ndcg(g, int(cut))}
    if name not in known:
        raise KitError(
            f"{metric!r} is no metric of a setting: write mAP, MRR, Recall@k, nDCG@k or, multilingual, rank distance."
        )
    return known[name](golds), golds.queries


def _figure(gold: GoldRanks, languages: Sequence[str], values, queries, pools) -> Figure:
    codes = tuple(sorted(set(languages)))
    question = np.unique(gold.questions, return_inverse=True)[1]
    place = np.searchsorted(codes, gold.query_languages[queries])
    pairs, column = np.unique(place * len(gold.pools) + pools, return_inverse=True)
    shape = (int(question.max()) + 1, len(pairs))
    cell = question[queries] * shape[1] + column
    return Figure(
        languages=codes,
        column_language=pairs // len(gold.pools),
        sums=np.bincount(cell, weights=values, minlength=shape[0] * shape[1]).reshape(shape),
        counts=np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64),
    )


def resamples(questions: int, draws: int = DRAWS) -> Iterator[np.ndarray]:
    """How often each question is drawn, with replacement: blocks (draws, questions), the same ones in every call.

    Figures on the same questions are so drawn in pairs: the difference of two of them can be resampled.
    """
    random = np.random.default_rng(0)
    for start in range(0, draws, _AT_ONCE):
        count = min(_AT_ONCE, draws - start)
        drawn = random.integers(questions, size=(count, questions)) + np.arange(count)[:, None] * questions
        yield np.bincount(drawn.ravel(), minlength=count * questions).reshape(count, questions).astype(np.float64)


def resampled(parts: dict[tuple[str, str], Figure]) -> dict[tuple[str, str], np.ndarray]:
    """Every figure by language (DRAWS, languages), its questions drawn anew DRAWS times."""
    if not parts:
        return {}
    questions = len(next(iter(parts.values())).sums)
    found = {name: [] for name in parts}
    for weights in resamples(questions):
        for name, figure in parts.items():
            found[name].append(figure.by_language(weights))
    return {name: np.concatenate(blocks) for name, blocks in found.items()}

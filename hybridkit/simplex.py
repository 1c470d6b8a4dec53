"""The simplex of mixtures: a grid over (mono, cross, multi), which mixtures no other beats, and where to look closer.

A study goes over the grid with the seeds that are given. Within a budget of runs it then adds mixtures halfway between
the best ones and their neighbours, and more seeds where a decision hangs on them. What comes next follows from the
results of finished runs alone, so that a study that was stopped goes on as if nothing had happened.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridkit import params, paths
from hybridkit.errors import KitError

if TYPE_CHECKING:
    import pandas as pd

    from hybridkit.runs import Run

#: Fewer seeds can never make a difference between two mixtures significant at .05 by a sign-flip test (2 / 2^6 = .031).
SEEDS = 6
#: What every other mixture is compared with, so that these get as many seeds as the best ones.
BASELINES = ("mono", "cross", "uniform")
#: The figures of which a mixture should have as much as possible (`comparison.HEADLINE`).
GOALS = ("monolingual mAP", "cross-lingual mAP", "multilingual mAP")
DISTANCE = "rank distance"
_FINEST = 100


class Mixture(NamedTuple):
    """A point of the simplex: a name and three shares of batches that sum to 1."""

    name: str
    mono: float
    cross: float
    multi: float

    @property
    def weights(self) -> tuple[float, float, float]:
        return self.mono, self.cross, self.multi


def named(mono: float, cross: float, multi: float) -> Mixture:
    """The mixture of these weights: under the name, and with the exact weights, of its file where there is one.

    Else the weights are rounded to thousandths that sum to 1, and the name says them: mix-0.25-0.50-0.25.
    Raises KitError for weights below 0, or that do not sum to 1 (to 1e-6).
    """
    weights = np.array([mono, cross, multi], dtype=float)
    if not np.isfinite(weights).all() or weights.min() < 0 or abs(weights.sum() - 1) > 1e-6:
        raise KitError(
            f"The weights {mono}, {cross}, {multi} must be at least 0 and sum to 1, such as 0.5, 0.25, 0.25."
        )
    for known in _with_file(str(paths.params())):
        if np.abs(weights - known.weights).max() < 1e-5:
            return known
    thousandths = np.floor(weights * 1000 + 1e-6).astype(int)
    lost = np.argsort(thousandths - weights * 1000, kind="stable")  # the largest remainders first
    thousandths[lost[: 1000 - thousandths.sum()]] += 1
    texts = [f"{part / 1000:.3f}".removesuffix("0") for part in thousandths.tolist()]
    return Mixture("mix-" + "-".join(texts), *(part / 1000 for part in thousandths.tolist()))


@cache
def _with_file(folder: str) -> tuple[Mixture, ...]:
    """The mixtures of the files in `folder` (that of `paths.params`) that are three weights and no more."""
    read = [params.load([params.mixture_file(name)]) for name in params.mixture_names()]
    return tuple(Mixture(p.mixture, p.mono, p.cross, p.multi) for p in read if not p.beyond_weights())


def grid(divisions: int = 4) -> list[Mixture]:
    """All mixtures whose weights are multiples of 1 / divisions, with corners and edges, and the uniform one.

    From mono to cross to multi; (divisions + 1) (divisions + 2) / 2 mixtures, and one more where three does not divide
    the divisions. Raises KitError for divisions below 1 or above 100.
    """
    if not 1 <= divisions <= _FINEST:
        raise KitError(
            f"The grid is {divisions}; give the number of steps from one corner to the next, 1 to {_FINEST}, such as 4."
        )
    corners = range(divisions, -1, -1)
    parts = [(a, b, divisions - a - b) for a in corners for b in corners if a + b <= divisions]
    found = [named(*(part / divisions for part in point)) for point in parts]
    return list(dict.fromkeys([*found, named(1 / 3, 1 / 3, 1 / 3)]))


def pareto_front(values: np.ndarray) -> np.ndarray:
    """Which rows no other row beats: none is at least as high in every column and higher in one.

    `values`: (mixtures, figures), higher is better. Returns booleans (mixtures,). A row with a NaN is never on the
    front and beats none; of equal rows all are on it or none.
    """
    values = np.asarray(values, dtype=float)
    at_least = (values[:, None] >= values[None, :]).all(axis=2)
    higher = (values[:, None] > values[None, :]).any(axis=2)
    return ~(at_least & higher).any(axis=0) & ~np.isnan(values).any(axis=1)


def points(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Means over seeds, a row a mixture of the simplex: mixture, mono, cross, multi, seeds, and a column a metric.

    `rows`: of `comparison.collect`, of one encoder, settings, benchmark and scope. BM25 and mixtures that are more than
    three weights are left out. Raises KitError where several encoders, settings, benchmarks, scopes or embeddings are
    mixed.
    """
    from hybridkit.params import mixture_order

    on = rows[(rows["beyond"] == "") & rows["mono"].notna()]
    for column in ("encoder", "settings", "benchmark", "scope", "embeddings"):
        if len(several := sorted(on[column].unique())) > 1:
            raise KitError(f"The rows are of several {column}: {', '.join(several)}; choose one of them first.")
    identity = ["mixture", "mono", "cross", "multi"]
    wide = on.pivot_table(index=identity, columns="metric", values="value", aggfunc="mean")
    wide.insert(0, "seeds", on.groupby(identity)["seed"].nunique())
    wide.columns.name = None
    found = wide.reset_index().sort_values("mixture", key=lambda names: names.map(mixture_order), kind="stable")
    return found.reset_index(drop=True)


def edge(rows: "pd.DataFrame", level: float = 0.95) -> "pd.DataFrame":
    """The figures of the mixtures of mono and cross alone, a row a mixture and metric, by share of mono.

    `rows`: as for `points`. Columns: mixture, mono, metric, seeds, mean, low, high. The interval is Student's t over
    seeds: how far the mean of so many seeds may be off, on these questions; NaN with one seed. Intervals that count
    the questions too (a bootstrap over seeds and questions) can be put into the columns low and high instead.
    """
    from scipy.stats import t

    on = rows[(rows["beyond"] == "") & (rows["multi"] == 0)]
    grouped = on.groupby(["mixture", "mono", "metric"])["value"]
    found = grouped.agg(seeds="count", mean="mean", deviation="std").reset_index()
    half = t.ppf((1 + level) / 2, found["seeds"] - 1) * found.pop("deviation") / np.sqrt(found["seeds"])
    return found.assign(low=found["mean"] - half, high=found["mean"] + half).sort_values("mono", ignore_index=True)


def on_front(table: "pd.DataFrame", distance: bool = False) -> np.ndarray:
    """Which mixtures of a table of `points` no other beats in monolingual, cross-lingual and multilingual mAP.

    With `distance` in rank distance too, of which less is better. A figure that no mixture has does not count.
    Returns booleans (mixtures,).
    """
    names = [
        name for name in (*GOALS, *([DISTANCE] if distance else [])) if name in table and table[name].notna().any()
    ]
    if not names:
        return np.zeros(len(table), dtype=bool)
    return pareto_front(table[names].to_numpy() * [-1 if name == DISTANCE else 1 for name in names])


def best_shares(draws: Mapping[str, Sequence[float]], lowest: bool = False) -> "pd.Series":
    """How often each mixture is the best, as a share of the draws; the shares sum to 1.

    `draws`: by mixture, the drawn values of its figure (draws,), of which draw i of every mixture belongs together, as
    a bootstrap over seeds and questions gives them. The highest is best, or with `lowest` the lowest; draws with ties
    count in equal parts for all that are tied. Raises KitError for none, for unequal lengths and for a NaN.
    """
    import pandas as pd

    lengths = {len(values) for values in draws.values()}
    if len(lengths) != 1 or not all(lengths):
        raise KitError(
            f"Every mixture needs the same number of draws, at least 1; there are {sorted(lengths) or 'none'}."
        )
    drawn = np.array(list(draws.values()), dtype=float)
    if np.isnan(drawn).any():
        lacking = [name for name, values in zip(draws, drawn) if np.isnan(values).any()]
        raise KitError(f"Draws of {', '.join(lacking)} are not defined (NaN); leave such mixtures out.")
    best = drawn == (drawn.min(axis=0) if lowest else drawn.max(axis=0))
    return pd.Series((best / best.sum(axis=0)).mean(axis=1), index=list(draws), name="share of draws")


def front_shares(draws: Mapping[str, np.ndarray]) -> "pd.Series":
    """How often each mixture is on the Pareto front, as a share of the draws.

    `draws`: by mixture, an array (draws, figures), higher is better (give rank distance with a minus); draw i of every
    mixture belongs together, as in `best_shares`. Raises KitError for arrays of unequal shapes.
    """
    import pandas as pd

    if len({np.shape(values) for values in draws.values()}) != 1:
        raise KitError("Every mixture needs draws of the same shape (draws, figures).")
    drawn = np.stack(list(draws.values()), axis=1)
    share = np.mean([pareto_front(values) for values in drawn], axis=0)
    return pd.Series(share, index=list(draws), name="share of draws")


def between(known: Sequence[Mixture], values: np.ndarray, divisions: int) -> list[Mixture]:
    """New mixtures halfway between those on the Pareto front and their neighbours on the grid.

    `known`: the mixtures of the grid; `values`: their figures (mixtures, figures), higher is better. Two are neighbours
    if no more than 1 / divisions of the batches has to change. First those between two mixtures of the front, then
    those whose two ends have the highest mean figures.
    """
    front, figures = pareto_front(values), np.asarray(values, dtype=float).mean(axis=1)
    weights, there = np.array([one.weights for one in known]), {one.name for one in known}
    ranked: dict[Mixture, tuple] = {}
    for a, b in combinations(range(len(known)), 2):
        apart = np.abs(weights[a] - weights[b]).sum() / 2
        if not (front[a] or front[b]) or apart > 1 / divisions + 1e-5 or np.isnan(figures[[a, b]]).any():
            continue
        middle = (weights[a] + weights[b]) / 2
        half = named(*(middle / middle.sum()))
        if half.name not in there:
            urgency = (-int(front[a]) - int(front[b]), -figures[a] - figures[b], half.name)
            ranked[half] = min(urgency, ranked.get(half, urgency))
    return sorted(ranked, key=ranked.get)


def more_seeds(seeds: Sequence[int]) -> list[int]:
    """The seeds to add to those given, the smallest unused ones, so that there are SEEDS of them."""
    unused = (seed for seed in range(len(seeds) + SEEDS) if seed not in seeds)
    return [next(unused) for _ in range(len(seeds), SEEDS)]


def refinement(
    make: Callable[[str, int], "Run"],
    known: Sequence[Mixture],
    seeds: Sequence[int],
    left: int,
    divisions: int,
) -> Iterator[list["Run"]]:
    """The runs beyond a finished grid, round by round: at most `left` of them.

    Half of what is left goes to new mixtures (`between`) with the seeds given, then come more seeds, one after the
    other, for the mixtures on the Pareto front and for the BASELINES; what is then left goes the same way again, first
    to new mixtures. Each round is planned when the one before it is done, from the runs with the seeds given alone; a
    run that is missing by then, because it failed, ends the study.

    `make`: the run of a mixture's name and a seed. `known`: the mixtures of the grid, whose runs count as done.
    """
    if (found := _figures(make, known, seeds)) is None:
        return
    new, planned, looked = between(known, found, divisions), set(), list(known)
    for share in (2, 1):
        chosen = new[: left // share // len(seeds)]
        new, left = new[len(chosen) :], left - len(chosen) * len(seeds)
        if chosen:
            looked += chosen
            yield [make(mixture.name, seed) for seed in seeds for mixture in chosen]
            if (found := _figures(make, looked, seeds)) is None:
                return
        front = [one.name for one, on in zip(looked, pareto_front(found)) if on]
        decisive = dict.fromkeys([*front, *(name for name in BASELINES if name in {one.name for one in looked})])
        wanted = [(name, seed) for seed in more_seeds(seeds) for name in decisive if (name, seed) not in planned][:left]
        planned |= set(wanted)
        left -= len(wanted)
        if wanted:
            yield [make(*which) for which in wanted]


def _figures(make: Callable[[str, int], "Run"], mixtures: Iterable[Mixture], seeds: Sequence[int]) -> np.ndarray | None:
    """Means over the seeds of the figures that count (mixtures, figures), on the first benchmark, over the training
    languages; without a figure that no run has. None where a run is not finished, or no figure is there."""
    found = []
    for mixture in mixtures:
        measured = [_measured(make(mixture.name, seed)) for seed in seeds]
        if None in measured:
            return None
        found.append([np.mean([figures.get(goal, math.nan) for figures in measured]) for goal in GOALS])
    values = np.array(found, dtype=float)
    defined = ~np.isnan(values).all(axis=0)
    return values[:, defined] if defined.any() else None


def _measured(run: "Run") -> dict | None:
    """The figures of a run on its first benchmark; None where it is not finished. KitError for damaged ones."""
    if not run.finished:
        return None
    file = run.final / "metrics.json"
    try:
        return next(iter(json.loads(file.read_text(encoding="utf-8")).values()))["training languages"]
    except (FileNotFoundError, ValueError, StopIteration, KeyError, AttributeError, TypeError) as fault:
        raise KitError(
            f"{file} has no figures over the training languages, so nothing can be refined; move {run.final} out of "
            "the way and run the same command again."
        ) from fault


def check_budget(budget: int, mixtures: int, seeds: int) -> None:
    """Raise KitError for a budget of runs that does not suffice for the first round."""
    if budget < mixtures * seeds:
        raise KitError(
            f"--budget is {budget}, but {mixtures} mixtures with {seeds} seed{'s' * (seeds > 1)} each are "
            f"{mixtures * seeds} runs before any refinement; give at least that, a coarser --grid or fewer --seeds."
        )

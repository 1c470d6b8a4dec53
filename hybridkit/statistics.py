"""Statistics of repeated runs, with seeds as replicates: intervals, paired tests, effect sizes (docs/statistics.md).

A mixture is trained with several seeds, and the model of every seed answers the same questions: seeds and
questions are crossed, and both are a sample of what there might have been. A question is always meant in all its
languages, since its translations stand or fall together.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from hybridkit.errors import KitError, KitWarning
from hybridkit.metrics import SETTINGS
from hybridkit.params import mixture_order
from hybridkit.per_question import figures, resamples
from hybridkit.ranks import GoldRanks
from hybridkit.simplex import DISTANCE, GOALS, SEEDS, best_shares

#: With fewer seeds in common no difference is called real: with five the sign-flip test cannot go below p = 0.0625.
MINIMUM_SEEDS = SEEDS
#: A difference counts as shown if its p is at most this; the intervals hold the true value with 1 - LEVEL.
LEVEL = 0.05
#: The figures that are compared if nothing else is asked for.
METRICS = (*GOALS, DISTANCE)
LOWER_IS_BETTER = (DISTANCE,)
#: All sign flips are tried up to 16 seeds; beyond, so many at random.
_FLIPS = 2**16
_PLACE = ("encoder", "settings", "benchmark", "scope", "metric")
_INTERVALS = [*_PLACE, "mixture", "seeds", "mean", "deviation", "low", "high"]
_SHARES = [*_PLACE, "mixture", "seeds", "share"]
_DIFFERENCES = [*_PLACE, "mixture", "baseline", "seeds", "mean", "baseline_mean", "difference", "low", "high", "p"]
_DIFFERENCES += ["sign_flip_p", "effect_size", "questions_won", "adjusted_p", "verdict"]


@dataclass(frozen=True, eq=False)
class Answers:
    """One figure of one replicate by question, of those that count: `values`, whose mean is the figure, and what each
    `adds` to it (questions,)."""

    values: np.ndarray
    adds: np.ndarray


@dataclass(frozen=True, eq=False)
class Replicate:
    """One replicate of a mixture: the gold ranks on a benchmark of the model trained with one seed.

    `scopes` are the languages to measure by their names (`comparison.scopes`). Only replicates of one `encoder` and
    of equal `settings` are ever compared.
    """

    mixture: str
    seed: int
    gold: GoldRanks
    scopes: Mapping[str, Sequence[str]]
    encoder: str = ""
    settings: str = ""

    @property
    def benchmark(self) -> str:
        return self.gold.benchmark

    @property
    def asked(self) -> tuple[str, Sequence[str]]:
        """What was asked: the fingerprint of the benchmark and its questions, sorted."""
        return self.gold.fingerprint, np.unique(self.gold.questions)

    def answers(self, names: Sequence[str]) -> Iterator[tuple[str, str, "Answers"]]:
        """Scope, metric and answers, for each of the metrics `names` in each scope where any question counts."""
        wanted = {_setting_and_metric(name): name for name in names}
        for scope, languages in self.scopes.items():
            measured = figures(self.gold, languages, wanted)
            for key, name in wanted.items():
                values = measured[key].by_question()
                if (counting := ~np.isnan(values)).any():
                    yield scope, name, Answers(values[counting], measured[key].contributions()[counting])


@dataclass(frozen=True)
class Estimate:
    """A mean over `seeds` and `questions`: its `value`, and how much of its standard error is `due_to_seeds` and how
    much `due_to_questions`; both are NaN where there are fewer than two seeds or two questions."""

    value: float
    due_to_seeds: float
    due_to_questions: float
    seeds: int
    questions: int

    @property
    def error(self) -> float:
        """The standard error of the value, over new seeds and new questions."""
        return float(np.hypot(self.due_to_seeds, self.due_to_questions))

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that holds the true mean with probability 1 - LEVEL: all that have a p above LEVEL."""
        half = self._farthest() if self.error > 0 else self.error  # 0, or NaN where it is not known
        return self.value - half, self.value + half

    def _farthest(self) -> float:
        """The distance from the value that errors exceed with probability LEVEL."""
        parts = (self.due_to_seeds, self.seeds), (self.due_to_questions, self.questions)
        most = 2 * sum(part * special.stdtrit(count - 1, 1 - LEVEL / 2) for part, count in parts)
        return optimize.brentq(lambda distance: self._beyond(distance) - LEVEL, 0, most)

    def p(self, true: float = 0.0) -> float:
        """How probable it is to find a mean as far, either way, from the `true` one."""
        return self._beyond(abs(self.value - true))

    def _beyond(self, distance: float) -> float:
        """How probable it is that the sum of two independent errors, each distributed as t, is as large."""
        if not self.error > 0:
            return float(distance == 0) if self.error == 0 else np.nan
        parts = (self.due_to_seeds, self.seeds - 1), (self.due_to_questions, self.questions - 1)
        (small, its_freedom), (large, freedom) = sorted(parts)
        at, weights = _t_distribution(its_freedom)
        found = 2 * float(weights @ special.stdtr(freedom, (small * at - distance) / large))
        return min(found, 1.0)  # above it by rounding alone


@cache
def _t_distribution(freedom: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights by which to integrate over a t distribution; equally spaced in the inverse hyperbolic sine."""
    steps = np.linspace(-20, 20, 801)
    weights = stats.t.pdf(np.sinh(steps), freedom) * np.cosh(steps)
    return np.sinh(steps), weights / weights.sum()


def estimate(values: np.ndarray) -> Estimate:
    """The mean of `values` (seeds, questions) and its error, over new seeds and new questions alike.

    The error is that of the hierarchical bootstrap that draws seeds and questions anew, each with replacement (the
    pigeonhole bootstrap: Owen, Annals of Applied Statistics 1, 2007, 386-411). For a mean, its variance over infinitely
    many draws has a formula: it is made of the mean squares of seeds A, of questions B and of what is left E, for n
    seeds and m questions (A (n - 1) / n + B (m - 1) / m + E (n - 1) (m - 1) / (n m)) / (n m). Two things are wrong with
    it. Drawing n things out of n makes each part too small, by a third with three seeds; and E is in A and in B
    already, so that it counts three times. Corrected for both it is (A + B - E) / (n m), right on average in the crossed
    random effects model: A / (n m) is due to seeds, and (B - E) / (n m), if that is above 0, to questions.

    Each part is only estimated, from n and from m things, so each error is taken as distributed as t with n - 1 and
    m - 1 degrees of freedom (the solution of Behrens and Fisher for two unknown variances: Robinson, Annals of
    Statistics 4, 1976, 963-971). With one number of degrees for the sum (Satterthwaite) small p come far too often.

    Claimed: intervals hold the true mean in about 95 of 100 cases, in up to 97 with six seeds and 98 with three where
    seeds and questions both matter, and a p below a level is no more frequent than the level says (docs/statistics.md).
    Not claimed: anything about other training data, languages or benchmarks than those at hand.
    """
    seeds, questions = values.shape
    mean = float(values.mean())
    if min(seeds, questions) < 2:
        return Estimate(mean, np.nan, np.nan, seeds, questions)
    of_seeds, of_questions, rest = mean_squares(values)
    due = np.sqrt(np.array([of_seeds, max(of_questions - rest, 0)]) / values.size)
    return Estimate(mean, float(due[0]), float(due[1]), seeds, questions)


def mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """The mean squares of an analysis of variance of `values` (seeds, questions): of seeds, questions, and the rest."""
    seeds, questions = values.shape
    of_seeds = values.mean(axis=1) - values.mean()
    of_questions = values.mean(axis=0) - values.mean()
    rest = values - values.mean() - of_seeds[:, None] - of_questions
    return (
        questions * float((of_seeds**2).sum()) / (seeds - 1),
        seeds * float((of_questions**2).sum()) / (questions - 1),
        float((rest**2).sum()) / ((seeds - 1) * (questions - 1)),
    )


def sign_flip_p(of_seeds: np.ndarray) -> float:
    """The p of the two-sided sign-flip test of differences (seeds,): how often their mean would be as far from zero if
    the sign of each were left to chance.

    All 2^n flips are tried for n seeds up to 16, so that p is at least 2 / 2^n: .25 for three seeds, .03 for six. It
    assumes nothing of how seeds differ, but that either sign is as likely where there is no difference. It takes the
    questions as given, so alone it says nothing of others.
    """
    if len(of_seeds) < 2:
        return 1.0
    found = stats.permutation_test(
        (of_seeds,),
        np.mean,
        permutation_type="samples",
        n_resamples=_FLIPS,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def effect_size(of_seeds: np.ndarray) -> float:
    """How many standard deviations over seeds the mean of paired differences (seeds,) is away from zero.

    Cohen's d_z (Lakens, Frontiers in Psychology 4, 2013, 863, equation 7) times Hedges' correction for few seeds,
    1 - 3 / (4 (n - 1) - 1) (Journal of Educational Statistics 6, 1981, 107-128): whether one training would show the
    difference, whatever the number of seeds. NaN for fewer than three seeds, or where all differ alike.
    """
    freedom = len(of_seeds) - 1
    deviation = float(np.std(of_seeds, ddof=1)) if freedom > 1 else 0.0
    if deviation <= 1e-12 * float(np.abs(of_seeds).max()):
        return np.nan
    return float(np.mean(of_seeds)) / deviation * (1 - 3 / (4 * freedom - 1))


def compare_with(baseline: str, replicates: Iterable[Replicate], metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Every mixture against the `baseline`, in pairs of equal seeds: a row a mixture, benchmark, scope and metric.

    Columns: encoder, settings, benchmark, scope, metric, mixture, baseline, seeds (how many both have), mean and
    baseline_mean (over these), difference (mean - baseline_mean, in the metric's unit), low and high (its interval),
    p (`estimate`), sign_flip_p (over seeds alone), effect_size (over seeds), questions_won (the share in which the
    mixture is better in the mean over seeds; a tie is half a win), adjusted_p (p, for all rows of the table), verdict.

    The verdict is "real: better" or "real: worse" where both have MINIMUM_SEEDS or more, and adjusted_p and sign_flip_p
    are at most LEVEL; else "not shown", or "not enough seeds (3 of 6)". p are adjusted by the method of Benjamini and
    Yekutieli (Annals of Statistics 29, 2001, 1165-1188), as rows share questions, seeds and the baseline: of the
    differences called real at most one in twenty is expected to be none, however the tests depend on each other.

    A replicate of a seed that the other mixture lacks is left out, and runs whose baseline is missing too, each with a
    KitWarning. `metrics` are named as in `metrics.summary`. KitError for a baseline or a metric that is not there, a
    seed that is given twice, or replicates that answered other questions.
    """
    found = _collected(replicates, metrics)
    known = dict.fromkeys(mixture for mixtures in found.values() for mixture in mixtures)
    if baseline not in known:
        there = f"there are {', '.join(known)}" if known else "no run has such figures"
        raise KitError(f"There is no run of the baseline {baseline!r}; {there}.")
    rows = [_difference(place, baseline, mixtures, other) for place, other, mixtures in _pairs(found, baseline)]
    return judged(pd.DataFrame(rows, columns=_DIFFERENCES[:-2]))


def judged(differences: pd.DataFrame) -> pd.DataFrame:
    """Rows of `compare_with` with their last columns, adjusted_p and verdict, which depend on the other rows too."""
    tested = differences["p"].notna()
    adjusted = pd.Series(np.nan, index=differences.index)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(differences.loc[tested, "p"], method="by")
    table = differences.assign(adjusted_p=adjusted)
    return table.assign(verdict=[_verdict(row) for row in table.itertuples()])


def with_intervals(replicates: Iterable[Replicate], metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Every mixture's own figures: a row a mixture, benchmark, scope and metric.

    Columns: encoder, settings, benchmark, scope, metric, mixture, seeds (how many), mean, deviation (over seeds), low and
    high: the interval over new seeds and new questions (`estimate`), NaN for one seed.
    """
    rows = []
    for place, mixtures in _collected(replicates, metrics).items():
        for mixture, by_seed in mixtures.items():
            values = np.stack([one.values for one in by_seed.values()])
            mean = estimate(values)
            deviation = np.std(values.mean(axis=1), ddof=1) if len(values) > 1 else np.nan
            rows.append((*place, mixture, len(values), mean.value, deviation, *mean.interval))
    return pd.DataFrame(rows, columns=_INTERVALS)


def best_in_draws(replicates: Iterable[Replicate], metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """How often each mixture is the best where seeds and questions are drawn anew: how sure one can be which is best.

    Columns: encoder, settings, benchmark, scope, metric, mixture, seeds (how many all mixtures have; others are left out,
    and so, with a KitWarning, are benchmarks with fewer than two), share (of the draws of `drawn`; mixtures that tie
    share theirs).
    """
    rows, left_out = [], {}
    for place, mixtures in _collected(replicates, metrics).items():
        seeds = sorted(set.intersection(*map(set, mixtures.values())))
        if len(seeds) < 2:
            fewest = min(mixtures, key=lambda name: len(mixtures[name]))
            told = f"{place.where}: not all mixtures have two seeds in common ({fewest} has seed "
            told += f"{' '.join(map(str, sorted(mixtures[fewest])))}), so none is called best; train more seeds or leave it out."
            left_out[told] = None
            continue
        values = np.stack([[by_seed[seed].values for seed in seeds] for by_seed in mixtures.values()])
        means = dict(zip(mixtures, drawn(values).T, strict=True))
        shares = best_shares(means, lowest=place.metric in LOWER_IS_BETTER)
        rows += [(*place, name, len(seeds), share) for name, share in shares.items()]
    for sentence in left_out:
        warnings.warn(sentence, KitWarning, stacklevel=2)
    return pd.DataFrame(rows, columns=_SHARES)


def drawn(values: np.ndarray) -> np.ndarray:
    """Means (DRAWS, mixtures) of `values` (mixtures, seeds, questions), with seeds and questions drawn anew every time.

    The hierarchical bootstrap of `estimate`, the same draws for all mixtures and in every call. One seed fewer is drawn
    than there are, which makes their part of the spread right on average (Rao and Wu, Journal of the American
    Statistical Association 83, 1988, 231-241).
    """
    seeds, questions = values.shape[1:]
    random = np.random.default_rng(1)
    blocks = []
    for weights in resamples(questions):
        often = random.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=len(weights))
        of_seeds = values @ weights.T / questions
        blocks.append(np.einsum("rsd,ds->dr", of_seeds, often / (seeds - 1)))
    return np.concatenate(blocks)


class _Place(NamedTuple):
    """Where mixtures can be compared: one figure of one kind of runs."""

    encoder: str
    settings: str
    benchmark: str
    scope: str
    metric: str

    @property
    def where(self) -> str:
        """The kind of runs and the benchmark, in words."""
        return ", ".join(filter(None, (self.encoder, self.settings, self.benchmark)))


_Found = dict[_Place, dict[str, dict[int, Answers]]]


def _collected(replicates: Iterable[Replicate], names: Sequence[str]) -> _Found:
    """The answers of all replicates by place, mixture and seed; each one's gold ranks are let go when they are read."""
    for name in names:
        _setting_and_metric(name)
    asked: dict[tuple, tuple] = {}
    found: _Found = {}
    for one in replicates:
        _check_questions(one, asked)
        for scope, name, answers in one.answers(names):
            place = _Place(one.encoder, one.settings, one.benchmark, scope, name)
            by_seed = found.setdefault(place, {}).setdefault(one.mixture, {})
            if one.seed in by_seed:
                raise KitError(f"Seed {one.seed} of {one.mixture} is given twice for {one.benchmark}; keep one.")
            by_seed[one.seed] = answers
    in_order = sorted(found.items(), key=lambda item: item[0][:3])  # scopes and metrics stay as they came
    return {
        place: {name: mixtures[name] for name in sorted(mixtures, key=mixture_order)} for place, mixtures in in_order
    }


def _setting_and_metric(name: str) -> tuple[str, str]:
    """The setting and the metric of a figure's name: "multilingual mAP" is ("multilingual", "mAP")."""
    if name == "rank distance":
        return "multilingual", name
    setting, _, metric = name.partition(" ")
    if setting not in SETTINGS or not re.fullmatch(r"mAP|MRR|(Recall|nDCG)@[1-9][0-9]*", metric):
        raise KitError(
            f"{name!r} is no figure of the kit: write rank distance, or {', '.join(SETTINGS)} and then mAP, MRR, "
            'Recall@k or nDCG@k, such as "multilingual Recall@10".'
        )
    return setting, metric


def _check_questions(one: Replicate, asked: dict[tuple, tuple]) -> None:
    """KitError unless all replicates that are compared answered the same questions of the same benchmark."""
    key, mine = (one.encoder, one.settings, one.benchmark), one.asked
    theirs = asked.setdefault(key, mine)
    if mine[0] != theirs[0] or not np.array_equal(mine[1], theirs[1]):
        raise KitError(
            f"{one.mixture} with seed {one.seed} answered other questions of {one.benchmark} than the replicates "
            "before it; compare those that were evaluated on the same content."
        )


def _pairs(found: _Found, baseline: str) -> list[tuple[_Place, str, dict]]:
    """Every place and mixture to compare there with the baseline; what is left out is told."""
    pairs = []
    left_out: dict[str, None] = {}
    unpaired: dict[tuple[str, frozenset, frozenset, int], dict[str, None]] = {}
    for place, mixtures in found.items():
        if baseline not in mixtures:
            left_out[f"{place.where}: there is no run of the baseline {baseline}, so its runs are left out."] = None
            continue
        theirs = set(mixtures[baseline])
        for other in mixtures:
            mine = set(mixtures[other])
            if mine != theirs:
                key = (place.where, frozenset(theirs - mine), frozenset(mine - theirs), len(mine & theirs))
                unpaired.setdefault(key, {})[other] = None
            if other != baseline and mine & theirs:
                pairs.append((place, other, mixtures))
    for sentence in [*left_out, *(_missing(*key, baseline, others) for key, others in unpaired.items())]:
        warnings.warn(sentence, KitWarning, stacklevel=3)
    return pairs


def _missing(where: str, lack: Iterable[int], it_lacks: Iterable[int], common: int, baseline: str, others) -> str:
    """The sentence on mixtures that lack seeds of the baseline, or have seeds that it lacks."""
    names = ", ".join(others)
    parts = [
        f"no run of {name} has seed {' '.join(map(str, sorted(seeds)))}"
        for name, seeds in ((" or ".join(others), lack), (baseline, it_lacks))
        if seeds
    ]
    compared = f"{common} seed{'s' if common > 1 else ''}" if common else "no seed"
    return f"{where}: {' and '.join(parts)}, so {names} and {baseline} are compared on {compared}."


def _difference(place: _Place, baseline: str, mixtures: dict[str, dict[int, Answers]], other: str) -> tuple:
    """A row of `compare_with`, but for the columns that depend on the other rows."""
    seeds = sorted(set(mixtures[other]) & set(mixtures[baseline]))
    mine, theirs = ([mixtures[name][seed] for seed in seeds] for name in (other, baseline))
    values, base = (np.stack([one.values for one in side]) for side in (mine, theirs))
    found = estimate(values - base)
    of_seeds = (values - base).mean(axis=1)
    sign = -1 if place.metric in LOWER_IS_BETTER else 1
    won = _share_won(sign * np.stack([a.adds - b.adds for a, b in zip(mine, theirs, strict=True)]))
    means = (float(values.mean()), float(base.mean()), found.value, *found.interval, found.p())
    return (*place, other, baseline, len(seeds), *means, sign_flip_p(of_seeds), effect_size(of_seeds), won)


def _share_won(leads: np.ndarray) -> float:
    """The share of questions with a lead above zero in the mean of `leads` (seeds, questions); zero is half a win."""
    mean = leads.mean(axis=0)
    mean[np.abs(mean) <= 1e-12 * np.abs(leads).max()] = 0  # equal but for rounding
    return float((mean > 0).mean() + (mean == 0).mean() / 2)


def _verdict(row) -> str:
    if row.seeds < MINIMUM_SEEDS:
        return f"not enough seeds ({row.seeds} of {MINIMUM_SEEDS})"
    if not (row.adjusted_p <= LEVEL and row.sign_flip_p <= LEVEL):
        return "not shown"
    return "real: better" if (row.difference > 0) != (row.metric in LOWER_IS_BETTER) else "real: worse"

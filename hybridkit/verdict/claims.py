"""The paper's seven claims, each split into comparisons of two figures, and what our figures say of them.

Tests are paired over questions: translations of one question count as one. The definitions are in docs/verdict.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from hybridkit.verdict import published
from hybridkit.verdict.estimates import Estimate, Experiment, interval
from hybridkit.verdict.published import Meaning

#: The claims by their numbers; the first six in words of ours, as no place in the paper lists them.
CLAIMS = {
    1: "Within a language, Hybrid is at least as good as X-X-mono, and that is better than X-Y.",
    2: "Across languages, Hybrid is at least as good as X-Y, and that is better than X-X-mono.",
    3: "In one pool of all languages, Hybrid is as good as X-Y, and that is better than X-X-mono.",
    4: "The rank distance of Hybrid is that of X-Y, and that is far below that of X-X-mono.",
    5: "LaBSE is better than XLM-R, in every mean over languages.",
    6: "The share of mono batches can be anything from 0.4 to 0.6.",
    7: "On MIRACL, X-X-mono is better than Hybrid, and that is better than X-Y, in the means of both metrics.",
}
STATES = ("holds", "does not hold", "not tested")
RELATIONS = ("better than", "far better than", "at least as good as", "as good as")
#: A test counts from here on, after the correction for several comparisons.
LEVEL = 0.05
#: "Far better" is by at least this share of the other figure; the smallest such lead in the paper is 12 %.
FAR = 0.1
#: Sign flips of a test, and how many are made at a time.
FLIPS = 9999
_AT_ONCE = 100
_PARALLEL = ("xquad-r", "mlqa-r")
_MIRACL = ("nDCG@10", "Recall@100")


@dataclass(frozen=True)
class Comparison:
    """One part of a claim: the figure `one` stands in `relation` to the figure `other`."""

    claim: int
    one: Meaning
    relation: str
    other: Meaning

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 for the rank distance."""
        return -1 if self.one.metric == "rank distance" else 1

    def __str__(self) -> str:
        a, b = (f"{m.encoder} {published.MIXTURES.get(m.mixture, m.mixture)}" for m in (self.one, self.other))
        metric = self.one.metric if self.sign < 0 else f"{self.one.setting} {self.one.metric}"
        return f"{self.one.benchmark}, {metric}: {a} {self.relation} {b}"


@dataclass(frozen=True)
class Tested:
    """What our figures say of a comparison. `lead`: by how much `one` is better, in the metric's unit; `interval` of
    95 % and `p` of the paired test (`adjusted` for all comparisons), None without questions; `seeds` of both."""

    comparison: Comparison
    experiments: tuple[str, str]
    lead: float
    interval: tuple[float, float] | None
    p: float | None
    adjusted: float | None
    seeds: tuple[int, int]
    holds: bool
    reason: str


@dataclass(frozen=True)
class ClaimVerdict:
    """What is said of a claim: one of STATES, how many comparisons it has, and each of those that were tested."""

    claim: int
    state: str
    parts: int
    tested: tuple[Tested, ...]

    @property
    def told(self) -> str:
        """The state, and on how many seeds it rests where that is known: "holds, on one seed"."""
        counts = sorted({count for part in self.tested for count in part.seeds if count})
        if not counts:
            return self.state
        number = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else {1: "one"}.get(counts[0], str(counts[0]))
        return f"{self.state}, on {number} {'seed' if counts == [1] else 'seeds'}"


def comparisons() -> list[Comparison]:
    """Every comparison of every claim, over means over languages (shared/paper, section 1.8)."""
    return list(_comparisons())


def _comparisons() -> Iterator[Comparison]:
    orders = {
        1: ("monolingual", "mAP", ("hybrid-0.50", "at least as good as", "mono"), ("mono", "better than", "cross")),
        2: ("cross-lingual", "mAP", ("hybrid-0.50", "at least as good as", "cross"), ("cross", "better than", "mono")),
        3: ("multilingual", "mAP", ("hybrid-0.50", "as good as", "cross"), ("cross", "better than", "mono")),
        4: (
            "multilingual",
            "rank distance",
            ("hybrid-0.50", "as good as", "cross"),
            ("cross", "far better than", "mono"),
        ),
        6: ("multilingual", "mAP", *((f"hybrid-0.{a}0", "as good as", "hybrid-0.50") for a in (4, 6))),
    }
    for (claim, (setting, metric, *pairs)), benchmark, encoder in product(
        orders.items(), _PARALLEL, ("XLM-R", "LaBSE")
    ):
        for one, relation, other in pairs:
            meaning = Meaning(encoder, one, benchmark, setting, metric, "mean")
            yield Comparison(claim, meaning, relation, replace(meaning, mixture=other))
    means = [m for m in published.by_meaning() if m.query_language == "mean" and m.encoder == "LaBSE"]
    for meaning in sorted(m for m in means if m.metric in ("mAP", "rank distance", *_MIRACL)):
        yield Comparison(5, meaning, "better than", replace(meaning, encoder="XLM-R"))
    pairs = (("mono", "hybrid-0.50"), ("hybrid-0.50", "cross"))
    for encoder, metric, (one, other) in product(("XLM-R", "LaBSE"), _MIRACL, pairs):
        meaning = Meaning(encoder, one, "miracl", "monolingual", metric, "mean")
        yield Comparison(7, meaning, "better than", replace(meaning, mixture=other))


def margin(comparison: Comparison) -> float:
    """How far apart two figures may be that are "as good as" each other: twice the largest difference of this metric
    that the paper prints between Hybrid and X-Y in the multilingual setting, over encoders and benchmarks."""
    theirs = published.by_meaning()
    wanted = ("multilingual", comparison.one.metric, "hybrid-0.50", "mean")
    pairs = [m for m in theirs if (m.setting, m.metric, m.mixture, m.query_language) == wanted]
    return 2 * max(abs(theirs[m].value - theirs[replace(m, mixture="cross")].value) for m in pairs)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A comparison with our two figures."""

    comparison: Comparison
    names: tuple[str, str]
    one: Estimate
    other: Estimate

    @property
    def paired(self) -> bool:
        """Whether both figures are over the same questions, which are known."""
        known = self.one.contributions is not None and self.other.contributions is not None
        return known and self.one.data == self.other.data

    @property
    def lead(self) -> float:
        return self.comparison.sign * (self.one.value - self.other.value)

    @property
    def ahead_in_all_seeds(self) -> bool:
        """Whether every seed of the one is ahead of every seed of the other."""
        sign = self.comparison.sign
        return min(sign * np.array(self.one.by_seed)) > max(sign * np.array(self.other.by_seed))


def judge(experiments: Sequence[Experiment]) -> list[ClaimVerdict]:
    """A verdict on every claim: it holds if each of its comparisons that can be made does."""
    pairs = [pair for comparison in comparisons() for pair in _pairs(comparison, experiments)]
    tested = [_tested(pair, *chance) for pair, chance in zip(pairs, _chances(pairs), strict=True)]
    return [_claim(claim, [one for one in tested if one.comparison.claim == claim]) for claim in CLAIMS]


def _claim(claim: int, tested: Sequence[Tested]) -> ClaimVerdict:
    made = {one.comparison for one in tested}
    parts = [one for one in comparisons() if one.claim == claim]
    state = STATES[2] if not tested else STATES[0] if all(one.holds for one in tested) else STATES[1]
    return ClaimVerdict(claim, state, len(parts) + len(tested) - len(made), tuple(tested))


def _pairs(comparison: Comparison, experiments: Sequence[Experiment]) -> Iterator[_Pair]:
    """The experiments that have both figures: one that has both, or for two encoders trained on the same languages one
    of each."""
    one, other = comparison.one, comparison.other
    for a, b in product(experiments, experiments):
        alike = a is b or (one.encoder != other.encoder and a.untrained == b.untrained)
        if alike and one in a.estimates and other in b.estimates:
            yield _Pair(comparison, (a.name, b.name), a.estimates[one], b.estimates[other])


def _chances(pairs: Sequence[_Pair]) -> list[tuple[float, float] | tuple[None, None]]:
    """For each pair how often flipping the signs of its questions' differences at random gives a lead as large, either
    way; and the same adjusted for all pairs by the method of Benjamini and Hochberg. None where there are no questions."""
    from scipy.stats import false_discovery_control

    found: dict[int, float] = {}
    for data in dict.fromkeys(pair.one.data for pair in pairs if pair.paired):
        places = [i for i, pair in enumerate(pairs) if pair.paired and pair.one.data == data]
        differences = [pairs[i].one.contributions - pairs[i].other.contributions for i in places]
        found |= dict(zip(places, sign_flip_test(np.stack(differences)), strict=True))
    adjusted = false_discovery_control(list(found.values())) if found else []
    both = dict(zip(found, zip(found.values(), map(float, adjusted), strict=True), strict=True))
    return [both.get(i, (None, None)) for i in range(len(pairs))]


def sign_flip_test(differences: np.ndarray) -> list[float]:
    """The paired sign-flip test of each row of `differences` (pairs, questions), two-sided: how often their sum is as
    far from zero with random signs, the observed signs counted in. All rows get the same flips.

    scipy's permutation_test gives the same p, but flips one row at a time: with MIRACL's questions that takes a minute.
    """
    random = np.random.default_rng(0)
    # Sums that are equal but for rounding count as equal.
    lead = np.abs(differences.sum(axis=1)) - 1e-12 * np.abs(differences).sum(axis=1)
    as_far = np.ones(len(differences))
    for start in range(0, FLIPS, _AT_ONCE):
        shape = (min(_AT_ONCE, FLIPS - start), differences.shape[1])
        signs = 2.0 * random.integers(0, 2, shape, dtype=np.int8) - 1
        as_far += (np.abs(signs @ differences.T) >= lead).sum(axis=0)
    return (as_far / (FLIPS + 1)).tolist()


def _tested(pair: _Pair, p: float | None, adjusted: float | None) -> Tested:
    between = interval(pair.comparison.sign * (pair.one.draws - pair.other.draws)) if pair.paired else None
    holds, reason = _decide(pair, between, adjusted)
    seeds = (len(pair.one.by_seed), len(pair.other.by_seed)) if pair.paired else (0, 0)
    return Tested(pair.comparison, pair.names, pair.lead, between, p, adjusted, seeds, holds, reason)


def _decide(pair: _Pair, between: tuple[float, float] | None, adjusted: float | None) -> tuple[bool, str]:
    """Whether a comparison holds, and why; without questions by the means alone."""
    relation, lead = pair.comparison.relation, pair.lead
    if relation == "as good as":
        return _alike(lead, between, margin(pair.comparison))
    if relation == "at least as good as":
        return _not_worse(lead, between, margin(pair.comparison))
    surely = adjusted is None or adjusted <= LEVEL
    by = "no test possible" if adjusted is None else f"p = {adjusted:.4f}"
    if lead <= 0:
        return False, f"not ahead, {by}"
    if not surely:
        return False, f"ahead, but that may be chance ({by})"
    if not pair.ahead_in_all_seeds:
        return False, f"ahead, but not in every pair of seeds ({by})"
    if relation == "far better than" and lead < FAR * abs(pair.other.value):
        return False, f"ahead by less than a tenth, {by}"
    return True, f"ahead, {by}"


def _alike(lead: float, between: tuple[float, float] | None, margin: float) -> tuple[bool, str]:
    """Whether two figures differ by at most a margin: the whole interval within it, or without questions the lead."""
    low, high = between or (lead, lead)
    what = "difference" if between is None else "whole interval"
    inside = max(-low, high) <= margin
    told = f"{what} {'within' if inside else 'not within'} {margin:.4g}"
    return inside, told if between else f"{told}, no test possible"


def _not_worse(lead: float, between: tuple[float, float] | None, margin: float) -> tuple[bool, str]:
    """Whether a figure is behind by a margin at most: the lower end of the interval, or without questions the lead."""
    low = lead if between is None else between[0]
    what = "lead" if between is None else "lower end of the interval"
    told = f"{what} {low:+.4f}, at least {-margin:+.4g} asked for"
    return low >= -margin, told if between else f"{told}, no test possible"

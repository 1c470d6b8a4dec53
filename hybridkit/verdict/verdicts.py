"""A verdict on every published number: what finished runs, or bare cells, say of it.

The definitions and the statistics are told in docs/verdict.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

from hybridkit.verdict import comparable, published
from hybridkit.verdict.estimates import Estimate, Experiment, ReadRun
from hybridkit.verdict.published import Cell, Meaning

VERDICTS = ("reproduced", "direction holds", "differs", "not comparable")
#: Figures that are equal in print may differ in the last bits.
_EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class Verdict:
    """The verdict on one cell by one experiment, with the reason in a sentence; `ours` is None if not comparable."""

    cell: Cell
    experiment: str
    verdict: str
    reason: str
    ours: Estimate | None = None

    def as_dict(self) -> dict:
        """Plain values, for JSON."""
        found = asdict(self.cell.meaning) | {"table": self.cell.table, "row": self.cell.row, "column": self.cell.column}
        found |= {"published": self.cell.value, "notes": list(self.cell.notes), "experiment": self.experiment}
        if self.ours is not None:
            found |= {"ours": self.ours.value, "by_seed": list(self.ours.by_seed), "interval": self.ours.interval}
            found |= {"difference": self.ours.value - self.cell.value, "tolerance": tolerance(self.cell, self.ours)}
        return found | {"verdict": self.verdict, "reason": self.reason}


def tolerance(cell: Cell, ours: Estimate) -> float:
    """The largest difference that still counts as reproduced: the spread over seeds, or the printed precision if that
    is more. The luck of the questions allows for nothing, as the paper's runs answered the same ones."""
    return max(cell.precision, ours.spread)


def judge(cell: Cell, experiment: Experiment) -> Verdict:
    """The verdict on a cell for which the experiment has a figure."""
    ours = experiment.estimates[cell.meaning]
    allowed, off = tolerance(cell, ours), ours.value - cell.value
    told = f"ours is {off:+.{cell.decimals + 1}f} off, {allowed:.{cell.decimals + 1}f} allowed"
    if ours.draws is not None and len(ours.by_seed) == 1:
        told += " (one seed, so its spread is unknown)"
    if abs(off) <= allowed + _EQUAL:
        return Verdict(cell, experiment.name, "reproduced", told, ours)
    holds, order = _order(cell.meaning, experiment.estimates)
    return Verdict(cell, experiment.name, "direction holds" if holds else "differs", f"{told}; {order}", ours)


def _order(meaning: Meaning, estimates: Mapping[Meaning, Estimate]) -> tuple[bool, str]:
    """Whether the row's mixtures stand in the published order, as far as there are figures; two printed equal are free."""
    theirs = published.by_meaning()
    row = [replace(meaning, mixture=name) for name in published.MIXTURES]
    row = [one for one in row if one in estimates]
    if len(row) < 2:
        return False, "no other mixture to compare the order with"
    turned = [
        f"{published.MIXTURES[a.mixture]} and {published.MIXTURES[b.mixture]}"
        for a, b in combinations(row, 2)
        if (theirs[a].value - theirs[b].value) * (estimates[a].value - estimates[b].value) <= 0
        and theirs[a].value != theirs[b].value
    ]
    return not turned, f"other order of {' and of '.join(turned)}" if turned else "the mixtures in the published order"


def judge_all(experiments: Sequence[Experiment], read: Sequence[ReadRun] = ()) -> list[Verdict]:
    """A verdict on every cell by every experiment that has a figure for it; where none has, why not."""
    found = []
    for cell in published.cells():
        having = [
            one
            for one in experiments
            if cell.meaning in one.estimates and not comparable.unseen_obstacle(cell.meaning, one.untrained)
        ]
        found += [judge(cell, experiment) for experiment in having]
        if not having:
            found.append(Verdict(cell, "", "not comparable", _why_not(cell, read)))
    return found


def _why_not(cell: Cell, read: Sequence[ReadRun]) -> str:
    """The obstacles of the run that comes nearest to a cell."""
    same = [run for run in read if run.mixture == cell.meaning.mixture]
    if not same:
        return f"No run of mixture {cell.meaning.mixture}."
    nearest = min(same, key=lambda run: len(run.obstacles_for(cell)))
    return " ".join(nearest.obstacles_for(cell)) or "No query of this setting counts."


def tally(verdicts: Sequence[Verdict]) -> dict[str, dict[int, dict[str, int]]]:
    """How many cells of each table have which verdict, by experiment ("", the last: by none)."""
    found: dict[str, dict[int, dict[str, int]]] = {}
    for one in sorted(verdicts, key=lambda verdict: not verdict.experiment):
        tables = found.setdefault(one.experiment, {table: dict.fromkeys(VERDICTS, 0) for table in published.captions()})
        tables[one.cell.table][one.verdict] += 1
    return found

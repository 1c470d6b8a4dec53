"""What `hybridkit verdict` says: a summary for a terminal, JSON, and an entry for the reproduction log."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hybridkit import per_question, runs
from hybridkit.verdict import claims, comparable, estimates, published, verdicts


@dataclass(frozen=True, eq=False)
class Report:
    """The verdicts on every cell and on every claim, the runs that were read for them, and the name of bare cells."""

    verdicts: list[verdicts.Verdict]
    claims: list[claims.ClaimVerdict]
    read: list[estimates.ReadRun]
    bare: str = ""


def make(profiles: Sequence[str] = (), cells: Path | None = None) -> Report:
    """The report on the finished runs of some profiles, and on bare cells; with neither, on all finished runs."""
    wanted = list(profiles) or ([] if cells else [None])
    finished = [one for profile in wanted for one in runs.finished_runs(profile)]
    experiments, read = estimates.collect(finished)
    if cells:
        experiments.append(estimates.cells_of_file(cells))
    bare = experiments[-1].name if cells else ""
    return Report(verdicts.judge_all(experiments, read), claims.judge(experiments), estimates.in_order(read), bare)


def to_json(report: Report) -> str:
    """Everything in the report, with how it was found."""
    content = {
        "paper": published.source(),
        "made": runs.provenance(),
        "method": {"draws": per_question.DRAWS, "sign_flips": claims.FLIPS, "level": claims.LEVEL, "far": claims.FAR},
        "cells": [one.as_dict() for one in report.verdicts],
        "claims": [_claim(one) for one in report.claims],
        "runs": [asdict(run) for run in report.read],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _claim(one: claims.ClaimVerdict) -> dict:
    tested = [asdict(part) | {"comparison": str(part.comparison)} for part in one.tested]
    words = {"claim": one.claim, "text": claims.CLAIMS[one.claim], "verdict": one.state, "told": one.told}
    return words | {"parts": one.parts, "tested": tested}


def to_markdown(report: Report) -> str:
    """Verdicts table by table, the claims with what speaks against them, and why runs cannot be compared."""
    return "\n".join([*_cells(report), *_claims(report), *_runs(report)])


def _cells(report: Report) -> list[str]:
    lines = []
    for experiment, tables in verdicts.tally(report.verdicts).items():
        title = f"Published numbers against {experiment}" if experiment else "Published numbers without a counterpart"
        lines += [f"**{title}**", "", _row("table", *verdicts.VERDICTS), _row(*["---"] * 5)]
        counted = {number: counts for number, counts in tables.items() if any(counts.values())}
        lines += [_row(number, *counts.values()) for number, counts in counted.items()]
        lines += [_row("all", *(sum(counts[one] for counts in counted.values()) for one in verdicts.VERDICTS)), ""]
    return lines


def _claims(report: Report) -> list[str]:
    lines = ["**The paper's claims**", "", _row("claim", "verdict", "comparisons made", "of"), _row(*["---"] * 4)]
    lines += [_row(f"{c.claim}. {claims.CLAIMS[c.claim]}", c.told, len(c.tested), c.parts) for c in report.claims]
    lines += ["", unseen(report)] if unseen(report) else []
    against = [part for one in report.claims for part in one.tested if not part.holds]
    lines += ["", *(f"- against claim {part.comparison.claim}: {part.comparison}: {part.reason}" for part in against)]
    return [*lines, ""] if against else lines


def unseen(report: Report) -> str:
    """What is to be said of the claims where the runs behind them lack languages of the paper; "" where none does."""
    codes = sorted({code for run in report.read if not run.obstacles for code in run.untrained})
    told = "The claims compare our own runs, trained alike, with each other; not trained on, and so unseen here:"
    return f"{told} {comparable.names_of(codes)}." if codes else ""


def remarks(report: Report) -> dict[str, list[str]]:
    """What is to be said of the runs and of bare cells: the sentences, by the names of those that they are about."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for run in report.read:
        compared = not run.obstacles and any(not told for told in run.benchmarks.values())
        found.setdefault(("Compared" if compared else "Not comparable", _told(run)), []).append(run.name)
    shown = {f"{state}: {'; '.join(names)}": list(told) for (state, told), names in found.items()}
    trust = "They are taken on trust: there is no run behind them whose encoder, data and training could be checked."
    return shown | ({f"Compared: {report.bare}": [trust]} if report.bare else {})


def _told(run: estimates.ReadRun) -> tuple[str, ...]:
    """What stands in the way of comparing a run, of its training and of each benchmark, and its caveats."""
    told = run.obstacles + tuple(sentence for told in run.benchmarks.values() for sentence in told)
    if not run.benchmarks:
        told += (f"It was evaluated on none of {', '.join(published.benchmarks())}.",)
    return told + run.caveats


def _runs(report: Report) -> list[str]:
    lines = ["**What was read**", ""]
    for names, told in remarks(report).items():
        lines += [names, *(f"- {sentence}" for sentence in told), ""]
    return lines if remarks(report) else [*lines, "No finished run.", ""]


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def log_entry(report: Report) -> str:
    """An entry for docs/reproductions.md: date, machine, versions, runs, and the verdicts in brief."""
    made = runs.provenance()
    changed = ", with changes that are not committed" if made["changed_since_commit"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    lines = [
        f"## {time.strftime('%Y-%m-%d')}: {', '.join(dict.fromkeys(run.profile for run in report.read)) or 'bare cells'}",
        "",
        *(f"- Machine of the training: {name}" for name in dict.fromkeys(run.machine for run in report.read)),
        f"- Written with hybridkit {made['hybridkit']}, commit {made['commit']}{changed}; Python {made['python']}; {packages}",
        "",
    ]
    if report.read:
        lines += [_row("run", "key", "finished", "commit", "trained on"), _row(*["---"] * 5)]
        lines += [_row(run.name, f"`{run.key}`", *run.made.values()) for run in report.read]
        lines.append("")
    return "\n".join([*lines, to_markdown(report)])

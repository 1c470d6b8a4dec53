"""Our side of a verdict: the figures of finished runs that can be compared with the paper's, or bare cells of a file."""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from hybridkit import per_question
from hybridkit.comparison import settings_key
from hybridkit.errors import KitError, KitWarning
from hybridkit.files import write_text
from hybridkit.params import Parameters, mixture_order
from hybridkit.ranks import GoldRanks
from hybridkit.runs import encoder_label
from hybridkit.verdict import comparable, published
from hybridkit.verdict.published import AVERAGES, Cell, Meaning


@dataclass(frozen=True, eq=False)
class Estimate:
    """One figure of ours: `by_seed` its value for each seed. For results with questions behind them also `draws`
    (DRAWS,), the mean over seeds with the questions drawn anew; for a mean over languages `contributions` (questions,),
    what each question adds to it; `data`, the fingerprint of the questions."""

    by_seed: tuple[float, ...]
    draws: np.ndarray | None = None
    contributions: np.ndarray | None = None
    data: str = ""

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.by_seed))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of the draws lie between these two; None without questions."""
        return None if self.draws is None else interval(self.draws)

    @property
    def spread(self) -> float:
        """How far a single run of another may lie from the mean of ours by the luck of seeds: two standard deviations,
        of that run and of our mean together. 0 for one seed, whose spread is unknown."""
        count = len(self.by_seed)
        return 2 * float(np.std(self.by_seed, ddof=1)) * (1 + 1 / count) ** 0.5 if count > 1 else 0.0


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the draws; those that no question counts for are left out."""
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Experiment:
    """Runs that differ in mixture and seed alone, or bare cells: `encoder` as the paper calls it (None: cells of any),
    every figure by its meaning, and in `untrained` the languages that only the paper trained on."""

    name: str
    encoder: str | None
    estimates: Mapping[Meaning, Estimate]
    untrained: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadRun:
    """What is said of one finished run: which it is, why its training or a benchmark cannot be compared, caveats, and
    `made`: when, at which commit and on which device; `machine`: that of the training; `untrained`: languages that
    only the paper trained on."""

    name: str
    key: str
    profile: str
    encoder: str
    mixture: str | None
    seed: int
    obstacles: tuple[str, ...]
    benchmarks: Mapping[str, tuple[str, ...]]
    caveats: tuple[str, ...]
    made: Mapping[str, str]
    machine: str = ""
    untrained: tuple[str, ...] = ()

    def obstacles_for(self, cell: Cell) -> list[str]:
        """Why this run says nothing about a cell; empty where it does."""
        found = list(self.obstacles)
        encoder = comparable.ENCODERS.get(self.encoder)
        if encoder and encoder != cell.meaning.encoder:
            found.append(f"The encoder is {self.encoder}, and not {cell.meaning.encoder}.")
        found += filter(None, [comparable.unseen_obstacle(cell.meaning, self.untrained)])
        missing = [f"It was not evaluated on {cell.meaning.benchmark}."]
        return found + list(self.benchmarks.get(cell.meaning.benchmark, missing))


def collect(finished: Iterable[tuple[Path, dict]]) -> tuple[list[Experiment], list[ReadRun]]:
    """Read finished runs (folder, manifest): the experiments that can be compared, and what is said of each run.

    A run of another version, without readable gold ranks, or read already is left out with a KitWarning.
    """
    parts: dict[tuple[str, str], dict[Meaning, list[Estimate]]] = {}
    unseen: dict[tuple[str, str], tuple[str, ...]] = {}
    read: dict[str, ReadRun] = {}
    for folder, manifest in finished:
        try:
            if same := read.get(manifest["key"]):
                raise KitError(f"it is the same run as {same.name} (key {same.key}), which counts once.")
            run, settings, estimates = _read(folder, manifest)
        except (ValidationError, KeyError, TypeError, KitError) as fault:
            reason = (
                fault if isinstance(fault, KitError) else "it was made by another version of the kit, or is damaged."
            )
            warnings.warn(f"{folder} is left out: {reason}", KitWarning, stacklevel=2)
            continue
        read[run.key] = run
        unseen[run.encoder, settings] = run.untrained
        for meaning, estimate in estimates.items():
            parts.setdefault((run.encoder, settings), {}).setdefault(meaning, []).append(estimate)
    several = len({encoder for encoder, _ in parts}) < len(parts)
    experiments = [
        Experiment(
            f"{encoder} ({settings})" if several else encoder,
            comparable.ENCODERS[encoder],
            {meaning: _over_seeds(estimates) for meaning, estimates in found.items()},
            unseen[encoder, settings],
        )
        for (encoder, settings), found in parts.items()
    ]
    return experiments, list(read.values())


def _read(folder: Path, manifest: dict) -> tuple[ReadRun, str, dict[Meaning, Estimate]]:
    """One run: what is said of it, its settings key, and its figures on every benchmark that can be compared."""
    parameters = Parameters(**manifest["parameters"])
    plain = parameters.model_dump()
    obstacles = comparable.training_obstacles(plain)
    benchmarks, estimates = {}, {}
    for place in manifest["benchmarks"]:
        name = place.partition(":")[0]  # "miracl:sw+te" is a part of miracl
        if name not in published.benchmarks():
            continue
        gold = GoldRanks.open(folder / "ranks" / place)
        benchmarks[name] = tuple(comparable.benchmark_obstacles(name, gold))
        if not obstacles and not benchmarks[name]:
            estimates |= estimates_of(gold, name, comparable.ENCODERS[parameters.encoder], comparable.mixture_of(plain))
    run = ReadRun(
        name=f"{encoder_label(parameters.encoder)} {parameters.mixture} seed {parameters.seed}, profile {parameters.profile}",
        key=manifest["key"],
        profile=parameters.profile,
        encoder=parameters.encoder,
        mixture=comparable.mixture_of(plain),
        seed=parameters.seed,
        obstacles=tuple(obstacles),
        benchmarks=benchmarks,
        caveats=() if obstacles else tuple(comparable.caveats(manifest)),
        machine=str(manifest.get("training", {}).get("machine") or "not recorded"),
        untrained=tuple(comparable.untrained(plain)),
        made={
            "finished": str(manifest.get("finished")),
            "commit": str(manifest.get("provenance", {}).get("commit"))[:10],
            "device": str(manifest.get("training", {}).get("device")),
        },
    )
    return run, settings_key(parameters, manifest), estimates


def estimates_of(gold: GoldRanks, benchmark: str, encoder: str, mixture: str) -> dict[Meaning, Estimate]:
    """Every published figure of a benchmark from the gold ranks of one run, with its draws over questions."""
    printed = {(m.setting, m.metric, m.query_language) for m in published.by_meaning() if m.benchmark == benchmark}
    parts = per_question.figures(gold, published.languages(benchmark), {(s, metric) for s, metric, _ in printed})
    drawn = per_question.resampled(parts)
    found = {}
    for (setting, metric), figure in parts.items():
        values, draws = figure.by_language()[0], drawn[setting, metric]
        for language in [*figure.languages, *AVERAGES]:
            if (setting, metric, language) not in printed:
                continue
            value, part = _part(figure, values, draws, language)
            if not np.isnan(value):
                share = figure.contributions() if language == "mean" else None
                meaning = Meaning(encoder, mixture, benchmark, setting, metric, language)
                found[meaning] = Estimate((value,), part, share, gold.fingerprint)
    return found


def _part(
    figure: per_question.Figure, values: np.ndarray, draws: np.ndarray, language: str
) -> tuple[float, np.ndarray]:
    """The value and the draws of one language, or of an average over the languages."""
    if language in AVERAGES:
        average = {"mean": np.nanmean, "median": np.nanmedian}[language]
        return float(average(values)), average(draws, axis=1)
    place = figure.languages.index(language)
    return float(values[place]), draws[:, place]


def _over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """One estimate from those of several seeds on the same questions."""
    first = estimates[0]
    return Estimate(
        by_seed=tuple(one.by_seed[0] for one in estimates),
        draws=np.mean([one.draws for one in estimates], axis=0),
        contributions=None if first.contributions is None else np.mean([e.contributions for e in estimates], axis=0),
        data=first.data,
    )


def cells_of_file(path: Path) -> Experiment:
    """Bare cells, without questions behind them, from a JSON file as `write_cells` makes it.

    KitError for a file that cannot be read, an unknown meaning, a value that is no number, or a cell given twice.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name, cells = content["name"], content["cells"]
        if not (isinstance(name, str) and isinstance(cells, list) and cells):
            raise ValueError("it must hold a name and a list of cells")
    except (OSError, ValueError, KeyError, TypeError) as fault:
        reason = (fault.strerror if isinstance(fault, OSError) else "") or "it must hold a name and a list of cells"
        raise KitError(
            f"{path} holds no cells ({reason}); `hybridkit verdict --template FILE` writes a file in the right form."
        ) from fault
    estimates: dict[Meaning, Estimate] = {}
    for place, given in enumerate(cells, start=1):
        meaning, value = _given(path, place, given)
        if meaning in estimates:
            raise KitError(f"{path}, cell {place}: {meaning} is given twice; keep one.")
        estimates[meaning] = Estimate((value,))
    return Experiment(str(name), None, estimates)


def _given(path: Path, place: int, given: object) -> tuple[Meaning, float]:
    """The meaning and value of one cell of a file."""
    fields = list(Meaning.__dataclass_fields__)
    if not isinstance(given, dict) or set(given) != {*fields, "value"}:
        raise KitError(f"{path}, cell {place}: {given!r} must hold {', '.join(fields)} and value, and nothing else.")
    meaning = Meaning(**{name: str(given[name]) for name in fields})
    if meaning not in published.by_meaning():
        raise KitError(
            f"{path}, cell {place}: the paper prints no figure of {meaning}; see --template for those it does."
        )
    value = given["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise KitError(f"{path}, cell {place}: the value of {meaning} is {value!r}; give a number.")
    if value < 0 or (value > 1 and meaning.metric != "rank distance"):
        raise KitError(
            f"{path}, cell {place}: the value of {meaning} is {value!r}; write a share from 0 to 1, as in the paper's "
            "tables, and no percentage (a rank distance: 0 or more)."
        )
    return meaning, float(value)


def write_cells(path: Path) -> None:
    """Write the paper's own numbers in the form that `cells_of_file` reads: each figure once, as precisely as printed."""
    cells = [asdict(meaning) | {"value": cell.value} for meaning, cell in sorted(published.by_meaning().items())]
    lines = ",\n".join("  " + json.dumps(cell) for cell in cells)
    write_text(path, f'{{"name": "the paper\'s own cells",\n "cells": [\n{lines}\n ]}}\n')


def in_order(read: Sequence[ReadRun]) -> list[ReadRun]:
    """Runs by profile, encoder, mixture and seed."""
    return sorted(read, key=lambda run: (run.profile, run.encoder, mixture_order(run.mixture or "multi"), run.seed))

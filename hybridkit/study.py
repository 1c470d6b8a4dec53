"""The study of mixtures that ships with the kit: the figures of many runs, also by question, in small files.

Made by `python tools/make_study.py` from finished runs, never by hand. A question's figure is kept in 16 bits: the error is
at most 1/131,070 of the range of a run's answers.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hybridkit import comparison, reference, replicates, runs
from hybridkit.errors import KitError
from hybridkit.files import write_text, written_whole
from hybridkit.ranks import read_table
from hybridkit.statistics import Answers

FOLDER = reference.FOLDER / "study"
#: The scopes that are kept by question. Figures alone are kept of all languages, of centred embeddings and of BM25, too.
SCOPES = ("training languages", "unseen languages")
#: With fewer mixtures the runs of a learner are no study, and the notebook shows the one that ships.
LEAST_MIXTURES = 10
_LEVELS = 2**16 - 1


@dataclass(frozen=True, eq=False)
class Kept:
    """One run of the study by question, in the form that `statistics` takes (as `statistics.Replicate`)."""

    recipe: str
    seed: int
    encoder: str
    settings: str
    benchmark: str
    asked: tuple[str, Sequence[str]]
    values: Mapping[tuple[str, str], np.ndarray]

    def answers(self, names: Sequence[str]) -> Iterator[tuple[str, str, Answers]]:
        """Scope, metric and answers, for each of the metrics `names` that are kept."""
        for (scope, metric), values in self.values.items():
            if metric in names:
                yield scope, metric, Answers(values, values / len(values))


@dataclass(frozen=True, eq=False)
class Study:
    """What there is to see: `rows` as of `comparison.figures_of`, `replicates` for `statistics`, and a sentence on
    where they come from."""

    rows: pd.DataFrame
    replicates: list
    told: str

    def of(self, encoder: str) -> "Study":
        """The part of one encoder, and BM25. KitError names those that there are."""
        there = [name for name in self.rows["encoder"].unique() if name != comparison.BASELINE]
        if encoder not in there:
            raise KitError(f"The study has no run of {encoder!r}; it has {', '.join(there)}.")
        rows = self.rows[self.rows["encoder"].isin([encoder, comparison.BASELINE])]
        return Study(rows, [one for one in self.replicates if one.encoder == encoder], self.told)


def shipped(profile: str = "tiny") -> Study:
    """The study of a profile that ships with the kit: "tiny" or "laptop". KitError for another."""
    if not (FOLDER / f"{profile}.parquet").exists():
        there = ", ".join(sorted(path.stem for path in FOLDER.glob("*.parquet"))) or "none"
        raise KitError(f"No study of the profile {profile!r} ships with the kit; there is {there}.")
    told = f"These are the runs of the profile {profile} that ship with the kit."
    return Study(*_read(FOLDER / profile), told)


def of_run(run) -> Study:
    """The study of a learner's own finished runs that are like `run`, if they are LEAST_MIXTURES mixtures or more; else
    the one of the profile that ships."""
    found = runs.finished_like(run)
    if len({manifest["parameters"]["mixture"] for _, manifest in found}) >= LEAST_MIXTURES:
        told = f"These are your own {len(found)} runs of the profile {run.parameters.profile}."
        return Study(comparison.figures_of(found, centred=True), list(replicates.of_folders(found)), told)
    study = shipped(run.parameters.profile)
    return Study(study.rows, study.replicates, f"{study.told} You have {len(found)} finished runs of your own.")


def about(profile: str = "tiny") -> dict:
    """Which runs these are: keys, benchmarks and their fingerprints, provenance."""
    return json.loads((FOLDER / f"{profile}.json").read_text(encoding="utf-8"))


_RUN = ("encoder", "settings", "mixture", "mono", "cross", "multi", "seed", "beyond", "embeddings", "benchmark")


def save(place: Path, rows: pd.DataFrame, found: Iterable, told: dict) -> None:
    """Write rows of figures and the answers behind them to `place`.parquet, and `told` to `place`.json.

    `rows` as of `comparison.figures_of`; `found`: replicates with the same encoder, settings, mixture, seed and
    benchmark. Only the figures of `comparison.HEADLINE` are kept.
    """
    kept = rows[rows["metric"].isin(comparison.HEADLINE)].reset_index(drop=True)
    answers: dict[tuple, np.ndarray] = {}
    asked = {}
    for one in found:
        asked[one.benchmark] = one.asked[0]
        for scope, metric, its in one.answers(comparison.HEADLINE):
            if scope in SCOPES:
                answers[one.encoder, one.settings, one.recipe, one.seed, one.benchmark, scope, metric] = its.values
    keys = kept[["encoder", "settings", "mixture", "seed", "benchmark", "scope", "metric"]].itertuples(index=False)
    trained = kept["embeddings"] == comparison.EMBEDDINGS[False]
    packed = [_packed(answers.get(tuple(key)) if mine else None) for key, mine in zip(keys, trained, strict=True)]
    columns = {name: kept[name].to_numpy() for name in (*_RUN, "scope", "metric")}
    columns |= {"value": kept["value"].round(6).to_numpy()}
    columns |= {"least": np.array([one[0] for one in packed]), "step": np.array([one[1] for one in packed])}
    lists = pa.array([one[2] for one in packed], pa.list_(pa.uint16()))
    with written_whole(place.with_suffix(".parquet")) as stage:
        pq.write_table(pa.table(columns | {"answers": lists}), stage, compression="zstd", write_page_checksum=True)
    write_text(place.with_suffix(".json"), json.dumps(told | {"asked": asked}, indent=1, ensure_ascii=False) + "\n")


def _packed(values: np.ndarray | None) -> tuple[float, float, np.ndarray]:
    """The least value, the size of a step, and every value as a number of steps; no values where there are none."""
    if values is None:
        return np.nan, np.nan, np.zeros(0, np.uint16)
    least, step = float(values.min()), float(np.ptp(values)) / _LEVELS
    return least, step, np.rint((values - least) / (step or 1)).astype(np.uint16)


def _read(place: Path) -> tuple[pd.DataFrame, list[Kept]]:
    try:
        asked = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))["asked"]
        table = read_table(place.with_suffix(".parquet"))
        answers = [np.asarray(one, np.float64) for one in table["answers"].to_pylist()]
        rows = table.drop_columns(["answers"]).to_pandas()
    except (OSError, ValueError, KeyError) as fault:
        raise KitError(f"{place}.parquet is no readable study ({fault}); install the kit anew.") from fault
    found: dict[tuple, dict] = {}
    for row, its in zip(rows.itertuples(), answers, strict=True):
        if len(its):
            key = (row.mixture, row.seed, row.encoder, row.settings, row.benchmark)
            found.setdefault(key, {})[row.scope, row.metric] = row.least + its * row.step
    kept = [Kept(*key, (asked[key[-1]], ()), values) for key, values in found.items()]
    return rows.drop(columns=["least", "step"]), kept

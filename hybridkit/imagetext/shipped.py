"""The runs of images that ship with the kit: figures of every run, and one run seen more closely.

Made by `python tools/make_imagetext.py` from finished runs, never by hand.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hybridkit import comparison, reference
from hybridkit.errors import KitError
from hybridkit.files import write_text, written_whole
from hybridkit.params import Parameters, for_run, mixture_order
from hybridkit.runs import VARIED

FOLDER = reference.FOLDER / "images"
_DIRECTIONS = ("image-to-text", "text-to-image")
_BOTH = (*(f"{direction} R@{k}" for direction in _DIRECTIONS for k in (1, 10)), "rSum", "rank distance")
#: The figures that are kept (`imagetext.evaluation.measure`).
METRICS = (
    *_BOTH,
    *(f"{direction} median rank" for direction in _DIRECTIONS),
    "pooled image-to-text R@1",
    "rank distance chance",
    "image rank spread",
    *(f"re-ranked {name}" for name in _BOTH),
)
#: What a training that is as its profile says is called.
WHOLE = "the profile"
#: And what others are called, by the parameters in which they differ from it.
CALLED = {
    "without contrast": {"image_losses": ["matching", "masked-words"]},
    "without matching": {"image_losses": ["contrast", "masked-words"]},
    "without masked words": {"image_losses": ["contrast", "matching"]},
    "contrast alone": {"image_losses": ["contrast"]},
    "without distillation": {"distillation": 0.0},
    "without queue": {"queue": 0},
    "captions contrasted in all kinds": {"caption_contrast": "all"},
    "captions contrasted in none": {"caption_contrast": "none"},
    "matching from the first step": {"contrast_first": 0.0},
    "with a queue": {"queue": 512},
    "with masked words": {"image_losses": ["contrast", "matching", "masked-words"]},
    "with a foil": {"explicit_negatives": 1},
    "without foils": {"explicit_negatives": 0},
}
_RUN = ["encoder", "settings", "mixture", "mono", "cross", "multi", "seed", "beyond", "benchmark", "scope"]


class Closer(NamedTuple):
    """One run seen more closely.

    `scorers`, `stages`: `table` and `pipelines` of `fico.Comparison`. `foils`: of `evaluation.foil_accuracy`. `losses`:
    name, step, value (`losses.json`). `attention`: row (of the evaluation's pictures), language, and by number the token
    and the shares (rows, columns) of the patches at which it looks, line by line in one text. `about`: which run, and on
    which machine the times were taken.
    """

    scorers: pd.DataFrame
    stages: pd.DataFrame
    foils: pd.DataFrame
    losses: pd.DataFrame
    attention: pd.DataFrame
    about: dict

    def attend(self, row: int, language: str) -> tuple[list[str], np.ndarray]:
        """Tokens of a picture's caption and where each looks (tokens, rows, columns), as `Albef.attend` gives them.

        Raises KitError for a picture and language that is not kept.
        """
        mine = self.attention[(self.attention["row"] == row) & (self.attention["language"] == language)]
        if not len(mine):
            there = self.attention.drop_duplicates(["row", "language"])
            kept = ", ".join(f"{one.row} in {one.language}" for one in there.itertuples())
            raise KitError(f"No attention is kept of picture {row} in {language!r}; there is {kept}.")
        maps = np.array([[float(share) for share in text.split()] for text in mine["shares"]])
        side = round(maps.shape[1] ** 0.5)
        return mine["token"].tolist(), maps.reshape(-1, side, side)


def variant(parameters: Parameters) -> str:
    """How a training is called by what it changes of its profile, besides encoder, mixture and seed."""
    profile, own = for_run(parameters.profile), parameters.model_dump(exclude={"encoder", *VARIED})
    changed = {name: value for name, value in own.items() if value != getattr(profile, name)}
    if not changed:
        return WHOLE
    called = [name for name, change in CALLED.items() if change == changed]
    return called[0] if called else ", ".join(f"{name} = {json.dumps(value)}" for name, value in changed.items())


def profiles() -> list[str]:
    """The profiles of which runs ship with the kit."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def figures(profile: str = "tiny-pictures") -> pd.DataFrame:
    """The figures of the runs of a profile, in the form of `comparison.figures_of`; KitError where none ship.

    `settings` says how the training differs from the profile: WHOLE, or a name of CALLED.
    """
    wide = _read(_place(profile, ".csv"))
    rows = wide.melt(id_vars=_RUN, var_name="metric", value_name="value")
    return rows.assign(embeddings=comparison.EMBEDDINGS[False])


def about(profile: str = "tiny-pictures") -> dict:
    """Which runs these are: keys by folder, seconds of training in all, provenance of the table."""
    return json.loads(_place(profile, ".json").read_text(encoding="utf-8"))


def _place(profile: str, ending: str) -> Path:
    if profile not in profiles():
        there = ", ".join(profiles()) or "none"
        raise KitError(f"No runs of the profile {profile!r} ship with the kit; there is {there}.")
    return FOLDER / f"{profile}{ending}"


def save(profile: str, rows: pd.DataFrame, told: dict) -> None:
    """Write the METRICS of `rows` (`comparison.figures_of`, with `settings` as `variant`) and what is `told` of them.

    A line of the file is a run in a scope. KitError names a run that lacks a figure.
    """
    kept = rows[rows["metric"].isin(METRICS)]
    wide = kept.pivot(index=_RUN, columns="metric", values="value").reindex(columns=list(METRICS)).round(6)
    lacks, again = wide.isna(), [name for name in METRICS if name.startswith("re-ranked")]
    lacks.loc[lacks[again].all(axis=1), again] = False  # nothing is re-ranked without a head that was trained
    lacks["rank distance chance"] = False  # not defined where an image has several captions
    if lacks.any(axis=None):
        run = dict(zip(_RUN, next(iter(lacks.index[lacks.any(axis=1)])), strict=True))
        told = f"{run['encoder']} {run['mixture']} seed {run['seed']} ({run['settings']}, {run['scope']})"
        raise KitError(f"A run of {profile} lacks figures: {told}; evaluate it anew, or move it elsewhere.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with written_whole(FOLDER / f"{profile}.csv") as stage:
        wide.reset_index().to_csv(stage, index=False, na_rep="nan")
    write_text(FOLDER / f"{profile}.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def closer() -> Closer | None:
    """The run that was seen more closely; None where none ships."""
    folder = FOLDER / "closer"
    if not (folder / "about.json").exists():
        return None
    told = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return Closer(*(_read(folder / f"{name}.csv") for name in Closer._fields[:-1]), told)


def save_closer(found: Closer) -> None:
    """Write what `closer` reads."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with written_whole(FOLDER / "closer") as stage:
        stage.mkdir()
        for name in Closer._fields[:-1]:
            getattr(found, name).to_csv(stage / f"{name}.csv", index=False, float_format="%.6g", na_rep="nan")
        (stage / "about.json").write_text(json.dumps(found.about, indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, na_values=["nan"])  # a token may be "NA", a text may be empty


def means(rows: pd.DataFrame, metrics: Sequence[str], by: str = "mixture") -> pd.DataFrame:
    """Figures as texts, mean and standard deviation over seeds: a row a mixture (or what `by` names), a column a metric.

    R@k have three digits, medians and rSum one, distances none. KitError where `rows` differ in anything else than
    seeds and what `by` names: their mean would say nothing.
    """
    for name in (one for one in ("encoder", "settings", "mixture", "benchmark", "scope") if one != by):
        if rows[name].nunique() > 1:
            several = ", ".join(sorted(rows[name].unique()))
            raise KitError(f"These are figures of several kinds of {name}: {several}; choose one of them.")
    order = list(dict.fromkeys([WHOLE, *CALLED, *rows[by]])) if by == "settings" else None
    names = sorted(rows[by].unique(), key=order.index if order else mixture_order)
    table = []
    for name in names:
        mine = rows[rows[by] == name]
        row = {by: name, "seeds": mine["seed"].nunique()}
        table.append(row | {metric: _shown(metric, mine.loc[mine["metric"] == metric, "value"]) for metric in metrics})
    return pd.DataFrame(table)


def _shown(metric: str, values: pd.Series) -> str:
    digits = 3 if " R@" in metric else 1 if metric.endswith(("rSum", "rank")) else 0
    mean, deviation = values.mean(), values.std()
    if pd.isna(mean):
        return "–"
    return f"{mean:,.{digits}f}" + ("" if pd.isna(deviation) else f" ± {deviation:,.{digits}f}")

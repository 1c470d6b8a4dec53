"""Runs as replicates for `statistics`: finished ones, and those that are trained and evaluated in their staging folders."""

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from hybridkit import comparison, params, paths, runs
from hybridkit.errors import KitError, KitWarning, in_a_line
from hybridkit.params import Parameters
from hybridkit.ranks import GoldRanks
from hybridkit.statistics import Replicate

_MIXTURE = ("mixture", "mono", "cross", "multi")


def of_profile(profile: str) -> Iterator[Replicate]:
    """The replicates of all runs of a profile that are trained and evaluated, notebooks executed or not."""
    staged = (path.parent for path in sorted((paths.outputs() / profile / ".staging").glob("*/params.yaml")))
    found = ((folder, record) for folder in staged if (record := _staged(folder, None)))
    return of_folders([*runs.finished_runs(profile), *found])


def of_runs(chosen: Iterable[runs.Run]) -> Iterator[Replicate]:
    """The replicates of `chosen` runs; KitError for one that is not trained and evaluated."""
    found = []
    for run in chosen:
        record = runs.read_manifest(run.final) if run.finished else _staged(run.staging, run.parameters)
        if record is None:
            raise KitError(f"{run.title} is not trained and evaluated yet; run `hybridkit train` with its parameters.")
        found.append((run.folder, record))
    return of_folders(found)


def of_folders(found: Iterable[tuple[Path, dict]]) -> Iterator[Replicate]:
    """The replicates of run folders with their manifests, one for each benchmark; gold ranks are read one by one.

    Mixtures are told by name, followed by the weights and more where runs of one name are filled otherwise. A
    run of another version of the kit, or with damaged gold ranks, is left out with a KitWarning. KitError, which names
    the folders, where two runs of one mixture and seed have the same settings, data and benchmarks: such as one that was
    trained before the encoder was made anew, and one after.
    """
    known = [one for one in map(_known, found) if one]
    if not known:
        return
    if images := [folder for folder, one, _ in known if one.track == "image-text"]:
        raise KitError(
            f"{images[0]} is a run of images ({len(images)} such in all), and differences are tested between runs of texts "
            "alone: set runs of images side by side without --baseline."
        )
    rows = [one.model_dump(include=set(_MIXTURE)) | {"beyond": one.beyond_weights()} for _, one, _ in known]
    names = comparison.told_apart(pd.DataFrame(rows, columns=[*_MIXTURE, "beyond"]))["mixture"]
    places: dict[tuple, Path] = {}
    for (folder, parameters, manifest), name in zip(known, names, strict=True):
        for benchmark in manifest["benchmarks"]:
            try:
                gold = GoldRanks.open(folder / "ranks" / benchmark)
            except KitError as fault:
                warnings.warn(f"{folder} is left out: {fault}", KitWarning, stacklevel=2)
                continue
            scopes = comparison.scopes(gold, parameters.languages)
            settings = comparison.settings_key(parameters, manifest)
            encoder = runs.encoder_label(parameters.encoder)
            other = places.setdefault((encoder, settings, benchmark, name, parameters.seed), folder)
            if other != folder:
                raise KitError(
                    f"{other} and {folder} are both {encoder} {name} seed {parameters.seed} on {benchmark}, with the same "
                    "settings; move the one that is out of date elsewhere."
                )
            yield Replicate(name, parameters.seed, gold, scopes, encoder, settings)


def _known(found: tuple[Path, dict]) -> tuple[Path, Parameters, dict] | None:
    folder, manifest = found
    try:
        parameters = Parameters(**manifest["parameters"])
        comparison.settings_key(parameters, manifest)
        return folder, parameters, manifest
    except (ValidationError, KeyError, TypeError):
        told = f"{folder} was made by another version of the kit, or its manifest is damaged; it is left out."
        warnings.warn(told, KitWarning, stacklevel=3)
        return None


def _staged(folder: Path, parameters: Parameters | None) -> dict | None:
    """What a manifest would say of a run in its staging folder; None unless it is evaluated on all its benchmarks.

    With a KitWarning where it is evaluated, and what it left cannot be read.
    """
    if not (ranks := sorted(folder.glob("ranks/*/about.json"))):
        return None
    try:
        parameters = parameters or params.load([folder / "params.yaml"])
        plan = (folder / "plan.yaml").read_text(encoding="utf-8").splitlines()
        data = next(line.removeprefix("data: ") for line in plan if line.startswith("data: "))
        about = [json.loads(path.read_text(encoding="utf-8")) for path in ranks]
        if len(about) < len(parameters.benchmarks):
            return None
        benchmarks = {one["benchmark"]: one["fingerprint"] for one in about}
        return {"parameters": parameters.model_dump(), "training_data": json.loads(data), "benchmarks": benchmarks}
    except (KitError, OSError, StopIteration, ValueError, KeyError, TypeError) as fault:
        told = f"{folder} was made by another version of the kit, or is damaged ({in_a_line(fault)}); it is left out."
        warnings.warn(told, KitWarning, stacklevel=3)
        return None

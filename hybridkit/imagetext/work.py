"""What a run of images does otherwise than one of texts: its benchmarks, its audit, its training and its figures."""

import json
import math
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from hybridkit.errors import KitError
from hybridkit.files import write_text
from hybridkit.imagetext import captioned, sources

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.imagetext.captioned import CaptionedImages
    from hybridkit.imagetext.evaluation import Ranks
    from hybridkit.runs import Run

#: Where a run of images keeps its gold ranks: those by contrast, and those re-ranked by the matching head.
RANKS = ("ranks", "ranks-reranked")
#: How a model is made of its parameters, for the key of its run: raised with every change that gives other weights.
RECIPE = 2
#: The two directions, as they end the names of benchmarks: images ask for captions, captions ask for images.
DIRECTIONS = ("i2t", "t2i")


def training_sets(run: "Run") -> list["CaptionedImages"]:
    """The images that a run is trained on, in the order of its training data."""
    return [sources.captioned(name, run.parameters, "train") for name in run.parameters.training_data]


def evaluation_sets(run: "Run") -> dict[str, "CaptionedImages"]:
    """The images that a run is evaluated on, by name."""
    found = [sources.captioned(name, run.parameters, "evaluation") for name in run.parameters.benchmarks]
    return {data.name: data for data in found}


def benchmarks(run: "Run") -> dict[str, "Benchmark"]:
    """Both directions of every set that a run is evaluated on, by their names: NAME-i2t and NAME-t2i."""
    return {name: one for data in evaluation_sets(run).values() for name, one in captioned.benchmarks(data).items()}


def audit(run: "Run") -> str:
    """What training and evaluation share, in Markdown; KitError where an image is in both."""
    lines = ["# Images and captions of the training among those of the evaluation\n"]
    for trained in training_sets(run):
        for tested in evaluation_sets(run).values():
            shared = captioned.check_apart(trained, tested)
            told = ", ".join(f"{count} in {code}" for code, count in shared.items()) or "none"
            lines.append(
                f"- {trained.name} and {tested.name}: no image in both; captions word for word in both: {told}."
            )
    return "\n".join(lines) + "\n"


def train(run: "Run", on_step: Callable[[int, int], None]) -> dict:
    """Train the run's ALBEF into `folder/model`, or find it trained; the record of `imagetext.training.train`."""
    from hybridkit.imagetext import training
    from hybridkit.launch import PROCESSES

    if (asked := os.environ.get(PROCESSES, "1")) != "1":
        raise KitError(f"{asked} processes are asked for, but a run of images is trained in one; set --processes to 1.")
    return training.train(run.parameters, run.plan, training_sets(run), run.folder, on_step)


def gold_ranks(run: "Run", name: str) -> "tuple[Ranks, Ranks | None]":
    """Gold ranks on the set `name`, by contrast and re-ranked (None where nothing is, `_rerank`): read, or computed and
    kept."""
    from hybridkit.imagetext.evaluation import opened

    places = [run.folder / place for place in RANKS[: 2 if _rerank(run) else 1]]
    try:
        found = [opened(place, name) for place in places]
    except KitError:  # not all there, or damaged
        found = _evaluated(run, name)
        for ranks, place in zip(found, places, strict=True):
            for one, direction in zip(ranks, DIRECTIONS, strict=True):
                shutil.rmtree(place / f"{name}-{direction}", ignore_errors=True)
                one.save(place / f"{name}-{direction}")
    return found[0], found[1] if len(found) > 1 else None


def _evaluated(run: "Run", name: str) -> "list[Ranks]":
    from hybridkit.imagetext import evaluation
    from hybridkit.imagetext.albef import Albef

    if not (run.folder / "model").exists():
        raise KitError(f"{run.title} has no trained model yet; run `hybridkit train`.")
    data = evaluation_sets(run)[name]
    both = (run.benchmarks[f"{name}-{direction}"] for direction in DIRECTIONS)
    model = Albef.open(run.folder / "model")
    found = evaluation.evaluate(model, data, *both, rerank=_rerank(run), system=run.title)
    return [ranks for ranks in found if ranks is not None]


def _rerank(run: "Run") -> int:
    """How many candidates are ranked anew: none by a matching head that was not trained."""
    return run.parameters.rerank if "matching" in run.parameters.image_losses else 0


def metrics(run: "Run") -> dict:
    """Every figure by set and scope (`evaluation.measure`), also kept as metrics.json."""
    from hybridkit.imagetext import evaluation

    measured = {}
    for name in evaluation_sets(run):
        found, again = gold_ranks(run, name)
        measured[name] = evaluation.measure(found, run.parameters.languages, again)
    write_text(run.folder / "metrics.json", json.dumps(measured, indent=1))
    return measured


def markdown(measured: dict) -> str:
    """Figures of `metrics` as a table for each set of images, a row a figure and a column a scope."""
    parts = []
    for name, scopes in measured.items():
        lines = [["", *scopes], ["---"] * (len(scopes) + 1)]
        figures = dict.fromkeys(figure for found in scopes.values() for figure in found)
        lines += [[one, *(_number(one, found.get(one)) for found in scopes.values())] for one in figures]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"### {name}\n\n{table}\n")
    return "\n".join(parts)


def _number(figure: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "not defined"
    return f"{value:.3f}" if "R@" in figure or "share" in figure else f"{value:,.1f}"

"""Carry out a batch plan on images and captions: the trainer of ALBEF, with the kit's lock, record and checkpoints."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from datasets import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from hybridkit import processes, training
from hybridkit.errors import KitError
from hybridkit.files import write_text
from hybridkit.imagetext import images
from hybridkit.imagetext.albef import FOIL, Albef
from hybridkit.imagetext.rendering import Shown, shown
from hybridkit.imagetext.texts import tokenised
from hybridkit.params import Parameters
from hybridkit.sampling import BatchPlan

if TYPE_CHECKING:
    from hybridkit.imagetext.captioned import CaptionedImages

#: Losses by name and step, beside the model.
LOSSES = "losses.json"
#: Share of the steps in which the slow copies' part of the targets rises to `distillation`; ALBEF's first of its epochs.
_RISE = 0.1
_PART = "loss of "


def train(
    parameters: Parameters,
    plan: BatchPlan,
    data: Sequence["CaptionedImages"],
    folder: Path,
    on_step: Callable[[int, int], None] | None = None,
) -> dict:
    """Train the run's ALBEF along its plan into `folder/model`, as `training.train` does; the same record.

    `data`: the images of the plan's datasets, in their order. `folder/model/text` is the text encoder alone, for every
    tool that takes a text encoder; `folder/losses.json` holds each loss by step. KitError in several processes: each
    would have a queue of its own.
    """
    if processes.count() > 1:
        raise KitError(
            f"An image-text model is trained in one process, and this is one of {processes.count()}: its queue and its "
            "negatives are of one batch; start it without torchrun, and set --processes to 1."
        )
    return training.train(parameters, plan, folder, on_step, partial(_trainer, data))


class Collator:
    """Makes the tensors of a step, whose positions in the plan the trainer fetches.

    A batch of n images, and their 2 n captions and any foils: `pixels` (n, 3, size, size) float32; `ids` (n,) numbers
    of the images; `tokens` and `mask` (texts, length); `text_ids` (texts,) numbers of the images that they fit, or FOIL;
    `languages` (texts,); `differ` (n,) whether an image's two captions differ; `kind` and `step` of the plan.
    """

    def __init__(self, plan: BatchPlan, data: Sequence["CaptionedImages"], tokenizer, size: int, max_length: int):
        self.plan, self.tokenizer, self.max_length = plan, tokenizer, max_length
        self.read = [images.reader(one.images, size) for one in data]
        self.first = np.cumsum([0, *(len(one.ids) for one in data)])  # images of several sets have different numbers

    def __call__(self, rows: Sequence[dict]) -> dict:
        return self.batch(shown(self.plan, rows[0]["slot"] // self.plan.batch_size))

    def batch(self, seen: Shown) -> dict:
        """The tensors of what a step shows."""
        ids = torch.from_numpy(self.first[seen.dataset] + seen.row)
        tokens, mask = tokenised(self.tokenizer, seen.texts, self.max_length)
        pixels = np.concatenate([self.read[d]([r]) for d, r in zip(seen.dataset, seen.row, strict=True)])
        pairs = zip(seen.first, seen.second, strict=True)
        return {
            "pixels": torch.as_tensor(images.normalised(pixels)),
            "ids": ids,
            "tokens": tokens,
            "mask": mask,
            "text_ids": torch.cat([ids, ids, torch.full((len(seen.foils),), FOIL)]),
            "languages": torch.from_numpy(seen.languages),
            "differ": torch.tensor([first != second for first, second in pairs]),
            "kind": seen.kind,
            "step": seen.step,
        }


class _Trainer(training.InPlanOrder, Trainer):
    """The library's trainer on the sum of ALBEF's losses, in the first `alone` batches on the contrast; tells each loss
    beside the sum."""

    def __init__(self, distillation: float, batches: int, alone: int, **settings):
        super().__init__(**settings)
        self.distillation, self.rise, self.alone = distillation, max(1.0, _RISE * batches), alone
        self.parts: dict[str, list[float]] = {}

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        wanted = ("contrast",) if inputs["step"] < self.alone else ()
        found = model(inputs, alpha=self.distillation * min(1.0, inputs["step"] / self.rise), wanted=wanted)
        for name, loss in found.items():
            self.parts.setdefault(name, []).append(loss.item())
        return sum(found.values())

    def log(self, logs, start_time=None) -> None:
        if "loss" in logs:
            logs = logs | {f"{_PART}{name}": sum(values) / len(values) for name, values in self.parts.items()}
            self.parts.clear()
        super().log(logs, start_time)


class _Parts(TrainerCallback):
    """Keeps the losses by name and step beside the model when the training ends."""

    def on_train_end(self, args, state, control, **kwargs):
        found: dict[str, list] = {}
        for entry in state.log_history:
            for name, value in entry.items():
                if name.startswith(_PART):
                    found.setdefault(name.removeprefix(_PART), []).append([entry["step"], value])
        write_text(Path(args.output_dir).parent / LOSSES, json.dumps(found))


def _trainer(
    data: Sequence["CaptionedImages"], parameters: Parameters, plan: BatchPlan, work: Path, follower: TrainerCallback
) -> _Trainer:
    model = Albef.from_parameters(parameters, every_caption(data))
    arguments = training.arguments(parameters, work, TrainingArguments)
    arguments.train_sampling_strategy, arguments.remove_unused_columns = "sequential", False
    batches = parameters.steps * parameters.gradient_accumulation
    trainer = _Trainer(
        parameters.distillation,
        batches,
        _alone(parameters),
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"slot": range(batches * plan.batch_size)}),
        data_collator=Collator(plan, data, model.tokenizer, parameters.image_size, parameters.max_length),
        callbacks=[follower, _Parts()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _alone(parameters: Parameters) -> int:
    """Batches of the contrast alone: those of whole steps, and never of all, or matching would be trained in none."""
    if "contrast" not in parameters.image_losses:
        return 0
    steps = min(round(parameters.contrast_first * parameters.steps), parameters.steps - 1)
    return steps * parameters.gradient_accumulation


def every_caption(data: Sequence["CaptionedImages"]) -> dict[str, list[str]]:
    """All captions of some sets of images by language, also of those that are not trained on."""
    found: dict[str, list[str]] = {}
    for one in data:
        for code in sorted(one.captions):
            found.setdefault(code, []).extend(text for texts in one.captions[code] for text in texts)
    return found

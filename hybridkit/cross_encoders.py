"""Cross-encoders: read a query and a passage together and give one score; loaded, and trained on a batch plan."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from transformers import PrinterCallback

from hybridkit import encoders, rendering, training
from hybridkit.codeswitch import Switching
from hybridkit.errors import KitError
from hybridkit.params import Parameters
from hybridkit.sampling import Batch, BatchPlan
from hybridkit.validation import validation_plan

if TYPE_CHECKING:
    from hybridkit.reranking import Scorer
    from hybridkit.runs import Run

#: Passages that do not answer, for each that does, in training (arXiv 2305.05295).
NEGATIVES = 4


def scorer(name: str, batch_size: int = 128) -> "Scorer":
    """A function from pairs (query, passage) to the scores of a cross-encoder, given by a folder or an id.

    The scores are the logits: their sigmoid would round those of certain pairs to 1 and make ties of them.
    """
    model = load(name)
    return lambda pairs: model.predict(
        pairs, batch_size=batch_size, show_progress_bar=False, activation_fn=torch.nn.Identity()
    )


def load(name: str) -> CrossEncoder:
    """Load a cross-encoder with one score a pair, at its locked revision if it is an id; every fault is a KitError.

    Refuses an encoder that has no trained head, which the library would load with one of random numbers.
    """
    model = _read(name)
    if model.num_labels != 1:
        raise KitError(f"The model {name} gives {model.num_labels} scores a pair: take a cross-encoder that gives one.")
    try:
        encoders.check_complete(type(model.model), encoders.folder(name), may_lack=())
    except KitError as fault:
        raise KitError(
            f"{name} is no trained cross-encoder: `hybridkit train --cross-encoder` makes one. {fault}"
        ) from None
    return model


def base(name: str, max_length: int, labels: int = 1) -> CrossEncoder:
    """An encoder with a head of random numbers upon it, to be trained, which gives as many scores as there are `labels`.

    A pair has room for twice `max_length` tokens.
    """
    encoders.load(name)  # its faults are told there, also tensors that are missing
    model = _read(name, num_labels=labels)
    _join_pairs(model.tokenizer)
    model.max_seq_length = min(2 * max_length, _room(model))
    return model


def _read(name: str, **settings) -> CrossEncoder:
    encoders.quiet()
    # It warns that an encoder becomes a cross-encoder, which is what is asked for; `load` sees to the rest.
    logging.getLogger("sentence_transformers.base.model").setLevel(logging.ERROR)
    folder = encoders.folder(name)
    try:
        return CrossEncoder(str(folder), device=encoders.device(), trust_remote_code=False, **settings)
    except Exception as fault:  # the libraries raise whatever their parser raised
        reason = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
        raise KitError(f"The model {name} cannot be loaded as a cross-encoder ({reason.rstrip('.')}).") from fault


def _room(model: CrossEncoder) -> int:
    """Tokens that the encoder has places for. Its tokenizer may have been told of fewer, for single texts."""
    table = getattr(getattr(model.model.base_model, "embeddings", None), "position_embeddings", None)
    if table is None:
        return model.tokenizer.model_max_length
    first = 0 if table.padding_idx is None else table.padding_idx + 1  # where RoBERTa's places begin
    return table.num_embeddings - first


def _join_pairs(tokenizer) -> None:
    """Put the separator between two texts where a tokenizer was made for single ones, as those of the tiny encoders."""
    from tokenizers.processors import TemplateProcessing

    if tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False):
        return
    first, last = tokenizer.cls_token, tokenizer.sep_token
    if first is None or last is None:
        raise KitError(
            "The encoder's tokenizer puts nothing between the two texts of a pair, and has no [CLS] and [SEP] to put "
            "there: take another encoder."
        )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(first, tokenizer.cls_token_id), (last, tokenizer.sep_token_id)],
    )


def folder_of(run: "Run") -> Path:
    """Where the cross-encoder of a run is trained: apart from the folders of runs, known by the run's key."""
    from hybridkit.runs import encoder_label

    p = run.parameters
    name = f"{encoder_label(p.encoder).replace('/', '--')}-{p.mixture}-seed-{p.seed}-{run.key}"
    return run.profile_folder / "cross-encoders" / name


def render(plan: BatchPlan, slots: list[int], switching: Switching | None = None) -> dict[str, list]:
    """The pairs of plan positions: columns `query`, `passage` and `label`, 1 + negatives rows a slot, the answer first.

    A query's negatives are the explicit ones of its plan and, up to `NEGATIVES`, the positives of the examples that
    follow it in the batch (after the last comes the first), as the in-batch negatives of a dense retriever.
    """
    columns: dict[str, list] = {"query": [], "passage": [], "label": []}
    for step in dict.fromkeys(slot // plan.batch_size for slot in slots):
        batch = plan.step(step)
        whole = range(step * plan.batch_size, (step + 1) * plan.batch_size)
        texts = rendering.render(plan, whole, switching=switching)
        explicit = [texts[name] for name in texts if name.startswith("negative_")]
        for place in (slot % plan.batch_size for slot in slots if slot // plan.batch_size == step):
            others = [texts["positive"][i] for i in _others(batch, place, max(0, NEGATIVES - len(explicit)))]
            passages = [texts["positive"][place], *(column[place] for column in explicit), *others]
            columns["query"] += [texts["query"][place]] * len(passages)
            columns["passage"] += passages
            columns["label"] += [1.0] + [0.0] * (len(passages) - 1)
    return columns


def _others(batch: Batch, place: int, wanted: int) -> list[int]:
    """The next examples of a batch with another row than that at `place`."""
    size = len(batch.row)
    following = [(place + i) % size for i in range(1, size)]
    own = batch.dataset[place], batch.row[place]
    found = [i for i in following if (batch.dataset[i], batch.row[i]) != own][:wanted]
    if len(found) < wanted:
        raise KitError(
            f"batch_size is {size}, but a query takes {wanted} negatives from the other examples of its batch; raise "
            f"batch_size or explicit_negatives."
        )
    return found


def train_cross_encoder(parameters: Parameters, plan: BatchPlan, folder: Path, on_step=None) -> dict:
    """Train a cross-encoder from the run's encoder along its plan into `folder/model`, as `training.train` does.

    Binary cross-entropy on each pair (arXiv 2305.05295); of the parameters, the loss, its temperature and the prefixes do
    not count. What is done is not done again, what was interrupted goes on from its last checkpoint.
    """
    return training.train(parameters, plan, folder, on_step, _trainer)


class _Trainer(training.InPlanOrder, CrossEncoderTrainer):
    """The library's trainer of cross-encoders, walking through the plan."""


def _trainer(parameters: Parameters, plan: BatchPlan, work: Path, follower) -> _Trainer:
    model = base(parameters.encoder, parameters.max_length)
    validation, switching = validation_plan(parameters), Switching.from_parameters(parameters)
    trainer = _Trainer(
        model=model,
        args=training.arguments(parameters, work, CrossEncoderTrainingArguments, _rows(plan)),
        train_dataset=_pairs(plan, parameters.steps * parameters.gradient_accumulation, switching),
        eval_dataset=_pairs(*validation) if validation else None,
        loss=BinaryCrossEntropyLoss(model),
        callbacks=[follower],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _rows(plan: BatchPlan) -> int:
    """Pairs that are made of each example of a plan."""
    return 1 + max(NEGATIVES, plan.explicit_negatives)


def _pairs(plan: BatchPlan, batches: int, switching: Switching | None = None) -> Dataset:
    """A data set of the pairs of the first batches of a plan: positions, rendered when a batch is fetched."""
    rows = _rows(plan)
    dataset = Dataset.from_dict({"pair": range(batches * plan.batch_size * rows)})
    dataset.set_transform(lambda found: _rendered(plan, np.asarray(found["pair"]), rows, switching))
    return dataset


def _rendered(plan: BatchPlan, pairs: np.ndarray, rows: int, switching: Switching | None) -> dict[str, list]:
    slots = np.unique(pairs // rows)
    columns = render(plan, slots.tolist(), switching)
    places = np.searchsorted(slots, pairs // rows) * rows + pairs % rows
    return {name: [column[place] for place in places] for name, column in columns.items()}

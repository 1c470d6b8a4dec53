"""Carry out a batch plan with the sentence-transformers trainer: one idempotent `train` for every caller."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import datasets
import numpy as np
import torch
from datasets import Dataset
from filelock import FileLock
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import PrinterCallback, TrainerCallback

from hybridkit import encoders
from hybridkit.errors import KitError
from hybridkit.files import digests, write_text, written_whole
from hybridkit.params import Parameters
from hybridkit.sampling import BatchPlan

#: What a finished training leaves beside the model.
RECORD = "training.json"
_CHECKED = "checksums.json"


class EquationOneLoss(torch.nn.Module):
    """The loss of arXiv 2408.10536, equation (1), as printed.

    For query i: -log of exp(s(q_i, d_i+)) / (exp(s(q_i, d_i+)) + sum over j of exp(s(q_i, d_j-))). The
    own positive stands against all explicit negatives of the batch; other queries' positives are not in
    the denominator, and there is no temperature. s is the cosine. The sum over i is taken as a mean.
    """

    def __init__(self, model: SentenceTransformer):
        super().__init__()
        self.model = model

    def forward(self, sentence_features, labels=None) -> torch.Tensor:
        """`sentence_features`: tokenised queries, positives, and one or more columns of negatives."""
        vectors = [self.model(f)["sentence_embedding"] for f in sentence_features]
        query, positive, *negatives = [torch.nn.functional.normalize(v, dim=-1) for v in vectors]
        own = (query * positive).sum(dim=-1, keepdim=True)
        scores = torch.cat([own, query @ torch.cat(negatives).T], dim=1)
        return torch.nn.functional.cross_entropy(
            scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        )


def make_loss(model: SentenceTransformer, parameters: Parameters) -> torch.nn.Module:
    """The loss that the parameters ask for: in-batch negatives with a temperature, or equation (1)."""
    if parameters.loss == "equation-1":
        return EquationOneLoss(model)
    symmetric = parameters.directions == "symmetric"
    return MultipleNegativesRankingLoss(
        model,
        scale=1 / parameters.temperature,
        directions=("query_to_doc", "doc_to_query") if symmetric else ("query_to_doc",),
        partition_mode="per_direction" if symmetric else "joint",
    )


def render(plan: BatchPlan, slots: Sequence[int], query_prefix: str = "", passage_prefix: str = "") -> dict[str, list]:
    """The texts of plan positions: columns `query`, `positive`, `negative_1` and so on, one element a slot.

    Slot s is example s % batch_size of step s // batch_size. Texts are read from the stores once for each
    language of a step, not once an example.
    """
    columns: dict[str, list] = {}
    for step in dict.fromkeys(slot // plan.batch_size for slot in slots):
        batch = plan.step(step)
        chosen = np.array([slot % plan.batch_size for slot in slots if slot // plan.batch_size == step])
        data, row = batch.dataset[chosen], batch.row[chosen]
        queries = np.array([plan.datasets[d].query[r] for d, r in zip(data, row, strict=True)])
        positives = np.array([plan.datasets[d].positive[r] for d, r in zip(data, row, strict=True)])
        wanted = {"query": ("queries", batch.query_language[chosen], queries)}
        wanted["positive"] = ("passages", batch.passage_language[chosen], positives)
        for number in range(batch.negatives.shape[1]):
            rows, language = batch.negatives[chosen, number], batch.negative_language[chosen, number]
            wanted[f"negative_{number + 1}"] = ("passages", language, rows)
        for column, (store, language, rows) in wanted.items():
            prefix = query_prefix if column == "query" else passage_prefix
            texts = _texts(plan, store, data, language, rows)
            columns.setdefault(column, []).extend(prefix + text for text in texts)
    return columns


def _texts(plan: BatchPlan, store: str, data: np.ndarray, language: np.ndarray, rows: np.ndarray) -> list[str]:
    texts: list[str] = [""] * len(rows)
    for dataset, code in sorted(set(zip(data.tolist(), language.tolist(), strict=True))):
        places = np.flatnonzero((data == dataset) & (language == code))
        found = getattr(plan.datasets[dataset], store).texts(plan.languages[code], rows[places])
        for place, text in zip(places, found, strict=True):
            texts[place] = text
    return texts


class PlanTrainer(SentenceTransformerTrainer):
    """The library's trainer, walking through the plan in order instead of sampling."""

    def get_batch_sampler(self, dataset, batch_size, *args, **kwargs):
        """Batches are consecutive slots: the plan has already drawn and ordered everything."""
        if batch_size != self.args.per_device_train_batch_size:
            raise KitError(
                f"{self.args.n_gpu} GPUs are visible, and the library would merge batches over them; "
                "set CUDA_VISIBLE_DEVICES=0 to train on one."
            )
        return BatchSampler(SequentialSampler(dataset), batch_size, drop_last=False)

    def add_model_card_callback(self, default_args_dict) -> None:
        """No model card: its examples would be drawn from a data set of slots."""

    def _save(self, output_dir=None, state_dict=None) -> None:
        """Weights and tokenizer only; the library would also pickle the arguments."""
        self.model.save_pretrained(output_dir or self.args.output_dir, create_model_card=False)


class _Progress(TrainerCallback):
    """Tells the caller how far training is, and seals every checkpoint with its checksums."""

    def __init__(self, on_step: Callable[[int, int], None] | None):
        self.on_step = on_step

    def on_step_end(self, args, state, control, **kwargs):
        if self.on_step:
            self.on_step(state.global_step, state.max_steps)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            raise KitError(
                f"Training diverged: the loss is {logs['loss']} at step {state.global_step}; lower learning_rate "
                f"({args.learning_rate:g}), or look for NaN in the weights of the encoder."
            )

    def on_save(self, args, state, control, **kwargs):
        _seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def _seal(checkpoint: Path) -> None:
    write_text(checkpoint / _CHECKED, json.dumps(digests(checkpoint)))


def _is_sound(checkpoint: Path, record: Path) -> bool:
    try:
        found = digests(checkpoint)
        del found[_CHECKED]
        return json.loads(record.read_text()) == found
    except (KeyError, ValueError):
        return False


def usable_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose files are all as they were written, and a sentence for each that is not."""
    found = [p for p in folder.glob("checkpoint-*") if p.name.rsplit("-", 1)[1].isdigit()]
    found.sort(key=lambda p: int(p.name.rsplit("-", 1)[1]), reverse=True)
    spoilt = []
    for checkpoint in found:
        record = checkpoint / _CHECKED
        if _is_sound(checkpoint, record):
            return checkpoint, spoilt
        spoilt.append(f"{checkpoint.name} is cut short or altered and was left out; training goes on from before it.")
    return None, spoilt


def train(
    parameters: Parameters,
    plan: BatchPlan,
    folder: Path,
    on_step: Callable[[int, int], None] | None = None,
) -> dict:
    """Train the run's encoder along its plan into `folder/model`; what is done already is not done again.

    Returns the record of the training, also kept as `training.json`: loss by step, seconds, device,
    and what was resumed. Interrupted, it goes on from the last sound checkpoint in `folder/checkpoints`
    and ends with the same weights. `on_step(step, steps)` is called after every step. One process trains
    in a folder at a time; another waits and then finds the work done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "training.lock"):
        record = folder / RECORD
        if (done := _record(record)) and (folder / "model").exists():
            return done
        with encoders.repeatable(parameters.encoder):
            done = _train(parameters, plan, folder, on_step)
        write_text(record, json.dumps(done, indent=1))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return done


def _record(path: Path) -> dict | None:
    """The record of a finished training; None where there is none, or a damaged one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) and {"loss", "seconds", "left_out"} <= found.keys() else None


def _train(parameters: Parameters, plan: BatchPlan, folder: Path, on_step) -> dict:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise KitError("Training runs in one process; start it without torchrun (WORLD_SIZE is set to more than 1).")
    datasets.disable_progress_bars()
    torch.manual_seed(parameters.seed)
    started = time.perf_counter()
    model = encoders.base_encoder(
        parameters.encoder, parameters.max_length, parameters.query_prefix, parameters.passage_prefix
    )
    trainer = PlanTrainer(
        model=model,
        args=arguments(parameters, folder / "checkpoints"),
        train_dataset=slots(parameters, plan),
        loss=make_loss(model, parameters),
        callbacks=[_Progress(on_step)],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint, spoilt = usable_checkpoint(folder / "checkpoints")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    # A model that is there without a record, from a kill between the two, is replaced.
    with written_whole(folder / "model") as stage:
        model.save_pretrained(str(stage), create_model_card=False)
    return {
        "steps": trainer.state.global_step,
        "loss": [[entry["step"], entry["loss"]] for entry in trainer.state.log_history if "loss" in entry],
        "seconds": round(time.perf_counter() - started, 1),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "parameters_of_model": sum(p.numel() for p in model.parameters()),
        "resumed_from": checkpoint.name if checkpoint else None,
        "left_out": spoilt,
    }


def slots(parameters: Parameters, plan: BatchPlan) -> Dataset:
    """The train set: one column of plan positions, whose transform renders the texts when a batch is fetched."""
    count = parameters.steps * parameters.gradient_accumulation * plan.batch_size
    dataset = Dataset.from_dict({"slot": range(count)})
    dataset.set_transform(lambda s: render(plan, s["slot"], parameters.query_prefix, parameters.passage_prefix))
    return dataset


def arguments(parameters: Parameters, folder: Path) -> SentenceTransformerTrainingArguments:
    """The run's parameters in the trainer's words."""
    every = parameters.checkpoint_every
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=parameters.steps,
        per_device_train_batch_size=parameters.batch_size,
        gradient_accumulation_steps=parameters.gradient_accumulation,
        learning_rate=parameters.learning_rate,
        warmup_steps=int(parameters.warmup_fraction * parameters.steps),
        weight_decay=parameters.weight_decay,
        bf16=parameters.precision == "bfloat16",
        seed=parameters.seed,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="steps" if every else "no",
        save_steps=every or 1,
        save_total_limit=2,
        logging_nan_inf_filter=False,
        logging_steps=max(1, parameters.steps // 40),
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        dataloader_pin_memory=torch.cuda.is_available(),
    )

"""Carry out a batch plan with the sentence-transformers trainer: one idempotent `train` for every caller.

Several processes carry out the same plan: each takes an equal slice of every batch, and the losses gather the
vectors of all slices, so that the number of processes changes no in-batch negative and no gradient.
"""

import hashlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import datasets
import torch
from datasets import Dataset
from filelock import FileLock
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.training_args import BaseTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import all_gather, all_gather_with_grad
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import PrinterCallback, TrainerCallback, TrainerState, set_seed

from hybridkit import checkpoints, codeswitch, encoders, processes
from hybridkit.errors import KitError
from hybridkit.files import write_text, written_whole
from hybridkit.params import Parameters
from hybridkit.rendering import render
from hybridkit.sampling import BatchPlan
from hybridkit.streams import Stream
from hybridkit.validation import best_step, losses, should_stop, validation_plan

#: What a finished training leaves beside the model.
RECORD = "training.json"


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
        if processes.count() > 1:  # this process has a slice of the batch; the negatives are those of all of it
            negatives = [all_gather_with_grad(negative) for negative in negatives]
        scores = torch.cat([own, query @ torch.cat(negatives).T], dim=1)
        return torch.nn.functional.cross_entropy(
            scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        )


class VariantsLoss(torch.nn.Module):
    """The in-batch loss for batches in which a passage stands in several languages (`sampling.Batch.group`).

    For query i: -log of exp(s(q_i, d_i+) / t) / sum of exp(s(q_i, d) / t) over d: its own positive, the positives of all
    examples of other groups, and all explicit negatives of the batch. The other positives of its own group answer it too
    and stand on neither side. `symmetric`: the mean of this and the same from passages to queries. Where every example
    is a group of its own, this is sentence-transformers' MultipleNegativesRankingLoss. s is the cosine.
    """

    def __init__(self, model: SentenceTransformer, temperature: float, symmetric: bool = False):
        super().__init__()
        self.model, self.temperature, self.symmetric = model, temperature, symmetric

    def forward(self, sentence_features, labels=None) -> torch.Tensor:
        """`sentence_features`: tokenised queries, positives, and columns of negatives, if any; `labels`: group numbers
        (batch,), None where each example is a group of its own."""
        vectors = [self.model(f)["sentence_embedding"] for f in sentence_features]
        query, positive, *negatives = [torch.nn.functional.normalize(v, dim=-1) for v in vectors]
        place = torch.arange(len(query), device=query.device) + processes.rank() * len(query)
        labels = place if labels is None else labels
        asked, passages, group = query, [positive, *negatives], labels
        if processes.count() > 1:  # this process has a slice of the batch; what it compares with are those of all of it
            asked, *passages = [all_gather_with_grad(side) for side in (query, *passages)]
            group = all_gather(labels)
        others = (labels[:, None] == group) & (place[:, None] != torch.arange(len(group), device=group.device))
        rest = others.new_zeros(len(query), sum(map(len, passages[1:])))
        scores = query @ torch.cat(passages).T / self.temperature
        loss = torch.nn.functional.cross_entropy(scores.masked_fill(torch.cat([others, rest], 1), -torch.inf), place)
        if self.symmetric:
            scores = positive @ asked.T / self.temperature
            back = torch.nn.functional.cross_entropy(scores.masked_fill(others, -torch.inf), place)
            loss = (loss + back) / 2
        return loss


def make_loss(model: SentenceTransformer, parameters: Parameters) -> torch.nn.Module:
    """The loss that the parameters ask for: in-batch negatives with a temperature, or equation (1).

    With `cached_texts` the in-batch loss holds the activations of so many texts at a time (GradCache, arXiv
    2101.06983): the same loss in bounded memory, at the price of computing every vector twice.
    """
    if parameters.loss == "equation-1":
        return EquationOneLoss(model)
    symmetric = parameters.directions == "symmetric"
    if parameters.variants:
        return VariantsLoss(model, parameters.temperature, symmetric)
    settings = {
        "scale": 1 / parameters.temperature,
        "directions": ("query_to_doc", "doc_to_query") if symmetric else ("query_to_doc",),
        "partition_mode": "per_direction" if symmetric else "joint",
        "gather_across_devices": processes.count() > 1,
    }
    if parameters.cached_texts:
        return CachedMultipleNegativesRankingLoss(model, mini_batch_size=parameters.cached_texts, **settings)
    return MultipleNegativesRankingLoss(model, **settings)


class InPlanOrder:
    """What makes a trainer of the library walk through the plan in order instead of sampling."""

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

    def _save_checkpoint(self, model, trial) -> None:
        step = self.state.global_step
        with checkpoints.room_on_disk(Path(self.args.output_dir) / f"checkpoint-{step}", step):
            super()._save_checkpoint(model, trial)


class PlanTrainer(InPlanOrder, SentenceTransformerTrainer):
    """The library's trainer of dense retrievers, walking through the plan."""


class _Follower(TrainerCallback):
    """Follows a training: tells how far it is, stops it where that is due, keeps its best model, seals its checkpoints."""

    def __init__(self, parameters: Parameters, origin: dict[str, str], on_step: Callable[[int, int], None] | None):
        self.parameters, self.origin = parameters, origin
        self.on_step = on_step if processes.rank() == 0 else None

    def on_step_end(self, args, state, control, **kwargs):
        if self.on_step:
            self.on_step(state.global_step, state.max_steps)
        if self.parameters.validate_every and state.global_step == state.max_steps:
            control.should_evaluate = True

    def on_log(self, args, state, control, logs=None, **kwargs):
        for name in ("loss", "eval_loss"):
            if not math.isfinite((logs or {}).get(name, 0.0)):
                raise KitError(
                    f"Training diverged: the loss is {logs[name]} at step {state.global_step}; lower learning_rate "
                    f"({args.learning_rate:g}), or look for NaN in the weights of the encoder."
                )

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        history = losses(state.log_history, "eval_loss")
        if best_step(history) == state.global_step and processes.rank() == 0:
            best = Path(args.output_dir) / checkpoints.BEST
            with written_whole(best) as stage, checkpoints.room_on_disk(stage, state.global_step):
                model.save_pretrained(str(stage), create_model_card=False)
        if should_stop(history, self.parameters.patience):
            control.should_training_stop = True

    def on_save(self, args, state, control, **kwargs):
        processes.barrier()  # every process writes its random state
        if processes.rank() == 0:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            with checkpoints.room_on_disk(checkpoint, state.global_step):
                checkpoints.seal(checkpoint, self.origin)


def origin(parameters: Parameters, plan: BatchPlan) -> dict[str, str]:
    """What decides a checkpoint: the plan (its first batches and its data), the encoder, all settings, and the lexicons
    of what is switched."""
    first = plan.fingerprint(range(min(20, parameters.steps * parameters.gradient_accumulation)))
    drawn_from = [first, *(dataset.fingerprint for dataset in plan.datasets)]
    return {
        "plan": hashlib.sha256(repr(drawn_from).encode()).hexdigest(),
        "encoder": encoders.content_key(parameters.encoder),
        "settings": parameters.key(),
    } | ({"lexicons": lexicons} if (lexicons := codeswitch.check_lexicons(parameters)) else {})


def train(
    parameters: Parameters,
    plan: BatchPlan,
    folder: Path,
    on_step: Callable[[int, int], None] | None = None,
    make_trainer: Callable[[Parameters, BatchPlan, Path, TrainerCallback], InPlanOrder] | None = None,
) -> dict:
    """Train the run's encoder along its plan into `folder/model`; what is done already is not done again.

    `make_trainer` makes another trainer than that of dense retrievers (`cross_encoders`).

    Returns the record of the training, also kept as `training.json`: loss by step, validation losses and the step
    whose model was kept, seconds, device, processes, commit and machine, and what was resumed. Interrupted, it goes on
    from the last sound checkpoint in `folder/checkpoints` and ends with the same weights. `on_step(step, steps)` is
    called after every step. One training works in a folder at a time; another waits and then finds the work done.

    Started in several processes (`processes.count()`), each calls this and returns the same record; the folder
    must be one that all of them see, and process 0 alone writes, locks and calls `on_step`.
    """
    processes.check(parameters.batch_size, processes.count())
    processes.check_surroundings(parameters.precision)
    folder.mkdir(parents=True, exist_ok=True)
    first = processes.rank() == 0
    with ExitStack() as held:
        if first:
            held.enter_context(FileLock(folder / "training.lock"))
        held.enter_context(processes.group())
        if not processes.told_by_first(first and finished(folder) is not None):
            with encoders.repeatable(parameters.encoder), _memory_told(parameters):
                done = _train(parameters, plan, folder, on_step, make_trainer or _trainer)
            if first:
                write_text(folder / RECORD, json.dumps(done, indent=1))
        if first:  # also where a kill has left them beside a finished model
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        processes.barrier()
        return finished(folder)


def finished(folder: Path) -> dict | None:
    """The record of the finished training in a folder; None where there is none, or a damaged one."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    whole = isinstance(found, dict) and {"loss", "seconds", "left_out"} <= found.keys()
    return found if whole and (folder / "model").exists() else None


@contextmanager
def _memory_told(parameters: Parameters) -> Iterator[None]:
    """Turn memory that ran out into a KitError that says which parameter to lower, and to what."""
    try:
        yield
    except RuntimeError as fault:
        device = "GPU" if isinstance(fault, torch.OutOfMemoryError) else "machine"
        if device == "machine" and "can't allocate memory" not in str(fault):
            raise
        raise KitError(f"The memory of the {device} ran out in training: {_smaller(parameters)}.") from fault


def _smaller(p: Parameters) -> str:
    """The next thing to try when memory runs out: first what changes no result."""
    share = p.batch_size // processes.count()
    held = min(p.cached_texts or share, share)
    if p.loss == "in-batch" and not p.variants and held > 1:
        return f"set cached_texts to {held // 2} (it is {p.cached_texts}), which gives the same loss in less memory"
    if not p.gradient_checkpointing:
        return "set gradient_checkpointing to true, which gives the same results in less memory and more time"
    if p.batch_size > 1:
        return (
            f"lower batch_size from {p.batch_size} to {p.batch_size // 2}, which makes it another experiment, or share "
            "the batch among more processes (docs/clusters.md), which does not"
        )
    return f"lower max_length from {p.max_length} to {max(4, p.max_length // 2)}, which makes it another experiment"


def _train(parameters: Parameters, plan: BatchPlan, folder: Path, on_step, make_trainer) -> dict:
    from hybridkit.runs import provenance

    datasets.disable_progress_bars()
    torch.manual_seed(parameters.seed)
    started = time.perf_counter()
    work, made_from = folder / "checkpoints", origin(parameters, plan)
    trainer = make_trainer(parameters, plan, work, _Follower(parameters, made_from, on_step))
    checkpoint, left_out = checkpoints.usable(work, made_from)
    if processes.rank() == 0:
        checkpoints.take_up(checkpoint, work)
    processes.barrier()
    state = _carry_out(trainer, checkpoint)
    kept = best_step(losses(state.log_history, "eval_loss")) or state.global_step
    if processes.rank() == 0:
        _save_model(trainer.model, work / checkpoints.BEST, folder / "model")
    return {
        "steps": state.global_step,
        "loss": losses(state.log_history, "loss"),
        "validation": losses(state.log_history, "eval_loss"),
        "kept_step": kept,
        "seconds": round(time.perf_counter() - started, 1),
        "device": str(trainer.model.device),
        "provenance": provenance(),
        "threads": torch.get_num_threads(),
        "processes": processes.count(),
        "parameters_of_model": sum(p.numel() for p in trainer.model.parameters()),
        "resumed_from": checkpoint.name if checkpoint else None,
        "left_out": left_out,
    }


def _trainer(parameters: Parameters, plan: BatchPlan, work: Path, follower: TrainerCallback) -> PlanTrainer:
    model = encoders.base_encoder(
        parameters.encoder,
        parameters.max_length,
        parameters.query_prefix,
        parameters.passage_prefix,
        parameters.pooling,
    )
    batches, validation = parameters.steps * parameters.gradient_accumulation, validation_plan(parameters)
    trainer = PlanTrainer(
        model=model,
        args=arguments(parameters, work),
        train_dataset=slots(parameters, plan, batches, codeswitch.Switching.from_parameters(parameters)),
        eval_dataset=slots(parameters, *validation) if validation else None,
        loss=make_loss(model, parameters),
        callbacks=[follower],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _carry_out(trainer: InPlanOrder, checkpoint: Path | None) -> TrainerState:
    """Train from a checkpoint or from the start, and return the state at the end."""
    if rank := processes.rank():  # the trainer seeds all processes alike, but each drops out other units
        set_seed(Stream("dropout", trainer.args.seed, rank).integer(2**32))
    if checkpoint:
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        follower = next(c for c in trainer.callback_handler.callbacks if isinstance(c, _Follower))
        if should_stop(losses(state.log_history, "eval_loss"), follower.parameters.patience):
            return state  # it had stopped already; only the model was not written yet
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*gradient_checkpointing_enable")
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer.state


def _save_model(model, best: Path, target: Path) -> None:
    """Write the best model by validation, or the last where nothing was validated.

    A model that is there without a record, from a kill between the two, is replaced.
    """
    if best.exists():
        checkpoints.copy_model(best, target)
        return
    with written_whole(target) as stage:
        model.save_pretrained(str(stage), create_model_card=False)


def slots(
    parameters: Parameters, plan: BatchPlan, batches: int, switching: codeswitch.Switching | None = None
) -> Dataset:
    """A data set of the first batches of a plan: one column of positions, whose transform renders the texts, and switches
    them where `switching` is given, when a batch is fetched."""
    dataset = Dataset.from_dict({"slot": range(batches * plan.batch_size)})
    settings = (parameters.query_prefix, parameters.passage_prefix, switching)
    dataset.set_transform(lambda s: render(plan, s["slot"], *settings))
    return dataset


#: What the paper leaves open of AdamW and no parameter names: the libraries' defaults, held fast (docs/open-choices.md).
OPTIMISER = {"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8, "max_grad_norm": 1.0}
_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def arguments(
    parameters: Parameters, folder: Path, kind: type = SentenceTransformerTrainingArguments, rows: int = 1
) -> BaseTrainingArguments:
    """The run's parameters in the trainer's words; `rows`: how many each example of the plan is for this trainer."""
    every = parameters.checkpoint_every
    found = kind(
        output_dir=str(folder),
        max_steps=parameters.steps,
        per_device_train_batch_size=parameters.batch_size * rows,
        per_device_eval_batch_size=parameters.batch_size * rows,
        accelerator_config={"split_batches": True},  # a batch is that of the experiment; each process takes a slice
        gradient_accumulation_steps=parameters.gradient_accumulation,
        learning_rate=parameters.learning_rate,
        lr_scheduler_type=_SCHEDULES[parameters.schedule],
        warmup_steps=int(parameters.warmup_fraction * parameters.steps),
        weight_decay=parameters.weight_decay,
        **OPTIMISER,
        bf16=parameters.precision == "bfloat16",
        activation_checkpointing=parameters.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if parameters.gradient_checkpointing else None,
        seed=parameters.seed,
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="steps" if parameters.validate_every else "no",
        eval_steps=parameters.validate_every or None,
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
    # The library would merge batches over all GPUs that one process sees; here a process has one.
    found._n_gpu = min(found.n_gpu, 1)
    return found

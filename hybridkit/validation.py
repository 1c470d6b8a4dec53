"""Validation in training: fixed batches of other data, and when their loss says to stop."""

from collections.abc import Sequence

from hybridkit.corpora import catalogue
from hybridkit.errors import KitError
from hybridkit.params import Parameters
from hybridkit.sampling import BatchPlan
from hybridkit.streams import Stream

#: Batches whose mean loss is the validation loss.
BATCHES = 32


def validation_plan(parameters: Parameters) -> tuple[BatchPlan, int] | None:
    """The batches that are validated on, and how many; None where the run does not validate.

    They are mono batches of `validation_data`, in those of its languages that the run trains on (or in all of its own,
    if it trains on none of them), drawn by a random stream of their own: the same for every mixture and seed. With
    SQuADShifts they are English, as in the paper (section 4). Raises KitError where the data cannot fill a batch.
    """
    if not parameters.validate_every:
        return None
    name = parameters.validation_data
    data = catalogue.training_pairs(name, parameters)
    languages = [code for code in parameters.languages if code in data.languages] or list(data.languages)
    change = {"mono": 1.0, "cross": 0.0, "multi": 0.0, "variants": 0.0, "languages": languages, "training_data": [name]}
    change |= {"end_mono": 0.0, "end_cross": 0.0, "end_multi": 0.0, "mixture_stages": 0}
    change["seed"] = Stream("validation").integer(2**32)
    if not len(data.negatives) and parameters.missing_negatives == "leave-out" and parameters.loss == "in-batch":
        change["explicit_negatives"] = 0  # the other passages of the batch alone
    try:
        return BatchPlan.from_parameters(parameters.model_copy(update=change), [data]), BATCHES
    except KitError as fault:
        raise KitError(f"The validation_data {name} cannot be used: {fault}") from fault


def losses(log: Sequence[dict], name: str) -> list[list]:
    """[step, loss] of every entry of the trainer's log that has a loss of this name: "loss" or "eval_loss"."""
    return [[entry["step"], entry[name]] for entry in log if name in entry]


def best_step(history: Sequence[Sequence]) -> int:
    """The first step with the lowest loss; 0 for none."""
    return min(history, key=lambda entry: entry[1])[0] if history else 0


def should_stop(history: Sequence[Sequence], patience: int) -> bool:
    """Whether as many validations as `patience` have passed since the best one; never for patience 0."""
    since = [step for step, _ in history if step > best_step(history)]
    return 0 < patience <= len(since)

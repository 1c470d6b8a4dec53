"""What test_processes.py runs in several processes and, to compare, in one: `processes_worker.py TASK FOLDER ENCODER`."""

import json
import os
import signal
import sys
from pathlib import Path

VARIANTS = {
    "in-batch": {},
    "equation-1": {"loss": "equation-1"},
    "symmetric": {"directions": "symmetric"},
    "of-every-language": {
        "mono": 0.0,
        "cross": 0.5,
        "variants": 0.5,
        "languages": ["de", "en", "es"],
        "steps": 16,
        "directions": "symmetric",
    },
    "cached": {"cached_texts": 3},
    "cached-symmetric": {"cached_texts": 3, "directions": "symmetric", "explicit_negatives": 0, "steps": 8},
    "accumulated": {"gradient_accumulation": 2, "steps": 8, "gradient_checkpointing": True},
    "validated": {"validation_data": "museum", "validate_every": 4, "patience": 2, "steps": 8},
}
SETTINGS = {"museum_exhibits": 100, "batch_size": 8, "steps": 50, "max_length": 24, "checkpoint_every": 0}
SETTINGS |= {"learning_rate": 1e-3}
#: With dropout, which the small encoder has, and all that a checkpoint has to bring back.
RESUMED = {"steps": 12, "checkpoint_every": 3, "cached_texts": 3, "validation_data": "museum", "validate_every": 2}


def exact(model):
    """Double precision and no dropout: what is left between one process and several is the order of sums."""
    model = model.double()
    for module in model.modules():
        if module.__class__.__name__ == "Dropout":
            module.p = 0.0
    model[0].model.config.attention_probs_dropout_prob = 0.0
    return model


def train(folder: Path, encoder: str, on_step=None, **changes) -> dict:
    """Train with some settings into a folder."""
    from hybridkit import training
    from hybridkit.corpora import museum
    from hybridkit.params import Parameters
    from hybridkit.sampling import BatchPlan

    parameters = Parameters(**{**SETTINGS, "encoder": encoder, **changes})
    plan = BatchPlan.from_parameters(parameters, [museum.training_pairs(SETTINGS["museum_exhibits"])])
    return training.train(parameters, plan, folder, on_step)


def train_variants(folder: Path, encoder: str) -> dict[str, dict]:
    """Train every variant below `folder`; the records, and what this process rendered of each plan."""
    from hybridkit import encoders, training

    base, render = encoders.base_encoder, training.render
    seen: list[int] = []

    def noted(plan, slots, *prefixes):
        seen.extend(slots)
        return render(plan, slots, *prefixes)

    encoders.base_encoder = lambda *arguments: exact(base(*arguments))
    training.render = noted
    records = {}
    try:
        for name, changes in VARIANTS.items():
            seen.clear()
            records[name] = train(folder / name, encoder, **changes) | {"slots": list(seen)}
    finally:
        encoders.base_encoder, training.render = base, render
    return records


def killed_at(last: int):
    """Kill this process in a step, as a machine that goes down does."""

    def on_step(step, steps):
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


def run_out_of_memory(folder: Path, encoder: str) -> None:
    """Process 1 alone runs out of memory in step 3."""
    import torch

    from hybridkit import training

    step = training.PlanTrainer.training_step

    def full(self, *arguments, **named):
        if os.environ["RANK"] == "1" and self.state.global_step == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, *arguments, **named)

    training.PlanTrainer.training_step = full
    train(folder / "full", encoder)


if __name__ == "__main__":
    from accelerate import PartialState

    PartialState(cpu=True)
    task, place, model = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if task == "train":
        found = train_variants(place, model)
        (place / f"records-{os.environ['RANK']}.json").write_text(json.dumps(found))
        train(place / "whole", model, **RESUMED)
        train(place / "cut", model, killed_at(int(sys.argv[4])), **RESUMED)
    elif task == "resume":
        found = train(place / "cut", model, **RESUMED)
        (place / f"resumed-{os.environ['RANK']}.json").write_text(json.dumps(found))
        run_out_of_memory(place, model)

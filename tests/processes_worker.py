"""What test_processes.py runs in several processes and, to compare, in one: `python processes_worker.py FOLDER ENCODER`."""

import json
import os
import sys
from pathlib import Path

VARIANTS = {
    "in-batch": {},
    "equation-1": {"loss": "equation-1"},
    "symmetric": {"directions": "symmetric"},
    "cached": {"cached_texts": 3},
    "cached-symmetric": {"cached_texts": 3, "directions": "symmetric", "explicit_negatives": 0, "steps": 10},
    "accumulated": {"gradient_accumulation": 2, "steps": 10, "gradient_checkpointing": True},
    "validated": {"validation_data": "museum", "validate_every": 5, "patience": 2, "steps": 20},
}
SETTINGS = {"museum_exhibits": 100, "batch_size": 8, "steps": 50, "max_length": 24, "checkpoint_every": 0}
SETTINGS |= {"learning_rate": 1e-3}


def exact(model):
    """Double precision and no dropout: what is left between one process and several is the order of sums."""
    model = model.double()
    for module in model.modules():
        if module.__class__.__name__ == "Dropout":
            module.p = 0.0
    model[0].model.config.attention_probs_dropout_prob = 0.0
    return model


def train_variants(folder: Path, encoder: str) -> dict[str, dict]:
    """Train every variant below `folder`; the records, and what this process rendered of each plan."""
    from hybridkit import encoders, training
    from hybridkit.corpora import museum
    from hybridkit.params import Parameters
    from hybridkit.sampling import BatchPlan

    base, render = encoders.base_encoder, training.render
    seen: list[int] = []

    def noted(plan, slots, *prefixes):
        seen.extend(slots)
        return render(plan, slots, *prefixes)

    encoders.base_encoder = lambda *arguments: exact(base(*arguments))
    training.render = noted
    data, records = museum.training_pairs(SETTINGS["museum_exhibits"]), {}
    try:
        for name, changes in VARIANTS.items():
            seen.clear()
            parameters = Parameters(**{**SETTINGS, "encoder": encoder, **changes})
            plan = BatchPlan.from_parameters(parameters, [data])
            records[name] = training.train(parameters, plan, folder / name) | {"slots": list(seen)}
    finally:
        encoders.base_encoder, training.render = base, render
    return records


if __name__ == "__main__":
    from accelerate import PartialState

    PartialState(cpu=True)
    found = train_variants(Path(sys.argv[1]), sys.argv[2])
    (Path(sys.argv[1]) / f"records-{os.environ['RANK']}.json").write_text(json.dumps(found))

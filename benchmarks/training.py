"""What the plan and the trainer cost, against a bare torch loop over the same batches (tiny profile).

    python benchmarks/training.py [--steps 60] [--rounds 3] [--threads 1] [--encoder tiny-mlm]

(a) drawing a step of the plan and rendering its texts; (b) a bare loop: tokenise, encode, loss, backward, clip,
AdamW; (c) sentence-transformers' trainer carrying out the plan. (b) and (c) take turns, so that both meet the same load
of the machine; the first ten steps of each round are left out. Prints a Markdown table of medians.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from hybridkit.encoders import base_encoder
from hybridkit.params import for_run
from hybridkit.runs import Run
from hybridkit.training import PlanTrainer, arguments, make_loss, render, slots

WARM = 10


def fresh(parameters):
    """The base encoder, as a run loads it."""
    torch.manual_seed(parameters.seed)
    return base_encoder(parameters.encoder, parameters.max_length, parameters.query_prefix, parameters.passage_prefix)


def bare(parameters, batches) -> list[float]:
    """Seconds of each step of a loop that does only what must be done; texts are rendered beforehand."""
    model = fresh(parameters).train()
    loss = make_loss(model, parameters)
    optimiser = torch.optim.AdamW(model.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay)
    stamps = [time.perf_counter()]
    for columns in batches:
        features = [model.preprocess(texts) for texts in columns.values()]
        loss(features, None).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        stamps.append(time.perf_counter())
    return [b - a for a, b in zip(stamps, stamps[1:])]


def with_trainer(parameters, plan) -> list[float]:
    """Seconds of each step of the trainer, drawing and rendering included."""
    from transformers import PrinterCallback, TrainerCallback

    stamps: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *args, **kwargs):
            stamps.append(time.perf_counter())

        def on_step_end(self, *args, **kwargs):
            stamps.append(time.perf_counter())

    model = fresh(parameters)
    with tempfile.TemporaryDirectory() as folder:
        trainer = PlanTrainer(
            model=model,
            args=arguments(parameters, Path(folder)),
            train_dataset=slots(parameters, plan, parameters.steps * parameters.gradient_accumulation),
            loss=make_loss(model, parameters),
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [b - a for a, b in zip(stamps, stamps[1:])]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--encoder", default="tiny-mlm")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    settings = {"steps": given.steps, "checkpoint_every": 0, "encoder": given.encoder}
    run = Run(for_run("tiny", "hybrid-0.50", 0, settings))
    plan, size = run.plan, run.parameters.batch_size
    drawing = []
    for step in range(1000, 1000 + given.steps):
        started = time.perf_counter()
        render(plan, range(step * size, (step + 1) * size))
        drawing.append(time.perf_counter() - started)
    batches = [render(plan, range(s * size, (s + 1) * size), "Query: ", "Passage: ") for s in range(given.steps)]
    loop, trainer = [], []
    for _ in range(given.rounds):
        loop += bare(run.parameters, batches)[WARM:]
        trainer += with_trainer(run.parameters, plan)[WARM:]
    a, b, c = (1000 * statistics.median(found) for found in (drawing, loop, trainer))
    print(f"batches of {size}, {given.threads} threads, medians over {len(loop)} steps\n")
    print("| | ms a step | |\n|---|---|---|")
    print(f"| (a) plan and texts | {a:.2f} | {100 * a / c:.2f} % of (c) |")
    print(f"| (b) bare torch loop | {b:.1f} | |")
    print(f"| (c) trainer | {c:.1f} | {c / b:.3f} times (b) |")


if __name__ == "__main__":
    main()

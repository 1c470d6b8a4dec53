"""Training and encoding throughput and peak memory by encoder, batch, length, precision and what saves memory.

    python benchmarks/throughput.py [--encoders ID ...] [--batches 100 ...] [--lengths 64 256 ...]
        [--precisions float32 bfloat16] [--cached 0 32] [--checkpointing off on] [--steps 10] [--texts 512]
        [--output benchmarks/results/throughput-NAME.json]

Encoders have the real sizes and random weights (`shapes.py`), so that no hub is needed. A training example is a question
of 16 tokens, a positive and a negative of as many as `--lengths` says; a step is what the trainer does: tokenise, encode,
in-batch loss, backward, clip, AdamW. Encoding is `encode_document` in float32, as the kit evaluates. Each case runs in a
process of its own: the peak is that of the GPU's allocated memory, or on a CPU of the whole process. A case that fails,
for want of memory say, is told with its reason and the others go on. Writes JSON with device, date and versions.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from shapes import SHAPES, WORDS, random_encoder

QUESTION = 16
#: Steps before the clock counts.
WARM = 2


def texts(count: int, length: int, seed: int) -> list[str]:
    """Random made-up texts, every one exactly as long."""
    import numpy as np

    words = np.random.default_rng(seed).integers(WORDS, size=(count, length))
    return [" ".join(f"w{word}" for word in row) for row in words]


def training(case: dict, model) -> dict:
    """Examples a second over `steps` steps, after a few that do not count."""
    import torch

    from hybridkit.params import Parameters
    from hybridkit.training import make_loss

    loss = make_loss(model, Parameters(cached_texts=case["cached_texts"], batch_size=case["batch_size"]))
    if case["gradient_checkpointing"]:
        model[0].model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=1e-6)
    half = torch.autocast(model.device.type, torch.bfloat16, enabled=case["precision"] == "bfloat16")
    seconds = []
    for step in range(WARM + case["steps"]):
        columns = [texts(case["batch_size"], n, 3 * step + i) for i, n in enumerate([QUESTION, *2 * [case["length"]]])]
        started = time.perf_counter()
        features = [
            {k: v.to(model.device) for k, v in model.preprocess(one).items() if hasattr(v, "to")} for one in columns
        ]
        with half:
            loss(features, None).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        _wait(model.device)
        seconds.append(time.perf_counter() - started)
    counted = seconds[WARM:]
    return {"examples_per_second": round(case["batch_size"] / statistics.median(counted), 3)}


def encoding(case: dict, model) -> dict:
    """Texts a second, after a batch that does not count."""
    some = texts(case["texts"], case["length"], 0)
    model.encode_document(some[: case["batch_size"]], batch_size=case["batch_size"], show_progress_bar=False)
    started = time.perf_counter()
    model.encode_document(some, batch_size=case["batch_size"], show_progress_bar=False)
    _wait(model.device)
    return {"texts_per_second": round(len(some) / (time.perf_counter() - started), 2)}


def _wait(device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(case: dict) -> dict:
    """One case, in this process."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        model = random_encoder(case["encoder"], Path(folder), case["length"])
        found = (training if case["kind"] == "training" else encoding)(case, model)
    gpu = model.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {"peak_bytes": peak}


def apart(case: dict) -> dict:
    """One case in a process of its own; a failure is a result too."""
    answer = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or [f"ended with status {answer.returncode}"]
        return case | {"failed": lines[-1][:300]}
    return case | json.loads(answer.stdout.splitlines()[-1])


def cases(given: argparse.Namespace) -> list[dict]:
    """Every combination that was asked for."""
    found = []
    for encoder, batch, length in itertools.product(given.encoders, given.batches, given.lengths):
        shared = {"encoder": encoder, "batch_size": batch, "length": length}
        for precision, cached, saving in itertools.product(given.precisions, given.cached, given.checkpointing):
            memory = {"cached_texts": cached, "gradient_checkpointing": saving == "on"}
            found.append({"kind": "training"} | shared | {"precision": precision, "steps": given.steps} | memory)
        found.append({"kind": "encoding"} | shared | {"precision": "float32", "texts": given.texts})
    return found


def device() -> dict:
    """What the figures were measured on, and when."""
    import torch

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else _processor()
    return {
        "device": name,
        "gpu": torch.cuda.is_available(),
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "load_at_start": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in ("torch", "transformers", "sentence-transformers")},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--batches", nargs="+", type=int, default=[100])
    parser.add_argument("--lengths", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--precisions", nargs="+", default=["bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--cached", nargs="+", type=int, default=[0, 32])
    parser.add_argument("--checkpointing", nargs="+", default=["off", "on"], choices=["off", "on"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(json.loads(given.case))))
        return
    results = device() | {"cases": []}
    for case in cases(given):
        results["cases"].append(apart(case))
        print(json.dumps(results["cases"][-1]), flush=True)
        if given.output:
            given.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

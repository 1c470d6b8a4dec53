"""Write docs/costs.md: what each profile costs, computed from measured rates in benchmarks/results/ and from counts.

    python tools/costs.py

No rate is made up: a profile whose encoder was not measured, or not on a GPU, is said to be so.
"""

import json
import sys
from pathlib import Path

HOME = Path(__file__).parents[1]
sys.path[:0] = [str(HOME), str(HOME / "benchmarks")]

from shapes import SHAPES, weights

from hybridkit.files import write_text
from hybridkit.params import for_run

PAGE = HOME / "docs" / "costs.md"
PROFILES = ("paper-xlmr", "paper-xlmr-large", "paper-labse", "small-minilm", "small-e5")
#: Queries and candidates of each benchmark (docs/benchmarks.md).
TEXTS = {"xquad-r": (13_090, 13_014), "mlqa-r": (4_199, 20_534), "miracl": (13_495, 106_332_152)}
#: MIRACL in the 15 languages of the paper's tables, as the profiles take it.
TEXTS["miracl:ar+bn+es+fa+fi+fr+hi+id+ja+ko+ru+sw+te+th+zh"] = (12_272, 57_523_666)


def short(benchmark: str) -> str:
    """A benchmark's name without its languages."""
    return benchmark.partition(":")[0]


def measured() -> list[dict]:
    """Every case of every result, with the device, the date and the threads of its result."""
    found = []
    for path in sorted((HOME / "benchmarks" / "results").glob("throughput-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        about = {key: result[key] for key in ("device", "gpu", "threads", "processors", "load_at_start", "date")}
        found += [about | case for case in result["cases"] if "failed" not in case]
    return found


def table(head: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows))


def hours(count: float, rate: float) -> str:
    """How long so many take at a rate a second."""
    found = count / rate / 3600
    return f"{found:,.0f}" if found >= 10 else f"{found:.1f}"


def gib(count: float) -> str:
    """Bytes in GiB."""
    found = count / 2**30
    return f"{found:,.1f}" if found >= 0.05 else "under 0.1"


def where(case: dict) -> str:
    """The device of a case and when it was measured."""
    kind = "GPU" if case["gpu"] else f"CPU, {case['threads']} thread{'s' * (case['threads'] > 1)}"
    load = f"load {case['load_at_start']:.1f} on {case['processors']} processors when it began"
    return f"{case['device']} ({kind}), {case['date']}, {load}"


def counted() -> str:
    """What a run of each profile does."""
    rows = []
    for name in PROFILES:
        p = for_run(name)
        examples = p.steps * p.batch_size * p.gradient_accumulation
        texts = "; ".join(f"{short(one)} {sum(TEXTS[one]):,}" for one in p.benchmarks)
        rows.append([name, f"{p.steps:,}", p.batch_size, f"{examples:,}", texts])
    return table(["profile", "steps at most", "batch", "examples at most", "texts to encode"], rows)


def training(cases: list[dict]) -> str:
    """Hours of training by profile, a row a measured case."""
    rows = []
    for name in PROFILES:
        p = for_run(name)
        mine = [case for case in cases if case["kind"] == "training" and case["encoder"] == p.encoder]
        for case in mine:
            saving = "cached loss" * bool(case["cached_texts"]) + " checkpointing" * case["gradient_checkpointing"]
            how = (
                f"{case['batch_size']} x {case['length']} tokens, {case['precision']}{', ' + saving if saving else ''}"
            )
            rate = case["examples_per_second"]
            run = hours(p.steps * p.batch_size * p.gradient_accumulation, rate)
            rows.append([name, where(case), how, f"{rate:.2f}", gib(case["peak_bytes"]), run])
        if not any(case["gpu"] for case in mine):
            rows.append([name, "**no GPU was at hand**", "", "", "", "not measured"])
    return table(["profile", "measured on", "batch", "examples/s", "peak GiB", "hours a run"], rows)


def encoding(cases: list[dict]) -> str:
    """Hours of encoding by profile and benchmark, a row a measured case."""
    rows = []
    for name in PROFILES:
        p = for_run(name)
        mine = [case for case in cases if case["kind"] == "encoding" and case["encoder"] == p.encoder]
        for case in mine:
            took = "; ".join(f"{short(one)} {hours(sum(TEXTS[one]), case['texts_per_second'])}" for one in p.benchmarks)
            how = f"{case['batch_size']} x {case['length']} tokens"
            rows.append([name, where(case), how, f"{case['texts_per_second']:.1f}", took])
        if not any(case["gpu"] for case in mine):
            rows.append([name, "**no GPU was at hand**", "", "", "not measured"])
    return table(["profile", "measured on", "batch", "texts/s", "hours a run"], rows)


def disk() -> str:
    """Bytes that follow from numbers of weights and texts."""
    rows = []
    for name in PROFILES:
        p = for_run(name)
        count, width = weights(p.encoder), SHAPES[p.encoder][1]["hidden_size"]
        kept = "; ".join(f"{short(one)} {gib(2 * width * TEXTS[one][1])}" for one in p.benchmarks)
        rows.append([name, f"{count / 1e6:,.0f} million", gib(4 * count), gib(2 * 12 * count), kept])
    head = [
        "profile",
        "weights",
        "model, GiB a run",
        "two checkpoints, GiB while training",
        "kept embeddings, GiB a run",
    ]
    return table(head, rows)


def page() -> str:
    """The whole page."""
    cases = measured()
    gpus = sorted({case["device"] for case in cases if case["gpu"]})
    told = f"GPUs measured: {', '.join(gpus)}." if gpus else "**No GPU was at hand: there are no GPU-hours here yet.**"
    return f"""# What the profiles cost

Written by `python tools/costs.py` from the rates in `benchmarks/results/throughput-*.json` and from counts; do not edit
it by hand. {told} Hours follow from a measured rate on the device and day named in
their row, at the batch and length named there: real texts are of many lengths, and another device has another rate, so
measure yours and make the page again. A rate from a busy machine, by its load, is below what the device can do.

    python benchmarks/throughput.py --output benchmarks/results/throughput-MYGPU.json
    python tools/costs.py

On a GPU of less memory choose smaller `--batches`, or `--cached 32`; a case that does not fit is told and left out.

## A run, counted

"At most": early stopping ends a paper run before that. A sweep is a run for each mixture and seed: three mixtures and
three seeds are nine runs. MIRACL's 58 million passages in the paper's 15 languages outweigh everything else; leave it out of `benchmarks` at first.

{counted()}

## Training

Hours up to the highest number of steps. An example is a question of 16 tokens, a positive and a negative of as many as
stand under *batch*. Validation, which reads a few thousand examples at a time, is not in it. The peak is the GPU's, or on
a CPU that of the whole process.

{training(cases)}

## Encoding for the evaluation

In float32, every text once. The counting of ranks comes on top ([measurements](measurements.md)).

{encoding(cases)}

## Disk

Weights are 4 bytes each; a checkpoint holds them and AdamW's two moments, and two are kept while a run trains.
Embeddings are 2 bytes a number and are kept only where you ask for it (`--keep-embeddings`). What the training data
take is known after the first download: `hybridkit-lock.json` then lists the bytes of every file, and what the kit
builds of them takes about as much again ([sources](sources.md)).

{disk()}
"""


if __name__ == "__main__":
    write_text(PAGE, page())
    print(f"{PAGE} written")

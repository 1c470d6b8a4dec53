"""What training data costs by its size: seconds to build, open and draw from it, peak memory, bytes on disk.

    python benchmarks/stores.py [--passages 1000000] [--languages 3] [--rows N] [--batch-size 64] [--folder F]

The data are made up in the proportions of mMARCO (arXiv 2108.13897; 8.8 million passages, 0.5 million queries, 39.8
million triples): 17 passages a query, 4.5 rows a passage, one negative a row, some 340 bytes a passage. Each phase
runs in a process of its own, so that its peak memory is its own. Resident memory counts the pages of mapped files that
were read, which the system takes back when it needs them; the last column is the peak without them, looked at every
10 ms.
"""

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil

LANGUAGES = ["ar", "de", "en", "es", "fr", "hi", "id", "it", "ja", "nl", "pt", "ru", "vi", "zh"]
STEPS = 50
BLOCK = 1_000_000
FILLER = "of the town that lies on the river and has a market on most days " * 40


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        os.environ["HYBRIDKIT_CACHE"] = folder
        print(f"{asked.passages:,} passages, {asked.languages} languages, {asked.rows:,} rows.\n")
        print("| phase | seconds | peak resident MiB | without mapped files |\n|---|--:|--:|--:|")
        for phase in (texts_alone, build, first_plan, open_again, verify, steps):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                what, seconds, peak, own = pool.submit(measured, phase, Path(folder) / "pairs", asked).result()
            print(f"| {what} | {seconds:.3f} | {peak / 2**20:,.0f} | {own / 2**20:,.0f} |", flush=True)
        for part in ("pairs", "groups"):
            size = sum(path.stat().st_size for path in (Path(folder) / part).rglob("*") if path.is_file())
            print(f"\nOn disk, {part}: {size / 2**20:,.0f} MiB.", end="")
    print()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--languages", type=int, default=3, choices=range(1, len(LANGUAGES) + 1))
    parser.add_argument("--rows", type=int, help="default: 4.5 a passage")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--folder", help="where the data are written, and removed at the end; default: the system's")
    asked = parser.parse_args()
    asked.rows = asked.rows or int(4.5 * asked.passages)
    return asked


def measured(phase, folder: Path, asked: argparse.Namespace) -> tuple[str, float, int, int]:
    """What was timed, seconds, and bytes of the process at its peak, with and without mapped files."""
    import hybridkit.sampling  # noqa: F401  so that its import is not timed

    own, done = [], threading.Event()
    watch = threading.Thread(target=watched, args=(own, done))
    watch.start()
    seconds = phase(folder, asked)
    done.set()
    watch.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return phase.__doc__, seconds, peak, max(own)


def watched(own: list[int], done: threading.Event) -> None:
    """Note the resident bytes that are of no file, until it is done."""
    process = psutil.Process()
    while not own or not done.wait(0.01):
        memory = process.memory_info()
        own.append(memory.rss - getattr(memory, "shared", 0))


def timed(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def texts(code: str, what: str, count: int, length: int):
    """Texts of about `length` characters, all different."""
    return (f"{code} {what} {row} " + FILLER[row % 1000 : row % 1000 + length] for row in range(count))


def joins(asked: argparse.Namespace, queries: int):
    for start in range(0, asked.rows, BLOCK):
        random = np.random.default_rng(start)
        query = random.integers(0, queries, min(BLOCK, asked.rows - start))
        positive = query * 17 % asked.passages
        negative = (positive + 1 + random.integers(0, asked.passages - 1, len(query))) % asked.passages
        yield query, positive, negative[:, None]


def texts_alone(folder: Path, asked: argparse.Namespace) -> float:
    """making the texts, alone"""
    codes = LANGUAGES[: asked.languages]
    return timed(lambda: [sum(map(len, texts(code, "passage", asked.passages, 330))) for code in codes])


def build(folder: Path, asked: argparse.Namespace) -> float:
    """building, texts included"""
    from hybridkit.corpora.pairs import build_pairs

    codes, queries = LANGUAGES[: asked.languages], max(asked.passages // 17, 1)
    return timed(
        lambda: build_pairs(
            folder,
            name="benchmark",
            licence="none",
            query_ids=(f"q{row}" for row in range(queries)),
            query_texts={code: texts(code, "query", queries, 30) for code in codes},
            passage_ids=(f"p{row}" for row in range(asked.passages)),
            passage_texts={code: texts(code, "passage", asked.passages, 330) for code in codes},
            joins=joins(asked, queries),
        )
    )


def opened(folder: Path):
    from hybridkit.corpora.pairs import TrainingPairs

    return TrainingPairs.open(folder)


def plan_of(folder: Path, asked: argparse.Namespace):
    from hybridkit.sampling import BatchPlan

    codes = LANGUAGES[: asked.languages]
    cross = 0.5 if len(codes) > 1 else 0.0
    return BatchPlan(
        [opened(folder)], mono=1 - cross, cross=cross, multi=0, languages=codes,
        batch_size=asked.batch_size, explicit_negatives=1,
    )  # fmt: skip


def first_plan(folder: Path, asked: argparse.Namespace) -> float:
    """the plan, for the first time after the build"""
    return timed(lambda: plan_of(folder, asked))


def open_again(folder: Path, asked: argparse.Namespace) -> float:
    """opening the pairs"""
    return timed(lambda: opened(folder))


def verify(folder: Path, asked: argparse.Namespace) -> float:
    """verifying them whole"""
    return timed(opened(folder).verify)


def steps(folder: Path, asked: argparse.Namespace) -> float:
    """a step of the plan with its texts, mean"""
    plan = plan_of(folder, asked)
    return timed(lambda: [read(plan, plan.step(step)) for step in range(STEPS)]) / STEPS


def read(plan, batch) -> None:
    """The texts of a batch, language by language, as training reads them."""
    data = plan.datasets[0]
    for code, name in enumerate(plan.languages):
        data.queries.texts(name, data.query[batch.row[batch.query_language == code]])
        data.passages.texts(name, data.positive[batch.row[batch.passage_language == code]])
        data.passages.texts(name, batch.negatives[batch.negative_language == code])


if __name__ == "__main__":
    main()

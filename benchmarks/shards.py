"""What gold ranks over shards cost by the size of the corpus, against the bare products of the scores.

    python benchmarks/shards.py [--sizes 100000 1000000] [--queries 1000] [--golds 1] [--dimensions 384] [--shards N]
                                [--repeats 3] [--threads N] [--folder FOLDER]

Passages are random vectors of length 1, on disk in half precision and memory-mapped, in four languages.
(a) the products alone, with the conversion from float16 to float32: the same tiles and threads, each tile of passages
    read and converted once, everything allocated beforehand;
(b) `shards.evaluate_embeddings`: everything from the files to the gold ranks, its work folder included.

Each is timed in a process of its own, in turn, so that both meet the same load of the machine. Peak memory is that of
(b)'s process: the anonymous pages (RssAnon), sampled 50 times a second, and all resident
pages (the highest RSS, which includes those of the memory-mapped file).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from threadpoolctl import ThreadpoolController

from hybridkit.counting import TILE, default_threads

LANGUAGES = ("ar", "de", "en", "zh")
_ROWS = 65_536


def main() -> None:
    asked = arguments()
    if asked.measure:
        print(json.dumps(MEASURES[asked.measure](asked, asked.sizes[0])))
        return
    print(f"{asked.queries:,} queries with {asked.golds} golds each, {asked.dimensions} dimensions in half precision,")
    print(
        f"{asked.threads} threads, {asked.shards or 'the default number of'} shards, median of {asked.repeats} (least to most).\n"
    )
    print(
        "| passages | (a) products and conversion, s | (b) gold ranks, s | (b) / (a) | peak RssAnon, GB | peak RSS, GB |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for size in asked.sizes:
            place = Path(folder) / str(size)
            make(place, size, asked)
            alone, whole = [], []
            for _ in range(asked.repeats):
                alone.append(in_own_process("products", size, place, asked))
                whole.append(in_own_process("evaluation", size, place, asked))
            seconds = [[told["seconds"] for told in part] for part in (alone, whole)]
            ratio = statistics.median(b / a for a, b in zip(*seconds))
            peaks = " | ".join(f"{max(told[name] for told in whole) / 1e9:.2f}" for name in ("anonymous", "resident"))
            print(f"| {size:,} | {spread(seconds[0])} | {spread(seconds[1])} | {ratio:.2f} | {peaks} |", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--golds", type=int, default=1)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--shards", type=int, help="default: one for every 262,144 passages, as in the kit")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--threads", type=int, default=default_threads(), help="default: as many as NumPy's product uses"
    )
    parser.add_argument("--folder", help="where the vectors are kept meanwhile: 0.8 GB for a million passages")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def make(place: Path, size: int, asked: argparse.Namespace) -> None:
    """Write the vectors, a part at a time."""
    place.mkdir()
    random = np.random.default_rng(size)
    np.save(place / "queries.npy", unit(random, asked.queries, asked.dimensions).astype(np.float16))
    shape = (size, asked.dimensions)
    table = np.lib.format.open_memmap(place / "candidates.npy", mode="w+", dtype=np.float16, shape=shape)
    for start in range(0, size, _ROWS):
        stop = min(start + _ROWS, size)
        table[start:stop] = unit(random, stop - start, asked.dimensions)
    table.flush()


def unit(random: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    vectors = random.standard_normal((rows, dimensions), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def in_own_process(measure: str, size: int, place: Path, asked: argparse.Namespace) -> dict:
    """One measurement, as that process tells it."""
    given = {"sizes": size, "place": place, "measure": measure}
    given |= {name: getattr(asked, name) for name in ("queries", "golds", "dimensions", "shards", "threads")}
    options = [text for name, value in given.items() if value for text in (f"--{name}", str(value))]
    threads = {"OMP_NUM_THREADS": str(asked.threads), "OPENBLAS_NUM_THREADS": str(asked.threads)}
    environment = os.environ | threads | {"HYBRIDKIT_CACHE": str(place / "cache")}
    done = subprocess.run([sys.executable, __file__, *options], env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def evaluation(asked: argparse.Namespace, size: int) -> dict:
    """Gold ranks over shards."""
    from hybridkit.shards import evaluate_embeddings

    benchmark = stand_in(size, asked)
    with PeakMemory() as memory:
        started = time.perf_counter()
        evaluate_embeddings(asked.place, benchmark, shards=asked.shards)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "anonymous": memory.anonymous, "resident": memory.resident}


def stand_in(size: int, asked: argparse.Namespace) -> SimpleNamespace:
    """A benchmark with ids and languages but no texts, the languages mixed as they come, golds anywhere."""
    random = np.random.default_rng(1)
    golds = np.sort(random.choice(size, (asked.queries, asked.golds), replace=False), axis=1)
    queries = np.arange(asked.queries)
    return SimpleNamespace(
        name=f"{size} passages",
        fingerprint=f"{size} passages",
        query_ids=[str(i) for i in queries],
        query_languages=random.choice(LANGUAGES, asked.queries),
        questions=[str(i) for i in queries],
        candidate_ids=[str(i) for i in range(size)],
        candidate_languages=random.choice(LANGUAGES, size),
        gold_query=np.repeat(queries, asked.golds),
        gold_candidate=golds.ravel(),
    )


def products(asked: argparse.Namespace, size: int) -> dict:
    """The blocked products and the conversion alone."""
    height, width = TILE
    queries = np.load(asked.place / "queries.npy").astype(np.float32)
    padded = np.pad(queries, ((0, -len(queries) % height), (0, 0)))
    blocks = [padded[start : start + height] for start in range(0, len(padded), height)]
    candidates = np.load(asked.place / "candidates.npy", mmap_mode="r")

    def work(waiting) -> None:
        scores, tile = np.zeros(TILE, np.float32), np.zeros((width, queries.shape[1]), np.float32)
        for start in waiting:
            part = candidates[start : start + width]
            tile[: len(part)] = part
            for block in blocks:
                np.matmul(block, tile.T, out=scores)

    with ThreadpoolController().select(user_api="blas").limit(limits=1), ThreadPoolExecutor(asked.threads) as pool:
        started = time.perf_counter()
        list(pool.map(work, [iter(range(0, size, width))] * asked.threads))
        return {"seconds": time.perf_counter() - started}


class PeakMemory:
    """Watches this process's memory; peaks in bytes. Without /proc the anonymous pages are not told apart."""

    def __enter__(self):
        self.anonymous, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        status = Path("/proc/self/status")
        while status.exists() and not self._stop.wait(0.02):
            line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
            self.anonymous = max(self.anonymous, int(line.split()[1]) * 1024)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        unit_bytes = 1 if sys.platform == "darwin" else 1024
        self.resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes


MEASURES = {"products": products, "evaluation": evaluation}

if __name__ == "__main__":
    main()

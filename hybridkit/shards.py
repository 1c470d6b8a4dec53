"""Gold ranks over shards: a corpus encoded and compared part by part, here or on a cluster, and resumed after a kill.

A shard is a range of tiles of the benchmark's fixed order of candidates. Its counts are computed by one task of plain
data, kept in a work folder as soon as they are there, and added up; they depend on nothing but the benchmark and the
vectors, so neither do the sums on how the corpus was cut.
"""

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from hybridkit import encoding, paths
from hybridkit.counting import GROUP, TILE, Columns, Counter
from hybridkit.errors import KitError, in_a_line
from hybridkit.files import remove, write_text, written_whole
from hybridkit.ranks import GoldRanks, Layout, check_finite, embedding_files, load_embeddings, open_embeddings
from hybridkit.sweep import Outcome, run_tasks

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark

#: Candidates of a shard where nothing else is said: their vectors of 768 dimensions would be 0.8 GB of float32.
SHARD = 2**18
#: Part of the key of a work folder: to be raised when the same input would give other files.
_FORMAT = 1
#: Blocks of relevant passages that one task encodes.
_GOLD_BLOCKS = 8


@dataclass(frozen=True)
class Model:
    """Vectors come from a model that encodes `texts`, the candidates' in the order of their rows.

    `name` is its folder and `content` the key of what is in it.

    With `keep` they are rounded to half precision and all kept in the work folder; else only those of the relevant
    passages' blocks are, in float32, since every shard needs them.
    """

    name: str
    content: str
    batch_size: int
    texts: Sequence[str]
    keep: bool

    def vectors(self, work: "_Work") -> encoding.Blocks:
        """The vectors of columns, encoded or read."""
        return encoding.Blocks(
            encoding.documents(_model(self.name, self.content), self.batch_size),
            self.texts,
            work.order,
            np.load(work.folder / "text_starts.npy", mmap_mode="r"),
            work.columns.bounds,
            width=GROUP * work.tile[1],
            folder=work.folder / "blocks",
            kept=None if self.keep else frozenset(work.gold_blocks()),
            half=self.keep,
        )


@dataclass(frozen=True)
class Ready:
    """Vectors are ready in `folder` (see `ranks.load_embeddings`)."""

    folder: str

    def vectors(self, work: "_Work") -> Callable[[int, int], np.ndarray]:
        """The vectors of columns, read through a memory map."""
        table, order = open_embeddings(self.folder, "candidates"), work.order

        def vectors(begin: int, end: int) -> np.ndarray:
            rows = order[begin:end]
            return check_finite(table[rows], rows, "candidate")

        return vectors


@functools.lru_cache(maxsize=1)
def _model(name: str, content: str):
    """A model, loaded once for all tasks of a process; again where the folder holds another by then."""
    from hybridkit.encoders import load

    return load(name)


@dataclass(frozen=True)
class _Work:
    """A work folder: all that tasks share, and their results. Plain data: a path and the shape of the tiles."""

    folder: Path
    tile: tuple[int, int]

    def __reduce__(self):
        """Only what it was made of is sent with a task; the columns are read again where it is done."""
        return _Work, (self.folder, self.tile)

    def prepare(self, layout: Layout, queries: np.ndarray) -> None:
        """Write what tasks read."""
        encoding.write(self.folder / "queries.npz", vectors=queries)
        columns = {name: value for name, value in vars(layout.columns).items() if value is not None}
        encoding.write(self.folder / "columns.npz", **columns)
        # Replaced, never written over: a worker that outlived the process before may have them open.
        for name in ("order", "text_starts"):
            with written_whole(self.folder / f"{name}.npy") as stage, stage.open("wb") as file:
                np.save(file, getattr(layout, name))

    @property
    def order(self) -> np.ndarray:
        """Rows of the candidates in order of the columns, memory-mapped."""
        return np.load(self.folder / "order.npy", mmap_mode="r")

    @functools.cached_property
    def columns(self) -> Columns:
        return Columns(**self._shared("columns"))

    @property
    def queries(self) -> np.ndarray:
        """Vectors of the queries."""
        return self._shared("queries")["vectors"]

    def _shared(self, name: str) -> dict[str, np.ndarray]:
        found = encoding.read(self.folder / f"{name}.npz")
        if found is None:
            raise KitError(
                f"{self.folder / name}.npz is not there or damaged: the workers must see the folder of the one that "
                "started them; run the same command again."
            )
        return found

    def gold_blocks(self) -> list[int]:
        """The blocks that hold the texts of relevant passages."""
        starts = np.load(self.folder / "text_starts.npy", mmap_mode="r")
        first = starts[np.searchsorted(starts, self.columns.column, side="right") - 1]
        return np.unique(first // (GROUP * self.tile[1])).tolist()

    def counts(self, first: int, last: int) -> np.ndarray | None:
        """The counts of a shard that is done."""
        found = encoding.read(self.counts_file(first, last))
        return found["counts"] if found else None

    def counts_file(self, first: int, last: int) -> Path:
        return self.folder / "counts" / f"{first}-{last}.npz"


def count_shard(name: str, work: _Work, source: Model | Ready, first: int, last: int) -> Outcome:
    """One task: the counts over the tiles [first, last), kept in the work folder; found there if they are sound."""
    started = time.perf_counter()
    try:
        if work.counts(first, last) is not None:
            return Outcome(name, "skipped", 0.0)
        counter = Counter(work.queries, source.vectors(work), work.columns, work.tile)
        encoding.write(work.counts_file(first, last), counts=counter.part(first, last))
    except Exception as fault:
        return Outcome(name, "failed", time.perf_counter() - started, in_a_line(fault))
    return Outcome(name, "finished", time.perf_counter() - started)


def encode_blocks(name: str, work: _Work, source: Model, blocks: list[int]) -> Outcome:
    """One task: encode some blocks into the work folder; one that is there and sound is left alone."""
    started = time.perf_counter()
    try:
        vectors = source.vectors(work)
        for block in blocks:
            vectors.block(block)
    except Exception as fault:
        return Outcome(name, "failed", time.perf_counter() - started, in_a_line(fault))
    return Outcome(name, "finished", time.perf_counter() - started)


def silent(name: str, outcome: Outcome | None) -> None:
    """Report nothing."""


def evaluate_model(
    model: str,
    benchmark: "Benchmark",
    system: str = "",
    batch_size: int = 128,
    shards: int | None = None,
    keep: bool = False,
    make_executor: Callable[[], Executor] | None = None,
    report: Callable[[str, Outcome | None], None] = silent,
    tile: tuple[int, int] = TILE,
) -> GoldRanks:
    """Gold ranks of a model, given as a folder or an id, with the corpus encoded and compared shard by shard.

    `shards`: how many (None: one for every 262,144 candidates). `keep`: keep all embeddings, in half precision, for
    the next evaluation with the same model, benchmark and batch size; scores are then products of the rounded values.
    `make_executor`: where the tasks run (None: one after the other in this process). `report` as in `sweep.run_tasks`.
    Raises KitError if a shard could not be computed; those that were are kept, and the same call goes on there.
    """
    from hybridkit import encoders

    name = str(encoders.folder(model).absolute())
    content = encoders.content_key(model)
    source = Model(name, content, batch_size, benchmark.candidate_texts, keep)
    key = ("model", content, batch_size, "half precision" if keep else "float32")
    with _work_folder(key, benchmark, tile) as work:
        kept = encoding.read(work.folder / "queries.npz")
        queries = kept["vectors"] if kept else encoding.queries(_model(name, content), benchmark, batch_size)
        layout = Layout(benchmark, encoding.same_text(benchmark))
        work.prepare(layout, queries)
        golds = work.gold_blocks()
        parts = [golds[start : start + _GOLD_BLOCKS] for start in range(0, len(golds), _GOLD_BLOCKS)]
        names = [f"relevant passages, part {i + 1} of {len(parts)}" for i in range(len(parts))]
        tasks = [(name, encode_blocks, (name, work, source, part)) for name, part in zip(names, parts)]
        _run(tasks, make_executor, report)
        counts = _sum_of_shards(work, source, layout, shards, make_executor, report)
        if not keep:
            remove(work.folder)
    _model.cache_clear()  # a GPU has better uses for its memory
    return layout.result(counts, benchmark, system or model)


def evaluate_embeddings(
    folder: str | Path,
    benchmark: "Benchmark",
    system: str = "",
    shards: int | None = None,
    make_executor: Callable[[], Executor] | None = None,
    report: Callable[[str, Outcome | None], None] = silent,
    tile: tuple[int, int] = TILE,
) -> GoldRanks:
    """Gold ranks of ready embeddings (`ranks.load_embeddings`), memory-mapped and compared shard by shard.

    Arguments and errors as in `evaluate_model`. A file is known by its path, size and time of change.
    """
    queries, _ = load_embeddings(folder, benchmark)
    queries = check_finite(queries[:], np.arange(len(queries)), "query", benchmark.query_ids)
    files = [path for what in ("queries", "candidates") for path in embedding_files(folder, what)]
    key = ("embeddings", [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files])
    with _work_folder(key, benchmark, tile) as work:
        layout = Layout(benchmark)
        work.prepare(layout, queries)
        counts = _sum_of_shards(work, Ready(str(Path(folder).absolute())), layout, shards, make_executor, report)
        remove(work.folder)
    return layout.result(counts, benchmark, system or Path(folder).name)


@contextmanager
def _work_folder(key: tuple, benchmark: "Benchmark", tile: tuple[int, int]) -> Iterator[_Work]:
    """The folder of one evaluation, known by all that decides its numbers, while no other process works in it."""
    told = {"format": _FORMAT, "benchmark": benchmark.fingerprint, "tile": tile, "vectors": key}
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    folder = paths.cache() / "evaluations" / digest
    write_text(folder / "about.json", json.dumps({"name": benchmark.name} | told, indent=1))
    with FileLock(folder.with_name(f"{digest}.lock")):
        for path in folder.rglob(".*.tmp"):  # what a killed process left half-written
            remove(path)
        yield _Work(folder, tile)


def _sum_of_shards(work, source, layout, shards, make_executor, report) -> np.ndarray:
    """Counts (2, L, golds) over all columns: those of the shards, each computed or found, added up."""
    ranges = cut(len(layout.columns), shards, work.tile[1], layout.text_starts)
    names = [f"shard {i + 1} of {len(ranges)}" for i in range(len(ranges))]
    _run(
        [(name, count_shard, (name, work, source, *range_)) for name, range_ in zip(names, ranges)],
        make_executor,
        report,
    )
    counts = layout.columns.zeros()
    for name, range_ in zip(names, ranges):
        found = work.counts(*range_)
        if found is None:
            raise KitError(
                f"{name} is not in {work.counts_file(*range_)}, or damaged there: run the same command again."
            )
        counts += found
    return counts


def cut(columns: int, shards: int | None, width: int, text_starts: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of tiles, as equal as they can be, in whole blocks; no more than there are blocks.

    No edge parts the copies of a text, so that no text is encoded by two shards.
    """
    tiles = -(-columns // width)
    blocks = -(-tiles // GROUP)
    shards = min(shards or -(-columns // SHARD), blocks)
    edges = np.arange(0, tiles, GROUP)
    edges = np.append(edges[np.isin(edges * width, text_starts)], tiles)
    wanted = [blocks * i // shards * GROUP for i in range(shards)]
    found = {int(edges[np.searchsorted(edges, tile)]) for tile in wanted}
    return list(pairwise(sorted({*found, tiles})))


def _run(tasks, make_executor, report) -> None:
    """Run tasks; KitError tells of the first that failed, once the others are done where they run elsewhere."""
    if make_executor is not None:
        outcomes = run_tasks(tasks, make_executor, report)
    else:
        outcomes = []
        for name, function, arguments in tasks:
            report(name, None)
            outcomes.append(function(*arguments))
            report(name, outcomes[-1])
            if outcomes[-1].state == "failed":
                break
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise KitError(
            f"{failed[0].name} failed: {failed[0].message} What was done is kept ({len(failed)} of {len(tasks)} parts "
            "failed); the same command goes on there."
        )

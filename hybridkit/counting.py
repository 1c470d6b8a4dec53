"""Counting in tiles of scores: how many candidates of each language score above every gold, and how many the same.

Every count of the kit is made here. Candidates stand in one fixed order, the columns, which is cut into tiles; a tile's
scores are computed with one fixed shape, by one thread, at boundaries that depend on nothing but the benchmark. So the
counts of any parts of the columns add up to those of the whole, whatever the parts and however many threads.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np

#: Shape of the tiles of scores, in queries and candidates: 1 MiB of float32, which stays in a core's cache.
TILE = (256, 1024)
#: Most bytes that the scores held at one time may take, over all threads.
MEMORY = 256 * 2**20
#: Scores are sorted in runs of this length, which NumPy's vectorised sort keeps in registers: measured five times as
#: fast per score as runs of a thousand on one processor, and no slower on others.
RUN = 512
#: Golds a query up to which every score is compared with each of them; sorting the tile first pays from there on.
COMPARED = 2
#: Tiles whose candidates are asked for at one time.
GROUP = 4
#: Gives the vectors (end - begin, dimensions) of the candidates in the columns [begin, end); called by several threads.
Vectors = Callable[[int, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Columns:
    """What counting must know of a benchmark; plain data, which a worker can be sent.

    The columns [bounds[l], bounds[l + 1]) hold the candidates of language l, of L. Golds: `query`, ascending, `column`
    and `language` (golds,). `asked` (queries,): the number of each query's language, -1 where it has no candidates, for
    a benchmark whose queries are ranked among the candidates of their own language alone; else None.
    """

    bounds: np.ndarray
    query: np.ndarray
    column: np.ndarray
    language: np.ndarray
    asked: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def zeros(self) -> np.ndarray:
        """Counts (2, L, golds) to add to: above and tied. Languages first, so that what is added to lies together."""
        return np.zeros((2, len(self.bounds) - 1, len(self.query)), np.int32)

    def golds_of(self, start: int, stop: int) -> slice:
        """The golds of the queries [start, stop)."""
        return slice(*np.searchsorted(self.query, [start, stop]))

    def runs(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Cut columns [start, stop) by language: (begin, end, language), counted from `start`."""
        cuts = np.clip(self.bounds, start, stop) - start
        return [(int(a), int(b), i) for i, (a, b) in enumerate(zip(cuts, cuts[1:])) if a < b]

    def skipped(self, queries: slice, runs: Sequence[tuple[int, int, int]]) -> bool:
        """Whether none of the queries is ranked among the candidates of these runs."""
        return self.asked is not None and not np.isin(self.asked[queries], [run[2] for run in runs]).any()


@dataclass(frozen=True, eq=False)
class _Block:
    """The queries [start, stop) with their `vectors`, filled up with zeros to the height of a tile, and their `golds`."""

    start: int
    stop: int
    vectors: np.ndarray
    golds: slice


class Counter:
    """Counts the golds of one list of queries, over any part of the columns.

    `query_vectors` (queries, dimensions): floats of any width. `vectors` gives those of the columns. `threads` defaults
    to what NumPy's matrix product may use.
    """

    def __init__(
        self,
        query_vectors: np.ndarray,
        vectors: Vectors,
        columns: Columns,
        tile: tuple[int, int] = TILE,
        memory: int = MEMORY,
        threads: int | None = None,
    ):
        self._threads = threads or default_threads()
        self._vectors, self._columns, self._tile, self._memory = vectors, columns, tile, memory
        self._dimensions = query_vectors.shape[1]
        starts = range(0, len(query_vectors), tile[0])
        stops = [min(start + tile[0], len(query_vectors)) for start in starts]
        self._blocks = [
            _Block(a, b, filled(query_vectors[a:b], tile[0]), columns.golds_of(a, b)) for a, b in zip(starts, stops)
        ]

    def __len__(self) -> int:
        """Number of tiles."""
        return -(-len(self._columns) // self._tile[1])

    def everything(self) -> np.ndarray:
        """Counts (2, L, golds) over all columns.

        The scores of a block of queries are held together where they and the candidates fit into the memory: each
        product is then computed once, however many tiles hold golds.
        """
        tile_bytes = 4 * self._tile[0] * self._tile[1]
        threads = room(min(self._threads, len(self._blocks)), len(self), tile_bytes, self._memory)
        fits = len(self) * self._tile[1] * self._dimensions * 4 <= self._memory
        return self._together(threads) if threads and fits else self.part(0, len(self))

    def _together(self, threads: int) -> np.ndarray:
        tiles = [self._made(t, t + 1) for t in range(len(self))]
        runs = [self._runs(t) for t in range(len(self))]
        counts = self._columns.zeros()

        def worker() -> Callable[[_Block], None]:
            scores = np.empty((len(tiles), *self._tile), np.float32)

            def work(block: _Block) -> None:
                gold_scores = np.empty(len(self._columns.query), np.float32)
                wanted = [
                    t for t in range(len(tiles)) if not self._columns.skipped(slice(block.start, block.stop), runs[t])
                ]
                for t in {*wanted, *self._gold_tiles(block)}:
                    np.matmul(block.vectors, tiles[t].T, out=scores[t])
                    self._read_golds(block, t, scores[t], gold_scores)
                for t in wanted:
                    self._count(block, scores[t], runs[t], gold_scores, counts)

            return work

        self._spread(worker, self._blocks, threads)
        return counts

    def part(self, first: int, last: int) -> np.ndarray:
        """Counts (2, L, golds) over the tiles [first, last): the tiles that hold golds are computed first, then these.

        Holds a group of tiles of candidates and one tile of scores a thread, and counts of its own.
        """
        thread_bytes = 4 * self._tile[1] * (self._tile[0] + GROUP * self._dimensions)
        threads = max(1, min(self._threads, self._memory // thread_bytes))
        gold_scores = np.empty(len(self._columns.query), np.float32)
        golds: dict[int, list[_Block]] = {}
        for block in self._blocks:
            for t in self._gold_tiles(block):
                golds.setdefault(t, []).append(block)
        counts: list[np.ndarray] = []

        def reader() -> Callable[[int], None]:
            scores = np.empty(self._tile, np.float32)

            def work(t: int) -> None:
                candidates = self._made(t, t + 1)
                for block in golds[t]:
                    np.matmul(block.vectors, candidates.T, out=scores)
                    self._read_golds(block, t, scores, gold_scores)

            return work

        def counter() -> Callable[[int], None]:
            scores, mine = np.empty(self._tile, np.float32), self._columns.zeros()
            counts.append(mine)

            def work(start: int) -> None:
                stop = min(start + GROUP, last)
                group = self._made(start, stop).reshape(stop - start, self._tile[1], -1)
                for t, candidates in zip(range(start, stop), group):
                    runs = self._runs(t)
                    for block in self._blocks:
                        if not self._columns.skipped(slice(block.start, block.stop), runs):
                            np.matmul(block.vectors, candidates.T, out=scores)
                            self._count(block, scores, runs, gold_scores, mine)

            return work

        self._spread(reader, sorted(golds), threads)
        self._spread(counter, range(first, last, GROUP), threads)
        return sum(counts, start=self._columns.zeros())

    def _made(self, first: int, last: int) -> np.ndarray:
        """The candidates of the tiles [first, last), one below the other."""
        width = self._tile[1]
        return filled(self._vectors(first * width, min(last * width, len(self._columns))), (last - first) * width)

    def _runs(self, t: int) -> list[tuple[int, int, int]]:
        begin = t * self._tile[1]
        return self._columns.runs(begin, min(begin + self._tile[1], len(self._columns)))

    def _gold_tiles(self, block: _Block) -> list[int]:
        return np.unique(self._columns.column[block.golds] // self._tile[1]).tolist()

    def _read_golds(self, block: _Block, t: int, scores: np.ndarray, gold_scores: np.ndarray) -> None:
        """Keep the scores of the golds whose column is in tile t."""
        columns = self._columns.column[block.golds]
        here = np.flatnonzero(columns // self._tile[1] == t)
        rows = self._columns.query[block.golds][here] - block.start
        gold_scores[block.golds][here] = scores[rows, columns[here] % self._tile[1]]

    def _count(
        self, block: _Block, scores: np.ndarray, runs: list, gold_scores: np.ndarray, counts: np.ndarray
    ) -> None:
        rows = self._columns.query[block.golds] - block.start
        count_scores(scores, runs, rows, gold_scores[block.golds], counts[:, :, block.golds])

    def _spread(self, worker: Callable[[], Callable], items: Iterable, threads: int) -> None:
        """Do the work on every item, in threads that each have what `worker` makes; the first error ends it."""
        waiting, stopped = iter(list(items)), Event()

        def some(_) -> None:
            work = worker()
            try:
                for item in waiting:
                    if stopped.is_set():
                        return
                    work(item)
            except BaseException:
                stopped.set()
                raise

        with _blas().limit(limits=1), ThreadPoolExecutor(threads) as pool:
            try:
                list(pool.map(some, range(threads)))
            finally:
                stopped.set()


def count_scores(
    scores: np.ndarray,
    runs: Sequence[tuple[int, int, int]],
    rows: np.ndarray,
    gold_scores: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Add to `counts` (2, L, golds) what `scores` (queries, width) hold above each gold and beside it, itself included.

    `runs`: (begin, end, language) of the columns; `rows` and `gold_scores` (golds,): row of `scores` and score of each
    gold. The scores may be overwritten.
    """
    if len(rows) <= COMPARED * len(scores):
        _compare(scores, runs, rows, gold_scores, counts)
        return
    runs = [(a, min(a + RUN, end), language) for begin, end, language in runs for a in range(begin, end, RUN)]
    # Sorting reads the tile from end to end, so that it lies in the core's cache when the search jumps about in it.
    for begin, end, _ in runs:
        scores[:, begin:end].sort(axis=1)
    _search(scores, runs, rows, gold_scores, counts)


def _compare(scores, runs, rows, gold_scores, counts) -> None:
    """Compare every score of a gold's query with the gold's."""
    for start in range(0, len(rows), len(scores)):
        part = slice(start, start + len(scores))
        mine, wanted = scores.take(rows[part], axis=0), gold_scores[part, None]
        for count, compare in zip(counts, (np.greater, np.equal)):
            found = compare(mine, wanted).view(np.uint8)
            for begin, end, language in runs:
                count[language, part] += found[:, begin:end].sum(axis=1, dtype=np.uint32).astype(np.int32)


def _search(scores, runs, rows, gold_scores, counts) -> None:
    """Look the golds' scores up in sorted runs."""
    above, tied = counts
    begins, ends, languages = (np.array(part)[:, None] for part in zip(*runs))
    lengths = ends - begins
    first = begins + rows * scores.shape[1]
    flat = scores.reshape(-1)
    below = _binary_search(flat, first, lengths, gold_scores, np.less)
    # Few runs hold a score equal to the gold's: only there the upper end is searched too.
    at = np.minimum(below, lengths - 1)
    at += first
    run, gold = np.nonzero((flat.take(at) == gold_scores) & (below < lengths))
    upper = _binary_search(flat, first[run, gold], lengths[run, 0], gold_scores[gold], np.less_equal)
    equal = upper - below[run, gold]
    not_below = lengths - below
    for i, language in enumerate(languages[:, 0]):
        above[language] += not_below[i].astype(np.int32)
    np.subtract.at(above, (languages[run, 0], gold), equal.astype(np.int32))
    np.add.at(tied, (languages[run, 0], gold), equal.astype(np.int32))


def _binary_search(flat, first, lengths, wanted, before) -> np.ndarray:
    """How many of the `lengths` ascending scores from `first` on stand `before` (less, less or equal) the `wanted`.

    All searches advance together, one halving at a time; shapes are broadcast to that of `first`.
    """
    position = first.copy()
    probe, step = np.empty_like(position), np.empty_like(position)
    value, passed = np.empty(position.shape, np.float32), np.empty(position.shape, bool)
    left = lengths.copy()
    while (left > 0).any():
        half = np.where(left > 1, left // 2, left)
        np.add(position, np.maximum(half - 1, 0), out=probe)
        flat.take(probe, out=value, mode="clip")
        before(value, wanted, out=passed)
        np.multiply(passed, half, out=step)
        position += step
        left -= half
    return position - first


def _blas():
    """The libraries of NumPy's matrix product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def default_threads() -> int:
    """As many threads as NumPy's matrix product may use."""
    return max((library["num_threads"] for library in _blas().info()), default=os.cpu_count() or 1)


def room(threads: int, tiles: int, tile_bytes: int, memory: int) -> int:
    """Threads that can hold the scores of all tiles at one time; 0 where computing products twice costs less."""
    together = memory // (tiles * tile_bytes)
    return min(threads, together) if 2 * together >= threads else 0


def filled(vectors: np.ndarray, rows: int) -> np.ndarray:
    """A float32 copy of `vectors` with `rows` rows, zeros after the last one."""
    copy = np.empty((rows, vectors.shape[1]), np.float32)
    copy[: len(vectors)], copy[len(vectors) :] = vectors, 0
    return copy

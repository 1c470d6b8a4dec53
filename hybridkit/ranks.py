"""Gold ranks: for every relevant passage of every query, how many candidates of each language score above it.

Everything that the kit reports about retrieval is a function of these counts (`metrics`, `bias`).
"""

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hybridkit.errors import KitError
from hybridkit.files import holds_only, written_whole

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark

#: Shape of the tiles of scores, in queries and candidates: 1 MiB of float32, which stays in a core's cache.
TILE = (256, 1024)
#: Most bytes that the scores held at one time may take, over all threads.
MEMORY = 256 * 2**20
#: Scores are sorted in runs of this length, which NumPy's vectorised sort keeps in registers: measured five times as
#: fast per score as runs of a thousand on one processor, and no slower on others.
RUN = 512
_FILES = {"queries.parquet", "golds.parquet", "about.json"}


@dataclass(frozen=True, eq=False)
class GoldRanks:
    """Counts of the candidates above and beside every gold (relevant passage), by language of the candidates.

    `pools` are the L languages of the candidates and `pool_sizes` (L,) their numbers of candidates.
    Queries: `query_ids`, `query_languages`, `questions` (queries,), strings; translations of a question
    share its `questions` entry. Golds: `gold_query` (golds,) rows of queries, ascending, `gold_language` and
    `gold_candidate` (golds,), language and id of the relevant passage; `above` (golds, L), how many candidates
    of that language score higher than the gold, and `tied` (golds, L), how many others score exactly the same.
    """

    benchmark: str
    system: str
    pools: tuple[str, ...]
    pool_sizes: np.ndarray
    query_ids: np.ndarray
    query_languages: np.ndarray
    questions: np.ndarray
    gold_query: np.ndarray
    gold_language: np.ndarray
    gold_candidate: np.ndarray
    above: np.ndarray
    tied: np.ndarray
    fingerprint: str = ""

    def ranks(self, pool: Sequence[str]) -> np.ndarray:
        """Rank (golds,) of each gold among the candidates in the languages `pool`; equal scores share the middle rank.

        1 is the best; ties give halves. Only meaningful for golds whose own language is in `pool`.
        """
        columns = [i for i, language in enumerate(self.pools) if language in pool]
        if isinstance(pool, str) or len(columns) != len(set(pool)):
            raise KitError(f"The pool {pool!r} is not a list of languages of the candidates: {', '.join(self.pools)}.")
        return 1.0 + self.above[:, columns].sum(axis=1) + self.tied[:, columns].sum(axis=1) / 2

    def own_ranks(self) -> np.ndarray:
        """Rank (golds,) of each gold among the candidates in its own language, ties as in `ranks`."""
        own = (np.arange(len(self.gold_query)), self.pool_index)
        return 1.0 + self.above[own] + self.tied[own] / 2

    @property
    def languages(self) -> list[str]:
        """Every language of the candidates or of the queries, sorted."""
        return sorted({*self.pools, *self.query_languages.tolist()})

    @property
    def pool_index(self) -> np.ndarray:
        """Where each gold's language stands in `pools` (golds,)."""
        return np.searchsorted(self.pools, self.gold_language)

    @property
    def tied_share(self) -> float:
        """Share of golds that score exactly as some other candidate of the whole pool does."""
        return float(self.tied.any(axis=1).mean())

    def save(self, folder: str | Path) -> Path:
        """Write queries.parquet, golds.parquet and about.json; the folder appears whole or stays as it was.

        Raises KitError for a folder that holds anything else, which would be lost.
        """
        folder = Path(folder).absolute()
        check_replaceable(folder)
        queries = {"id": self.query_ids, "language": self.query_languages, "question": self.questions}
        golds = {"query": self.gold_query, "language": self.gold_language, "candidate": self.gold_candidate}
        for name, counts in (("above", self.above), ("tied", self.tied)):
            golds |= {f"{name}_{language}": counts[:, i] for i, language in enumerate(self.pools)}
        about = {
            "benchmark": self.benchmark,
            "fingerprint": self.fingerprint,
            "system": self.system,
            "pools": {language: int(size) for language, size in zip(self.pools, self.pool_sizes)},
        }
        with written_whole(folder) as stage:
            stage.mkdir()
            _write_table(queries, stage / "queries.parquet")
            _write_table(golds, stage / "golds.parquet")
            (stage / "about.json").write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", "utf-8")
        return folder

    @classmethod
    def open(cls, folder: str | Path) -> "GoldRanks":
        """Read what `save` wrote; KitError if a file is missing or damaged."""
        folder = Path(folder)
        try:
            about = json.loads((folder / "about.json").read_text("utf-8"))
            queries = _read_table(folder / "queries.parquet")
            golds = _read_table(folder / "golds.parquet")
            pools = tuple(about["pools"])
            return cls(
                benchmark=about["benchmark"],
                system=about["system"],
                pools=pools,
                pool_sizes=np.array([about["pools"][language] for language in pools], np.int64),
                query_ids=_strings(queries["id"]),
                query_languages=_strings(queries["language"]),
                questions=_strings(queries["question"]),
                gold_query=golds["query"].to_numpy().astype(np.int64),
                gold_language=_strings(golds["language"]),
                gold_candidate=_strings(golds["candidate"]),
                above=_counts(golds, "above", pools),
                tied=_counts(golds, "tied", pools),
                fingerprint=about["fingerprint"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KitError(
                f"{folder} holds no readable gold ranks ({error}); evaluate again to write them anew."
            ) from error


def check_replaceable(folder: Path) -> None:
    """Raise KitError where gold ranks cannot be written without losing something else."""
    if not holds_only(folder, _FILES):
        raise KitError(f"{folder} holds something else than gold ranks, which would be lost: name a new folder.")


def _write_table(columns: dict[str, np.ndarray], path: Path) -> None:
    """Write columns as Parquet, whole numbers in the smallest unsigned type that holds them."""
    narrow = {
        name: values.astype(np.min_scalar_type(int(values.max(initial=0)))) if values.dtype.kind == "i" else values
        for name, values in columns.items()
    }
    table = pa.table({name: pa.array(values) for name, values in narrow.items()})
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def _read_table(path: Path) -> pa.Table:
    return pq.read_table(path, page_checksum_verification=True)


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_pylist(), dtype=np.str_)


def _counts(golds: pa.Table, name: str, pools: Sequence[str]) -> np.ndarray:
    columns = [golds[f"{name}_{language}"].to_numpy() for language in pools]
    return np.stack(columns, axis=1).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Chosen:
    """A choice of languages: `pools`, their codes; `candidates`, how many these hold; `golds`, rows of the golds
    in these languages whose query is in one of them too (a slice where that is all)."""

    pools: tuple[str, ...]
    candidates: int
    golds: np.ndarray | slice


def chosen(gold: GoldRanks, languages: Sequence[str] | None) -> Chosen:
    """Restrict queries and candidates to `languages` (None: all); KitError names a language that occurs in neither."""
    if languages is None:
        return Chosen(gold.pools, int(gold.pool_sizes.sum()), slice(None))
    known = gold.languages
    if isinstance(languages, str) or not set(languages) <= set(known):
        raise KitError(f"The languages {languages!r} are not all in {gold.benchmark}: list some of {', '.join(known)}.")
    pools = tuple(language for language in gold.pools if language in languages)
    asked = np.isin(gold.query_languages, list(languages))[gold.gold_query]
    sizes = gold.pool_sizes[[language in languages for language in gold.pools]]
    return Chosen(pools, int(sizes.sum()), np.flatnonzero(asked & np.isin(gold.gold_language, pools)))


class _Layout:
    """A benchmark with its candidates in order of language, so that each language is one range of columns."""

    def __init__(self, benchmark: "Benchmark"):
        self.pools, language = np.unique(np.asarray(benchmark.candidate_languages, np.str_), return_inverse=True)
        self.order = np.argsort(language, kind="stable")
        self.bounds = np.concatenate([[0], np.cumsum(np.bincount(language, minlength=len(self.pools)))])
        column = np.empty_like(self.order)
        column[self.order] = np.arange(len(self.order))
        self.gold_query = np.asarray(benchmark.gold_query, np.int64)
        self.gold_column = column[np.asarray(benchmark.gold_candidate, np.int64)]
        self.gold_language = language[np.asarray(benchmark.gold_candidate, np.int64)]
        # Languages first: a column of counts is then contiguous while it is added to.
        self.above = np.zeros((len(self.pools), len(self.gold_query)), np.int32)
        self.tied = np.zeros_like(self.above)

    def golds_of(self, start: int, stop: int) -> slice:
        """The golds of the queries [start, stop)."""
        return slice(*np.searchsorted(self.gold_query, [start, stop]))

    def runs(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Cut columns [start, stop) into runs of one language: (begin, end, language), counted from `start`."""
        found = []
        for language, (first, last) in enumerate(zip(self.bounds, self.bounds[1:])):
            first, last = max(int(first), start), min(int(last), stop)
            found += [(a - start, min(a + RUN, last) - start, language) for a in range(first, last, RUN)]
        return found

    def result(self, benchmark: "Benchmark", system: str) -> GoldRanks:
        """The counts as GoldRanks; a gold is not its own tie."""
        self.tied[self.gold_language, np.arange(len(self.gold_query))] -= 1
        gold_candidate = np.asarray(benchmark.gold_candidate, np.int64)
        return GoldRanks(
            benchmark=benchmark.name,
            system=system,
            pools=tuple(self.pools.tolist()),
            pool_sizes=np.diff(self.bounds),
            query_ids=np.asarray(benchmark.query_ids, np.str_),
            query_languages=np.asarray(benchmark.query_languages, np.str_),
            questions=np.asarray(benchmark.questions, np.str_),
            gold_query=self.gold_query,
            gold_language=self.pools[self.gold_language],
            gold_candidate=np.asarray(benchmark.candidate_ids, np.str_)[gold_candidate],
            above=np.ascontiguousarray(self.above.T),
            tied=np.ascontiguousarray(self.tied.T),
            fingerprint=benchmark.fingerprint,
        )


def pool_order(benchmark: "Benchmark") -> np.ndarray:
    """Rows of the candidates (candidates,) in the order in which `count` takes their scores: by language."""
    return _Layout(benchmark).order


def count(score_blocks: Iterable[tuple[int, np.ndarray]], benchmark: "Benchmark", system: str = "") -> GoldRanks:
    """Count gold ranks from blocks of scores of any system.

    `score_blocks` yields (first query row, scores (rows, candidates) float32), the candidates in `pool_order`;
    together they cover every query once. The blocks are overwritten.
    """
    layout = _Layout(benchmark)
    runs = layout.runs(0, len(layout.order))
    counted = np.zeros(len(benchmark.query_ids), np.int64)
    for start, scores in score_blocks:
        scores = np.ascontiguousarray(scores, np.float32)
        if scores.shape[1:] != layout.order.shape or np.isnan(scores).any():
            raise KitError(
                f"The scores of the queries from row {start} on have shape {scores.shape} or hold NaN: "
                f"expected a number for each of the {len(layout.order):,} candidates."
            )
        counted[start : start + len(scores)] += 1
        golds = layout.golds_of(start, start + len(scores))
        rows = layout.gold_query[golds] - start
        gold_scores = scores[rows, layout.gold_column[golds]]
        _sort_runs(scores, runs)
        _count_sorted(scores, runs, rows, gold_scores, layout.above[:, golds], layout.tied[:, golds])
    if (counted != 1).any():
        query = int(np.flatnonzero(counted != 1)[0])
        raise KitError(f"Query {query} was scored {counted[query]} times: give the scores of every query once.")
    return layout.result(benchmark, system)


def _sort_runs(scores: np.ndarray, runs: list[tuple[int, int, int]]) -> None:
    for begin, end, _ in runs:
        scores[:, begin:end].sort(axis=1)


def _count_sorted(scores, runs, rows, gold_scores, above, tied) -> None:
    """Add to `above` and `tied` (L, golds) what the sorted runs of `scores` (queries, width) hold for each gold.

    `rows` and `gold_scores` (golds,): row of `scores` and score of each gold. `tied` includes the gold itself.
    """
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


def gold_ranks(
    query_vectors: np.ndarray,
    candidate_vectors: np.ndarray,
    benchmark: "Benchmark",
    system: str = "",
    tile: tuple[int, int] = TILE,
    memory: int = MEMORY,
    threads: int | None = None,
) -> GoldRanks:
    """Gold ranks from embeddings; the score is the inner product in float32 (the cosine, for vectors of length 1).

    `query_vectors` (queries, dimensions) and `candidate_vectors` (candidates, dimensions): floats of any width,
    also memory-mapped, rows in the benchmark's order. Scores are computed in tiles of one fixed shape, each by one
    thread, the last ones filled up with zeros: a score is then the same number whatever follows in either list and
    however many threads work. The scores of `tile[0]` queries are held together where they fit into `memory` bytes
    (over all threads); where they do not, the tiles that hold golds are computed first and then every tile once
    more, one by one, with the same counts. `threads` defaults to what NumPy's matrix product may use.
    """
    from threadpoolctl import ThreadpoolController

    _check_shape(query_vectors, "queries", len(benchmark.query_ids), benchmark)
    _check_shape(candidate_vectors, "candidates", len(benchmark.candidate_ids), benchmark)
    _check_dimensions(query_vectors, candidate_vectors)
    _check_finite(query_vectors, "query", benchmark.query_ids)
    _check_finite(candidate_vectors, "candidate", benchmark.candidate_ids)
    blas = ThreadpoolController().select(user_api="blas")
    threads = threads or max((library["num_threads"] for library in blas.info()), default=os.cpu_count() or 1)
    layout = _Layout(benchmark)
    tiles = _Tiles(candidate_vectors, layout, tile[1], memory)
    starts = range(0, len(query_vectors), tile[0])
    held, threads = _room(min(threads, len(starts)), len(tiles), 4 * tile[0] * tile[1], memory)
    waiting = iter(starts)

    def work(_) -> None:
        scores = np.empty((held, *tile), np.float32)
        for start in waiting:
            block = _filled(query_vectors[start : start + tile[0]], tile[0])
            _count_rows(block, start, min(start + tile[0], len(query_vectors)), tiles, layout, scores)

    with blas.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return layout.result(benchmark, system)


def _room(threads: int, tiles: int, tile_bytes: int, memory: int) -> tuple[int, int]:
    """(tiles of scores that a thread holds: all or one, threads). One by one costs every product up to twice."""
    together = memory // (tiles * tile_bytes)
    if 2 * together >= threads:
        return tiles, min(threads, together)
    return 1, max(1, min(threads, memory // tile_bytes))


class _Tiles:
    """The candidates in the layout's order, cut into tiles of `width` rows of float32, the last filled with zeros.

    Made once if all fit into `memory` bytes, else each time that one is asked for.
    """

    def __init__(self, vectors: np.ndarray, layout: _Layout, width: int, memory: int):
        self._vectors, self._layout, self._width = vectors, layout, width
        self._starts = range(0, len(vectors), width)
        self.runs = [layout.runs(start, min(start + width, len(vectors))) for start in self._starts]
        self.of_gold = layout.gold_column // width
        fits = len(self._starts) * width * vectors.shape[1] * 4 <= memory
        self._made = [self._make(start) for start in self._starts] if fits else None

    def __len__(self) -> int:
        return len(self._starts)

    def _make(self, start: int) -> np.ndarray:
        return _filled(self._vectors[self._layout.order[start : start + self._width]], self._width)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._made[index] if self._made else self._make(self._starts[index])


def _count_rows(block, start: int, stop: int, tiles: _Tiles, layout: _Layout, scores: np.ndarray) -> None:
    """Count the golds of the queries [start, stop) with vectors `block`; `scores` has room for one tile or for all."""
    golds = layout.golds_of(start, stop)
    rows, columns = layout.gold_query[golds] - start, layout.gold_column[golds] % scores.shape[2]
    above, tied = layout.above[:, golds], layout.tied[:, golds]
    gold_scores = np.empty(len(rows), np.float32)
    together = len(scores) == len(tiles)
    for t in range(len(tiles)):
        here = np.flatnonzero(tiles.of_gold[golds] == t)
        if not together and not len(here):
            continue
        tile = scores[t if together else 0]
        np.matmul(block, tiles[t].T, out=tile)
        gold_scores[here] = tile[rows[here], columns[here]]
    for t in range(len(tiles)):
        tile = scores[t if together else 0]
        if not together:
            np.matmul(block, tiles[t].T, out=tile)
        # Sorting reads the tile from end to end, so that it lies in the core's cache when the search jumps about in it.
        _sort_runs(tile, tiles.runs[t])
        _count_sorted(tile, tiles.runs[t], rows, gold_scores, above, tied)


def _filled(vectors: np.ndarray, rows: int) -> np.ndarray:
    """A float32 copy of `vectors` with `rows` rows, zeros after the last one."""
    filled = np.zeros((rows, vectors.shape[1]), np.float32)
    filled[: len(vectors)] = vectors
    return filled


def _check_shape(vectors: np.ndarray, what: str, expected: int, benchmark: "Benchmark") -> None:
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise KitError(
            f"The embeddings of the {what} are {vectors.dtype} of shape {vectors.shape}: "
            f"expected floats in a table with one row for each of the {what}."
        )
    if len(vectors) != expected:
        raise KitError(
            f"The embeddings of the {what} have {len(vectors):,} rows, but {benchmark.name} has {expected:,} {what}: "
            f"give one row for each of them, in the benchmark's order."
        )


def _check_dimensions(query_vectors: np.ndarray, candidate_vectors: np.ndarray) -> None:
    if query_vectors.shape[1] != candidate_vectors.shape[1]:
        raise KitError(
            f"The embeddings of the queries have {query_vectors.shape[1]} dimensions and those of the candidates "
            f"{candidate_vectors.shape[1]}: make both with the same model."
        )


def _check_finite(vectors: np.ndarray, what: str, ids: Sequence[str]) -> None:
    """Squared lengths within float32 bound every inner product (Cauchy-Schwarz), so no score can be NaN."""
    for start in range(0, len(vectors), TILE[1]):
        with np.errstate(over="ignore"):
            part = np.asarray(vectors[start : start + TILE[1]], np.float32)
            bad = np.flatnonzero(~np.isfinite(np.einsum("ij,ij->i", part, part)))
        if len(bad):
            row = start + int(bad[0])
            raise KitError(
                f'The embedding of {what} "{ids[row]}" (row {row}, counted from 0) holds NaN, infinity or numbers too '
                f"large for float32: encode the texts again and look at this one."
            )


def load_embeddings(folder: str | Path, benchmark: "Benchmark") -> tuple[np.ndarray, np.ndarray]:
    """Ready embeddings: (queries, candidates), memory-mapped from queries.npy and candidates.npy in `folder`.

    Each is a table of float16, float32 or float64, one row a text in the benchmark's order. KitError if a file is
    missing or unreadable or has the wrong number of rows.
    """
    found = []
    for what, expected in (("queries", len(benchmark.query_ids)), ("candidates", len(benchmark.candidate_ids))):
        path = Path(folder) / f"{what}.npy"
        try:
            vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise KitError(f"{path} is not there: write one row a text to it with numpy.save.") from None
        except (OSError, ValueError, EOFError) as error:
            reason = str(error).split(". ")[0] if "pickle" not in str(error) else "it is no array of numbers"
            raise KitError(f"{path} cannot be read as embeddings ({reason}): write floats with numpy.save.") from error
        if not isinstance(vectors, np.ndarray):
            raise KitError(f"{path} is an archive of several arrays: write one array of floats with numpy.save.")
        _check_shape(vectors, what, expected, benchmark)
        found.append(vectors)
    _check_dimensions(*found)
    return found[0], found[1]

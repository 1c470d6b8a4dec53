"""Gold ranks: for every relevant passage of every query, how many candidates of each language score above it.

Everything that the kit reports about retrieval is a function of these counts (`metrics`, `bias`).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hybridkit.counting import MEMORY, TILE, Columns, Counter, count_scores
from hybridkit.errors import KitError
from hybridkit.files import holds_only, written_whole

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark

#: Stands for the counts of a pool in which a gold is not ranked.
NOT_COUNTED = -1
_FILES = {"queries.parquet", "golds.parquet", "about.json"}


@dataclass(frozen=True, eq=False)
class GoldRanks:
    """Counts of the candidates above and beside every gold (relevant passage), by language of the candidates.

    `pools` are the L languages of the candidates and `pool_sizes` (L,) their numbers of candidates.
    Queries: `query_ids`, `query_languages`, `questions` (queries,), strings; translations of a question
    share its `questions` entry. Golds: `gold_query` (golds,) rows of queries, ascending, `gold_language` and
    `gold_candidate` (golds,), language and id of the relevant passage; `above` (golds, L), how many candidates
    of that language score higher than the gold, and `tied` (golds, L), how many others score exactly the same.
    Both are -1 for a pool in which the gold is not ranked: where a benchmark ranks each query in its own language alone,
    every other.
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

        1 is the best; ties give halves; NaN where the gold is not ranked in all of `pool`. Only meaningful for golds
        whose own language is in `pool`.
        """
        columns = [i for i, language in enumerate(self.pools) if language in pool]
        if isinstance(pool, str) or len(columns) != len(set(pool)):
            raise KitError(f"The pool {pool!r} is not a list of languages of the candidates: {', '.join(self.pools)}.")
        above, tied = self.above[:, columns], self.tied[:, columns]
        ranks = 1.0 + above.sum(axis=1) + tied.sum(axis=1) / 2
        ranks[(above == NOT_COUNTED).any(axis=1)] = np.nan
        return ranks

    def own_ranks(self) -> np.ndarray:
        """Rank (golds,) of each gold among the candidates in its own language, ties and NaN as in `ranks`."""
        own = (np.arange(len(self.gold_query)), self.pool_index)
        return np.where(self.above[own] == NOT_COUNTED, np.nan, 1.0 + self.above[own] + self.tied[own] / 2)

    @property
    def languages(self) -> list[str]:
        """Every language of the candidates or of the queries, sorted."""
        return sorted({*self.pools, *self.query_languages.tolist()})

    @cached_property
    def pool_index(self) -> np.ndarray:
        """Where each gold's language stands in `pools` (golds,)."""
        return np.searchsorted(self.pools, self.gold_language)

    @property
    def tied_share(self) -> float:
        """Share of golds that score exactly as some other candidate does, of all in which they are ranked."""
        return float((self.tied > 0).any(axis=1).mean())

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
        return write_tables(folder, {"queries": queries, "golds": golds}, about)

    @classmethod
    def open(cls, folder: str | Path) -> "GoldRanks":
        """Read what `save` wrote; KitError if a file is missing or damaged."""
        folder = Path(folder)
        try:
            about = json.loads((folder / "about.json").read_text("utf-8"))
            queries = read_table(folder / "queries.parquet")
            golds = read_table(folder / "golds.parquet")
            pools = tuple(about["pools"])
            return cls(
                benchmark=about["benchmark"],
                system=about["system"],
                pools=pools,
                pool_sizes=np.array([about["pools"][language] for language in pools], np.int64),
                query_ids=strings(queries["id"]),
                query_languages=strings(queries["language"]),
                questions=strings(queries["question"]),
                gold_query=golds["query"].to_numpy().astype(np.int64),
                gold_language=strings(golds["language"]),
                gold_candidate=strings(golds["candidate"]),
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


def write_tables(folder: Path, tables: dict[str, dict[str, np.ndarray]], about: dict) -> Path:
    """Write tables by their names (`write_table`), and about.json; the folder appears whole or stays as it was."""
    with written_whole(folder) as stage:
        stage.mkdir()
        for name, columns in tables.items():
            write_table(columns, stage / f"{name}.parquet")
        (stage / "about.json").write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return folder


def write_table(columns: dict[str, np.ndarray], path: Path) -> None:
    """Write columns as Parquet, whole numbers in the smallest type that holds them."""
    table = pa.table({name: pa.array(_narrow(values)) for name, values in columns.items()})
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def _narrow(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "i":
        return values
    least, most = int(values.min(initial=0)), int(values.max(initial=0))
    return values.astype(np.min_scalar_type(most if least == 0 else min(least, -most - 1)))


def read_table(path: Path) -> pa.Table:
    """Read what `write_table` wrote; an error of OSError for a file that was cut short or altered."""
    return pq.read_table(path, page_checksum_verification=True)


def strings(column: pa.ChunkedArray) -> np.ndarray:
    """A column of strings as an array of NumPy's strings."""
    encoded = column.combine_chunks().dictionary_encode()  # the same few strings many times
    return np.array(encoded.dictionary.to_pylist(), dtype=np.str_)[encoded.indices.to_numpy()]


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
    """Restrict queries and candidates to `languages` (None: all); KitError names a language that occurs in neither.

    Where no candidate is in one of them, as with Swahili questions of AfriQA, the queries alone are restricted.
    """
    if languages is None:
        return Chosen(gold.pools, int(gold.pool_sizes.sum()), slice(None))
    known = gold.languages
    if isinstance(languages, str) or not set(languages) <= set(known):
        raise KitError(f"The languages {languages!r} are not all in {gold.benchmark}: list some of {', '.join(known)}.")
    pools = tuple(language for language in gold.pools if language in languages) or gold.pools
    asked = np.isin(gold.query_languages, list(languages))[gold.gold_query]
    sizes = gold.pool_sizes[[language in pools for language in gold.pools]]
    return Chosen(pools, int(sizes.sum()), np.flatnonzero(asked & np.isin(gold.gold_language, pools)))


class Layout:
    """A benchmark with its candidates in the fixed order in which they are compared: by language, and within a language
    those that share a text with a relevant passage first, then by row; copies of a text stand side by side.

    `order` (candidates,): their rows. `same_text` (candidates,): the first row with the same text and language, by which
    copies are known; without it every candidate is taken for a text of its own. With the relevant passages in front,
    few tiles hold golds. `text_starts` (texts,): the column at which each text begins.
    """

    def __init__(self, benchmark: "Benchmark", same_text: np.ndarray | None = None):
        languages, query_languages = (
            np.asarray(side, np.str_) for side in (benchmark.candidate_languages, benchmark.query_languages)
        )
        rows = np.arange(len(languages))
        first = rows if same_text is None else same_text
        golds = np.asarray(benchmark.gold_candidate, np.int64)
        self.pools = np.array(distinct_languages(languages), np.str_)
        language = _number_in(languages, self.pools)
        rest = np.ones(len(languages), bool)
        rest[first[golds]] = False
        self.order = np.argsort((2 * language + rest[first]) * len(languages) + first, kind="stable")
        self.text_starts = np.flatnonzero(first[self.order] == self.order)
        column = np.empty_like(self.order)
        column[self.order] = rows
        own = getattr(benchmark, "own_language_only", False)
        self.columns = Columns(
            bounds=np.concatenate([[0], np.cumsum(np.bincount(language, minlength=len(self.pools)))]),
            query=np.asarray(benchmark.gold_query, np.int64),
            column=column[golds],
            language=language[golds],
            asked=_number_in(query_languages, self.pools) if own else None,
        )

    def result(self, counts: np.ndarray, benchmark: "Benchmark", system: str) -> GoldRanks:
        """Counts (2, L, golds) over all columns as GoldRanks; a gold is not its own tie."""
        above, tied = counts.copy()
        columns = self.columns
        tied[columns.language, np.arange(len(columns.query))] -= 1
        if columns.asked is not None:
            skipped = columns.asked[columns.query] != np.arange(len(self.pools))[:, None]
            above[skipped] = tied[skipped] = NOT_COUNTED
        return GoldRanks(
            benchmark=benchmark.name,
            system=system,
            pools=tuple(self.pools.tolist()),
            pool_sizes=np.diff(columns.bounds),
            query_ids=np.asarray(benchmark.query_ids, np.str_),
            query_languages=np.asarray(benchmark.query_languages, np.str_),
            questions=np.asarray(benchmark.questions, np.str_),
            gold_query=columns.query,
            gold_language=self.pools[columns.language],
            gold_candidate=np.array(take(benchmark.candidate_ids, self.order[columns.column]), np.str_),
            above=np.ascontiguousarray(above.T),
            tied=np.ascontiguousarray(tied.T),
            fingerprint=benchmark.fingerprint,
        )


def take(sequence: Sequence, rows: np.ndarray) -> list:
    """Some elements of a sequence: of a list one by one, of one that is memory-mapped by an array of row numbers."""
    return [sequence[i] for i in rows] if isinstance(sequence, (list, tuple)) else list(sequence[rows])


def distinct_languages(languages: np.ndarray) -> list[str]:
    """The languages that occur, sorted: by a comparison each, since there are few of them and many millions of rows."""
    found: list[str] = []
    left = np.ones(len(languages), bool)
    while left.any():
        found.append(str(languages[left.argmax()]))
        left &= languages != found[-1]
    return sorted(found)


def _number_in(languages: np.ndarray, pools: np.ndarray) -> np.ndarray:
    """The number of each language among the pools, -1 for one that is no pool."""
    number = np.full(len(languages), -1, np.int64)
    for i, pool in enumerate(pools):
        number[languages == pool] = i
    return number


def pool_order(benchmark: "Benchmark") -> np.ndarray:
    """Rows of the candidates (candidates,) in the order in which `count` takes their scores: by language."""
    return Layout(benchmark).order


def count(score_blocks: Iterable[tuple[int, np.ndarray]], benchmark: "Benchmark", system: str = "") -> GoldRanks:
    """Count gold ranks from blocks of scores of any system.

    `score_blocks` yields (first query row, scores (rows, candidates) float32), the candidates in `pool_order`;
    together they cover every query once. The blocks are overwritten.
    """
    layout = Layout(benchmark)
    columns, counts = layout.columns, layout.columns.zeros()
    runs = columns.runs(0, len(columns))
    counted = np.zeros(len(benchmark.query_ids), np.int64)
    for start, scores in score_blocks:
        scores = np.ascontiguousarray(scores, np.float32)
        if scores.shape[1:] != layout.order.shape or np.isnan(scores).any():
            raise KitError(
                f"The scores of the queries from row {start} on have shape {scores.shape} or hold NaN: "
                f"expected a number for each of the {len(layout.order):,} candidates."
            )
        counted[start : start + len(scores)] += 1
        golds = columns.golds_of(start, start + len(scores))
        rows = columns.query[golds] - start
        count_scores(scores, runs, rows, scores[rows, columns.column[golds]], counts[:, :, golds])
    if (counted != 1).any():
        query = int(np.flatnonzero(counted != 1)[0])
        raise KitError(f"Query {query} was scored {counted[query]} times: give the scores of every query once.")
    return layout.result(counts, benchmark, system)


def gold_ranks(
    query_vectors: np.ndarray,
    candidate_vectors: np.ndarray,
    benchmark: "Benchmark",
    system: str = "",
    tile: tuple[int, int] = TILE,
    memory: int = MEMORY,
    threads: int | None = None,
    layout: Layout | None = None,
) -> GoldRanks:
    """Gold ranks from embeddings; the score is the inner product in float32 (the cosine, for vectors of length 1).

    `query_vectors` (queries, dimensions) and `candidate_vectors` (candidates, dimensions): floats of any width,
    also memory-mapped, rows in the benchmark's order. Scores are computed in tiles of one fixed shape, each by one
    thread, the last ones filled up with zeros: a score is then the same number whatever follows in either list and
    however many threads work. The scores of `tile[0]` queries are held together where they fit into `memory` bytes
    (over all threads); where they do not, the tiles that hold golds are computed first and then every tile once
    more, one by one, with the same counts. `threads` defaults to what NumPy's matrix product may use. `layout`: one
    of the benchmark that was made before. `shards` does the same part by part.
    """
    check_shape(query_vectors, "queries", len(benchmark.query_ids), benchmark.name)
    check_shape(candidate_vectors, "candidates", len(benchmark.candidate_ids), benchmark.name)
    check_dimensions(query_vectors, candidate_vectors)
    query_vectors = check_finite(query_vectors[:], np.arange(len(query_vectors)), "query", benchmark.query_ids)
    layout = layout or Layout(benchmark)

    def vectors(begin: int, end: int) -> np.ndarray:
        rows = layout.order[begin:end]
        return check_finite(candidate_vectors[rows], rows, "candidate", benchmark.candidate_ids)

    counter = Counter(query_vectors, vectors, layout.columns, tile, memory, threads)
    return layout.result(counter.everything(), benchmark, system)


def check_shape(vectors: np.ndarray, what: str, expected: int, benchmark: str) -> None:
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise KitError(
            f"The embeddings of the {what} are {vectors.dtype} of shape {vectors.shape}: "
            f"expected floats in a table with one row for each of the {what}."
        )
    if len(vectors) != expected:
        raise KitError(
            f"The embeddings of the {what} have {len(vectors):,} rows, but {benchmark} has {expected:,} {what}: "
            f"give one row for each of them, in the benchmark's order."
        )


def check_dimensions(query_vectors: np.ndarray, candidate_vectors: np.ndarray) -> None:
    if query_vectors.shape[1] != candidate_vectors.shape[1]:
        raise KitError(
            f"The embeddings of the queries have {query_vectors.shape[1]} dimensions and those of the candidates "
            f"{candidate_vectors.shape[1]}: make both with the same model."
        )


def check_finite(vectors: np.ndarray, rows: np.ndarray, what: str, ids: Sequence[str] | None = None) -> np.ndarray:
    """The same vectors in float32; KitError names the first row that cannot be scored, `rows` and `ids` telling which.

    Squared lengths within float32 bound every inner product (Cauchy-Schwarz), so no score can be NaN.
    """
    with np.errstate(over="ignore"):
        vectors = np.asarray(vectors, np.float32)
        bad = np.flatnonzero(~np.isfinite(np.einsum("ij,ij->i", vectors, vectors)))
    if len(bad):
        row = int(rows[bad[0]])
        named = "" if ids is None else f' "{take(ids, np.array([row]))[0]}"'
        raise KitError(
            f"The embedding of {what}{named} (row {row}, counted from 0) holds NaN, infinity or numbers too "
            f"large for float32: encode the texts again and look at this one."
        )
    return vectors


def load_embeddings(folder: str | Path, benchmark: "Benchmark") -> "tuple[np.ndarray | Stacked, np.ndarray | Stacked]":
    """Ready embeddings: (queries, candidates), memory-mapped from queries.npy and candidates.npy in `folder`.

    Each is a table of float16, float32 or float64, one row a text in the benchmark's order. In place of one file there
    may be several whose rows follow on, in order of their names: candidates-0.npy, candidates-1.npy, ... KitError if a
    file is missing or unreadable or the number of rows is wrong.
    """
    found = []
    for what, expected in (("queries", len(benchmark.query_ids)), ("candidates", len(benchmark.candidate_ids))):
        vectors = open_embeddings(folder, what)
        check_shape(vectors, what, expected, benchmark.name)
        found.append(vectors)
    check_dimensions(*found)
    return found[0], found[1]


def embedding_files(folder: str | Path, what: str) -> list[Path]:
    """The files that hold the embeddings of `what`, "queries" or "candidates": one, or several in order of their names."""
    single = Path(folder) / f"{what}.npy"
    several = sorted(Path(folder).glob(f"{what}-*.npy"), key=lambda path: (len(path.name), path.name))
    if several and single.exists():
        raise KitError(f"{folder} holds {single.name} and {several[0].name}: keep the one file, or the several.")
    return several or [single]


def open_embeddings(folder: str | Path, what: str) -> "np.ndarray | Stacked":
    """The memory-mapped embeddings of `what`, "queries" or "candidates"; KitError as in `load_embeddings`."""
    tables = [_open_table(path) for path in embedding_files(folder, what)]
    return tables[0] if len(tables) == 1 else Stacked(tables, what)


def _open_table(path: Path) -> np.ndarray:
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise KitError(f"{path} is not there: write one row a text to it with numpy.save.") from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).split(". ")[0] if "pickle" not in str(error) else "it is no array of numbers"
        raise KitError(f"{path} cannot be read as embeddings ({reason}): write floats with numpy.save.") from error
    if not isinstance(vectors, np.ndarray):
        raise KitError(f"{path} is an archive of several arrays: write one array of floats with numpy.save.")
    return vectors


class Stacked:
    """Several tables of embeddings as one, whose rows are read by slices or arrays of row numbers."""

    def __init__(self, tables: Sequence[np.ndarray], what: str):
        kinds = {(table.dtype.str, table.shape[1:]) for table in tables}
        if len(kinds) > 1 or tables[0].ndim != 2:
            raise KitError(
                f"The files with the embeddings of the {what} hold {', '.join(sorted(map(str, kinds)))}: expected tables "
                "of one type and one number of dimensions."
            )
        self._tables = list(tables)
        self._starts = np.cumsum([0, *map(len, tables)])
        self.dtype, self.ndim, self.shape = tables[0].dtype, 2, (int(self._starts[-1]), tables[0].shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        rows = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        found = np.empty((len(rows), self.shape[1]), self.dtype)
        table = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(table).tolist():
            here = table == number
            found[here] = self._tables[number][rows[here] - self._starts[number]]
        return found

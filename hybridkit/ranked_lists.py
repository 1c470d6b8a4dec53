"""Ranked lists: the best candidates of some questions in the pool of all languages, in every query language.

What bias measures need that look at more than the relevant passages (`list_bias`), and what shows who outranks them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybridkit.errors import KitError
from hybridkit.files import holds_only
from hybridkit.ranks import check_shape, distinct_languages, read_table, strings, take, write_tables
from hybridkit.streams import Stream

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark

#: How many candidates a list holds.
DEPTH = 20
#: Of how many questions lists are kept, in all their languages: few, so that an evaluation hardly takes longer.
QUESTIONS = 200
_FILES = {"queries.parquet", "candidates.parquet", "about.json"}


@dataclass(frozen=True, eq=False)
class RankedLists:
    """The best candidates of queries, best first.

    `pools` are the languages of the candidates and `pool_sizes` (L,) their numbers of candidates. Queries: `query_ids`,
    `query_languages`, `questions` (queries,), strings; translations of a question share its `questions` entry.
    `candidate_ids` and `candidate_languages` (candidates,): those that occur in a list. `places` (queries, depth): the
    row of the candidate at each place, -1 where a list has ended. `fingerprint`: of the benchmark.
    """

    benchmark: str
    system: str
    pools: tuple[str, ...]
    pool_sizes: np.ndarray
    query_ids: np.ndarray
    query_languages: np.ndarray
    questions: np.ndarray
    candidate_ids: np.ndarray
    candidate_languages: np.ndarray
    places: np.ndarray
    fingerprint: str = ""

    @property
    def languages(self) -> list[str]:
        """Every language of the candidates or of the queries, sorted."""
        return sorted({*self.pools, *self.query_languages.tolist()})

    def select(self, queries: np.ndarray) -> "RankedLists":
        """The lists of some queries, given as a mask (queries,) or as rows."""
        found, places = np.unique(self.places[queries], return_inverse=True)
        kept = found[found >= 0]
        return RankedLists(
            self.benchmark, self.system, self.pools, self.pool_sizes,
            self.query_ids[queries], self.query_languages[queries], self.questions[queries],
            self.candidate_ids[kept], self.candidate_languages[kept],
            places.reshape(self.places[queries].shape) - (len(found) - len(kept)), self.fingerprint,
        )  # fmt: skip

    def restricted(self, languages: Sequence[str] | None) -> "RankedLists":
        """Queries and candidates in `languages` alone (None: all); KitError names a language that occurs in neither.

        A list without the other languages' candidates is the top of the smaller pool, but shorter than before.
        """
        if languages is None:
            return self
        known = self.languages
        if isinstance(languages, str) or not set(languages) <= set(known):
            told = f"The languages {languages!r} are not all in {self.benchmark}: list some of {', '.join(known)}."
            raise KitError(told)
        there = np.append(np.isin(self.candidate_languages, languages), False)[self.places]
        order = np.argsort(~there, axis=1, kind="stable")
        places = np.where(np.take_along_axis(there, order, 1), np.take_along_axis(self.places, order, 1), -1)
        pools = [row for row, code in enumerate(self.pools) if code in languages]
        lists = RankedLists(
            self.benchmark, self.system, tuple(self.pools[row] for row in pools), self.pool_sizes[pools],
            self.query_ids, self.query_languages, self.questions,
            self.candidate_ids, self.candidate_languages, places, self.fingerprint,
        )  # fmt: skip
        return lists.select(np.isin(self.query_languages, languages))

    def save(self, folder: str | Path) -> Path:
        """Write queries.parquet, candidates.parquet and about.json; the folder appears whole or stays as it was.

        Raises KitError for a folder that holds anything else, which would be lost.
        """
        folder = Path(folder).absolute()
        if not holds_only(folder, _FILES):
            raise KitError(f"{folder} holds something else than ranked lists, which would be lost: name a new folder.")
        queries = {"id": self.query_ids, "language": self.query_languages, "question": self.questions}
        queries |= {f"place_{place}": rows for place, rows in enumerate(self.places.T, start=1)}
        about = {
            "benchmark": self.benchmark,
            "fingerprint": self.fingerprint,
            "system": self.system,
            "depth": self.places.shape[1],
            "pools": {language: int(size) for language, size in zip(self.pools, self.pool_sizes)},
        }
        candidates = {"id": self.candidate_ids, "language": self.candidate_languages}
        return write_tables(folder, {"queries": queries, "candidates": candidates}, about)

    @classmethod
    def open(cls, folder: str | Path) -> "RankedLists":
        """Read what `save` wrote; KitError if a file is missing or damaged."""
        folder = Path(folder)
        try:
            about = json.loads((folder / "about.json").read_text("utf-8"))
            queries = read_table(folder / "queries.parquet")
            candidates = read_table(folder / "candidates.parquet")
            columns = [queries[f"place_{place + 1}"].to_numpy() for place in range(about["depth"])]
            return cls(
                benchmark=about["benchmark"],
                system=about["system"],
                pools=tuple(about["pools"]),
                pool_sizes=np.array(list(about["pools"].values()), np.int64),
                query_ids=strings(queries["id"]),
                query_languages=strings(queries["language"]),
                questions=strings(queries["question"]),
                candidate_ids=strings(candidates["id"]),
                candidate_languages=strings(candidates["language"]),
                places=np.stack(columns, axis=1).astype(np.int64),
                fingerprint=about["fingerprint"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise KitError(
                f"{folder} holds no readable ranked lists ({error}); evaluate again to write them anew."
            ) from error


def drawn(questions: Sequence[str], count: int | None) -> np.ndarray:
    """`count` of the distinct questions in a fixed random order (None: all); fewer are the first of more."""
    distinct = np.unique(questions)
    # Not the first ones: in order of their ids, kinds of questions come in turn, and some would never be kept.
    return distinct[Stream("reference").permutation(len(distinct))[:count]]


def ranked_lists(
    query_vectors: np.ndarray,
    candidate_vectors: np.ndarray,
    benchmark: "Benchmark",
    system: str = "",
    depth: int = DEPTH,
    questions: int | None = QUESTIONS,
) -> RankedLists:
    """The `depth` best candidates by inner product, in all languages, of at most `questions` questions (None: all).

    `query_vectors` (queries, dimensions) and `candidate_vectors` (candidates, dimensions), rows in the benchmark's
    order. Exact search; equal scores stand in a random order of the candidates that is drawn once for all, so that no
    language comes first. Scores are compared in double precision and those of gold ranks in single, so that two
    candidates whose scores differ in the last bits alone may stand in another order there. KitError for a benchmark
    that ranks each query in its own language alone.
    """
    from hybridkit.search import nearest

    if getattr(benchmark, "own_language_only", False):
        raise KitError(f"{benchmark.name} ranks each query in its own language alone: choose one with a pool of all.")
    check_shape(query_vectors, "queries", len(benchmark.query_ids), benchmark.name)
    check_shape(candidate_vectors, "candidates", len(benchmark.candidate_ids), benchmark.name)
    asked = np.flatnonzero(np.isin(benchmark.questions, drawn(benchmark.questions, questions)))
    order = Stream("ranked lists").permutation(len(benchmark.candidate_ids))
    found, _ = nearest(query_vectors[asked], candidate_vectors[order], depth)
    rows, places = np.unique(order[found], return_inverse=True)
    languages = np.asarray(benchmark.candidate_languages, np.str_)
    pools = distinct_languages(languages)
    return RankedLists(
        benchmark=benchmark.name,
        system=system,
        pools=tuple(pools),
        pool_sizes=np.array([np.count_nonzero(languages == code) for code in pools]),
        query_ids=np.asarray(benchmark.query_ids, np.str_)[asked],
        query_languages=np.asarray(benchmark.query_languages, np.str_)[asked],
        questions=np.asarray(benchmark.questions, np.str_)[asked],
        candidate_ids=np.array(take(benchmark.candidate_ids, rows), np.str_),
        candidate_languages=languages[rows],
        places=places.reshape(found.shape),
        fingerprint=benchmark.fingerprint,
    )

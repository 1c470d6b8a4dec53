"""A retrieval benchmark: queries, candidates and relevance, each query and candidate in one language."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybridkit.corpora.large import LanguageRanges, StoredStrings
from hybridkit.corpora.stores import check_ids, check_texts
from hybridkit.errors import KitError
from hybridkit.languages import check_code


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Queries, candidates and relevance as pairs of row numbers.

    `query_languages`, `candidate_languages`: arrays of codes. `questions`: (queries,) the id that translations of
    one question share. `gold_query`: (golds,) int64, ascending, and `gold_candidate`: (golds,) int64, ascending
    within a query: relevance as row numbers. `fingerprint`: SHA-256 over ids, texts, languages, questions and
    relevance. `names`: names of persons by language where the source knows them. `own_language_only`: whether a query
    is asked of the candidates in its own language and of no others (MIRACL).

    Ids, texts and languages of the candidates are lists and an array, or in a benchmark too large for that sequences
    that are indexed in the same ways and stay on disk (`large`).
    """

    name: str
    licence: str
    fingerprint: str
    query_ids: list[str]
    query_texts: list[str]
    query_languages: np.ndarray
    questions: list[str]
    candidate_ids: list[str] | StoredStrings
    candidate_texts: list[str] | StoredStrings
    candidate_languages: np.ndarray | LanguageRanges
    gold_query: np.ndarray
    gold_candidate: np.ndarray
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    own_language_only: bool = False

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the candidates, so of the pools, sorted."""
        if isinstance(self.candidate_languages, LanguageRanges):
            return self.candidate_languages.codes
        return tuple(str(code) for code in np.unique(self.candidate_languages))


def make_benchmark(
    name: str,
    licence: str,
    query_ids: Sequence[str],
    query_texts: Sequence[str],
    query_languages: Sequence[str],
    candidate_ids: Sequence[str],
    candidate_texts: Sequence[str],
    candidate_languages: Sequence[str],
    relevance: Iterable[tuple[str, str]],
    questions: Sequence[str] | None = None,
    names: Mapping[str, frozenset[str]] | None = None,
) -> Benchmark:
    """Check a benchmark and join its relevance, given as (query id, candidate id); a pair given twice counts once.

    `questions`: the id that translations of one question share; by default each query is a question of its own.
    Raises KitError for unknown or repeated ids, empty texts and queries without any relevant candidate, naming the
    first and how many.
    """
    questions = list(query_ids) if questions is None else list(questions)
    _check_side(name, "query", query_ids, query_texts, query_languages)
    _check_side(name, "candidate", candidate_ids, candidate_texts, candidate_languages)
    if len(questions) != len(query_ids) or not all(isinstance(one, str) and one for one in questions):
        raise KitError(f"{name}: give one question id, a string, for each of the {len(query_ids)} queries.")
    gold_query, gold_candidate = _join(name, query_ids, candidate_ids, relevance)
    contents = (query_ids, query_texts, query_languages, questions, candidate_ids, candidate_texts, candidate_languages)
    contents = (*(list(map(str, column)) for column in contents), gold_query.tolist(), gold_candidate.tolist())
    return Benchmark(
        name=name,
        licence=licence,
        fingerprint=hashlib.sha256(json.dumps(contents).encode()).hexdigest(),
        query_ids=list(query_ids),
        query_texts=list(query_texts),
        query_languages=np.array(query_languages, dtype=str),
        questions=questions,
        candidate_ids=list(candidate_ids),
        candidate_texts=list(candidate_texts),
        candidate_languages=np.array(candidate_languages, dtype=str),
        gold_query=gold_query,
        gold_candidate=gold_candidate,
        names={code: frozenset(found) for code, found in (names or {}).items()},
    )


def _check_side(name: str, what: str, ids: Sequence[str], texts: Sequence[str], languages: Sequence[str]) -> None:
    if not len(ids) == len(texts) == len(languages) or not len(ids):
        raise KitError(
            f"{name}: {len(ids)} {what} ids, {len(texts)} texts and {len(languages)} languages were given: "
            f"each {what} needs one of each, and there must be one."
        )
    check_ids(ids, f"{what} of {name}")
    missing = [one for one, text in zip(ids, texts, strict=True) if text is None]
    if missing:
        raise KitError(f"{name}: the {what} {missing[0]!r} has no text ({len(missing)} such in all): give one.")
    for code in dict.fromkeys(languages):
        check_code(str(code))
        rows = [row for row, other in enumerate(languages) if other == code]
        check_texts([ids[row] for row in rows], [texts[row] for row in rows], str(code))


def _join(
    name: str, query_ids: Sequence[str], candidate_ids: Sequence[str], relevance: Iterable[tuple[str, str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Relevance as row numbers, sorted by query and then by candidate."""
    relevance = list(relevance)
    row_of = []
    for side, (what, ids) in enumerate((("query", query_ids), ("candidate", candidate_ids))):
        rows = {one: row for row, one in enumerate(ids)}
        unknown = [pair for pair in relevance if pair[side] not in rows]
        if unknown:
            raise KitError(
                f"{name}: the relevance of query {unknown[0][0]!r} and candidate {unknown[0][1]!r} names an unknown "
                f"{what} ({len(unknown)} such in all): correct the id or add the {what}."
            )
        row_of.append(rows)
    golds = sorted({(row_of[0][query], row_of[1][candidate]) for query, candidate in relevance})
    gold_query, gold_candidate = np.array(golds, dtype=np.int64).reshape(-1, 2).T.copy()
    bare = np.setdiff1d(np.arange(len(query_ids)), gold_query)
    if len(bare):
        raise KitError(
            f"{name}: the query {query_ids[bare[0]]!r} has no relevant candidate ({len(bare)} such in all): "
            "add its relevance or leave the query out."
        )
    return gold_query, gold_candidate

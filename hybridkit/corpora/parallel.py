"""Which candidates of a benchmark are one passage in several languages, so that a list in one can be had in another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybridkit.corpora.benchmark import Benchmark
from hybridkit.errors import KitError


@dataclass(frozen=True, eq=False)
class Passages:
    """The candidates of one language, the `source`, that have a version in every other language that is asked for.

    `rows` (passages,): their rows among the candidates, ascending; `names` (passages,), their ids. `versions`: by
    language, starts (passages + 1,) and rows: passage p is there the candidates `rows[starts[p]:starts[p + 1]]`, one
    or, where sentences are cut otherwise than in the source, several.
    """

    source: str
    rows: np.ndarray
    names: list[str]
    versions: Mapping[str, tuple[np.ndarray, np.ndarray]]

    def version(self, passage: int, language: str) -> np.ndarray:
        """Rows of the candidates that are a passage in a language, ascending."""
        starts, rows = self.versions[language]
        return rows[starts[passage] : starts[passage + 1]]


def passages(benchmark: Benchmark, source: str, languages: Sequence[str]) -> Passages:
    """The passages of a benchmark by their candidates in `source`, with their versions in `languages`.

    Candidates are versions of one passage if their ids differ in the language alone ("en:7" and "de:7"), wherever the
    relevance agrees with that: each question's relevant candidates have the same ids in every language. Where it does
    not (XQuAD-R numbers the sentences of a paragraph, which are cut otherwise in each language), or ids are not of that
    form, the versions of a sentence are those that answer the questions that it answers, and sentences that answer
    none have no version. Raises KitError for a language without candidates, and where neither rule can tell.
    """
    codes = list(dict.fromkeys([source, *languages]))
    for code in codes:
        if code not in benchmark.languages:
            raise KitError(
                f"{benchmark.name} has no candidates in {code!r}: choose of {' '.join(benchmark.languages)}."
            )
    by_id = _names(benchmark)
    if by_id is not None and _agrees(benchmark, by_id):
        found = {code: _same_name(benchmark, by_id, source, code) for code in codes}
    else:
        _check_single(benchmark, codes)
        found = {code: _same_questions(benchmark, source, code) for code in codes}
    rows = np.flatnonzero(np.asarray(benchmark.candidate_languages) == source)
    for pairs in found.values():
        rows = np.intersect1d(rows, pairs[0])
    return Passages(
        source, rows, [benchmark.candidate_ids[row] for row in rows], {c: _by_row(p, rows) for c, p in found.items()}
    )


def _names(benchmark: Benchmark) -> list[str] | None:
    """What follows the language in each candidate's id; None where some id does not begin with its language."""
    prefixes = [f"{code}:" for code in benchmark.candidate_languages]
    if not all(one.startswith(prefix) for one, prefix in zip(benchmark.candidate_ids, prefixes, strict=True)):
        return None
    return [one[len(prefix) :] for one, prefix in zip(benchmark.candidate_ids, prefixes, strict=True)]


def _agrees(benchmark: Benchmark, names: list[str]) -> bool:
    """Whether each question's relevant candidates have the same names in every language in which it has any."""
    found: dict[str, dict[str, set[str]]] = {}
    for question, candidate in _golds(benchmark):
        by_language = found.setdefault(question, {})
        by_language.setdefault(str(benchmark.candidate_languages[candidate]), set()).add(names[candidate])
    return all(len(set(map(frozenset, by_language.values()))) == 1 for by_language in found.values())


def _golds(benchmark: Benchmark) -> list[tuple[str, int]]:
    """The relevant candidates of all queries of each question, each once."""
    asked = [benchmark.questions[query] for query in benchmark.gold_query]
    return list(dict.fromkeys(zip(asked, benchmark.gold_candidate.tolist(), strict=True)))


def _same_name(benchmark: Benchmark, names: list[str], source: str, code: str) -> np.ndarray:
    """Pairs (2, pairs) of rows in `source` and in `code` with the same name."""
    languages = np.asarray(benchmark.candidate_languages)
    there = {names[row]: row for row in np.flatnonzero(languages == code).tolist()}
    own = [row for row in np.flatnonzero(languages == source).tolist() if names[row] in there]
    return np.array([own, [there[names[row]] for row in own]], np.int64)


def _same_questions(benchmark: Benchmark, source: str, code: str) -> np.ndarray:
    """Pairs (2, pairs) of rows in `source` and in `code` that answer one question."""
    languages = benchmark.candidate_languages
    golds = _golds(benchmark)
    own = {question: row for question, row in golds if languages[row] == source}
    pairs = {(own[question], row) for question, row in golds if languages[row] == code and question in own}
    return np.array(sorted(pairs), np.int64).reshape(-1, 2).T


def _check_single(benchmark: Benchmark, codes: Sequence[str]) -> None:
    """Where a question has two answers in one language, nothing says which is the translation of which."""
    seen = set()
    for question, row in _golds(benchmark):
        code = str(benchmark.candidate_languages[row])
        if (question, code) in seen and code in codes and len(codes) > 1:
            raise KitError(
                f"Which candidates of {benchmark.name} are translations of each other cannot be told: the question "
                f'{question!r} has several relevant ones in {code}; give translations ids such as "en:7" and "de:7".'
            )
        seen.add((question, code))


def _by_row(pairs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and rows of the versions of some rows of the source, which stand in ascending order."""
    own, other = pairs[:, np.isin(pairs[0], rows)]
    order = np.lexsort((other, own))
    return np.searchsorted(own[order], np.append(rows, np.iinfo(np.int64).max)), other[order]

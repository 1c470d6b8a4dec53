"""A user's own data: training pairs from one JSONL file, a benchmark from a folder of three."""

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hybridkit import paths
from hybridkit.corpora.benchmark import Benchmark, make_benchmark
from hybridkit.corpora.pairs import TrainingPairs, make_pairs
from hybridkit.errors import KitError, KitWarning
from hybridkit.languages import check_code

LICENCE = "the user's own data, licence not stated"
# Part of the cache's key: to be raised when the same file would be read into other pairs.
_VERSION = 1
# What a line may hold, and whether it must.
_PAIR = {"id": True, "query": True, "positive": True, "positive_id": False, "negatives": False}


def read_pairs(path: str | Path) -> TrainingPairs:
    """Training pairs from a JSONL file, one object a line:

        {"id": "q1", "query": {"en": "...", "de": "..."}, "positive": {"en": "..."}, "positive_id": "p1",
         "negatives": [{"en": "..."}, ...]}

    `positive_id` and `negatives` may be left out. Lines with the same positive_id, or else with the same texts, have
    the same passage; lines with the same texts, or the same id, have the same query. What a line adds in another
    language is added to it. Read once and kept in the cache, keyed by the file's content. Raises KitError with file and
    line for what is malformed.
    """
    path = Path(path)
    folder = paths.cache() / "pairs" / _digest(path)
    if (folder / "about.json").exists():
        try:
            pairs = TrainingPairs.open(folder)
            # The same content may lie under another name now.
            return pairs if pairs.name == path.stem else replace(pairs, name=path.stem)
        except KitError:
            pass  # a damaged cache is no fault of the user's: build it again
    queries, passages = _Texts(), _Texts()
    query, positive, negatives = [], [], []
    for where, line in _lines(path, _PAIR):
        number = len(query) + 1
        query.append(queries.row(where, _text(where, line, "id"), _texts(where, "query", line["query"])))
        name = _text(where, line, "positive_id") if "positive_id" in line else None
        positive.append(passages.row(where, name, _texts(where, "positive", line["positive"]), f"positive {number}"))
        negatives.append(list(_negatives(where, line, passages, positive[-1], number)))
    if not query:
        raise KitError(f"{path} holds no pairs: write one JSON object a line.")
    return make_pairs(
        folder,
        name=path.stem,
        licence=LICENCE,
        query_ids=queries.ids,
        query_texts=queries.columns(),
        passage_ids=passages.ids,
        passage_texts=passages.columns(),
        query=query,
        positive=positive,
        negatives=negatives,
    )


def read_benchmark(folder: str | Path) -> Benchmark:
    """A benchmark from a folder of three JSONL files, one object a line:

        queries.jsonl     {"id": "q1", "language": "de", "text": "...", "question": "1"}     question may be left out
        candidates.jsonl  {"id": "c1", "language": "en", "text": "..."}
        relevance.jsonl   {"query": "q1", "candidate": "c1"}

    `question` is the id that translations of one question share. Raises KitError with file and line for what is
    malformed, and as `make_benchmark` does.
    """
    folder = Path(folder)
    columns = {"id": True, "language": True, "text": True}
    queries = _rows(folder / "queries.jsonl", columns | {"question": False})
    candidates = _rows(folder / "candidates.jsonl", columns)
    relevance = _rows(folder / "relevance.jsonl", {"query": True, "candidate": True})
    found = make_benchmark(
        name=folder.resolve().name,
        licence=LICENCE,
        query_ids=[row["id"] for row in queries],
        query_texts=[row["text"] for row in queries],
        query_languages=[row["language"] for row in queries],
        questions=[row.get("question", row["id"]) for row in queries],
        candidate_ids=[row["id"] for row in candidates],
        candidate_texts=[row["text"] for row in candidates],
        candidate_languages=[row["language"] for row in candidates],
        relevance=[(row["query"], row["candidate"]) for row in relevance],
    )
    _warn_of_judged_pool(found)
    return found


def _warn_of_judged_pool(benchmark: Benchmark) -> None:
    """Parallel collections are whole without a passage that answers nothing; others hardly are."""
    relevant = benchmark.candidate_languages[benchmark.gold_candidate]
    parallel = (relevant != benchmark.query_languages[benchmark.gold_query]).any()
    if len(np.unique(benchmark.gold_candidate)) == len(benchmark.candidate_ids) and not parallel:
        told = (
            f"Every candidate of {benchmark.name} is relevant to some query. If they are what was judged in a larger "
            "corpus, ranks among them say little: give the whole corpus as candidates (docs/evaluation.md)."
        )
        warnings.warn(told, KitWarning, stacklevel=3)


class _Texts:
    """Texts by language, collected line by line; the same id or the same texts give the same row."""

    def __init__(self):
        self.ids: list[str] = []
        self.rows: list[dict[str, str]] = []
        self._by_id: dict[str, int] = {}
        self._by_texts: dict[frozenset, int] = {}

    def row(self, where: str, name: str | None, texts: dict[str, str], otherwise: str = "") -> int:
        """The row of these texts, which is made where neither the id nor the texts are known."""
        row = self._by_id.get(name)
        if row is None:
            row = self._by_texts.get(frozenset(texts.items()))
        if row is None:
            row = len(self.rows)
            self.ids.append(name or otherwise)
            self.rows.append({})
        if name:
            self._by_id[name] = row
        for code, text in texts.items():
            if self.rows[row].setdefault(code, text) != text:
                raise KitError(
                    f"{where}: {name!r} has the text {_short(text)} in {code!r}, but an earlier line gave it "
                    f"{_short(self.rows[row][code])}: use another id, or the same text."
                )
        self._by_texts.setdefault(frozenset(texts.items()), row)
        return row

    def columns(self) -> dict[str, list[str | None]]:
        """One list a language, None where a text is missing."""
        codes = sorted({code for row in self.rows for code in row})
        return {code: [row.get(code) for row in self.rows] for code in codes}


def _negatives(where: str, line: dict, passages: _Texts, positive: int, number: int) -> Iterator[int]:
    given = line.get("negatives", [])
    if not isinstance(given, list):
        raise KitError(f'{where}: "negatives" is {_short(given)}: write a list of objects such as [{{"en": "..."}}].')
    for count, texts in enumerate(given, 1):
        row = passages.row(where, None, _texts(where, "negatives", texts), f"negative {number}.{count}")
        if row == positive:
            raise KitError(f"{where}: negative {count} is the line's own positive: leave it out.")
        yield row


def _digest(path: Path) -> str:
    with _open(path) as file:
        content = hashlib.file_digest(file, "sha256").digest()
    return hashlib.sha256(f"pairs of a JSONL file {_VERSION}\n".encode() + content).hexdigest()[:16]


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise KitError(f"{path} cannot be read ({error.strerror}): name a JSONL file that is there.") from error


def _rows(path: Path, keys: dict[str, bool]) -> list[dict[str, str]]:
    """Lines whose values are all texts."""
    rows = []
    for where, line in _lines(path, keys):
        rows.append({key: _text(where, line, key) for key in line})
        if "language" in line:
            _code(where, line["language"])
    return rows


def _lines(path: Path, keys: dict[str, bool]) -> Iterator[tuple[str, dict]]:
    """Each line's object, and where it is for messages; `keys`: what a line may hold, and whether it must."""
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if line.strip():
                yield where, _object(where, line, keys)


def _object(where: str, line: bytes, keys: dict[str, bool]) -> dict:
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise KitError(f"{where} is no JSON ({error}): write one object a line, in UTF-8.") from error
    if not isinstance(row, dict):
        raise KitError(f"{where} is {_short(row)}: write an object with {', '.join(keys)}.")
    for key in row:
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            hint = f'perhaps "{near[0]}"' if near else f"known are {', '.join(keys)}"
            raise KitError(f'{where}: the key "{key}" is unknown; {hint}.')
    missing = [key for key, needed in keys.items() if needed and key not in row]
    if missing:
        needs = ", ".join(key for key in keys if keys[key])
        raise KitError(f'{where}: the key "{missing[0]}" is missing; a line needs {needs}.')
    return row


def _once(items: list[tuple[str, object]]) -> dict:
    row = dict(items)
    if len(row) < len(items):
        raise ValueError("a key occurs twice")
    return row


def _text(where: str, row: dict, key: str) -> str:
    if not isinstance(row[key], str) or not row[key].strip():
        raise KitError(f'{where}: "{key}" is {_short(row[key])}: write a string that is not empty.')
    return row[key]


def _texts(where: str, key: str, texts: object) -> dict[str, str]:
    """Texts by language; null says that a language is missing."""
    if not isinstance(texts, dict) or not any(texts.values()):
        raise KitError(f'{where}: "{key}" is {_short(texts)}: write the texts by language, as in {{"en": "..."}}.')
    for code in texts:
        _code(where, code)
    return {code: _text(where, texts, code) for code in texts if texts[code] is not None}


def _code(where: str, code: object) -> None:
    try:
        check_code(code)
    except KitError as error:
        raise KitError(f"{where}: {error}") from None


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"

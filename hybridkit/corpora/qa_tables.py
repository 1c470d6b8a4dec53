"""Training pairs from tables of questions and answers, in English: Natural Questions, Mr. TyDi, MFAQ, WikiQA and others.

Each source has a function below that turns its rows into examples. Where a source has long documents and marks the
answer in them (DuoRC, NewsQA), the positive is the block of 100 words that holds the answer, as DPR cuts Wikipedia.
"""

import gzip
import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit.corpora import downloads
from hybridkit.corpora.building import built, tell
from hybridkit.corpora.pairs import TrainingPairs, build_pairs
from hybridkit.errors import KitError

if TYPE_CHECKING:
    from hybridkit.corpora.catalogue import Source
    from hybridkit.params import Parameters

# Part of the cache's key: to be raised when the same files would be read into other pairs.
_VERSION = 1
_BLOCK = 10_000  # rows of the joins at a time
_WORDS = 100  # of a block of a long document
_MOST_NEGATIVES = 30  # kept of a question: as many as Mr. TyDi gives
_OTHER_LAYOUT = (
    "its layout is not the one that docs/sources.md describes; take the revision that is described there, or bring the "
    "data as a .jsonl file (docs/data.md)"
)


@dataclass(frozen=True)
class Passage:
    """A passage; those with the same id are one passage, those without are each their own."""

    text: str
    id: str = ""


@dataclass(frozen=True)
class Example:
    """A question, the passage that answers it, and passages that do not."""

    query: str
    positive: Passage
    negatives: tuple[Passage, ...] = ()


#: What the functions give: an example, or why a row gives none.
Examples = Iterator[Example | str]


def load_pairs(source: "Source", parameters: "Parameters") -> TrainingPairs:
    """The pairs of one of these sources; English alone, so that they take part in mono batches only.

    Rows without a question or a passage are left out, which is told. `max_rows` counts the rows that are kept. Raises
    KitError as `downloads.file`, and for a file that is damaged or has another layout.
    """
    examples = partial(_kept, source, parameters.max_rows)
    return built(source, ("en",), parameters.max_rows, _VERSION, partial(_build, source, examples))


def _build(source: "Source", examples: Callable[..., Iterator[Example]], folder: Path) -> TrainingPairs:
    # The files are read anew for each column, so that none is held in memory.
    left: Counter[str] = Counter()
    if next(iter(examples(left)), None) is None:
        why = ", ".join(f"{number:,} {reason}" for reason, number in left.items()) or "there are none"
        there = ", ".join(str(downloads.file(source, name)) for name in source.files)
        raise KitError(f"{there}: no row can be trained on ({why}); delete what was cut short and fetch it again.")
    left.clear()
    pairs = build_pairs(
        folder,
        name=source.name,
        licence=source.licence,
        query_ids=(f"q{number}" for number, _ in enumerate(examples())),
        query_texts={"en": (one.query for one in examples())},
        passage_ids=(f"p{number}" for number, _ in enumerate(_passages(examples()))),
        passage_texts={"en": (one.text for one in _passages(examples()))},
        joins=_joins(examples(left)),
    )
    tell(source, left, len(pairs))
    return pairs


def _kept(source: "Source", max_rows: int, left: Counter[str] | None = None) -> Iterator[Example]:
    """The examples that have all they need; `left` counts the rows that do not, by the reason."""
    left = Counter() if left is None else left
    return islice(_checked(source, left), max_rows or None)


def _checked(source: "Source", left: Counter[str]) -> Iterator[Example]:
    for path in [downloads.file(source, name) for name in source.files]:
        for one in _read(source.name, path):
            if isinstance(one, str):
                left[one] += 1
            elif not _has_text(one.query):
                left["without a question"] += 1
            elif not _has_text(one.positive.text):
                left["without a passage"] += 1
            else:
                others = [other for other in one.negatives if _is_other(other, one.positive)]
                yield Example(one.query, one.positive, tuple(others[:_MOST_NEGATIVES]))


def _read(name: str, path: Path) -> Examples:
    try:
        yield from _READERS[name](path)
    except (KeyError, TypeError, AttributeError) as fault:
        raise KitError(f"{path}: {type(fault).__name__} {fault} in a row; {_OTHER_LAYOUT}.") from fault


def _is_other(passage: Passage, positive: Passage) -> bool:
    """Whether a passage can be a negative: it has text, and is not the positive again."""
    again = passage.text == positive.text or (passage.id and passage.id == positive.id)
    return _has_text(passage.text) and not again


def _has_text(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _passages(examples: Iterable[Example]) -> Iterator[Passage]:
    """All passages, each once, in the order of the row numbers that `_joins` gives them."""
    seen: set[str] = set()
    for one in examples:
        for passage in (one.positive, *one.negatives):
            if not passage.id or passage.id not in seen:
                seen.update(filter(None, [passage.id]))
                yield passage


def _joins(examples: Iterable[Example]) -> Iterator[tuple[list[int], list[int], list[list[int]]]]:
    rows: dict[str, int] = {}
    count = 0

    def row(passage: Passage) -> int:
        nonlocal count
        if passage.id in rows:
            return rows[passage.id]
        if passage.id:
            rows[passage.id] = count
        count += 1
        return count - 1

    numbered = enumerate(examples)
    while block := list(islice(numbered, _BLOCK)):
        places = [(number, row(one.positive), [row(other) for other in one.negatives]) for number, one in block]
        query, positive, negatives = zip(*places, strict=True)
        yield list(query), list(positive), list(negatives)


def read_rows(path: Path, columns: Iterable[str]) -> Iterator[dict]:
    """The rows of a .parquet, .jsonl or .jsonl.gz file that has these columns, a few at a time.

    Raises KitError for a damaged file, and for a missing column with those that were found.
    """
    import pyarrow

    try:
        yield from (_parquet if path.suffix == ".parquet" else _json_lines)(path, list(columns))
    except (OSError, EOFError, ValueError, pyarrow.ArrowException) as fault:
        raise KitError(
            f"{path} cannot be read ({str(fault).splitlines()[0] if str(fault) else type(fault).__name__}): delete it "
            "and fetch it again."
        ) from fault


def _parquet(path: Path, columns: list[str]) -> Iterator[dict]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        _check_columns(str(path), columns, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=1000, columns=columns):
            yield from batch.to_pylist()


def _json_lines(path: Path, columns: list[str]) -> Iterator[dict]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                row = json.loads(line)
                _check_columns(f"{path}, line {number},", columns, row)
                yield row


def _check_columns(where: str, columns: list[str], found: Iterable[str]) -> None:
    missing = [name for name in columns if name not in found]
    if missing:
        raise KitError(f'{where} has no column "{missing[0]}" but {", ".join(found) or "none"}: {_OTHER_LAYOUT}.')


def _pairs(query: str, positive: str, path: Path) -> Examples:
    """Natural Questions and Yahoo! Answers: a question and its answer a row."""
    for row in read_rows(path, (query, positive)):
        yield Example(row[query], Passage(row[positive]))


def _wikiqa(path: Path) -> Examples:
    """WikiQA: sentences of a question, one a row, labelled 1 where they answer it; the others are its negatives."""
    rows = read_rows(path, ("question_id", "question", "answer", "label"))
    for question, group in groupby(rows, key=lambda row: row["question_id"]):
        sentences = [(row, Passage(row["answer"], f"{question}:{number}")) for number, row in enumerate(group)]
        wrong = tuple(passage for row, passage in sentences if row["label"] == 0)
        right = [(row, passage) for row, passage in sentences if row["label"] == 1]
        if not right:
            yield "without an answer"
        for row, passage in right:
            yield Example(row["question"], passage, wrong)


def _mfaq(path: Path) -> Examples:
    """MFAQ: a web page a row, with its questions and answers."""
    for row in read_rows(path, ("qa_pairs",)):
        for pair in row["qa_pairs"]:
            yield Example(pair.get("question"), Passage(pair.get("answer")))


def _mr_tydi(path: Path) -> Examples:
    """Mr. TyDi: passages of Wikipedia that answer a question and that do not, titles before the text."""
    for row in read_rows(path, ("query", "positive_passages", "negative_passages")):
        right, wrong = ([_titled(one, "docid") for one in row[f"{kind}_passages"]] for kind in ("positive", "negative"))
        yield Example(row["query"], right[0], tuple(wrong)) if right else "without an answer"


def _entity_questions(path: Path) -> Examples:
    """EntityQuestions as DPR writes what it retrieved: the first passage with the answer, and those without it."""
    for row in read_rows(path, ("question", "ctxs")):
        right = [_titled(one, "id") for one in row["ctxs"] if one["has_answer"]]
        wrong = tuple(_titled(one, "id") for one in row["ctxs"] if not one["has_answer"])
        yield Example(row["question"], right[0], wrong) if right else "without an answer in what was retrieved"


def _titled(passage: dict, key: str) -> Passage:
    """A passage of Wikipedia with its title before its text; without text it is empty, whatever its title."""
    text = passage.get("text") or ""
    return Passage(f"{passage.get('title') or ''} {text}".strip() if _has_text(text) else "", str(passage[key]))


def _duorc(path: Path) -> Examples:
    """DuoRC: a question on the plot of a film, and answers as they are written in the plot or in other words."""
    for row in read_rows(path, ("plot_id", "plot", "question", "answers")):
        plot = row["plot"] or ""
        place = next((plot.find(answer) for answer in row["answers"] or [] if answer and answer in plot), None)
        if place is None:
            yield "without an answer that stands in the plot"
        else:
            yield Example(row["question"], _block(plot, place, row["plot_id"]))


def _newsqa(path: Path) -> Examples:
    """NewsQA as its own tool writes it: stories of CNN with questions, and where the answer stands."""
    try:
        stories = json.loads(path.read_bytes())["data"]
        training = [story for story in stories if story["type"] == "train"]
        asked = [(story, one["q"], one["consensus"]) for story in training for one in story["questions"]]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise KitError(
            f"{path} is no combined-newsqa-data-v1.json ({type(fault).__name__}: {fault}): build it again with the tool "
            "of github.com/Maluuba/newsqa."
        ) from fault
    for story, question, consensus in asked:
        if "s" in consensus:
            yield Example(question, _block(story["text"], consensus["s"], story["storyId"]))
        else:
            yield "without an agreed answer"


def _block(text: str, place: int, document: str) -> Passage:
    """The block of 100 words of a document that holds the character `place`."""
    starts = [word.start() for word in re.finditer(r"\S+", text)][::_WORDS]
    number = max(bisect_right(starts, place) - 1, 0)
    end = starts[number + 1] if number + 1 < len(starts) else len(text)
    return Passage(text[starts[number] : end].rstrip() if starts else "", f"{document}:{number}")


_READERS: dict[str, Callable[[Path], Examples]] = {
    "natural-questions": partial(_pairs, "query", "answer"),
    "yahoo-qa": partial(_pairs, "title", "answer"),
    "wikiqa": _wikiqa,
    "mfaq": _mfaq,
    "mr-tydi": _mr_tydi,
    "duorc": _duorc,
    "newsqa": _newsqa,
    "entity-questions": _entity_questions,
}

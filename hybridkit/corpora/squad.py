"""Training pairs in the format of SQuAD 1.1 (JSON), in English and in translations that are joined by question id.

The positive is the whole paragraph: its sentences are cut differently in each language, and Thai does not mark them.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
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


@dataclass(frozen=True)
class Question:
    """A question of a file; `paragraph` is the id of the paragraph that answers it, `context` its text."""

    id: str
    text: str
    paragraph: str
    context: str


def load_pairs(source: "Source", parameters: "Parameters") -> TrainingPairs:
    """The questions and paragraphs in English, which says which there are, and in those languages of the run.

    English questions without text, or with a paragraph without any, are left out, which is told; a question that a
    translation lacks has no text in that language. `max_rows` takes the first questions. Raises KitError as
    `downloads.file`, for a damaged file, and for a translation with questions that the English file lacks.
    """
    languages = [code for code in source.languages if code == "en" or code in parameters.languages]
    build = partial(_build, source, languages, parameters.max_rows)
    return built(source, languages, parameters.max_rows, _VERSION, build)


def _build(source: "Source", languages: list[str], max_rows: int, folder: Path) -> TrainingPairs:
    files = {code: [] for code in languages}
    for name in source.files_of(languages):
        files[source.files[name].get("language", "en")].append(downloads.file(source, name))
    left: Counter[str] = Counter()
    index = _Index(files["en"], max_rows, left)

    def texts(pick: Callable[[Question], tuple[int, str]], length: int) -> dict[str, Iterator[str | None]]:
        return {code: index.column(files[code], pick, length) for code in languages}

    pairs = build_pairs(
        folder,
        name=source.name,
        licence=source.licence,
        query_ids=list(index.query),
        query_texts=texts(lambda one: (index.query[one.id], one.text), len(index.query)),
        passage_ids=list(index.passage),
        passage_texts=texts(lambda one: (index.positive[index.query[one.id]], one.context), len(index.passage)),
        joins=[(range(len(index.query)), index.positive, [[]] * len(index.query))],
    )
    for code in languages:
        if lacking := len(pairs.queries) - int(pairs.queries.has(code).sum()):
            left[f"without a question in {code!r}, kept in the other languages"] += lacking
    tell(source, left, len(pairs))
    return pairs


class _Index:
    """Which questions and paragraphs there are, by the English files, and the row of each."""

    def __init__(self, files: list[Path], max_rows: int, left: Counter[str]):
        self.files = files
        self.known: set[str] = set()
        self.query: dict[str, int] = {}
        self.passage: dict[str, int] = {}
        self.positive: list[int] = []
        for one in islice(self._kept(left), max_rows or None):
            self.query[one.id] = len(self.query)
            self.positive.append(self.passage.setdefault(one.paragraph, len(self.passage)))
        # All ids, with those beyond max_rows: a translation may have them too.
        self.known.update(one.id for path in files for one in read_questions(path))

    def _kept(self, left: Counter[str]) -> Iterator[Question]:
        for one in (one for path in self.files for one in read_questions(path)):
            if one.text.strip() and one.context.strip():
                yield one
            else:
                left["without a question or a paragraph"] += 1

    def column(
        self, files: list[Path], pick: Callable[[Question], tuple[int, str]], length: int
    ) -> Iterator[str | None]:
        """The text of each row in one language; where several questions tell a paragraph, the first one counts."""
        texts: list[str | None] = [None] * length
        for path in files:
            for one in read_questions(path):
                if one.id not in self.known:
                    raise KitError(
                        f"{path} has the question {one.id!r}, which {self.files[0]} lacks: they are not translations of "
                        "each other; delete both and fetch them again."
                    )
                if one.id in self.query:
                    row, text = pick(one)
                    texts[row] = texts[row] or (text if text.strip() else None)
        yield from texts


def read_questions(path: Path) -> Iterator[Question]:
    """The questions of a file in the format of SQuAD 1.1. Raises KitError for one that is damaged or has another form."""
    try:
        articles = json.loads(path.read_bytes())["data"]
        for number, article in enumerate(articles):
            for place, paragraph in enumerate(article["paragraphs"]):
                name = f"{path.stem}:{number}:{place}"
                for asked in paragraph["qas"]:
                    yield Question(asked["id"], asked["question"] or "", name, paragraph["context"] or "")
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise KitError(
            f"{path} is not in the format of SQuAD 1.1 ({type(fault).__name__}: {fault}): delete it and fetch it again."
        ) from fault

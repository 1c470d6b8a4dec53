"""mMARCO (arXiv 2108.13897): MS MARCO passages and queries translated into 13 languages, with the official triples.

Queries and passages are joined by id over all languages; every line of the official triples is a row with one explicit
negative.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybridkit.corpora import downloads
from hybridkit.corpora.building import built, tell
from hybridkit.corpora.groups import shared_groups
from hybridkit.corpora.pairs import TrainingPairs, build_pairs
from hybridkit.errors import KitError
from hybridkit.languages import LANGUAGES

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridkit.corpora.catalogue import Source
    from hybridkit.params import Parameters

TRIPLES = "data/triples.train.ids.small.tsv"
# Part of the cache's key: to be raised when the same files would be read into other pairs.
_VERSION = 1
_BLOCK = 100_000  # texts at a time
_BYTES = 16 * 2**20  # of triples at a time
_IDS = 2**30  # ids are below this; those of MS MARCO are below 9 million


def load_pairs(source: "Source", parameters: "Parameters") -> TrainingPairs:
    """The triples, with their texts in those languages of the run that mMARCO has.

    `max_rows` takes the first triples and only the queries and passages that they need. Triples are left out, which is
    told, whose query, positive or negative has no text in any of the languages, or whose negative shares a text with
    the positive. Raises KitError as `downloads.file`, where a run has none of the languages, and where two files do not
    hold the same ids.
    """
    languages = [code for code in source.languages if code in parameters.languages]
    if not languages:
        raise KitError(
            f"{source.name} has none of the run's languages ({', '.join(parameters.languages)}): add one of "
            f"{', '.join(source.languages)}, or leave {source.name} out of training_data."
        )
    build = partial(_build, source, languages, parameters.max_rows)
    return built(source, languages, parameters.max_rows, _VERSION, build)


def file_names(code: str) -> tuple[str, str]:
    """The files of a language's queries and of its passages."""
    name = LANGUAGES[code].name.lower()
    return f"data/google/queries/train/{name}_queries.train.tsv", f"data/google/collections/{name}_collection.tsv"


def _build(source: "Source", languages: list[str], max_rows: int, folder: Path) -> TrainingPairs:
    triples = downloads.file(source, TRIPLES)
    wanted = _wanted(triples, max_rows)
    paths = {code: [downloads.file(source, name) for name in file_names(code)] for code in languages}
    queries = _Texts({code: path for code, (path, _) in paths.items()}, wanted[0], triples)
    passages = _Texts({code: path for code, (_, path) in paths.items()}, wanted[1], triples)
    left: Counter[str] = Counter()
    pairs = build_pairs(
        folder,
        name=source.name,
        licence=source.licence,
        query_ids=map(str, queries.each_id()),
        query_texts={code: queries.texts(code) for code in languages},
        passage_ids=map(str, passages.each_id()),
        passage_texts={code: passages.texts(code) for code in languages},
        joins=_joins(triples, max_rows, queries, passages, left),
    )
    tell(source, left, len(pairs))
    return pairs


def _blocks(triples: Path, max_rows: int) -> Iterator[np.ndarray]:
    """(rows, 3) int64: ids of query, positive and negative."""
    import pyarrow as pa
    from pyarrow import csv

    names = ["query", "positive", "negative"]
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.int64()))
    options = csv.ReadOptions(column_names=names, block_size=_BYTES)
    left = max_rows or np.inf
    try:
        reader = csv.open_csv(triples, options, csv.ParseOptions(delimiter="\t"), convert)
        for batch in reader:
            block = np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], axis=1)
            if any(column.null_count for column in batch.columns) or not ((block >= 0) & (block < _IDS)).all():
                raise pa.ArrowInvalid(f"an id is missing, or not from 0 to {_IDS - 1}")
            yield block[: int(min(left, len(block)))].astype(np.int64)
            left -= len(block)
            if left <= 0:
                return
    except (pa.ArrowException, OSError) as fault:
        raise KitError(
            f"{triples} holds no triples of ids ({str(fault).splitlines()[0]}): delete it and fetch it again."
        ) from fault


def _wanted(triples: Path, max_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids of all queries and of all passages of the triples, ascending."""
    seen = [np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)]  # by id: there are no gaps to speak of
    for block in _blocks(triples, max_rows):
        for number, ids in enumerate((block[:, :1], block[:, 1:])):
            if (lack := ids.max(initial=-1) + 1 - len(seen[number])) > 0:
                seen[number] = np.pad(seen[number], (0, int(lack)))
            seen[number][ids.ravel()] = True
    return np.flatnonzero(seen[0]), np.flatnonzero(seen[1])


class _Texts:
    """The texts of the wanted ids in each language, read from the files whenever they are asked for.

    It can be asked for groups as a text store can (`groups.shared_groups`).
    """

    def __init__(self, files: dict[str, Path], ids: np.ndarray, triples: Path):
        self.files, self.ids, self.triples = files, ids, triples
        self.languages = tuple(files)
        self._there = bytearray(len(ids))

    def __len__(self) -> int:
        return len(self.ids)

    def each_id(self) -> Iterator[int]:
        """The ids as Python's numbers, some at a time."""
        return (one for start in range(0, len(self), _BLOCK) for one in self.ids[start : start + _BLOCK].tolist())

    def texts(self, code: str) -> Iterator[str | None]:
        """One text, or None where it is empty, for each id."""
        lines = _lines(self.files[code], self.ids)
        held: dict[int, str] = {}
        for row, wanted in enumerate(self.each_id()):
            # Passages lie in the order of their ids. Queries do not, and those that are passed over are held.
            while wanted not in held:
                found = next(lines, None)
                if found is None:
                    raise self._lacks(code, wanted)
                held[found[0]] = found[1]
            text = held.pop(wanted)
            if text.strip():
                self._there[row] = True
                yield text
            else:
                yield None

    @property
    def there(self) -> np.ndarray:
        """(ids,) bool: which have a text in any of the languages that were read so far."""
        return np.frombuffer(self._there, dtype=bool)

    def batches(self, code: str) -> Iterator["pa.LargeStringArray"]:
        """All texts of a language as Arrow arrays."""
        import pyarrow as pa

        texts = self.texts(code)
        while block := list(islice(texts, _BLOCK)):
            yield pa.array(block, pa.large_string())

    def _lacks(self, code: str, wanted: int) -> KitError:
        others = [path for path in self.files.values() if path != self.files[code]]
        return KitError(
            f"{self.files[code]} has no line for the id {wanted}, which {[*others, self.triples][0]} has: one of the two "
            "was cut short or is of another revision; delete both and fetch them again."
        )


def _lines(path: Path, wanted: np.ndarray) -> Iterator[tuple[int, str]]:
    """Id and text of the lines whose id is among the wanted ones (ascending)."""
    with path.open("rb") as file:
        for start in count(1, _BLOCK):
            lines = [line.rstrip(b"\r\n").partition(b"\t") for line in islice(file, _BLOCK)]
            if not lines:
                return
            try:
                ids = np.array([int(one) for one, _, _ in lines], dtype=np.int64)
                places = np.minimum(np.searchsorted(wanted, ids), len(wanted) - 1)
                for number in np.flatnonzero(wanted[places] == ids).tolist():
                    yield int(ids[number]), lines[number][2].decode()
            except (ValueError, OverflowError) as fault:
                raise KitError(
                    f"{path}, lines {start} to {start + len(lines) - 1}: a line is no id, tab and text in UTF-8 ({fault}): "
                    "delete the file and fetch it again."
                ) from fault


def _joins(
    triples: Path, max_rows: int, queries: _Texts, passages: _Texts, left: Counter[str]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of rows; to be read after all texts were, since only then is it known which rows have any."""
    (group,) = shared_groups([passages])
    for block in _blocks(triples, max_rows):
        query = np.searchsorted(queries.ids, block[:, 0])
        positive, negative = np.searchsorted(passages.ids, block[:, 1:]).T
        empty = ~(queries.there[query] & passages.there[positive] & passages.there[negative])
        shared = (group[positive] == group[negative]) & ~empty
        kept = ~(empty | shared)
        found = {"with an empty text": empty.sum(), "whose negative is the positive again": shared.sum()}
        left.update({reason: int(number) for reason, number in found.items() if number})
        yield query[kept], positive[kept], negative[kept][:, None]

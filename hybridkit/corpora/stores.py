"""Texts by row number and language in one memory-mapped Arrow file, so that every text is stored once."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybridkit.errors import KitError
from hybridkit.files import written_whole
from hybridkit.languages import check_code

# Not "id": that is the code of Indonesian, and every other column is named by its language.
_IDS = "row_id"


class TextStore:
    """Texts by row number and language; a text may be missing (None) in a language.

    On disk: an Arrow IPC file with the column "row_id" and one nullable string column a language, opened
    memory-mapped, so that processes share the pages and only rows that are asked for become Python strings.
    """

    def __init__(self, table: pa.RecordBatch, path: Path | None = None):
        self._table = table
        self.path = path
        self.languages: tuple[str, ...] = tuple(table.schema.names[1:])
        self._has: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self._table.num_rows

    def __repr__(self) -> str:
        return f"TextStore({len(self)} rows, languages {' '.join(self.languages)})"

    def __reduce__(self):
        # A worker process opens the same file again instead of being sent the texts.
        return (TextStore.open, (self.path,)) if self.path else (TextStore, (self._table,))

    @property
    def ids(self) -> list[str]:
        """The id of every row; made anew at each call."""
        return self._table.column(0).to_pylist()

    def texts(self, language: str, rows: Sequence[int] | np.ndarray) -> list[str | None]:
        """The texts of `rows` (row numbers) in `language`; None where one is missing."""
        rows = np.asarray(rows, dtype=np.int64)
        if language not in self.languages:
            return [None] * len(rows)
        return self._table.column(language).take(pa.array(rows)).to_pylist()

    def has(self, language: str) -> np.ndarray:
        """(rows,) bool, read-only: where there is a text in `language`; all False for a language that is not here."""
        if language not in self._has:
            here = np.zeros(len(self), dtype=bool)
            if language in self.languages:
                here |= self._table.column(language).is_valid().to_numpy(zero_copy_only=False)
            here.flags.writeable = False
            self._has[language] = here
        return self._has[language]

    def column(self, language: str) -> pa.LargeStringArray:
        """All texts in a language of the store, as an Arrow array (for work on whole columns)."""
        return self._table.column(language)

    @classmethod
    def build(cls, ids: Sequence[str], columns: Mapping[str, Sequence[str | None]]) -> "TextStore":
        """A store in memory. A language without any text is left out; languages are sorted by code.

        Raises KitError for ids that are not distinct non-empty strings, for columns of another length, and for
        texts that are empty or no strings.
        """
        check_ids(ids, "text store")
        languages = sorted(code for code, texts in columns.items() if any(text is not None for text in texts))
        for code in columns:
            check_code(code)
            if len(columns[code]) != len(ids):
                given = f"{len(columns[code])} texts in {code!r} were given for {len(ids)} ids"
                raise KitError(f"{given}: give one text, or None, for each id.")
            check_texts(ids, columns[code], code)
        arrays = [pa.array(column, pa.large_string()) for column in (ids, *(columns[code] for code in languages))]
        return cls(pa.RecordBatch.from_arrays(arrays, names=[_IDS, *languages]))

    def save(self, path: str | Path) -> None:
        """Write the store to one file, whole or not at all."""
        with written_whole(Path(path)) as stage, pa.ipc.new_file(str(stage), self._table.schema) as file:
            # One batch: taking rows from a column in several chunks would join the chunks, a copy of the column.
            file.write_batch(self._table)

    @classmethod
    def write(cls, path: str | Path, ids: Sequence[str], columns: Mapping[str, Sequence[str | None]]) -> "TextStore":
        """Build, save and open a store; errors as in `build`."""
        cls.build(ids, columns).save(path)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "TextStore":
        """Open a store memory-mapped. Raises KitError where the file is missing, cut short or something else."""
        batch = open_arrow(path)
        if batch.schema.names[:1] != [_IDS] or any(kind != pa.large_string() for kind in batch.schema.types):
            raise KitError(f"{path} is an Arrow file but no text store: delete it and run the same command again.")
        return cls(batch, Path(path))

    def update_hash(self, digest: "hashlib._Hash") -> None:
        """Feed ids and texts to a hash, in an order and form that depend on the content alone."""
        for name in self._table.schema.names:
            column = self._table.column(name)
            lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy().astype("<i8")
            _, offsets, data = pc.fill_null(column, "").buffers()
            ends = np.frombuffer(offsets, dtype=np.int64)[[column.offset, column.offset + len(column)]]
            digest.update(f"{name} {len(column)}\n".encode())
            digest.update(lengths.tobytes())
            digest.update(memoryview(data)[ends[0] : ends[1]] if data is not None else b"")


def open_arrow(path: str | Path) -> pa.RecordBatch:
    """The single record batch of an Arrow IPC file, memory-mapped.

    Raises KitError where the file is missing, cut short or no Arrow file.
    """
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        if file.num_record_batches != 1:
            raise pa.ArrowInvalid(f"{file.num_record_batches} record batches where 1 was expected")
        batch = file.get_batch(0)
        batch.validate()
        return batch
    except FileNotFoundError:
        raise KitError(f"{path} does not exist: delete the folder around it and run the same command again.") from None
    except (pa.ArrowException, OSError) as error:
        raise KitError(
            f"{path} is no complete Arrow file ({str(error).splitlines()[0]}): delete the folder around it and run the "
            "same command again."
        ) from error


def check_ids(ids: Sequence[str], what: str) -> None:
    """Raise KitError unless ids are distinct non-empty strings; `what` says whose ids they are."""
    bad = [one for one in ids if not _readable(one)]
    if bad:
        raise KitError(f"{bad[0]!r} is no id of a {what}: {len(bad)} of {len(ids)} ids are empty or no strings.")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = [one for one in ids if one in seen or seen.add(one)]
        raise KitError(
            f"The {what} id {twice[0]!r} occurs more than once ({len(twice)} repeated in all): give each its own id."
        )


def check_texts(ids: Sequence[str], texts: Sequence[str | None], language: str) -> None:
    """Raise KitError unless every text is None or a string with something to read that UTF-8 can hold."""
    bad = [row for row, text in enumerate(texts) if text is not None and not _readable(text)]
    if bad:
        raise KitError(
            f"The text of {ids[bad[0]]!r} in {language!r} is {texts[bad[0]]!r} ({len(bad)} such in all): "
            "give a string that is not empty, or leave the language out."
        )


def _readable(text: object) -> bool:
    """Whether this is a string with something to read that UTF-8 can hold."""
    if not isinstance(text, str) or not text.strip():
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can carry and UTF-8 cannot
        return False

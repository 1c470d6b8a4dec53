"""Texts by row number and language in memory-mapped Arrow files, one a language, so that every text is stored once."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybridkit.errors import KitError
from hybridkit.files import written_whole
from hybridkit.languages import check_code

#: Rows of a record batch; all batches of a file but the last have as many, so that a row is found by division.
ROWS = 16_384
# No code of a language: every other file is named by its language.
_IDS = "row_id"


class TextStore:
    """Texts by row number and language; a text may be missing (None) in a language.

    On disk: a folder with the Arrow IPC file `row_id.arrow` and one such file a language, each with one string
    column in record batches of `ROWS` rows. Files are opened memory-mapped, so that processes share the pages and
    only rows that are asked for become Python strings; work on whole columns reads them batch by batch.
    """

    def __init__(self, path: Path, columns: dict[str, list[pa.LargeStringArray]]):
        self.path = path
        self._columns = columns
        self.languages: tuple[str, ...] = tuple(sorted(name for name in columns if name != _IDS))
        self._length = sum(map(len, columns[_IDS]))
        self._has: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"TextStore({len(self)} rows, languages {' '.join(self.languages)})"

    def __reduce__(self):
        # A worker process opens the same files again instead of being sent the texts.
        return TextStore.open, (self.path,)

    @property
    def ids(self) -> list[str]:
        """The id of every row; made anew at each call, and all in memory: `id_of` gives one."""
        return [one for batch in self._columns[_IDS] for one in batch.to_pylist()]

    def id_of(self, row: int) -> str:
        """The id of one row."""
        return self._take(_IDS, [row])[0]

    def texts(self, language: str, rows: Sequence[int] | np.ndarray) -> list[str | None]:
        """The texts of `rows` (row numbers) in `language`; None where one is missing."""
        return self._take(language, rows) if language in self.languages else [None] * len(rows)

    def _take(self, name: str, rows: Sequence[int] | np.ndarray) -> list[str | None]:
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a store of {len(self)} rows")
        batches, places = (part.tolist() for part in np.divmod(rows, ROWS))
        column = self._columns[name]
        return [column[batch][place].as_py() for batch, place in zip(batches, places, strict=True)]

    def complete(self, language: str) -> bool:
        """Whether every row has a text in `language`; read from the files' counts of missing texts."""
        return language in self.languages and not any(batch.null_count for batch in self._columns[language])

    def has(self, language: str) -> np.ndarray:
        """(rows,) bool, read-only: where there is a text in `language`; all False for a language that is not here.

        Takes memory only where some rows have a text and some have none.
        """
        if language not in self._has:
            if language not in self.languages or self.complete(language):
                here = np.broadcast_to(np.bool_(language in self.languages), len(self))
            else:
                parts = [batch.is_valid().to_numpy(zero_copy_only=False) for batch in self._columns[language]]
                here = np.concatenate(parts)
                here.flags.writeable = False
            self._has[language] = here
        return self._has[language]

    def batches(self, language: str) -> Iterator[pa.LargeStringArray]:
        """All texts in a language of the store, in order, as Arrow arrays of up to `ROWS` rows.

        For work on whole columns: the file is read from end to end, with one batch in memory at a time.
        """
        return _read(_file(self.path, language))

    @classmethod
    def write(cls, path: str | Path, ids: Iterable[str], columns: Mapping[str, Iterable[str | None]]) -> "TextStore":
        """Write a store to the folder `path`, whole or not at all, and open it; errors as `write_columns`.

        Raises KitError where something is already at `path`.
        """
        path = Path(path)
        if path.exists():
            raise KitError(f"{path} exists: delete it, or name another folder for the texts.")
        with written_whole(path) as stage:
            write_columns(stage, ids, columns)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "TextStore":
        """Open a store memory-mapped. Raises KitError where a file is missing, cut short or something else."""
        path = Path(path)
        columns = {name: _mapped(path, name) for name in [_IDS, *_languages(path)]}
        lengths = {name: sum(map(len, batches)) for name, batches in columns.items()}
        for name, length in lengths.items():
            if length != lengths[_IDS]:
                raise KitError(
                    f"{_file(path, name)} holds {length} texts, but there are {lengths[_IDS]} ids: delete the folder "
                    "around it and run the same command again."
                )
        return cls(path, columns)

    def update_hash(self, digest: "hashlib._Hash") -> None:
        """Feed ids and texts to a hash, in an order and form that depend on the content alone."""
        for name in (_IDS, *self.languages):
            digest.update(f"{name} {len(self)}\n".encode())
            for batch in self.batches(name):
                lengths = pc.fill_null(pc.binary_length(batch), -1)
                digest.update(lengths.to_numpy().astype("<i8"))
            for batch in self.batches(name):
                _, offsets, data = pc.fill_null(batch, "").buffers()
                end = np.frombuffer(offsets, dtype=np.int64)[len(batch)]
                digest.update(memoryview(data)[:end] if data is not None else b"")


def write_columns(folder: Path, ids: Iterable[str], columns: Mapping[str, Iterable[str | None]]) -> None:
    """Write the files of a store to the new folder `folder`, each column read once from beginning to end.

    First the ids, then the languages, one after the other; a batch of texts is in memory at a time, and 16 bytes
    for every id. A language without any text is left out. Raises KitError for ids that are not distinct non-empty
    strings, for languages of unequal length, and for texts that are empty or no strings.
    """
    for code in columns:
        check_code(code)
    folder.mkdir()
    _write(_file(folder, _IDS), _checked_ids(ids))
    _check_distinct(folder)
    written = _mapped(folder, _IDS)
    lengths = {}
    for code, texts in columns.items():
        lengths[code], missing = _write(_file(folder, code), _checked_texts(texts, written, code))
        if missing == lengths[code]:
            _file(folder, code).unlink()
    _check_lengths(sum(map(len, written)), lengths)


def _write(path: Path, blocks: Iterable[list[str | None]]) -> tuple[int, int]:
    """Write one column; the number of its rows and of its missing texts."""
    schema = pa.schema([(path.stem, pa.large_string())])
    rows = missing = 0
    with pa.ipc.new_file(str(path), schema) as file:
        for block in blocks:
            array = pa.array(block, pa.large_string())
            file.write_batch(pa.RecordBatch.from_arrays([array], schema=schema))
            rows, missing = rows + len(array), missing + array.null_count
    return rows, missing


def from_source(values: Iterable) -> Iterator:
    """The values; where reading them fails, that is told, which would else be taken for a failure to write."""
    try:
        yield from values
    except OSError as error:
        raise KitError(
            f"A source of texts or pairs cannot be read ({error}): delete its files and fetch them again."
        ) from error


def _blocks(values: Iterable) -> Iterator[list]:
    values = from_source(values)
    while block := list(islice(values, ROWS)):
        yield block


def _checked_ids(ids: Iterable[str]) -> Iterator[list[str]]:
    for block in _blocks(ids):
        check_ids(block, "text store")
        yield block


def _check_distinct(folder: Path) -> None:
    """Raise KitError for an id that occurs twice, in whatever batches."""
    from pandas.util import hash_array

    def hashed() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in _read(_file(folder, _IDS)):
            ids = batch.to_numpy(zero_copy_only=False)
            yield ids, hash_array(ids, categorize=False)

    hashes = np.concatenate([np.zeros(0, np.uint64), *(found for _, found in hashed())])
    hashes.sort()
    twice = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if len(twice):
        # Two ids may share a hash, so the ids themselves are compared.
        check_ids([one for ids, found in hashed() for one in ids[np.isin(found, twice)]], "text store")


def _checked_texts(texts: Iterable[str | None], ids: list[pa.Array], code: str) -> Iterator[list[str | None]]:
    for number, block in enumerate(_blocks(texts)):
        if not all(text is None or _readable(text) for text in block):
            names = ids[number].to_pylist() if number < len(ids) else []
            # A column that is too long is told later; until then its rows have numbers for ids.
            names += [f"row {number * ROWS + row}" for row in range(len(names), len(block))]
            check_texts(names, block, code)
        yield block


def _check_lengths(count: int, lengths: dict[str, int]) -> None:
    wrong = [code for code in lengths if lengths[code] != count]
    if not wrong:
        return
    first = wrong[0]
    other = next((code for code in lengths if lengths[code] != lengths[first]), None)
    if other is None:
        raise KitError(
            f"{lengths[first]} texts in {first!r} were given for {count} ids: give one text, or None, for each id."
        )
    raise KitError(
        f"The languages do not run parallel: {first!r} has {lengths[first]} texts and {other!r} has {lengths[other]}, "
        f"for {count} ids; give one text, or None, for each id, or leave the damaged language out."
    )


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.arrow"


def _languages(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.arrow") if path.stem != _IDS)


def _mapped(folder: Path, name: str) -> list[pa.LargeStringArray]:
    """The batches of one column, memory-mapped.

    Raises KitError where the file is missing, cut short, no Arrow file or no column of a store.
    """
    path = _file(folder, name)
    again = "delete the folder around it and run the same command again."
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        for batch in batches:
            batch.validate()
    except FileNotFoundError:
        raise KitError(f"{path} does not exist: {again}") from None
    except (pa.ArrowException, OSError) as error:
        raise KitError(f"{path} is no complete Arrow file ({str(error).splitlines()[0]}): {again}") from error
    if file.schema.names != [name] or file.schema.types != [pa.large_string()]:
        raise KitError(f"{path} is an Arrow file but no text store: {again}")
    if any(len(batch) != ROWS for batch in batches[:-1]) or any(len(batch) > ROWS for batch in batches[-1:]):
        raise KitError(f"{path} is a text store with batches of other sizes than {ROWS} rows: {again}")
    return [batch.column(0) for batch in batches]


def _read(path: Path) -> Iterator[pa.LargeStringArray]:
    """The batches of one column, each read into memory when it is asked for."""
    with pa.OSFile(str(path)) as source:
        file = pa.ipc.open_file(source)
        for number in range(file.num_record_batches):
            yield file.get_batch(number).column(0)


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

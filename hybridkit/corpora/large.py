"""Columns of benchmarks too large for lists: strings in memory-mapped Arrow files, languages as ranges of rows."""

import hashlib
import operator
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybridkit.errors import KitError

_COLUMNS = ("id", "text")


class StoredStrings(Sequence):
    """A column of strings in Arrow files, one file after the other; a row becomes a Python string when asked for.

    Indexed by a row number (a string), or by a slice or an array of row numbers (a list of strings). Processes share
    the pages of the files, and a copy that is sent to another process opens them again.
    """

    def __init__(self, paths: Sequence[Path], column: str):
        self._paths, self._column = tuple(paths), column
        self._chunks = [chunk for path in self._paths for chunk in _chunks(path, column)]
        self._starts = np.concatenate([[0], np.cumsum([len(chunk) for chunk in self._chunks])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            return self._take(np.arange(*rows.indices(len(self))))
        if np.ndim(rows):
            return self._take(np.asarray(rows, np.int64))
        return self._take(np.array([operator.index(rows)]))[0]

    def __iter__(self) -> Iterator[str]:
        for chunk in self._chunks:
            yield from chunk.to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None

    def __repr__(self) -> str:
        return f"StoredStrings({len(self):,} rows of {self._column} in {len(self._paths)} files)"

    def __reduce__(self):
        return StoredStrings, (self._paths, self._column)

    def _take(self, rows: np.ndarray) -> list[str]:
        rows = np.where(rows < 0, rows + len(self), rows)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"row {rows.min() if rows.min() < 0 else rows.max()} of {len(self):,} rows")
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        order, found = np.argsort(owner, kind="stable"), np.empty(len(rows), object)
        for here in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1) if len(rows) else []:
            chunk = owner[here[0]]
            found[here] = self._chunks[chunk].take(pa.array(rows[here] - self._starts[chunk])).to_pylist()
        return found.tolist()

    def find(self, wanted: Sequence[str]) -> dict[str, list[int]]:
        """The rows that hold each of the `wanted` strings; one that is nowhere is not a key. Reads the whole column."""
        values, found = pa.array(wanted, pa.large_string()), {}
        for chunk, start in zip(self._chunks, self._starts.tolist(), strict=False):
            rows = np.flatnonzero(pc.is_in(chunk, value_set=values).to_numpy(zero_copy_only=False))
            for row, one in zip(rows.tolist(), chunk.take(pa.array(rows)).to_pylist(), strict=True):
                found.setdefault(one, []).append(start + row)
        return found


class LanguageRanges:
    """Languages of rows that stand in order of language: `codes`, and `bounds` (codes + 1,), where each one begins.

    Indexed like an array of codes, and compared with a code by `==` (a bool for each row), in the memory of the answer.
    """

    def __init__(self, sizes: dict[str, int]):
        self.codes = tuple(sizes)
        self.bounds = np.concatenate([[0], np.cumsum(list(sizes.values()))]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def __getitem__(self, rows) -> np.ndarray | np.str_:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.where(rows < 0, rows + len(self), rows)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"a row outside of {len(self):,} rows")
        return np.array(self.codes)[np.searchsorted(self.bounds, rows, side="right") - 1]

    def __iter__(self) -> Iterator[str]:
        for code, (start, stop) in zip(self.codes, pairwise(self.bounds.tolist()), strict=True):
            yield from (code for _ in range(start, stop))

    def __eq__(self, code: object) -> np.ndarray:
        return np.repeat([own == code for own in self.codes], np.diff(self.bounds))

    __hash__ = None

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.repeat(np.array(self.codes, dtype=dtype), np.diff(self.bounds))

    def tolist(self) -> list[str]:
        """A list with an entry a row, as of an array."""
        return list(self)


def write(path: Path, batches: Iterable[tuple[pa.Array, pa.Array]]) -> str:
    """Write (ids, texts), some rows at a time, to an Arrow file; returns the SHA-256 over all of them.

    It depends on the rows alone and not on how they were cut. Memory: one batch.
    """
    schema = pa.schema([(name, pa.large_string()) for name in _COLUMNS])
    digests = [hashlib.sha256() for _ in range(4)]
    with pa.ipc.new_file(str(path), schema) as file:
        for columns in batches:
            columns = [column.cast(pa.large_string()) for column in columns]
            for column, lengths, content in zip(columns, digests[::2], digests[1::2], strict=True):
                lengths.update(pc.binary_length(column).to_numpy().astype("<i8").tobytes())
                content.update(_bytes(column))
            file.write_batch(pa.record_batch(columns, schema=schema))
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def _bytes(column: pa.LargeStringArray) -> memoryview:
    """The strings' bytes, one string after the other."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[[column.offset, column.offset + len(column)]]
    return memoryview(data)[ends[0] : ends[1]] if data is not None else memoryview(b"")


def _chunks(path: Path, column: str) -> list[pa.Array]:
    """A column of an Arrow file, memory-mapped, an array a batch; KitError where the file is missing or damaged."""
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        return [file.get_batch(number).column(column) for number in range(file.num_record_batches)]
    except (pa.ArrowException, OSError, KeyError) as fault:
        reason = str(fault).splitlines()[0]
        raise KitError(
            f"{path} is missing or no complete Arrow file ({reason}): delete {path.parent} and run the same command "
            "again."
        ) from fault

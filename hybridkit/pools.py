"""Which rows of a data set can be drawn in two languages, in little memory however many rows there are."""

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np

from hybridkit.corpora.pairs import TrainingPairs
from hybridkit.corpora.stores import TextStore

_BLOCK = 1_000_000  # rows that are looked at together


class Rows:
    """Some of the numbers from 0 to count - 1, ascending: kept as those or as all others, whichever are fewer."""

    def __init__(self, count: int, mask: np.ndarray | None = None):
        """`mask`: (count,) bool, which ones; None for all."""
        self._there = None
        chosen = count if mask is None else int(np.count_nonzero(mask))
        missing = np.zeros(0, np.int64)
        if 2 * chosen < count:
            self._there = np.flatnonzero(mask)
        elif chosen < count:
            missing = np.flatnonzero(~mask)
        # How many of the chosen come before each missing one.
        self._before = missing - np.arange(len(missing))
        self._length = chosen

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index):
        """The number at an index from 0 on, or, of an array of indices, an array of numbers."""
        if self._there is not None:
            return self._there[index]
        if isinstance(index, int) and not 0 <= index < self._length:
            raise IndexError(index)
        return index + np.searchsorted(self._before, index, side="right")

    def blocks(self, size: int = _BLOCK) -> Iterator[np.ndarray]:
        """All the numbers, in arrays of up to `size`."""
        for start in range(0, len(self), size):
            yield self[np.arange(start, min(start + size, len(self)))]


class Eligible:
    """The rows of a data set by languages: those whose question, positive and enough negatives have a text there.

    Languages in which every text is there rule nothing out and share their rows; what another rules out is looked up
    once and kept as one bit a row.
    """

    def __init__(self, data: TrainingPairs, negatives: int):
        """`negatives`: how many explicit negatives a row must have."""
        self._data = data
        self._negatives = negatives
        self._bits: dict[tuple, np.ndarray | None] = {}
        self._rows: dict[tuple, Rows] = {}

    def rows(self, query: str, passage: str, negative_languages: Sequence[str]) -> Rows:
        """Rows with a question in `query`, a positive in `passage` and negatives in any of `negative_languages`."""
        data = self._data
        if query not in data.queries.languages or passage not in data.passages.languages:
            return Rows(0)
        pattern = (
            ("query", _incomplete(data.queries, [query])),
            ("positive", _incomplete(data.passages, [passage])),
            ("negatives", _incomplete(data.passages, negative_languages)),
        )
        if pattern not in self._rows:
            kept = [bits for bits in (self._keeps(*part) for part in pattern) if bits is not None]
            masks = [np.unpackbits(bits, count=len(data)).view(bool) for bits in kept]
            self._rows[pattern] = Rows(len(data), reduce(np.logical_and, masks) if masks else None)
        return self._rows[pattern]

    def _keeps(self, what: str, languages: tuple[str, ...]) -> np.ndarray | None:
        """(rows,) bool, packed: the rows whose query, positive or negatives fit; None where all do."""
        key = (what, languages)
        if key not in self._bits:
            blocks = (slice(start, start + _BLOCK) for start in range(0, len(self._data), _BLOCK))
            if what == "negatives":
                mask = [self._enough(languages, block) for block in blocks] if self._negatives else []
            else:
                store = self._data.queries if what == "query" else self._data.passages
                rows = getattr(self._data, what)
                mask = [store.has(languages[0])[rows[block]] for block in blocks] if languages else []
            self._bits[key] = None if all(part.all() for part in mask) else np.packbits(np.concatenate(mask))
        return self._bits[key]

    def _enough(self, languages: tuple[str, ...], block: slice) -> np.ndarray:
        """(rows of a block,) bool: whether a row has enough negatives with a text in any of the languages."""
        data = self._data
        ends = data.negative_offsets[block.start : block.stop + 1]
        if not languages:
            return np.diff(ends) >= self._negatives
        there = has_any(data.passages, languages, data.negatives[ends[0] : ends[-1]])
        return np.diff(np.concatenate([[0], np.cumsum(there)])[ends - ends[0]]) >= self._negatives


def _incomplete(store: TextStore, languages: Sequence[str]) -> tuple[str, ...]:
    """The languages, or none where one of them has every text, so that they rule nothing out."""
    return () if any(store.complete(code) for code in languages) else tuple(languages)


def has_any(store: TextStore, languages: Sequence[str], rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """(rows,) bool: which of some rows of a store have a text in any of the languages."""
    return reduce(np.logical_or, (store.has(code)[rows] for code in languages))


def with_text(store: TextStore, languages: Sequence[str]) -> Rows:
    """The rows of a store that have a text in any of the languages."""
    incomplete = _incomplete(store, languages)
    return Rows(len(store), has_any(store, incomplete) if incomplete else None)

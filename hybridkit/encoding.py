"""Encode the texts of a benchmark: each distinct text of a language once, in blocks that depend on nothing but the benchmark.

A text's vector depends, in its last bits, on the batch that it is encoded in. So the blocks are fixed, whatever part of
a corpus is asked for, and whoever asks gets the same numbers (on one kind of machine).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from hybridkit.counting import GROUP, TILE
from hybridkit.errors import KitError
from hybridkit.files import written_whole
from hybridkit.ranks import distinct_languages, take

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark

#: Candidates whose texts are encoded together, by one thread: 4,096.
WIDTH = GROUP * TILE[1]
#: Texts that a model encodes at a time, where nothing else is said.
BATCH = 128
#: Blocks that are held.
_HELD = 2
#: Texts that are read at one time where a whole corpus is looked through.
_READ = 65_536


def queries(model, benchmark: "Benchmark", batch_size: int) -> np.ndarray:
    """Unit vectors (queries, dimensions) float32 of a benchmark's queries, with the model's query prompt.

    Language by language: the library sorts by number of characters to save padding, which says little
    about tokens across scripts.
    """
    vectors: np.ndarray | None = None
    for code in distinct_languages(benchmark.query_languages):
        rows = np.flatnonzero(benchmark.query_languages == code)
        texts = take(benchmark.query_texts, rows)
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        found = questions(model, batch_size)(list(place))
        if vectors is None:
            vectors = np.empty((len(benchmark.query_texts), found.shape[1]), dtype=np.float32)
        vectors[rows] = found[[place[text] for text in texts]]
    return vectors


def questions(model, batch_size: int) -> Callable[[list[str]], np.ndarray]:
    """A function from texts of one language to their unit vectors, with the model's query prompt."""
    return lambda texts: _encode(model.encode_query, texts, batch_size)


def documents(model, batch_size: int) -> Callable[[list[str]], np.ndarray]:
    """A function from texts of one language to their unit vectors, with the model's document prompt."""
    return lambda texts: _encode(model.encode_document, texts, batch_size)


def _encode(encode, texts: list[str], batch_size: int) -> np.ndarray:
    """Raises KitError where the memory of the GPU runs out. A smaller batch is not tried: it would change the last bits."""
    import torch

    try:
        found = encode(texts, batch_size=batch_size, show_progress_bar=False, normalize_embeddings=True)
    except torch.OutOfMemoryError as fault:
        raise KitError(
            f"The memory of the GPU ran out with {batch_size} texts encoded at a time: end what else uses it, or evaluate "
            f"with `hybridkit evaluate --batch-size {max(1, batch_size // 2)}`, which may change the last bits of a score; "
            "a run keeps its trained model, and the same command with CUDA_VISIBLE_DEVICES= evaluates it on the processor."
        ) from fault
    return np.asarray(found, np.float32)


def same_text(benchmark: "Benchmark") -> np.ndarray:
    """The first row (candidates,) whose candidate has the same text and language as this one's."""
    from pandas.util import hash_array

    texts, count = benchmark.candidate_texts, len(benchmark.candidate_ids)
    parts = [np.arange(start, min(start + _READ, count)) for start in range(0, count, _READ)]
    hashes = np.concatenate([hash_array(_objects(take(texts, rows)), categorize=False) for rows in parts])
    first = np.arange(count)
    languages = np.asarray(benchmark.candidate_languages)
    for code in distinct_languages(languages):
        rows = np.flatnonzero(languages == code)
        _, at, inverse = np.unique(hashes[rows], return_index=True, return_inverse=True)
        first[rows] = rows[at[inverse]]
    # Two texts may have one hash of 64 bits: those that seem to be copies are compared.
    copies = np.flatnonzero(first != np.arange(count))
    for start in range(0, len(copies), _READ):
        rows = copies[start : start + _READ]
        other = _objects(take(texts, rows)) != _objects(take(texts, first[rows]))
        first[rows[other]] = rows[other]
    return first


def _objects(texts: list[str]) -> np.ndarray:
    found = np.empty(len(texts), object)
    found[:] = texts
    return found


class Blocks:
    """Vectors of any columns of a layout, encoded block by block; safe to call from several threads.

    `encode`: from texts of one language to vectors (texts, dimensions). A block holds the texts that begin in `width`
    columns. It is read from `folder` if it is there and sound, and written to it if it is among `kept` (None: every
    block). With `half` the vectors are rounded to half precision before anything is done with them. The last blocks
    that were asked for are held.
    """

    def __init__(
        self,
        encode: Callable[[list[str]], np.ndarray],
        texts: Sequence[str],
        order: np.ndarray,
        text_starts: np.ndarray,
        bounds: np.ndarray,
        width: int = WIDTH,
        folder: Path | None = None,
        kept: frozenset[int] | None = frozenset(),
        half: bool = False,
    ):
        self._encode, self._texts, self._order, self._starts, self._bounds = encode, texts, order, text_starts, bounds
        self._width, self._folder, self._kept, self._half = width, folder, kept, half
        self._held: dict[int, np.ndarray] = {}
        self._last: dict[int, np.ndarray] = {}
        self._lock = Lock()

    def __call__(self, begin: int, end: int) -> np.ndarray:
        """The vectors (end - begin, dimensions) of the columns [begin, end)."""
        text = np.searchsorted(self._starts, np.arange(begin, end), side="right") - 1
        block = self._starts[text] // self._width
        parts = []
        for number in np.unique(block).tolist():
            wanted = text[block == number]
            if (number + 1) * self._width <= begin:
                # Copies of a text stand side by side: these are of the last text of a block before.
                parts.append(np.repeat(self._last_of(number), len(wanted), axis=0))
            else:
                first = np.searchsorted(self._starts, number * self._width)
                parts.append(self.block(number)[wanted - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def block(self, number: int) -> np.ndarray:
        """The vectors (texts, dimensions) of a block: held, read or made."""
        with self._lock:
            if number not in self._held:
                while len(self._held) >= _HELD:
                    del self._held[next(iter(self._held))]
                self._held[number] = self._read_or_make(number)
                self._last[number] = self._held[number][-1:].copy()
            return self._held[number]

    def _last_of(self, number: int) -> np.ndarray:
        """The vector (1, dimensions) of the last text of a block, which is remembered of every one."""
        return self._last[number] if number in self._last else self.block(number)[-1:]

    def _read_or_make(self, number: int) -> np.ndarray:
        path = self._folder / f"{number:06}.npz" if self._folder else None
        found = read(path) if path else None
        if found:
            return found["vectors"]
        first, last = np.searchsorted(self._starts, [number * self._width, (number + 1) * self._width])
        starts = np.asarray(self._starts[first:last])
        # Language by language, for the same reason as the queries.
        parts = np.split(self._order[starts], np.searchsorted(starts, self._bounds[1:-1]))
        vectors = np.concatenate([self._encode(take(self._texts, rows)) for rows in parts if len(rows)])
        vectors = vectors.astype(np.float16) if self._half else vectors
        if path and (self._kept is None or number in self._kept):
            write(path, vectors=vectors)
        return vectors


def write(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays to one file, whole or not at all, with a checksum each."""
    with written_whole(path) as stage, stage.open("wb") as file:
        np.savez(file, **arrays)


def read(path: Path) -> dict[str, np.ndarray] | None:
    """What `write` wrote; None where there is no such file, or where it was cut short or altered."""
    from zipfile import BadZipFile

    try:
        with np.load(path, allow_pickle=False) as file:  # checks the CRC-32 of every array
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        return None

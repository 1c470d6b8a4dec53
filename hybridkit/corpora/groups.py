"""Which rows of data sets share a text, and which passages answer a question, whatever the size of the data.

This is what a batch needs to be free of false negatives. For large data it is computed once, kept in the cache and
opened memory-mapped.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from filelock import FileLock

from hybridkit import paths
from hybridkit.corpora.stores import TextStore
from hybridkit.files import written_whole

if TYPE_CHECKING:
    from hybridkit.corpora.pairs import TrainingPairs

#: Texts and rows from which groups are kept in the cache: fewer are computed in a second or two.
LARGE = 1_000_000
# Texts that are compared at a time: 2 numbers of 8 bytes each, sorted.
_TOGETHER = 2_000_000
_BLOCK = 1_000_000
_IN_MEMORY = 64 * 2**20  # bytes of hashes; more are written to a temporary file in the cache
# Part of the cache's key: to be raised when the same data would give other groups.
_VERSION = 1


@dataclass(frozen=True)
class Groups:
    """Groups of questions and passages over several data sets, and what is relevant to a question.

    `queries`, `passages`: for each data set, (its queries,) and (its passages,) int64, groups as of `shared_groups`.
    `relevant[starts[g]:starts[g + 1]]`: ascending, the groups of all passages that any row of any data set states
    for the questions of group g.
    """

    queries: list[np.ndarray]
    passages: list[np.ndarray]
    starts: np.ndarray
    relevant: np.ndarray

    def relevant_to(self, question: int) -> list[int]:
        """Groups of the passages that answer the questions of a group."""
        return self.relevant[self.starts[question] : self.starts[question + 1]].tolist()


def groups_of(datasets: Sequence["TrainingPairs"]) -> Groups:
    """The groups of data sets, in their order.

    Computed in bounded memory (some 24 bytes a passage and query, and what is shared). From `LARGE` texts and rows on they
    are kept in the cache, by the fingerprints of the data sets, and opened memory-mapped.
    """
    if sum(len(data) + _cells(data.queries) + _cells(data.passages) for data in datasets) < LARGE:
        return _computed(datasets)
    key = hashlib.sha256(repr((_VERSION, [data.fingerprint for data in datasets])).encode()).hexdigest()
    folder = paths.cache() / "groups" / key[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        try:
            return _opened(folder, datasets)
        except (OSError, ValueError):  # not there, or cut short
            with written_whole(folder) as stage:
                _save(_computed(datasets), stage)
            return _opened(folder, datasets)


def _cells(store: TextStore) -> int:
    return len(store) * len(store.languages)


def _computed(datasets: Sequence["TrainingPairs"]) -> Groups:
    queries = shared_groups([data.queries for data in datasets])
    passages = shared_groups([data.passages for data in datasets])
    return Groups(queries, passages, *_relevance(datasets, queries, passages))


def _save(groups: Groups, folder: Path) -> None:
    folder.mkdir()
    arrays = {"queries": np.concatenate(groups.queries), "passages": np.concatenate(groups.passages)}
    for name, array in (arrays | {"starts": groups.starts, "relevant": groups.relevant}).items():
        np.save(folder / f"{name}.npy", array)


def _opened(folder: Path, datasets: Sequence["TrainingPairs"]) -> Groups:
    queries, passages, starts, relevant = (
        np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        for name in ("queries", "passages", "starts", "relevant")
    )
    ends = ([len(data.queries) for data in datasets], [len(data.passages) for data in datasets])
    split = [np.split(array, np.cumsum(end[:-1])) for array, end in zip((queries, passages), ends, strict=True)]
    return Groups(*split, starts, relevant)


def shared_groups(stores: Sequence[TextStore]) -> list[np.ndarray]:
    """For each store, (rows,) int64: rows that share a text, in whatever language and store, have the same group.

    Rows are counted through all stores, and a group is named by the number of its first row. Sharing is carried on: a
    row that shares its English with one and its German with another joins all three.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts = np.cumsum([0, *map(len, stores)])
    group = np.arange(starts[-1])
    one, other = _sharing(stores)
    rows, places = np.unique(np.concatenate([one, other]), return_inverse=True)
    edges = places.reshape(2, -1)
    graph = coo_array((np.ones(len(one), dtype=np.int8), (edges[0], edges[1])), shape=(len(rows), len(rows)))
    if len(rows):
        _, label = connected_components(graph, directed=False)
        _, first = np.unique(label, return_index=True)
        group[rows] = rows[first[label]]
    return [group[a:b] for a, b in pairwise(starts)]


def _sharing(stores: Sequence[TextStore]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows that share a text, enough of them to connect all rows that do.

    Texts are told apart by a hash of 64 bits, which spares the copy of all of them; two that collided would only never
    share a batch. Equal hashes are looked for in one range of hashes at a time.
    """
    starts = np.cumsum([0, *map(len, stores)])
    first_row = [start for start, store in zip(starts, stores, strict=False) for _ in store.languages]
    first_cell = np.cumsum([0, *(len(store) for store in stores for _ in store.languages)])
    bits = max(1, int(first_cell[-1] // _TOGETHER).bit_length())
    pairs = [np.zeros((2, 0), np.int64)]
    if first_cell[-1] * 8 > _IN_MEMORY:
        paths.cache().mkdir(parents=True, exist_ok=True)
    with SpooledTemporaryFile(_IN_MEMORY, dir=paths.cache()) as file:
        for hashes in _hashes(stores):
            file.write(hashes.tobytes())
        for part in range(2**bits):
            cell, hashes = _in_range(file, part, bits)
            column = np.searchsorted(first_cell, cell, side="right") - 1
            row = cell - first_cell[column] + np.array(first_row, np.int64)[column] if len(cell) else cell
            order = np.argsort(hashes, kind="stable")
            hashes, row = hashes[order], row[order]
            same = (hashes[1:] == hashes[:-1]) & (row[1:] != row[:-1])
            pairs.append(np.stack([row[:-1][same], row[1:][same]]))
    one, other = np.concatenate(pairs, axis=1)
    return one, other


def _hashes(stores: Sequence[TextStore]) -> Iterator[np.ndarray]:
    """(rows of a batch,) uint64 for every batch of every language of every store; 0 where a text is missing."""
    from pandas.util import hash_array

    for store in stores:
        for language in store.languages:
            for batch in store.batches(language):
                hashes = np.zeros(len(batch), np.uint64)
                there = batch.is_valid().to_numpy(zero_copy_only=False)
                texts = batch.drop_null().to_numpy(zero_copy_only=False)
                hashes[there] = np.maximum(hash_array(texts, categorize=False), 1)
                yield hashes


def _in_range(file: BinaryIO, part: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in the file, and values, of the hashes whose upper `bits` are `part`; missing texts have none."""
    cells, found = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    file.seek(0)
    start = 0
    while content := file.read(8 * _BLOCK):
        hashes = np.frombuffer(content, np.uint64)
        here = np.flatnonzero((hashes >> np.uint64(64 - bits) == part) & (hashes > 0))
        cells.append(start + here)
        found.append(hashes[here])
        start += len(hashes)
    return np.concatenate(cells), np.concatenate(found)


def _relevance(
    datasets: Sequence["TrainingPairs"], queries: Sequence[np.ndarray], passages: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """`starts` and `relevant` of Groups."""
    # A question and a passage as one number: each pair is kept once, however many rows repeat it.
    questions, many = sum(map(len, queries)), max(1, sum(map(len, passages)))
    pairs = np.zeros(0, np.int64)
    for data, query, passage in zip(datasets, queries, passages, strict=True):
        for start in range(0, len(data), _BLOCK):
            rows = slice(start, start + _BLOCK)
            pairs = np.union1d(pairs, query[data.query[rows]] * many + passage[data.positive[rows]])
    return np.searchsorted(pairs // many, np.arange(questions + 1)), pairs % many

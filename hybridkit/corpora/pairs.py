"""Training pairs: questions and passages joined by row numbers over per-language text stores."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from pathlib import Path

import numpy as np

from hybridkit.corpora.groups import Groups, groups_of
from hybridkit.corpora.stores import TextStore, from_source, write_columns
from hybridkit.errors import KitError
from hybridkit.files import holds_only, written_whole

#: Bytes of the files up to which pairs are verified by their fingerprint whenever they are opened.
VERIFIED_SIZE = 256 * 2**20
#: A block of rows: queries, positives (row numbers, one a row) and, for each row, the row numbers of its negatives.
Block = tuple[Sequence[int], Sequence[int], "np.ndarray | Sequence[Sequence[int]]"]
_FORMAT = 2
# Of the fingerprint, which is over the content and not over the files that hold it.
_CONTENT = 1
_JOINS = ("query", "positive", "negative_offsets", "negatives")
_FILES = {"queries", "passages", *(f"{name}.npy" for name in _JOINS), "about.json"}
# Files of format 1, so that a folder of it may be replaced.
_OLD_FILES = {"queries.arrow", "passages.arrow", "pairs.arrow", "about.json"}
_ROWS = 1_000_000  # rows of the joins that are worked on at a time


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """Rows of a question, its positive passage and explicit negatives, each text stored once per language.

    `query`, `positive`: (rows,) int64, row numbers of `queries` and of `passages`.
    `negative_offsets`: (rows + 1,) and `negatives`: flat int64; the explicit negatives of row i are the passages
    `negatives[negative_offsets[i]:negative_offsets[i + 1]]`. All four are memory-mapped from `folder`.
    `fingerprint`: SHA-256 over ids, texts and joins. `names`: names of persons by language where the source knows
    them. A language may be missing for a row or for the whole set.
    """

    name: str
    licence: str
    fingerprint: str
    queries: TextStore
    passages: TextStore
    query: np.ndarray
    positive: np.ndarray
    negative_offsets: np.ndarray
    negatives: np.ndarray
    folder: Path
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.query)

    def __reduce__(self):
        # A worker process opens the same files again instead of being sent what is in them.
        return _opened_as, (self.folder, self.name)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with at least one query or passage, sorted."""
        return tuple(sorted({*self.queries.languages, *self.passages.languages}))

    @cached_property
    def groups(self) -> Groups:
        """The groups of these pairs alone; see `groups.groups_of`."""
        return groups_of([self])

    @property
    def passage_group(self) -> np.ndarray:
        """(passages,) int64: passages that share a text, in whatever language, have the same group.

        A group is named by the row number of its first passage. Sharing is carried on: a passage that shares its
        English with one and its German with another joins all three.
        """
        return self.groups.passages[0]

    @property
    def query_group(self) -> np.ndarray:
        """(queries,) int64: the same for queries."""
        return self.groups.queries[0]

    @classmethod
    def open(cls, folder: str | Path) -> "TrainingPairs":
        """Open pairs memory-mapped.

        Files of up to `VERIFIED_SIZE` bytes in all are verified by the fingerprint, which reads everything. Of larger
        ones the sizes and the tables of contents of the Arrow files are compared with about.json, which finds a file
        that is missing or cut short but no altered text: `verify` does. Raises KitError for what is found, and for
        another format.
        """
        folder = Path(folder)
        about = _read_about(folder)
        sizes = _sizes(folder)
        if about["files"] != sizes:
            different = sorted(name for name, _ in set(about["files"].items()) ^ set(sizes.items()))
            raise KitError(
                f"{folder} was altered: {different[0]} is missing, cut short or not of these pairs; delete the folder "
                "and run the same command again."
            )
        pairs = _opened(folder, about)
        if sum(sizes.values()) <= VERIFIED_SIZE:
            pairs.verify()
        return pairs

    def verify(self) -> None:
        """Read everything, whatever its size. Raises KitError where it is not what the fingerprint says."""
        found = _fingerprint(self)
        if found != self.fingerprint:
            raise KitError(
                f"{self.folder} was altered: its contents have the fingerprint {found}, about.json says "
                f"{self.fingerprint}; delete the folder and build the pairs again."
            )


def build_pairs(
    folder: str | Path,
    *,
    name: str,
    licence: str,
    query_ids: Iterable[str],
    query_texts: Mapping[str, Iterable[str | None]],
    passage_ids: Iterable[str],
    passage_texts: Mapping[str, Iterable[str | None]],
    joins: Iterable[Block],
    names: Mapping[str, frozenset[str]] | None = None,
) -> TrainingPairs:
    """Check pairs of any size, write them to `folder`, whole or not at all, and open them.

    Every iterable is read once from beginning to end and may be a generator: first the ids of the queries, then their
    texts, one language after the other, then the same for passages, then `joins`. `query_texts`, `passage_texts`: by
    language, one text or None an id. `joins`: blocks of rows (query, positive, negatives), all as row numbers of
    queries and passages: two arrays or lists with a number a row, and for the negatives either a table (rows,
    negatives each) or a list with a sequence a row, which may be empty. A batch of texts, a block and some 32 bytes
    for each query and passage are in memory at a time.

    A folder that already holds exactly these pairs is left alone; one that holds other pairs is replaced. Raises
    KitError for a folder that holds something else, for languages of unequal length, row numbers out of range, a
    query or passage without any text, and a negative that is the row's own positive or shares a text with it.
    """
    folder = Path(folder)
    if not (holds_only(folder, _FILES) or holds_only(folder, _OLD_FILES)):
        raise KitError(f"{folder} exists and holds no training pairs: name another folder.")
    about = {"format": _FORMAT, "name": name, "licence": licence}
    about["names"] = {code: sorted(found) for code, found in sorted((names or {}).items())}
    try:
        with written_whole(folder) as stage:
            stage.mkdir()
            write_columns(stage / "queries", query_ids, query_texts)
            write_columns(stage / "passages", passage_ids, passage_texts)
            _write_joins(stage, name, joins)
            about["fingerprint"] = _checked(_opened(stage, about | {"fingerprint": ""}))
            about["files"] = _sizes(stage)
            (stage / "about.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
            if _is_at(folder, about):
                raise FileExistsError(f"{folder} holds these pairs")
    except KitError:
        # They were there already, or another process has put them there in the meantime: they are left alone.
        if not ("files" in about and _is_at(folder, about)):
            raise
    return TrainingPairs.open(folder)


def make_pairs(
    folder: str | Path,
    name: str,
    licence: str,
    query_ids: Sequence[str],
    query_texts: Mapping[str, Sequence[str | None]],
    passage_ids: Sequence[str],
    passage_texts: Mapping[str, Sequence[str | None]],
    query: Sequence[int],
    positive: Sequence[int],
    negatives: Sequence[Sequence[int]],
    names: Mapping[str, frozenset[str]] | None = None,
) -> TrainingPairs:
    """As `build_pairs`, from what fits into memory.

    `query`, `positive`, `negatives`: one entry a row, as row numbers of queries and passages (`negatives`: a sequence
    a row, which may be empty).
    """
    return build_pairs(
        folder,
        name=name,
        licence=licence,
        query_ids=query_ids,
        query_texts=query_texts,
        passage_ids=passage_ids,
        passage_texts=passage_texts,
        joins=[(query, positive, negatives)],
        names=names,
    )


def _opened_as(folder: Path, name: str) -> TrainingPairs:
    return replace(TrainingPairs.open(folder), name=name)


def _read_about(folder: Path) -> dict:
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format']} where {_FORMAT} was expected")
        about["names"] = {code: frozenset(names) for code, names in about["names"].items()}
        return {key: about[key] for key in ("name", "licence", "fingerprint", "names", "files")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KitError(
            f"{folder} holds no complete training pairs (about.json: {error}): delete it and run the same command again."
        ) from error


def _opened(folder: Path, about: dict) -> TrainingPairs:
    return TrainingPairs(
        **{key: about[key] for key in ("name", "licence", "fingerprint")},
        names={code: frozenset(names) for code, names in about["names"].items()},
        queries=TextStore.open(folder / "queries"),
        passages=TextStore.open(folder / "passages"),
        folder=folder,
        **{name: _join(folder / f"{name}.npy") for name in _JOINS},
    )


def _join(path: Path) -> np.ndarray:
    try:
        # As a plain array: taking a number from a numpy.memmap is several times slower.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise KitError(
            f"{path} is no complete array ({error}): delete the folder around it and run the same command again."
        ) from error


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file of texts or joins, by its path in the folder."""
    files = sorted([*folder.rglob("*.arrow"), *folder.rglob("*.npy")])
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _is_at(folder: Path, about: dict) -> bool:
    try:
        pairs = TrainingPairs.open(folder)
    except KitError:
        return False
    names = {code: frozenset(found) for code, found in about["names"].items()}
    wanted = (about["fingerprint"], about["name"], about["licence"], names)
    return (pairs.fingerprint, pairs.name, pairs.licence, pairs.names) == wanted


class _Growing:
    """An .npy file of int64 that grows by `add`; `close` writes its header again, with the length."""

    def __init__(self, path: Path):
        self._file = path.open("wb")
        self.length = 0
        self._header()

    def _header(self) -> None:
        # NumPy pads headers so that the length of the first axis can grow in place.
        about = {"descr": "<i8", "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, about)

    def add(self, numbers: np.ndarray) -> None:
        self._file.write(numbers.astype("<i8").tobytes())
        self.length += len(numbers)

    def close(self) -> None:
        with self._file:
            self._file.seek(0)
            self._header()


def _write_joins(folder: Path, name: str, joins: Iterable[Block]) -> None:
    with ExitStack() as stack:
        query, positive, offsets, negatives = (
            stack.enter_context(closing(_Growing(folder / f"{join}.npy"))) for join in _JOINS
        )
        offsets.add(np.zeros(1, np.int64))
        for block in from_source(joins):
            if not len(block[0]) == len(block[1]) == len(block[2]):
                raise _uneven(name, *block)
            query.add(np.asarray(block[0], dtype=np.int64))
            positive.add(np.asarray(block[1], dtype=np.int64))
            lengths, flat = _flat(block[2])
            offsets.add(negatives.length + np.cumsum(lengths))
            negatives.add(flat)
        if not query.length:
            raise _uneven(name, [], [], [])


def _uneven(name: str, query: Sequence, positive: Sequence, negatives: Sequence) -> KitError:
    return KitError(
        f"{name}: {len(query)} queries, {len(positive)} positives and {len(negatives)} lists of negatives "
        "were given: each row needs one of each, and there must be a row."
    )


def _flat(negatives: np.ndarray | Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """How many negatives each row has, and all of them one after the other."""
    if isinstance(negatives, np.ndarray) and negatives.ndim == 2:
        return np.full(len(negatives), negatives.shape[1]), negatives.ravel()
    rows = [np.asarray(row, dtype=np.int64) for row in negatives]
    return np.array([len(row) for row in rows], dtype=np.int64), np.concatenate([np.zeros(0, np.int64), *rows])


def _slices(length: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, length, _ROWS))


def _checked(pairs: TrainingPairs) -> str:
    """Check the joins of new pairs; their fingerprint."""
    _check_numbers(pairs.name, "query", pairs.query, pairs.queries)
    _check_numbers(pairs.name, "positive", pairs.positive, pairs.passages)
    _check_numbers(pairs.name, "negative", pairs.negatives, pairs.passages)
    fingerprint = _fingerprint(pairs)
    # With the fingerprint, under which the groups of large pairs are kept.
    _check_negatives(replace(pairs, fingerprint=fingerprint))
    return fingerprint


def _check_numbers(name: str, what: str, rows: np.ndarray, store: TextStore) -> None:
    wrong = [part[(part < 0) | (part >= len(store))] for part in (rows[s] for s in _slices(len(rows)))]
    if count := sum(map(len, wrong)):
        first = next(int(part[0]) for part in wrong if len(part))
        raise KitError(
            f"{name}: {what} {first} is no row number of the {len(store)} texts there are "
            f"({count} such in all): write numbers from 0 to {len(store) - 1}."
        )
    if any(store.complete(code) for code in store.languages):
        return
    empty = ~reduce(np.logical_or, map(store.has, store.languages), np.zeros(len(store), dtype=bool))
    wrong = [part[empty[part]] for part in (rows[s] for s in _slices(len(rows)))]
    if count := sum(map(len, wrong)):
        first = next(int(part[0]) for part in wrong if len(part))
        raise KitError(
            f"{name}: the {what} {store.id_of(first)!r} has no text in any language "
            f"({count} such in all): give one or leave the row out."
        )


def _check_negatives(pairs: TrainingPairs) -> None:
    group, offsets = pairs.passage_group, pairs.negative_offsets
    count, first = 0, None
    for part in _slices(len(pairs)):
        ends = offsets[part.start : part.stop + 1]
        row = part.start + np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        negatives = pairs.negatives[ends[0] : ends[-1]]
        wrong = np.flatnonzero(group[negatives] == group[pairs.positive[row]])
        if len(wrong) and first is None:
            first = int(row[wrong[0]]), int(negatives[wrong[0]])
        count += len(wrong)
    if first:
        row, negative = first
        raise KitError(
            f"{pairs.name}: row {row} (query {pairs.queries.id_of(pairs.query[row])!r}) has the negative "
            f"{pairs.passages.id_of(negative)!r}, which is its own positive "
            f"{pairs.passages.id_of(pairs.positive[row])!r} or shares a text with it ({count} such in all): "
            "leave that negative out."
        )


def _fingerprint(pairs: TrainingPairs) -> str:
    digest = hashlib.sha256(f"training pairs {_CONTENT}\n".encode())
    pairs.queries.update_hash(digest)
    pairs.passages.update_hash(digest)
    for rows in (pairs.query, pairs.positive, pairs.negative_offsets, pairs.negatives):
        digest.update(f"rows {len(rows)}\n".encode())
        for part in _slices(len(rows)):
            digest.update(rows[part].astype("<i8").tobytes())
    return digest.hexdigest()

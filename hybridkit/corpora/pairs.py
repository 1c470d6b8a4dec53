"""Training pairs: questions and passages joined by row numbers over per-language text stores."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from hybridkit.corpora.stores import TextStore, open_arrow
from hybridkit.errors import KitError
from hybridkit.files import holds_only, written_whole

_FORMAT = 1
_FILES = {"queries.arrow", "passages.arrow", "pairs.arrow", "about.json"}


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """Rows of a question, its positive passage and explicit negatives, each text stored once per language.

    `query`, `positive`: (rows,) int64, row numbers of `queries` and of `passages`.
    `negative_offsets`: (rows + 1,) and `negatives`: flat int64; the explicit negatives of row i are the passages
    `negatives[negative_offsets[i]:negative_offsets[i + 1]]`.
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
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.query)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with at least one query or passage, sorted."""
        return tuple(sorted({*self.queries.languages, *self.passages.languages}))

    @cached_property
    def passage_group(self) -> np.ndarray:
        """(passages,) int64: passages that share a text, in whatever language, have the same group.

        A group is named by the row number of its first passage. Sharing is carried on: a passage that shares its
        English with one and its German with another joins all three.
        """
        return shared_groups([self.passages])[0]

    @cached_property
    def query_group(self) -> np.ndarray:
        """(queries,) int64: the same for queries."""
        return shared_groups([self.queries])[0]

    def save(self, folder: str | Path) -> None:
        """Write queries.arrow, passages.arrow, pairs.arrow and about.json to `folder`, whole or not at all.

        A folder that already holds exactly these pairs is left alone; one that holds other pairs is replaced.
        Raises KitError for a folder that holds something else.
        """
        folder = Path(folder)
        if self._is_at(folder):
            return
        try:
            with written_whole(folder) as stage:
                stage.mkdir()
                self.queries.save(stage / "queries.arrow")
                self.passages.save(stage / "passages.arrow")
                self._save_joins(stage / "pairs.arrow")
                (stage / "about.json").write_text(json.dumps(self._about(), ensure_ascii=False), encoding="utf-8")
        except KitError:
            # Another process may have put the same pairs there in the meantime.
            if not self._is_at(folder):
                raise

    def _is_at(self, folder: Path) -> bool:
        if not folder.exists():
            return False
        # Only a folder of pairs may be replaced, whole or damaged.
        if not holds_only(folder, _FILES):
            raise KitError(f"{folder} exists and holds no training pairs: name another folder.")
        try:
            return TrainingPairs.open(folder)._about() == self._about()
        except KitError:
            return False

    def _about(self) -> dict:
        names = {code: sorted(names) for code, names in sorted(self.names.items())}
        about = {"format": _FORMAT, "name": self.name, "licence": self.licence, "fingerprint": self.fingerprint}
        return about | {"names": names}

    def _save_joins(self, path: Path) -> None:
        negatives = pa.LargeListArray.from_arrays(pa.array(self.negative_offsets), pa.array(self.negatives))
        columns = {"query": pa.array(self.query), "positive": pa.array(self.positive), "negatives": negatives}
        batch = pa.RecordBatch.from_pydict(columns)
        with pa.ipc.new_file(str(path), batch.schema) as file:
            file.write_batch(batch)

    @classmethod
    def open(cls, folder: str | Path) -> "TrainingPairs":
        """Open pairs memory-mapped.

        Raises KitError where a file is missing, cut short, altered (by the fingerprint) or of another format.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
            if about["format"] != _FORMAT:
                raise ValueError(f"format {about['format']} where {_FORMAT} was expected")
            names = {code: frozenset(names) for code, names in about["names"].items()}
            told = {key: about[key] for key in ("name", "licence", "fingerprint")}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise KitError(
                f"{folder} holds no complete training pairs (about.json: {error}): delete it and run the same command again."
            ) from error
        joins = open_arrow(folder / "pairs.arrow")
        if joins.schema.names != ["query", "positive", "negatives"]:
            raise KitError(
                f"{folder / 'pairs.arrow'} holds no training pairs: delete {folder} and run the same command again."
            )
        negatives = joins.column("negatives")
        pairs = cls(
            **told,
            names=names,
            queries=TextStore.open(folder / "queries.arrow"),
            passages=TextStore.open(folder / "passages.arrow"),
            query=joins.column("query").to_numpy(),
            positive=joins.column("positive").to_numpy(),
            negative_offsets=negatives.offsets.to_numpy(),
            negatives=negatives.values.to_numpy(),
        )
        found = _fingerprint(pairs)
        if found != pairs.fingerprint:
            raise KitError(
                f"{folder} was altered: its contents have the fingerprint {found}, about.json says "
                f"{pairs.fingerprint}; delete the folder and build the pairs again."
            )
        return pairs


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
    """Check pairs, write them to `folder` and open them.

    `query_texts`, `passage_texts`: by language, one text or None an id. `query`, `positive`, `negatives`: one entry
    a row, as row numbers of queries and passages (`negatives`: a sequence a row, which may be empty).
    Raises KitError for row numbers out of range, a query or passage without any text, and a negative that is the
    row's own positive or shares a text with it.
    """
    queries, passages = TextStore.build(query_ids, query_texts), TextStore.build(passage_ids, passage_texts)
    if not len(query) == len(positive) == len(negatives) or not len(query):
        raise KitError(
            f"{name}: {len(query)} queries, {len(positive)} positives and {len(negatives)} lists of negatives "
            "were given: each row needs one of each, and there must be a row."
        )
    lengths = np.array([len(row) for row in negatives], dtype=np.int64)
    flat = np.concatenate([np.asarray(row, dtype=np.int64) for row in negatives])
    pairs = TrainingPairs(
        name=name,
        licence=licence,
        fingerprint="",
        queries=queries,
        passages=passages,
        query=np.asarray(query, dtype=np.int64),
        positive=np.asarray(positive, dtype=np.int64),
        negative_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        negatives=flat,
        names={code: frozenset(found) for code, found in (names or {}).items()},
    )
    _check_rows(name, "query", pairs.query, queries)
    _check_rows(name, "positive", pairs.positive, passages)
    _check_rows(name, "negative", pairs.negatives, passages)
    _check_negatives(pairs)
    object.__setattr__(pairs, "fingerprint", _fingerprint(pairs))
    pairs.save(folder)
    return TrainingPairs.open(folder)


def _check_rows(name: str, what: str, rows: np.ndarray, store: TextStore) -> None:
    wrong = np.flatnonzero((rows < 0) | (rows >= len(store)))
    if len(wrong):
        raise KitError(
            f"{name}: {what} {rows[wrong[0]]} is no row number of the {len(store)} texts there are "
            f"({len(wrong)} such in all): write numbers from 0 to {len(store) - 1}."
        )
    empty = ~np.any([store.has(code) for code in store.languages] or [np.zeros(len(store), dtype=bool)], axis=0)
    wrong = np.flatnonzero(empty[rows])
    if len(wrong):
        raise KitError(
            f"{name}: the {what} {store.ids[rows[wrong[0]]]!r} has no text in any language "
            f"({len(wrong)} such in all): give one or leave the row out."
        )


def _check_negatives(pairs: TrainingPairs) -> None:
    row = np.repeat(np.arange(len(pairs)), np.diff(pairs.negative_offsets))
    group = pairs.passage_group
    wrong = np.flatnonzero(group[pairs.negatives] == group[pairs.positive[row]])
    if len(wrong):
        ids, first = pairs.passages.ids, wrong[0]
        raise KitError(
            f"{pairs.name}: row {row[first]} (query {pairs.queries.ids[pairs.query[row[first]]]!r}) has the negative "
            f"{ids[pairs.negatives[first]]!r}, which is its own positive {ids[pairs.positive[row[first]]]!r} or shares "
            f"a text with it ({len(wrong)} such in all): leave that negative out."
        )


def shared_groups(stores: Sequence[TextStore]) -> list[np.ndarray]:
    """For each store, (rows,) int64: rows that share a text, in whatever language and store, have the same group.

    Rows are counted through all stores, and a group is named by the number of its first row.
    """
    from pandas.util import hash_array
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts = np.cumsum([0, *map(len, stores)])
    columns = [(start, s.column(c)) for start, s in zip(starts, stores, strict=False) for c in s.languages]
    if not columns:
        return [np.arange(a, b) for a, b in pairwise(starts)]
    # Texts and rows are the nodes of a graph, and "this row has this text" its edges. Texts are told apart by a hash
    # of 64 bits, which spares the copy of all of them; two that collided would only never share a batch.
    row = np.concatenate([s + np.flatnonzero(c.is_valid().to_numpy(zero_copy_only=False)) for s, c in columns])
    texts = (column.drop_null().to_numpy(zero_copy_only=False) for _, column in columns)
    hashes = np.concatenate([hash_array(text, categorize=False) for text in texts])
    distinct, text = np.unique(hashes, return_inverse=True)
    nodes = int(starts[-1]) + len(distinct)
    graph = coo_array((np.ones(len(row), dtype=np.int8), (row, text + starts[-1])), shape=(nodes, nodes))
    _, label = connected_components(graph, directed=False)
    _, first, group = np.unique(label[: starts[-1]], return_index=True, return_inverse=True)
    return np.split(first[group], starts[1:-1])


def _fingerprint(pairs: TrainingPairs) -> str:
    digest = hashlib.sha256(f"training pairs {_FORMAT}\n".encode())
    pairs.queries.update_hash(digest)
    pairs.passages.update_hash(digest)
    for rows in (pairs.query, pairs.positive, pairs.negative_offsets, pairs.negatives):
        digest.update(f"rows {len(rows)}\n".encode())
        digest.update(rows.astype("<i8").tobytes())
    return digest.hexdigest()

"""Search with FAISS: the best passages for display, hard negatives, and approximate indexes against exact ranks."""

import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybridkit import encoding
from hybridkit.corpora.pairs import Block, TrainingPairs, build_pairs
from hybridkit.errors import KitError, KitWarning
from hybridkit.ranks import check_dimensions, check_finite, gold_ranks

if TYPE_CHECKING:
    import pandas as pd

    from hybridkit.corpora.benchmark import Benchmark

#: Texts that are encoded and rows that are looked at together.
_BLOCK = 16_384


def nearest(query_vectors: np.ndarray, candidate_vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best k candidates of every query: rows (queries, k) and inner products (queries, k), best first.

    `k` is lowered to the number of candidates. Equal scores stand in order of their rows, whatever k is. FAISS leaves
    the order of ties to chance and rounds to float32; so it is asked for more candidates where the last ones are too
    close to call, and the found ones are scored again in double precision.
    """
    import faiss

    check_dimensions(query_vectors, candidate_vectors)
    queries, candidates = (
        np.ascontiguousarray(check_finite(vectors[:], np.arange(len(vectors)), what))
        for vectors, what in ((query_vectors, "query"), (candidate_vectors, "candidate"))
    )
    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    k, asked = min(k, len(candidates)), min(k + 1, len(candidates))
    # What rounding can do to a sum of so many products of single precision.
    lengths = np.linalg.norm(queries, axis=1) * np.linalg.norm(candidates, axis=1).max()
    close = 2 * candidates.shape[1] * np.finfo(np.float32).eps * lengths
    scores, rows = index.search(queries, asked)
    while asked < len(candidates) and (scores[:, -1] >= scores[:, k - 1] - close).any():
        asked = min(2 * asked, len(candidates))
        scores, rows = index.search(queries, asked)
    found = [_in_order(query, candidates, part, k) for query, part in zip(queries, rows)]
    return np.array([part for part, _ in found]), np.array([part for _, part in found], np.float32)


def _in_order(query: np.ndarray, candidates: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k of some rows by score, then by row."""
    scores = np.einsum("ij,j->i", candidates[rows].astype(np.float64), query.astype(np.float64))
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def mine_negatives(
    pairs: TrainingPairs,
    model,
    folder: str | Path,
    *,
    languages: Sequence[str] | None = None,
    count: int = 1,
    first: int = 1,
    last: int = 100,
    margin: float = 0.05,
    batch_size: int = 128,
) -> TrainingPairs:
    """The same pairs with hard negatives, written to `folder`: passages that a model ranks high for a question.

    Each row is mined in the first of `languages` (None: those of the pairs, sorted) in which it has both question and
    positive, among all passages with a text in that language. Of the ranks `first` to `last` (from 1, the positive
    counted), the best `count` stay that score at least `margin` below the row's positive (cosine; an unjudged
    passage that scores as high may well be an answer). Never taken: any passage that shares a text, in whatever
    language, with one that the data states for the question, so no positive and no translation of one; nor two that
    share a text. Rows may get fewer than `count` or none, which is told in a KitWarning. Negatives that the pairs had
    are not kept. Takes memory for the vectors of all passages of a language.
    """
    if not (1 <= first <= last and 1 <= count <= last - first + 1 and np.isfinite(margin)):
        raise KitError(
            f"{count} negatives a row from ranks {first} to {last}, at least {margin} below the positive, were asked for: "
            "write 1 <= first <= last, no more negatives than ranks, and a number for the margin."
        )
    languages = list(languages or pairs.languages)
    chosen: list[list[int]] = [[] for _ in range(len(pairs))]
    for code, rows in _rows_by_language(pairs, languages):
        index, passages = _index(pairs, code, encoding.documents(model, batch_size))
        encode = encoding.questions(model, batch_size)
        for start in range(0, len(rows), _BLOCK):
            _mine(
                pairs, code, rows[start : start + _BLOCK], encode, index, passages, (first, last), count, margin, chosen
            )
    _tell_missing(chosen, count)
    return build_pairs(
        folder,
        name=Path(folder).name,
        licence=pairs.licence,
        query_ids=_column(pairs.queries, "row_id"),
        query_texts={code: _column(pairs.queries, code) for code in pairs.queries.languages},
        passage_ids=_column(pairs.passages, "row_id"),
        passage_texts={code: _column(pairs.passages, code) for code in pairs.passages.languages},
        joins=_joins(pairs, chosen),
        names=pairs.names,
    )


def _rows_by_language(pairs: TrainingPairs, languages: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Each language with the rows that are mined in it."""
    left = np.ones(len(pairs), bool)
    for code in languages:
        mine = left & pairs.queries.has(code)[pairs.query] & pairs.passages.has(code)[pairs.positive]
        left &= ~mine
        if mine.any():
            yield code, np.flatnonzero(mine)
    if left.all():
        raise KitError(
            f"{pairs.name} has no row with question and positive in one of {', '.join(languages)}: it has "
            f"{', '.join(pairs.languages)}."
        )


def _index(pairs: TrainingPairs, code: str, encode):
    """An exact index of all passages with a text in a language, and their rows, ascending."""
    import faiss

    passages = np.flatnonzero(pairs.passages.has(code))
    index = None
    for start in range(0, len(passages), _BLOCK):
        vectors = encode(pairs.passages.texts(code, passages[start : start + _BLOCK]))
        index = index or faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
    return index, passages


def _mine(pairs, code, rows, encode, index, passages, ranks, count, margin, chosen) -> None:
    """Put the negatives of some rows into `chosen`."""
    asked, which = np.unique(pairs.query[rows], return_inverse=True)
    vectors = encode(pairs.queries.texts(code, asked))
    scores, found = index.search(vectors, min(ranks[1], len(passages)))
    groups, questions = pairs.passage_group, pairs.query_group
    places = np.searchsorted(passages, pairs.positive[rows])
    for row, query, place in zip(rows.tolist(), which.tolist(), places.tolist()):
        most = float(vectors[query] @ index.reconstruct(place)) - margin
        candidates = passages[found[query, ranks[0] - 1 :]]
        group = groups[candidates]
        relevant = pairs.groups.relevant_to(int(questions[pairs.query[row]]))
        fits = (scores[query, ranks[0] - 1 :] <= most) & ~np.isin(group, relevant)
        _, distinct = np.unique(group[fits], return_index=True)
        chosen[row] = candidates[fits][np.sort(distinct)][:count].tolist()


def _tell_missing(chosen: list[list[int]], count: int) -> None:
    fewer = sum(len(one) < count for one in chosen)
    if not any(chosen):
        raise KitError(
            "No row has a negative there: choose a lower first rank, a higher last one, or a smaller margin."
        )
    if fewer:
        told = (
            f"{fewer:,} of {len(chosen):,} rows have fewer than {count} negatives, {sum(not one for one in chosen):,} "
            "have none: lower the margin or widen the ranks for more."
        )
        warnings.warn(told, KitWarning, stacklevel=3)


def _column(store, name: str) -> Iterator[str | None]:
    return chain.from_iterable(batch.to_pylist() for batch in store.batches(name))


def _joins(pairs: TrainingPairs, chosen: list[list[int]]) -> Iterator[Block]:
    for start in range(0, len(pairs), _BLOCK):
        part = slice(start, start + _BLOCK)
        yield pairs.query[part], pairs.positive[part], chosen[part]


def approximate_ranks(
    query_vectors: np.ndarray, candidate_vectors: np.ndarray, benchmark: "Benchmark", k: int = 100
) -> "pd.DataFrame":
    """What approximate indexes make of a benchmark's pool of all languages: a row an index, the exact ranks first.

    Columns: index; golds_found, the share of the golds that truly rank within k which the index returns; mAP, of the
    ranks within k, golds beyond it counting nothing; difference, from the exact mAP; seconds, of the search of all
    queries. Built with one thread, so that the same vectors give the same index.
    """
    import pandas as pd

    if getattr(benchmark, "own_language_only", False):
        raise KitError(f"{benchmark.name} ranks each query in its own language alone: choose one with a pool of all.")
    started = time.perf_counter()
    exact = gold_ranks(query_vectors, candidate_vectors, benchmark)
    true = exact.ranks(exact.pools)
    queries, candidates = (np.ascontiguousarray(v[:], np.float32) for v in (query_vectors, candidate_vectors))
    rows = [("exact gold ranks", true, time.perf_counter() - started)]
    for name, index in _approximate(candidates):
        started = time.perf_counter()
        _, found = index.search(queries, min(k, len(candidates)))
        seconds = time.perf_counter() - started
        same = found[benchmark.gold_query] == np.asarray(benchmark.gold_candidate)[:, None]
        rows.append((name, np.where(same.any(axis=1), 1.0 + same.argmax(axis=1), np.inf), seconds))
    within, truth = true <= k, _mean_average_precision(true, benchmark.gold_query, k)
    table = [
        (name, (ranks <= k)[within].mean(), precision := _mean_average_precision(ranks, benchmark.gold_query, k), precision - truth, seconds)
        for name, ranks, seconds in rows
    ]  # fmt: skip
    return pd.DataFrame(table, columns=["index", "golds_found", "mAP", "difference", "seconds"])


def _approximate(candidates: np.ndarray) -> Iterator[tuple[str, object]]:
    """Indexes by their names: inverted lists of which few are searched, and a graph of neighbours."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        lists = max(1, int(len(candidates) ** 0.5))
        inverted = faiss.index_factory(candidates.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        inverted.cp.min_points_per_centroid = 1  # else small pools are warned of
        inverted.train(candidates)
        inverted.add(candidates)
        graph = faiss.IndexHNSWFlat(candidates.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        graph.add(candidates)
    finally:
        faiss.omp_set_num_threads(threads)
    for searched in (1, 8):
        inverted.nprobe = min(searched, lists)
        yield f"IVF, {inverted.nprobe} of {lists} lists", inverted
    yield "HNSW, 32 neighbours", graph


def _mean_average_precision(ranks: np.ndarray, query: np.ndarray, k: int) -> float:
    """Mean average precision over queries, where golds beyond rank k count nothing."""
    from hybridkit import metrics

    query, within = np.asarray(query), ranks <= k
    found = metrics.rank_golds(ranks[within], query[within])
    golds = np.bincount(query)
    share = found.sizes / golds[found.queries]
    return float((metrics.average_precision(found) * share).sum() / np.count_nonzero(golds))

"""The lexical baseline: BM25 over one pool of all languages, which finds passages by matching words alone."""

import functools
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hybridkit.errors import KitError
from hybridkit.languages import language
from hybridkit.ranks import TILE, GoldRanks, count, pool_order

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark

#: Most candidates that BM25 is computed over: its index is made from lists of words, in about a gigabyte at this size.
MOST = 200_000
#: Latin letters and digits: words of their own within text that is written without spaces.
_LATIN = re.compile(r"[\u0000-\u024f]+")


@functools.cache
def _word() -> re.Pattern:
    """A word: letters, digits and combining marks (`\\w` alone would cut Hindi at its vowel signs)."""
    marks = (chr(i) for i in range(sys.maxunicode + 1) if unicodedata.category(chr(i)).startswith("M"))
    return re.compile(rf"[\w{''.join(marks)}]+")


def tokens(text: str, code: str) -> list[str]:
    """The terms of a text in language `code`: lower-cased words, or character bigrams where words have no spaces.

    Text is normalised (NFKC) first. In languages without spaces (Chinese, Thai, Japanese) words in Latin letters and
    numbers stay whole, and a character that stands alone is a term.
    """
    words = _word().findall(unicodedata.normalize("NFKC", text).lower())
    return words if language(code).spaced else [term for word in words for term in _bigrams(word)]


def _bigrams(word: str) -> Iterator[str]:
    yield from _LATIN.findall(word)
    for piece in filter(None, _LATIN.split(word)):
        yield from (piece[i : i + 2] for i in range(max(len(piece) - 1, 1)))


def bm25_gold_ranks(benchmark: "Benchmark") -> GoldRanks:
    """Gold ranks of BM25 (Lucene's variant, k1 1.5, b 0.75, as bm25s has them), with one index over all candidates.

    Candidates that share no term with a query tie at score 0. Raises KitError for more than `MOST` candidates.
    """
    _check_size(benchmark, len(benchmark.candidate_ids))
    return count(_score_blocks(benchmark), benchmark, system="BM25")


def _score_blocks(benchmark: "Benchmark") -> Iterator[tuple[int, np.ndarray]]:
    """Scores (rows, candidates) of a few hundred queries at a time, the candidates in `pool_order`."""
    order = pool_order(benchmark)
    index = _index(benchmark, order)
    asked = [tokens(text, code) for text, code in zip(benchmark.query_texts, benchmark.query_languages)]
    for start in range(0, len(asked), TILE[0]):
        block = asked[start : start + TILE[0]]
        scores = np.zeros((len(block), len(order)), np.float32)
        for row, terms in enumerate(block):
            # The library refuses an empty query; nothing matches it, so its scores stay 0.
            if terms:
                scores[row] = index.get_scores(terms)
        yield start, scores


def _index(benchmark: "Benchmark", rows: np.ndarray):
    """An index over some candidates."""
    import bm25s

    passages = [tokens(benchmark.candidate_texts[i], benchmark.candidate_languages[i]) for i in rows]
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene", dtype="float32", backend="numpy")
    index.index(passages, show_progress=False)
    return index


def nearest(
    benchmark: "Benchmark", queries: np.ndarray, candidates: np.ndarray, k: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each of some queries, by rows, the best k of some candidates: their rows and BM25 scores, best first.

    The index holds these candidates and no others. Equal scores stand in order of the rows. A candidate that shares no
    term with the query is not found, so there may be fewer than k. Raises KitError for more than `MOST` candidates.
    """
    _check_size(benchmark, len(candidates))
    index = _index(benchmark, candidates) if len(candidates) else None
    for row in queries:
        terms = tokens(benchmark.query_texts[row], benchmark.query_languages[row])
        scores = index.get_scores(terms) if index and terms else np.zeros(len(candidates), np.float32)
        best = np.argsort(-scores, kind="stable")[:k]
        best = best[scores[best] > 0]
        yield candidates[best], scores[best]


def _check_size(benchmark: "Benchmark", size: int) -> None:
    if size > MOST:
        raise KitError(
            f"BM25 is left out of {benchmark.name}: its {size:,} candidates are more than the {MOST:,} that it holds "
            "in memory here; pyserini has BM25 for corpora of this size."
        )

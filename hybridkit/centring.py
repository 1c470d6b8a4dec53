"""Mean-centring of embeddings by language after training: a remedy for language bias that trains nothing."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark

#: A vector that is shorter than this share of what it was is nothing but rounding, and becomes zero.
_NOTHING = 1e-6


def centred(vectors: np.ndarray, languages: np.ndarray) -> np.ndarray:
    """Embeddings without the mean of their language, brought to length 1 again.

    `vectors` (texts, dimensions), floats; `languages` (texts,), their codes. Returns (texts, dimensions) float32. Adding
    any vector to all texts of a language changes nothing. A text that is the mean of its language, such as the only one
    in it, has nothing left: its vector is zero, and all its scores tie.

    Source: Libovicky, Rosa and Fraser, "On the Language Neutrality of Pre-trained Multilingual Representations"
    (Findings of EMNLP 2020, arXiv 2004.05160), "unsupervised centering of the representation for each language".
    """
    found = np.empty(vectors.shape, np.float32)
    languages = np.asarray(languages)
    for code in np.unique(languages):
        rows = np.flatnonzero(languages == code)
        mine = np.asarray(vectors[rows], np.float64)
        less = mine - mine.mean(axis=0)
        length = np.linalg.norm(less, axis=1, keepdims=True)
        left = length > _NOTHING * np.linalg.norm(mine, axis=1, keepdims=True)
        found[rows] = np.divide(less, length, out=np.zeros_like(less), where=left)
    return found


def of_benchmark(queries: np.ndarray, candidates: np.ndarray, benchmark: "Benchmark") -> tuple[np.ndarray, np.ndarray]:
    """The embeddings (queries, dimensions) and (candidates, dimensions) of a benchmark, both centred.

    The means are those of the benchmark itself: of its queries in a language, and of its candidates in a language. No
    label is used, but the test texts are (transductive): a system that does not know its questions beforehand would have
    to take the means of others. Libovicky et al. centre sentences of one kind; queries and passages, which have prefixes
    of their own here, have a mean each.
    """
    return centred(queries, benchmark.query_languages), centred(candidates, benchmark.candidate_languages)

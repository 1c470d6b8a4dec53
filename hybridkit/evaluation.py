"""Evaluate a model on a benchmark: one encoding pass, each distinct text once, then gold ranks."""

from collections.abc import Sequence

import numpy as np

from hybridkit.corpora.benchmark import Benchmark
from hybridkit.encoders import load
from hybridkit.ranks import GoldRanks, gold_ranks


def evaluate_model(model, benchmark: Benchmark, system: str = "", batch_size: int = 128) -> GoldRanks:
    """Gold ranks of a model, given as a SentenceTransformer, a folder or an id.

    Queries are encoded with the model's own query prompt and candidates with its document prompt, as saved
    in training; scores are cosines.
    """
    if isinstance(model, str):
        system = system or model
        model = load(model)
    return gold_ranks(*embed(model, benchmark, batch_size), benchmark, system=system)


def embed(model, benchmark: Benchmark, batch_size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of a SentenceTransformer: (queries, dimension) and (candidates, dimension), float32."""
    queries = _embed(model.encode_query, benchmark.query_texts, benchmark.query_languages, batch_size)
    candidates = _embed(model.encode_document, benchmark.candidate_texts, benchmark.candidate_languages, batch_size)
    return queries, candidates


def _embed(encode, texts: Sequence[str], languages: np.ndarray, batch_size: int) -> np.ndarray:
    """Unit vectors (texts, dimension), float32.

    Language by language: the library sorts by number of characters to save padding, which says little
    about tokens across scripts.
    """
    vectors: np.ndarray | None = None
    for code in sorted(set(languages)):
        rows = np.flatnonzero(languages == code)
        place = {text: number for number, text in enumerate(dict.fromkeys(texts[i] for i in rows))}
        found = encode(list(place), batch_size=batch_size, show_progress_bar=False, normalize_embeddings=True)
        if vectors is None:
            vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
        vectors[rows] = found[[place[texts[i]] for i in rows]]
    return vectors

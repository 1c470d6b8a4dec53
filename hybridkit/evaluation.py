"""Evaluate a model on a benchmark: one encoding pass, each distinct text once, then gold ranks."""

import numpy as np

from hybridkit import encoding, shards
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.encoders import load
from hybridkit.ranks import GoldRanks, Layout, gold_ranks


def evaluate_model(model, benchmark: Benchmark, system: str = "", batch_size: int = 128) -> GoldRanks:
    """Gold ranks of a model, given as a SentenceTransformer, a folder or an id.

    Queries are encoded with the model's own query prompt and candidates with its document prompt, as saved
    in training; scores are cosines. A benchmark of more than 262,144 candidates goes through `shards.evaluate_model`,
    with the same counts.
    """
    if isinstance(model, str) and len(benchmark.candidate_ids) > shards.SHARD:
        return shards.evaluate_model(model, benchmark, system, batch_size)
    if isinstance(model, str):
        system = system or model
        model = load(model)
    layout = Layout(benchmark, encoding.same_text(benchmark))
    return gold_ranks(*embed(model, benchmark, batch_size, layout), benchmark, system=system, layout=layout)


def embed(
    model, benchmark: Benchmark, batch_size: int = 128, layout: Layout | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of a SentenceTransformer: (queries, dimension) and (candidates, dimension), float32.

    `layout`: that of the benchmark, where it is there already.
    """
    layout = layout or Layout(benchmark, encoding.same_text(benchmark))
    encode = encoding.documents(model, batch_size)
    blocks = encoding.Blocks(encode, benchmark.candidate_texts, layout.order, layout.text_starts, layout.columns.bounds)
    queries = encoding.queries(model, benchmark, batch_size)
    candidates = np.empty((len(layout.order), queries.shape[1]), np.float32)
    for start in range(0, len(layout.order), encoding.WIDTH):
        stop = min(start + encoding.WIDTH, len(layout.order))
        candidates[layout.order[start:stop]] = blocks(start, stop)
    return queries, candidates

"""Evaluate a model, or ready embeddings, on a benchmark: in memory where it is small, else shard by shard."""

from functools import partial
from pathlib import Path

import numpy as np

from hybridkit import centring, encoding
from hybridkit import shards as over_shards
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.encoders import load
from hybridkit.errors import KitError
from hybridkit.ranked_lists import RankedLists, ranked_lists
from hybridkit.ranks import GoldRanks, Layout, gold_ranks, load_embeddings
from hybridkit.sweep import cluster_executor

#: Candidates up to which everything is done in memory.
IN_MEMORY = over_shards.SHARD


def evaluate(
    benchmark: Benchmark,
    model: str | None = None,
    embeddings: str | Path | None = None,
    shards: int | None = None,
    scheduler: str | None = None,
    keep: bool = False,
    report=over_shards.silent,
    batch_size: int = encoding.BATCH,
) -> GoldRanks:
    """Gold ranks of a model, by folder or id, or of ready `embeddings`, a folder.

    Over shards where `shards`, `scheduler` (the address of a dask.distributed scheduler) or `keep` is given, or the
    benchmark is large; the counts are the same, but those of embeddings that are kept (see `shards.evaluate_model`).
    A model encodes `batch_size` texts at a time.
    """
    small = len(benchmark.candidate_ids) <= IN_MEMORY and not (shards or scheduler or keep)
    if small:
        if model:
            return evaluate_model(model, benchmark, batch_size=batch_size)
        return gold_ranks(*load_embeddings(embeddings, benchmark), benchmark, system=Path(embeddings).name)
    kept = {"shards": shards, "report": report}
    kept["make_executor"] = partial(cluster_executor, scheduler) if scheduler else None
    if model:
        return over_shards.evaluate_model(model, benchmark, batch_size=batch_size, keep=keep, **kept)
    return over_shards.evaluate_embeddings(embeddings, benchmark, **kept)


def evaluate_model(model, benchmark: Benchmark, system: str = "", batch_size: int = encoding.BATCH) -> GoldRanks:
    """Gold ranks of a model, given as a SentenceTransformer, a folder or an id.

    Queries are encoded with the model's own query prompt and candidates with its document prompt, as saved
    in training; scores are cosines. A benchmark of more than IN_MEMORY candidates goes through
    `shards.evaluate_model`, with the same counts.
    """
    if isinstance(model, str) and len(benchmark.candidate_ids) > IN_MEMORY:
        return over_shards.evaluate_model(model, benchmark, system, batch_size)
    if isinstance(model, str):
        system = system or model
        model = load(model)
    layout = Layout(benchmark, encoding.same_text(benchmark))
    return gold_ranks(*embed(model, benchmark, batch_size, layout), benchmark, system=system, layout=layout)


def can_be_centred(benchmark: Benchmark) -> bool:
    """Whether a benchmark's embeddings are centred here: if they are all in memory together."""
    return len(benchmark.candidate_ids) <= IN_MEMORY


def check_can_be_centred(benchmark: Benchmark) -> None:
    """Raise KitError where it cannot."""
    if not can_be_centred(benchmark):
        raise KitError(
            f"{benchmark.name} has {len(benchmark.candidate_ids):,} candidates, and centring is offered up to {IN_MEMORY:,}: "
            "leave it out, or centre ready embeddings beforehand with hybridkit.centring.of_benchmark and give those."
        )


def evaluate_both(
    benchmark: Benchmark,
    model: str | None = None,
    embeddings: str | Path | None = None,
    system: str = "",
    batch_size: int = encoding.BATCH,
) -> tuple[GoldRanks, GoldRanks]:
    """Gold ranks of a model, by folder or id, or of ready `embeddings`: as they are, and centred (`centring`).

    Texts are encoded once, and counted twice. Raises KitError for a benchmark that is evaluated over shards.
    """
    check_can_be_centred(benchmark)
    if model:
        layout = Layout(benchmark, encoding.same_text(benchmark))
        vectors = embed(load(model), benchmark, batch_size, layout)
    else:
        layout = Layout(benchmark)
        vectors = tuple(side[:] for side in load_embeddings(embeddings, benchmark))
    system = system or (str(model) if model else Path(embeddings).name)
    return _ranks_of_both(vectors, benchmark, system, layout)


def _ranks_of_both(vectors, benchmark: Benchmark, system: str, layout: Layout) -> tuple[GoldRanks, GoldRanks]:
    plain = gold_ranks(*vectors, benchmark, system=system, layout=layout)
    vectors = centring.of_benchmark(*vectors, benchmark)
    return plain, gold_ranks(*vectors, benchmark, system=f"{system}, centred", layout=layout)


def evaluate_run(model: str, benchmark: Benchmark, system: str) -> tuple[tuple[GoldRanks, ...], RankedLists | None]:
    """All that a run keeps of a benchmark, from one encoding: gold ranks, and ranked lists of some questions.

    The gold ranks as they are and, where that can be, centred. No lists (None) of a benchmark that is evaluated over
    shards, or that ranks each query in its own language alone.
    """
    if not can_be_centred(benchmark):
        return (evaluate_model(model, benchmark, system),), None
    layout = Layout(benchmark, encoding.same_text(benchmark))
    vectors = embed(load(model), benchmark, layout=layout)
    lists = None if benchmark.own_language_only else ranked_lists(*vectors, benchmark, system)
    return _ranks_of_both(vectors, benchmark, system, layout), lists


def embed(
    model, benchmark: Benchmark, batch_size: int = encoding.BATCH, layout: Layout | None = None
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

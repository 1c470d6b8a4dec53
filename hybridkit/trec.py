"""Export a run's ranked lists in the formats of trec_eval: run files and relevance (qrels), setting by setting.

trec_eval orders a list by score, read as float32, and equal scores by id, descending. Scores are therefore written as
whole numbers that fall by one from place to place, and equal scores of the model are put in that order of ids. The kit
itself gives equal scores the middle rank, so its figures and trec_eval's agree where nothing is tied. Gold ranks need
no export: they are Parquet (`ranks/<benchmark>/` in the folder of a run).
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import numpy as np

from hybridkit.corpora.benchmark import Benchmark
from hybridkit.counting import TILE, filled
from hybridkit.errors import KitError
from hybridkit.files import written_whole
from hybridkit.metrics import SETTINGS
from hybridkit.ranks import Layout, check_finite

#: Scores up to here are whole numbers of float32, in which trec_eval reads them.
MOST = 2**24
#: Candidates whose vectors and scores fit into the memory of a large machine (some 12 GB at 768 dimensions).
CANDIDATES = 3_000_000


def export(
    queries: np.ndarray,
    candidates: np.ndarray,
    benchmark: Benchmark,
    folder: Path,
    tag: str,
    top: int = 100,
    cross_lingual: bool = False,
    layout: Layout | None = None,
) -> list[Path]:
    """Write `monolingual` and `multilingual` .run and .qrels of a benchmark into `folder`; return the run files.

    `queries` (queries, dimensions) and `candidates` (candidates, dimensions): vectors in the benchmark's order, as
    `ranks.gold_ranks` takes them; with the same `layout` scores are the same float32 numbers. Each list holds the `top` best candidates: in
    the query's own language, in all languages, and with `cross_lingual` also in each other language (a pair of files
    `cross-lingual-<pool>` a language). Queries without a relevant passage in a pool are left out, as in the kit's
    figures. Raises KitError for a folder that holds something, and for a `top` that scores could not tell apart.
    """
    if not 1 <= top <= MOST:
        raise KitError(f"The length of the lists is {top:,}, but must be from 1 to {MOST:,}; choose another --top.")
    if len(benchmark.candidate_ids) > CANDIDATES:
        raise KitError(
            f"{benchmark.name} has {len(benchmark.candidate_ids):,} candidates, and lists are made in memory, for up to "
            f"{CANDIDATES:,}; name other benchmarks with --benchmark. Its gold ranks need no export."
        )
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise KitError(f"{folder} is there already and not empty: name a new folder for the export.")
    pools = sorted(set(benchmark.candidate_languages.tolist()))
    names = ["monolingual", "multilingual", *([f"cross-lingual-{pool}" for pool in pools] if cross_lingual else [])]
    ids = [written(one) for one in benchmark.candidate_ids]
    asked = [written(one) for one in benchmark.query_ids]
    relevant = _relevant(benchmark)
    with written_whole(folder.absolute()) as stage, ExitStack() as opened:
        stage.mkdir()
        files = {n: opened.enter_context((stage / f"{n}.run").open("w", encoding="utf-8")) for n in names}
        for query, lists in _top_lists(queries, candidates, benchmark, layout or Layout(benchmark), ids, top):
            for name, pool in _settings(str(benchmark.query_languages[query]), pools, names):
                if any(pool is None or benchmark.candidate_languages[gold] == pool for gold in relevant[query]):
                    files[name].writelines(_lines(asked[query], (ids[row] for row in lists[pool]), top, tag))
        for name in names:
            (stage / f"{name}.qrels").write_text("".join(_qrels(benchmark, name, asked, ids)), encoding="utf-8")
    return [folder / f"{name}.run" for name in names]


def export_run(
    place: Path,
    folder: Path,
    top: int = 100,
    names: Sequence[str] = (),
    embeddings: Path | None = None,
    cross_lingual: bool = False,
) -> list[Path]:
    """`export` for the run in the folder `place`, a folder a benchmark; `names` chooses some of its benchmarks.

    Vectors come from the run's model, or from `embeddings` (a folder as `ranks.load_embeddings` reads it, for one
    benchmark). Raises KitError for a folder without a run, and for a benchmark that is no longer what it was.
    """
    from hybridkit import encoding, params
    from hybridkit.corpora import catalogue
    from hybridkit.ranks import load_embeddings

    if not (place / "params.yaml").is_file():
        raise KitError(f"{place} is no folder of a run (no params.yaml in it); `hybridkit status` lists the folders.")
    parameters = params.load([place / "params.yaml"])
    if unknown := [name for name in names if name not in parameters.benchmarks]:
        raise KitError(f"{unknown[0]!r} is no benchmark of this run; it has {', '.join(parameters.benchmarks)}.")
    names = list(names or parameters.benchmarks)
    if embeddings and len(names) > 1:
        raise KitError(f"One folder of embeddings cannot serve {', '.join(names)}; choose one with --benchmark.")
    if not embeddings and not (place / "model").is_dir():
        raise KitError(f"{place} holds no trained model; train the run to its end, or give --embeddings.")
    written: list[Path] = []
    for benchmark in (catalogue.benchmark(name, parameters) for name in names):
        _check_same(place, benchmark)
        # The layouts of `evaluation`, in which the gold ranks were counted.
        layout = Layout(benchmark, None if embeddings else encoding.same_text(benchmark))
        vectors = load_embeddings(embeddings, benchmark) if embeddings else _encoded(place / "model", benchmark, layout)
        tag = re.sub(r"\W+", "-", f"{parameters.encoder} {parameters.mixture} seed {parameters.seed}").strip("-")
        written += export(*vectors, benchmark, folder / Path(benchmark.name).name, tag, top, cross_lingual, layout)
    return written


def _check_same(place: Path, benchmark: Benchmark) -> None:
    """Raise KitError where the run's gold ranks are of another benchmark than the one that is loaded now."""
    about = place / "ranks" / benchmark.name / "about.json"
    held = json.loads(about.read_text(encoding="utf-8")).get("fingerprint") if about.is_file() else ""
    if held and held != benchmark.fingerprint:
        raise KitError(
            f"{benchmark.name} has changed since {place} was evaluated (fingerprint {benchmark.fingerprint[:12]}, then "
            f"{held[:12]}): lists of today would not fit the run's figures; evaluate the run again first."
        )


def _encoded(model: Path, benchmark: Benchmark, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    from hybridkit.encoders import load
    from hybridkit.evaluation import embed

    return embed(load(str(model)), benchmark, layout=layout)


def written(one: str) -> str:
    """An id as a column of a file that is split at spaces: spaces and percent signs as in the address of a page."""
    return re.sub(r"[\s%]", lambda found: quote(found[0]), one)


def _relevant(benchmark: Benchmark) -> list[list[int]]:
    """The relevant candidates of each query, as rows."""
    found: list[list[int]] = [[] for _ in benchmark.query_ids]
    for query, candidate in zip(benchmark.gold_query.tolist(), benchmark.gold_candidate.tolist(), strict=True):
        found[query].append(candidate)
    return found


def _settings(language: str, pools: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """The files that a query in `language` belongs to, with the pool of each (None: all languages)."""
    yield SETTINGS[2], None
    for pool in pools:
        name = SETTINGS[0] if pool == language else f"{SETTINGS[1]}-{pool}"
        if name in names:
            yield name, pool


def _lines(query: str, documents: Iterator[str], top: int, tag: str) -> Iterator[str]:
    for rank, document in enumerate(documents, start=1):
        yield f"{query} Q0 {document} {rank} {top + 1 - rank} {tag}\n"


def _qrels(benchmark: Benchmark, name: str, asked: Sequence[str], ids: Sequence[str]) -> Iterator[str]:
    """The lines of relevance for one setting."""
    for query, gold in zip(benchmark.gold_query.tolist(), benchmark.gold_candidate.tolist(), strict=True):
        language, pool = benchmark.query_languages[query], benchmark.candidate_languages[gold]
        setting = SETTINGS[0] if language == pool else f"{SETTINGS[1]}-{pool}"
        if name in (SETTINGS[2], setting):
            yield f"{asked[query]} 0 {ids[gold]} 1\n"


def _top_lists(
    queries, candidates, benchmark: Benchmark, layout: Layout, ids: Sequence[str], top: int
) -> Iterator[tuple[int, dict]]:
    """For each query: the rows of the `top` best candidates by pool, and under None those of all languages."""
    order = layout.order
    languages = benchmark.candidate_languages[order]
    # Among equal scores the highest id comes first: candidates of a language in that order, then a stable sort.
    descending = np.empty(len(ids), np.int64)
    descending[sorted(range(len(ids)), key=ids.__getitem__, reverse=True)] = np.arange(len(ids))
    columns = {}
    for pool in np.unique(languages).tolist():
        here = np.flatnonzero(languages == pool)
        columns[pool] = here[np.argsort(descending[order[here]])]
    queries = check_finite(queries[:], np.arange(len(queries)), "query", benchmark.query_ids)
    candidates = check_finite(candidates[order], order, "candidate", benchmark.candidate_ids)
    for start, scores in _score_blocks(queries, candidates):
        best = {pool: _best(scores, here, top) for pool, here in columns.items()}
        union = np.concatenate(list(best.values()), axis=1)
        for row in range(min(TILE[0], len(queries) - start)):
            lists = {pool: order[found[row]] for pool, found in best.items()}
            both = np.lexsort((descending[order[union[row]]], -scores[row, union[row]]))[:top]
            yield start + row, lists | {None: order[union[row, both]]}


def _best(scores: np.ndarray, columns: np.ndarray, top: int) -> np.ndarray:
    """The `top` best of some columns (queries, at most top), best first; equal scores in the order of `columns`."""
    best = np.empty((len(scores), min(top, len(columns))), np.int64)
    for row, line in zip(best, scores):
        falling = -line[columns]
        last = np.partition(falling, len(row) - 1)[len(row) - 1]
        near = np.flatnonzero(falling <= last)  # and all that tie with the last
        row[:] = columns[near[np.argsort(falling[near], kind="stable")[: len(row)]]]
    return best


def _score_blocks(queries: np.ndarray, candidates: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first query, scores (TILE[0], candidates) float32), in the tiles of `counting`, so that every score is the same.

    A product of another shape may differ in the last bit, and with it the order of neighbours.
    """
    from threadpoolctl import threadpool_limits

    scores = np.empty((TILE[0], len(candidates)), np.float32)
    for start in range(0, len(queries), TILE[0]):
        block = filled(queries[start : start + TILE[0]], TILE[0])
        with threadpool_limits(1, user_api="blas"):
            for begin in range(0, len(candidates), TILE[1]):
                tile = np.matmul(block, filled(candidates[begin : begin + TILE[1]], TILE[1]).T)
                scores[:, begin : begin + TILE[1]] = tile[:, : len(candidates) - begin]
        yield start, scores

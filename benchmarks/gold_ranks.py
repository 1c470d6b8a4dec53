"""What gold ranks cost on XQuAD-R: all 132 settings and the rank distance, against the bare product of the scores.

    python benchmarks/gold_ranks.py [--dimensions 768] [--repeats 5] [--threads N] [--evaluator]

(a) the blocked score product alone: same tiles, same threads, everything allocated beforehand;
(b) gold ranks, the table of metrics, its summary and the rank distance, from the same embeddings;
(c) with --evaluator, once: sentence-transformers' InformationRetrievalEvaluator over 11 monolingual, 110
    cross-lingual settings and the multilingual one, with the same embeddings and no encoding.

(a) and (b) take turns, so that both meet the same load of the machine. Embeddings are random and of length 1.
Languages and golds are those of XQuAD-R if its files are in the downloads folder, else a stand-in of the same size.
"""

import argparse
import resource
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
from threadpoolctl import ThreadpoolController

from hybridkit import bias, metrics, paths
from hybridkit.corpora import xquad_r
from hybridkit.languages import XQUAD_R
from hybridkit.ranks import TILE, gold_ranks

#: Candidates a language and questions of XQuAD-R (arXiv 2408.10536, section 4).
CANDIDATES = dict(zip(XQUAD_R, (1222, 1276, 1234, 1180, 1215, 1244, 1219, 852, 1167, 1209, 1196)))
QUESTIONS = 1190


def main() -> None:
    asked = arguments()
    benchmark = xquad_r_or_stand_in()
    random = np.random.default_rng(0)
    queries = unit_vectors(random, len(benchmark.query_ids), asked.dimensions)
    candidates = unit_vectors(random, len(benchmark.candidate_ids), asked.dimensions)
    blas = ThreadpoolController().select(user_api="blas")
    threads = asked.threads or max(library["num_threads"] for library in blas.info())
    product = blocked_product(queries, candidates, threads)
    alone, whole, counting = [], [], []
    for _ in range(asked.repeats):
        with blas.limit(limits=1):
            alone.append(seconds(product))
        started = time.perf_counter()
        gold = gold_ranks(queries, candidates, benchmark, threads=threads)
        counting.append(time.perf_counter() - started)
        rows, _ = metrics.table(gold), metrics.summary(gold)
        bias.rank_distance(gold)
        whole.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    base = statistics.median(alone)
    ratio = statistics.median(b / a for a, b in zip(alone, whole))
    print(f"{benchmark.name}: {len(queries):,} queries, {len(candidates):,} candidates, {asked.dimensions} dimensions,")
    print(f"{len(rows)} settings, tiles of {TILE[0]} x {TILE[1]}, {threads} threads, median of {asked.repeats}.")
    print(f"Peak memory of the process, embeddings and both measurements: {peak / 2**30:.2f} GiB.")
    print(f"Median of the {asked.repeats} ratios of neighbouring (b) and (a): {ratio:.2f}.\n")
    print("| what | seconds | times the product |\n|---|---|---|")
    for name, times in (
        ("(a) blocked product alone", alone),
        ("gold ranks, product included", counting),
        ("(b) gold ranks, table, summary, rank distance", whole),
    ):
        middle = statistics.median(times)
        print(f"| {name} | {middle:.2f} ({min(times):.2f} to {max(times):.2f}) | {middle / base:.2f} |")
    if asked.evaluator:
        taken, recall = evaluate(benchmark, queries, candidates)
        print(f"| (c) InformationRetrievalEvaluator, metrics to rank 100 only | {taken:.2f} | {taken / base:.2f} |\n")
        ours = metrics.table(gold).query("setting == 'multilingual'")
        difference = abs(recall - np.average(ours["Recall@100"], weights=ours["queries"]))
        print(f"Multilingual Recall@100 of (b) and (c) differ by {difference:.1e}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: as many as NumPy's matrix product uses")
    parser.add_argument("--evaluator", action="store_true", help="also time InformationRetrievalEvaluator")
    return parser.parse_args()


def xquad_r_or_stand_in():
    """XQuAD-R, or a benchmark with its counts and one random gold a language."""
    if all((paths.downloads() / "xquad-r" / f"{code}.json").exists() for code in XQUAD_R):
        return xquad_r.load()
    random = np.random.default_rng(1)
    sizes = list(CANDIDATES.values())
    golds = np.stack([random.integers(0, size, QUESTIONS) for size in sizes], axis=1) + np.cumsum([0, *sizes[:-1]])
    queries = QUESTIONS * len(XQUAD_R)
    return SimpleNamespace(
        name="stand-in for XQuAD-R",
        fingerprint="",
        query_ids=[str(i) for i in range(queries)],
        query_languages=np.repeat(XQUAD_R, QUESTIONS),
        questions=[str(i % QUESTIONS) for i in range(queries)],
        candidate_ids=[str(i) for i in range(sum(sizes))],
        candidate_languages=np.repeat(XQUAD_R, sizes),
        gold_query=np.repeat(np.arange(queries), len(XQUAD_R)),
        gold_candidate=np.tile(golds, (len(XQUAD_R), 1)).ravel(),
    )


def unit_vectors(random: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    vectors = random.standard_normal((rows, dimensions), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def blocked_product(queries: np.ndarray, candidates: np.ndarray, threads: int):
    """A function that computes every tile of scores once, into memory that is there already."""
    height, width = TILE
    blocks = [padded(queries[start : start + height], height) for start in range(0, len(queries), height)]
    tiles = [padded(candidates[start : start + width], width) for start in range(0, len(candidates), width)]
    rooms = [np.zeros((len(tiles), height, width), np.float32) for _ in range(threads)]

    def run() -> None:
        waiting = iter(blocks)

        def work(room: np.ndarray) -> None:
            for block in waiting:
                for tile, scores in zip(tiles, room):
                    np.matmul(block, tile.T, out=scores)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, rooms))

    return run


def padded(vectors: np.ndarray, rows: int) -> np.ndarray:
    return np.pad(vectors, ((0, rows - len(vectors)), (0, 0)))


def seconds(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def evaluate(benchmark, queries: np.ndarray, candidates: np.ndarray) -> tuple[float, float]:
    """Seconds that the evaluator takes over all settings, and its multilingual Recall@100."""
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import dot_score

    class Ready:
        """Stands in for a model: the text of a query or candidate is its row number."""

        def encode_query(self, texts, **_):
            return torch.from_numpy(queries[np.array(texts, np.int64)])

        def encode_document(self, texts, **_):
            return torch.from_numpy(candidates[np.array(texts, np.int64)])

    def measure(asked: np.ndarray, pool: np.ndarray) -> dict:
        inside = np.isin(benchmark.gold_candidate, pool) & np.isin(benchmark.gold_query, asked)
        relevant: dict[str, set[str]] = {}
        for query, candidate in zip(benchmark.gold_query[inside], benchmark.gold_candidate[inside]):
            relevant.setdefault(str(query), set()).add(str(candidate))
        evaluator = InformationRetrievalEvaluator(
            {str(row): str(row) for row in asked},
            {str(row): str(row) for row in pool},
            relevant,
            accuracy_at_k=[1],
            precision_recall_at_k=[1, 10, 100],
            mrr_at_k=[100],
            ndcg_at_k=[10],
            map_at_k=[100],
            score_functions={"dot": dot_score},
            write_csv=False,
        )
        return evaluator.compute_all_metrics(Ready())["dot"]

    started = time.perf_counter()
    for asked in XQUAD_R:
        for pool in XQUAD_R:
            measure(
                np.flatnonzero(benchmark.query_languages == asked),
                np.flatnonzero(benchmark.candidate_languages == pool),
            )
    found = measure(np.arange(len(queries)), np.arange(len(candidates)))
    return time.perf_counter() - started, found["recall@k"][100]


if __name__ == "__main__":
    main()

"""A cross-check with MTEB (the extra `mteb`): a kit's model, one monolingual number, computed by another's code.

`check` gives MTEB a benchmark of the kit's, so that encoding, search and metric are MTEB's and the data are the same.
`ndcg` takes any retrieval task of MTEB's own as well: then the data are MTEB's too, such as MIRACL's.
"""

from pathlib import Path

import numpy as np

from hybridkit import encoders, metrics
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.errors import KitError
from hybridkit.evaluation import evaluate_model

SPLIT = "test"


def check(model: str | Path, benchmark: Benchmark, language: str) -> dict[str, float]:
    """nDCG@10 of a model (a folder or an id) within one language of a benchmark: {"hybridkit": ..., "mteb": ...}.

    Where no scores are tied the two are equal to MTEB's five digits; the kit gives ties the middle rank, and MTEB some
    order. Raises KitError for a language that the benchmark lacks, and where MTEB is not installed.
    """
    there = task(benchmark, language)
    loaded = encoders.load(str(model))
    rows = metrics.table(evaluate_model(loaded, benchmark))
    own = rows[(rows["setting"] == metrics.SETTINGS[0]) & (rows["pool"] == language)]["nDCG@10"]
    return {"hybridkit": float(own.iloc[0]), "mteb": ndcg(loaded, there)}


def ndcg(model, retrieval) -> float:
    """MTEB's nDCG@10 of a SentenceTransformer, with the model's own prompts, on one of MTEB's retrieval tasks.

    A task of several languages must be narrowed to one, as in
    `mteb.get_task("MIRACLRetrievalHardNegatives", languages=["swa"])`. Nothing is read from MTEB's cache of results.
    """
    import mteb

    result = mteb.evaluate(model, retrieval, cache=None, co2_tracker=False, show_progress_bar=False)
    (found,) = result.task_results
    scores = [subset for split in found.scores.values() for subset in split]
    if len(scores) != 1:
        names = ", ".join(subset["hf_subset"] for subset in scores)
        raise KitError(f"{retrieval.metadata.name} gave {len(scores)} figures ({names}); narrow it to one language.")
    return float(scores[0]["ndcg_at_10"])


def task(benchmark: Benchmark, language: str):
    """The questions and candidates of one language of a benchmark as a retrieval task of MTEB."""
    if language not in set(benchmark.query_languages.tolist()) & set(benchmark.languages):
        raise KitError(
            f"{benchmark.name} has no questions and candidates in {language!r}; give one of {' '.join(benchmark.languages)}."
        )
    try:
        from mteb import TaskMetadata
        from mteb.abstasks import AbsTaskRetrieval
    except ImportError:
        raise KitError('MTEB is not installed; install it with: pip install "hybridkit[mteb]".') from None
    about = TaskMetadata(
        name=f"{benchmark.name}-{language}",
        description=f"{benchmark.name} within {language}, as hybridkit evaluates it.",
        dataset={"path": "hybridkit", "revision": benchmark.fingerprint},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=[SPLIT],
        eval_langs=["mul"],  # MTEB's codes are others, and the figure does not depend on them
        main_score="ndcg_at_10",
    )

    class Monolingual(AbsTaskRetrieval):
        """One language of a benchmark of hybridkit."""

        metadata = about

        def load_data(self, *arguments, **options) -> None:
            """Take the texts from the benchmark instead of the hub."""
            self.dataset = {"default": {SPLIT: _split(benchmark, language)}}
            self.data_loaded = True

    return Monolingual()


def _split(benchmark: Benchmark, language: str) -> dict:
    """The data of a task as MTEB holds them; questions without an answer in the language are left out, as in the kit."""
    from datasets import Dataset

    asked = benchmark.query_languages[benchmark.gold_query] == language
    inside = benchmark.candidate_languages[benchmark.gold_candidate] == language
    relevant: dict[str, dict[str, int]] = {}
    for query, gold in zip(benchmark.gold_query[asked & inside], benchmark.gold_candidate[asked & inside], strict=True):
        relevant.setdefault(benchmark.query_ids[query], {})[benchmark.candidate_ids[gold]] = 1
    queries = [
        {"id": benchmark.query_ids[q], "text": benchmark.query_texts[q]}
        for q in np.unique(benchmark.gold_query[asked & inside])
    ]
    corpus = [
        {"id": benchmark.candidate_ids[c], "text": benchmark.candidate_texts[c]}
        for c in np.flatnonzero(benchmark.candidate_languages == language)
    ]
    return {
        "queries": Dataset.from_list(queries),
        "corpus": Dataset.from_list(corpus),
        "relevant_docs": relevant,
        "top_ranked": None,
    }

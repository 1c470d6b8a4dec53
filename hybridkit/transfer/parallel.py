"""Parallel sentences as a benchmark: every sentence asks for itself and for its translations."""

from collections.abc import Mapping, Sequence

from hybridkit import bias, metrics
from hybridkit.corpora.benchmark import Benchmark, make_benchmark
from hybridkit.errors import KitError
from hybridkit.ranks import GoldRanks


def benchmark(name: str, licence: str, ids: Sequence[str], texts: Mapping[str, Sequence[str]]) -> Benchmark:
    """A benchmark whose queries and candidates are the same sentences, in the languages of `texts`.

    `ids`: the name of each sentence; `texts[code]`: the sentences in a language, in the same order. A sentence is
    "<code>:<id>" on both sides, its golds are those of the same id in all languages. So within one language a sentence
    has to find itself, which any encoder can where queries and documents have the same prompt: that setting says nothing,
    the cross-lingual and the multilingual ones and rank distance do. Raises KitError for a language with another
    number of sentences, and as `make_benchmark` does.
    """
    for code, found in texts.items():
        if len(found) != len(ids):
            raise KitError(f"{name} has {len(found):,} sentences in {code}, but {len(ids):,} ids: give one each.")
    rows = [(f"{code}:{one}", text, code, one) for code, found in texts.items() for one, text in zip(ids, found)]
    whole, sentences, languages, questions = map(list, zip(*rows, strict=True))
    return make_benchmark(
        name=name,
        licence=licence,
        query_ids=whole,
        query_texts=sentences,
        query_languages=languages,
        questions=questions,
        candidate_ids=whole,
        candidate_texts=sentences,
        candidate_languages=languages,
        relevance=[(query, f"{code}:{one}") for query, _, _, one in rows for code in texts],
    )


def figures(gold: GoldRanks) -> dict[str, float]:
    """What parallel sentences tell of an encoder, from its gold ranks: mAP of the three settings, rank distance and chance.

    "monolingual mAP" (1 unless queries and documents have different prompts), "cross-lingual mAP", "multilingual mAP",
    "rank distance" as in `metrics.summary`, and "chance distance", the rank distance of a list in random order.
    """
    found = metrics.summary(gold)
    kept = [*(f"{setting} mAP" for setting in metrics.SETTINGS), "rank distance"]
    return {name: found[name] for name in kept} | {"chance distance": float(bias.rank_distance(gold)["chance"].mean())}

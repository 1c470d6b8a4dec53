"""XQuAD-R (LAReQA, arXiv 2004.05484): fetched once from its pinned commit, checked, and put into a benchmark."""

import json
from collections.abc import Sequence
from pathlib import Path

from hybridkit.corpora import downloads
from hybridkit.corpora.benchmark import Benchmark, make_benchmark
from hybridkit.corpora.catalogue import CATALOGUE
from hybridkit.errors import KitError
from hybridkit.languages import XQUAD_R

SOURCE = CATALOGUE["xquad-r"]


def load(languages: Sequence[str] = XQUAD_R) -> Benchmark:
    """XQuAD-R in the given languages: every sentence is a candidate, one is relevant to a question in each language.

    A candidate's id is "<language>:<article>:<paragraph>:<sentence>", a query's "<language>:<SQuAD id>", and the
    SQuAD id is the question that translations share. Raises KitError as `fetch` does.
    """
    queries, candidates, answers = [], [], {}
    for code, path in fetch(languages).items():
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        for number, article in enumerate(articles):
            for place, paragraph in enumerate(article["paragraphs"]):
                prefix = f"{code}:{number}:{place}"
                candidates += [(f"{prefix}:{i}", text, code) for i, text in enumerate(_sentences(paragraph))]
                for asked in paragraph["qas"]:
                    queries.append((f"{code}:{asked['id']}", asked["question"], code, asked["id"]))
                    answers.setdefault(asked["id"], []).append(f"{prefix}:{_answer(paragraph, asked)}")
    query_ids, query_texts, query_languages, questions = zip(*queries, strict=True)
    candidate_ids, candidate_texts, candidate_languages = zip(*candidates, strict=True)
    return make_benchmark(
        name=SOURCE.name,
        licence=SOURCE.licence,
        query_ids=query_ids,
        query_texts=query_texts,
        query_languages=query_languages,
        questions=questions,
        candidate_ids=candidate_ids,
        candidate_texts=candidate_texts,
        candidate_languages=candidate_languages,
        relevance=[(query, one) for query, _, _, question in queries for one in answers[question]],
    )


def _sentences(paragraph: dict) -> list[str]:
    # By the breaks, not by `sentences`: the two disagree in one Turkish paragraph, and answers go by the breaks.
    return [paragraph["context"][start:end] for start, end in paragraph["sentence_breaks"]]


def _answer(paragraph: dict, asked: dict) -> int:
    """The number of the sentence that holds the first character of the answer."""
    place = asked["answers"][0]["answer_start"]
    return next(i for i, (start, end) in enumerate(paragraph["sentence_breaks"]) if start <= place < end)


def fetch(languages: Sequence[str] = XQUAD_R) -> dict[str, Path]:
    """The file of each language, downloaded where it is not in `paths.downloads()/xquad-r` yet.

    Raises KitError for a language that XQuAD-R lacks, and as `downloads.pinned`.
    """
    unknown = [code for code in languages if code not in SOURCE.languages]
    if unknown or not languages:
        wrong = repr(unknown[0]) if unknown else "when none is named"
        raise KitError(f"XQuAD-R has no language {wrong}: write some of {', '.join(SOURCE.languages)}.")
    return {code: downloads.pinned(SOURCE, f"{code}.json") for code in dict.fromkeys(languages)}

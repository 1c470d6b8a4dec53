"""The benchmarks of LAReQA (arXiv 2004.05484), XQuAD-R and MLQA-R: SQuAD's files with the breaks of sentences added."""

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from hybridkit.corpora import downloads
from hybridkit.corpora.benchmark import Benchmark, make_benchmark
from hybridkit.corpora.catalogue import Source, part_name
from hybridkit.errors import KitError, KitWarning


def load(source: Source, languages: Sequence[str], title: str) -> Benchmark:
    """A benchmark of LAReQA in the given languages: every sentence is a candidate.

    Relevant to a question is, in each language that it exists in, the sentence that holds the answer's first character.
    A candidate's id is "<language>:<article>:<paragraph>:<sentence>", a query's "<language>:<SQuAD id>", and the
    SQuAD id is the question that translations share. `title` is what messages call the source. A sentence without text
    is left out with a KitWarning. Raises KitError as `fetch` does.
    """
    queries, candidates, answers, empty = [], [], {}, 0
    for code, path in fetch(source, languages, title).items():
        for prefix, paragraph in _paragraphs(path, code):
            sentences = _sentences(paragraph)
            texts = [(f"{prefix}:{i}", text, code) for i, text in enumerate(sentences) if text.strip()]
            empty += len(sentences) - len(texts)
            candidates += texts
            for asked in paragraph["qas"]:
                queries.append((f"{code}:{asked['id']}", asked["question"], code, asked["id"]))
                answers.setdefault(asked["id"], []).append(f"{prefix}:{_answer(paragraph, asked, path)}")
    if empty:
        warnings.warn(f"{title}: {empty} sentences without text are left out.", KitWarning, stacklevel=3)
    query_ids, query_texts, query_languages, questions = zip(*queries, strict=True)
    candidate_ids, candidate_texts, candidate_languages = zip(*candidates, strict=True)
    return make_benchmark(
        name=part_name(source.name, languages),
        licence=source.licence,
        query_ids=query_ids,
        query_texts=query_texts,
        query_languages=query_languages,
        questions=questions,
        candidate_ids=candidate_ids,
        candidate_texts=candidate_texts,
        candidate_languages=candidate_languages,
        relevance=[(query, one) for query, _, _, question in queries for one in answers[question]],
    )


def fetch(source: Source, languages: Sequence[str], title: str) -> dict[str, Path]:
    """The file of each language, downloaded where it is not in the folder of downloads yet.

    Raises KitError for a language that the benchmark lacks, and as `downloads.pinned`.
    """
    unknown = [code for code in languages if code not in source.languages]
    if unknown or not languages:
        wrong = repr(unknown[0]) if unknown else "when none is named"
        raise KitError(f"{title} has no language {wrong}: write some of {', '.join(source.languages)}.")
    return {code: downloads.pinned(source, f"{code}.json") for code in dict.fromkeys(languages)}


def _paragraphs(path: Path, code: str) -> Iterator[tuple[str, dict]]:
    for number, article in enumerate(json.loads(path.read_text(encoding="utf-8"))["data"]):
        for place, paragraph in enumerate(article["paragraphs"]):
            yield f"{code}:{number}:{place}", paragraph


def _sentences(paragraph: dict) -> list[str]:
    # By the breaks, not by `sentences`: the two disagree in one Turkish paragraph, and answers go by the breaks.
    return [paragraph["context"][start:end] for start, end in paragraph["sentence_breaks"]]


def _answer(paragraph: dict, asked: dict, path: Path) -> int:
    """The number of the sentence that holds the first character of the answer."""
    place = asked["answers"][0]["answer_start"]
    found = [i for i, (start, end) in enumerate(paragraph["sentence_breaks"]) if start <= place < end]
    if not found:
        raise KitError(f"{path}: the answer to {asked['id']!r} stands in no sentence: fetch the file again.")
    return found[0]

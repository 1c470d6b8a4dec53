"""AfriQA (arXiv 2305.06897): questions in African languages, their human translations to English, English passages.

The gold passages: each question with the Wikipedia passage that answers it. A mono batch asks in English, a cross
batch in an African language.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from hybridkit import paths
from hybridkit.corpora import building, downloads
from hybridkit.corpora.benchmark import Benchmark, make_benchmark
from hybridkit.corpora.catalogue import CATALOGUE, Source
from hybridkit.corpora.pairs import TrainingPairs, make_pairs
from hybridkit.corpora.similar import normal

if TYPE_CHECKING:
    from hybridkit.params import Parameters

SOURCE = CATALOGUE["afriqa"]
#: The languages' codes in the files (ISO 639-3) and in the kit. Fon is left out: it was translated to French.
CODES = {"bem": "bem", "hau": "ha", "ibo": "ig", "kin": "rw", "swa": "sw", "twi": "tw", "yor": "yo", "zul": "zu"}
# Part of the cache's key: to be raised when the same files would be read into other pairs.
_VERSION = 2


def fetch() -> list[Path]:
    """All files, downloaded where they are not there yet; errors as `downloads.pinned`."""
    return [downloads.pinned(SOURCE, name) for name in SOURCE.files]


def _rows(split: str, left: Counter[str] | None = None) -> Iterator[tuple[str, str, dict]]:
    """Code, id and row of every question of a split ("train", "test") that has both texts and a passage.

    The others are counted in `left`.
    """
    for path in fetch():
        *_, language, _, part, _ = path.name.split(".")
        if part == split:
            code = CODES[language]
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
                row = json.loads(line)
                if all((row[key] or "").strip() for key in ("context", "question_lang", "question_translated")):
                    yield code, f"{code}:{split}:{number}", row
                elif left is not None:
                    left["with an empty field"] += 1


def training_pairs() -> TrainingPairs:
    """The training questions, each in its language and in English, with the English passage that answers it.

    Left out, which is told: rows with an empty field, and those whose passage or question is in the test split
    too, be it with other capitals or spaces. Built at first use and kept in the cache.
    """
    folder = paths.cache() / "pairs" / f"afriqa-{SOURCE.commit[:7]}-{_VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        return TrainingPairs.open(folder) if (folder / "about.json").exists() else _build(folder)


def _for_training() -> list[tuple[str, str, dict]]:
    """The training rows that may be used."""
    tested = [row for _, _, row in _rows("test")]
    known = {key: {normal(row[key]) for row in tested} for key in ("context", "question_lang", "question_translated")}
    left: Counter[str] = Counter()
    rows = []
    for found in _rows("train", left):
        if normal(found[2]["context"]) in known["context"]:
            left["whose passage is in the test"] += 1
        elif any(normal(found[2][key]) in known[key] for key in ("question_lang", "question_translated")):
            left["whose question is in the test"] += 1
        else:
            rows.append(found)
    building.tell(SOURCE, left, len(rows))
    return rows


def _build(folder: Path) -> TrainingPairs:
    rows = _for_training()
    passages = list(dict.fromkeys(row["context"] for _, _, row in rows))
    place = {text: number for number, text in enumerate(passages)}
    asked: dict[str, list[str | None]] = {"en": [row["question_translated"] for _, _, row in rows]}
    for spoken in dict.fromkeys(code for code, _, _ in rows):
        asked[spoken] = [row["question_lang"] if code == spoken else None for code, _, row in rows]
    return make_pairs(
        folder,
        name=SOURCE.name,
        licence=SOURCE.licence,
        query_ids=[one for _, one, _ in rows],
        query_texts=asked,
        passage_ids=[f"train:{number}" for number in range(len(passages))],
        passage_texts={"en": passages},
        query=range(len(rows)),
        positive=[place[row["context"]] for _, _, row in rows],
        negatives=[[] for _ in rows],
    )


def benchmark() -> Benchmark:
    """The test questions, each asked in its language and in English, over the English passages of the test split."""
    rows = list(_rows("test"))
    passages = list(dict.fromkeys(row["context"] for _, _, row in rows))
    candidate = {text: f"en:{number}" for number, text in enumerate(passages)}
    asked = [(f"{code}:{one}", row["question_lang"], code, one, row) for code, one, row in rows]
    asked += [(f"en:{one}", row["question_translated"], "en", one, row) for _, one, row in rows]
    query_ids, texts, languages, questions, found = zip(*asked, strict=True)
    return make_benchmark(
        name=SOURCE.name,
        licence=SOURCE.licence,
        query_ids=query_ids,
        query_texts=texts,
        query_languages=languages,
        questions=questions,
        candidate_ids=list(candidate.values()),
        candidate_texts=passages,
        candidate_languages=["en"] * len(passages),
        relevance=[(one, candidate[row["context"]]) for one, row in zip(query_ids, found, strict=True)],
    )


def load_pairs(source: Source, parameters: "Parameters") -> TrainingPairs:
    """For the catalogue: `training_pairs`."""
    return training_pairs()


def load_key(source: Source, parameters: "Parameters") -> str:
    """For the catalogue: the files and how they are read."""
    return f"{downloads.content_key(source, parameters.languages)}:{_VERSION}"


def load_benchmark(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Benchmark:
    """For the catalogue: `benchmark`, which has no parts."""
    return benchmark()

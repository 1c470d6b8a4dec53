"""SIB-200 (arXiv 2309.07445): sentences of FLORES-200 with topics, as labelled texts and as parallel sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit.corpora import downloads, tables
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.catalogue import CATALOGUE, Source, part_name
from hybridkit.errors import KitError
from hybridkit.transfer import parallel
from hybridkit.transfer.tasks import SPLITS, Labelled, make_labelled, part

if TYPE_CHECKING:
    from hybridkit.params import Parameters

SOURCE = CATALOGUE["sib-200"]
#: The languages' codes in the kit, by those of FLORES-200, which are the folders of the files.
CODES = {name.partition("/")[0]: str(pin["language"]) for name, pin in SOURCE.files.items()}
TOPICS = ("entertainment", "geography", "health", "politics", "science/technology", "sports", "travel")


def sentences(code: str, split: str) -> dict[str, tuple[str, str]]:
    """The sentences of a language and split ("train", "dev", "test") by their id: topic and text; downloaded if need be."""
    folder = next(folder for folder, other in CODES.items() if other == code)
    path = downloads.pinned(SOURCE, f"{folder}/{split}.tsv")
    with path.open(encoding="utf-8", newline="") as lines:
        found = list(tables.rows(lines, ("index_id", "category", "text"), str(path)))
    return {row["index_id"]: (row["category"], row["text"]) for row in found}


def labelled(languages: Sequence[str] = SOURCE.languages) -> Labelled:
    """The topics of the sentences, in all three splits of every language."""
    parts = {}
    for code in languages:
        for split in SPLITS:
            topics, texts = zip(*sentences(code, split).values(), strict=True)
            parts[code, split] = part(texts, topics)
    return make_labelled("sib-200", SOURCE.licence, TOPICS, parts)


def benchmark(
    languages: Sequence[str] = SOURCE.languages, splits: Sequence[str] = SPLITS, name: str = "sib-200"
) -> Benchmark:
    """The sentences of some splits as parallel sentences (`parallel.benchmark`).

    Raises KitError where a language has other sentences than the first.
    """
    found = {code: {k: text for s in splits for k, (_, text) in sentences(code, s).items()} for code in languages}
    ids = list(found[languages[0]])
    for code, texts in found.items():
        if set(texts) != set(ids):
            raise KitError(f"SIB-200 has other sentences in {code} than in {languages[0]}: fetch it again.")
    return parallel.benchmark(
        name, SOURCE.licence, ids, {code: [found[code][one] for one in ids] for code in languages}
    )


def load_labelled(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Labelled:
    """For the catalogue: `labelled`, where () stands for all languages."""
    return labelled(languages or source.languages)


def load_benchmark(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Benchmark:
    """For the catalogue: `benchmark` of all splits, where () stands for all languages."""
    codes = languages or source.languages
    return benchmark(codes, name=part_name(source.name, codes))


def fetch_files(source: Source, languages: Sequence[str] = ()) -> list[Path]:
    """For the catalogue: the files of some languages, where () stands for all."""
    return [downloads.pinned(SOURCE, name) for name in SOURCE.files_of(languages)]

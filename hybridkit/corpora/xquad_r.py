"""XQuAD-R (LAReQA, arXiv 2004.05484): fetched once from its pinned commit, checked, and put into a benchmark."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit.corpora import lareqa
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.catalogue import CATALOGUE, Source
from hybridkit.languages import XQUAD_R

if TYPE_CHECKING:
    from hybridkit.params import Parameters

SOURCE = CATALOGUE["xquad-r"]


def load(languages: Sequence[str] = XQUAD_R) -> Benchmark:
    """XQuAD-R in the given languages, with one relevant sentence a question and language; see `lareqa.load`."""
    return lareqa.load(SOURCE, languages, "XQuAD-R")


def fetch(languages: Sequence[str] = XQUAD_R) -> dict[str, Path]:
    """The file of each language; see `lareqa.fetch`."""
    return lareqa.fetch(SOURCE, languages, "XQuAD-R")


def load_benchmark(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Benchmark:
    """For the catalogue: `load`, where () stands for all languages."""
    return load(languages or source.languages)


def fetch_files(source: Source, languages: Sequence[str] = ()) -> list[Path]:
    """For the catalogue: the files of `fetch`, where () stands for all languages."""
    return list(fetch(languages or source.languages).values())

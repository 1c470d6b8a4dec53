"""MLQA-R (LAReQA, arXiv 2004.05484): withdrawn from the head of its repository by its owners, so only on request.

It is read from the repository's history, for non-commercial use (CC BY-NC 4.0), once the user has accepted that.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit.corpora import lareqa
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.catalogue import CATALOGUE, Source

if TYPE_CHECKING:
    from hybridkit.params import Parameters

SOURCE = CATALOGUE["mlqa-r"]


def load(languages: Sequence[str] = SOURCE.languages) -> Benchmark:
    """MLQA-R in the given languages; see `lareqa.load`.

    A question exists in two to four of the seven languages and has one relevant sentence in each of them. Where a pool
    holds none the question does not count for that pool: the published figures allow no other reading.
    """
    return lareqa.load(SOURCE, languages, "MLQA-R")


def fetch(languages: Sequence[str] = SOURCE.languages) -> dict[str, Path]:
    """The file of each language; see `lareqa.fetch`."""
    return lareqa.fetch(SOURCE, languages, "MLQA-R")


def load_benchmark(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Benchmark:
    """For the catalogue: `load`, where () stands for all languages."""
    return load(languages or source.languages)


def fetch_files(source: Source, languages: Sequence[str] = ()) -> list[Path]:
    """For the catalogue: the files of `fetch`, where () stands for all languages."""
    return list(fetch(languages or source.languages).values())

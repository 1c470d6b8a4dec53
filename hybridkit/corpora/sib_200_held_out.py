"""The dev and test sentences of SIB-200 as a benchmark of their own, for encoders that have read the training sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit.corpora import sib_200
from hybridkit.corpora.catalogue import part_name

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.corpora.catalogue import Source
    from hybridkit.params import Parameters


def load_benchmark(source: "Source", parameters: "Parameters", languages: Sequence[str] = ()) -> "Benchmark":
    """The sentences in some languages, where () stands for all."""
    codes = languages or source.languages
    return sib_200.benchmark(codes, ("dev", "test"), part_name(source.name, codes))


def fetch_files(source: "Source", languages: Sequence[str] = ()) -> list[Path]:
    """The files of SIB-200."""
    return sib_200.fetch_files(sib_200.SOURCE, languages)

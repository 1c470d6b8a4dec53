"""XNLI's 15-way parallel sentences as the catalogue opens them (`xnli.parallel_sentences`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hybridkit.corpora import xnli
from hybridkit.corpora.catalogue import part_name

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.corpora.catalogue import Source
    from hybridkit.params import Parameters


def load_benchmark(source: "Source", parameters: "Parameters", languages: Sequence[str] = ()) -> "Benchmark":
    """The sentences in some languages, where () stands for all."""
    codes = languages or source.languages
    return xnli.parallel_sentences(codes, part_name(source.name, codes))

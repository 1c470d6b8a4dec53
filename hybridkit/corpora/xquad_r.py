"""XQuAD-R (LAReQA, arXiv 2004.05484): fetched once from its pinned commit, checked, and put into a benchmark."""

from collections.abc import Sequence
from pathlib import Path

from hybridkit.corpora import lareqa
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.catalogue import CATALOGUE
from hybridkit.languages import XQUAD_R

SOURCE = CATALOGUE["xquad-r"]


def load(languages: Sequence[str] = XQUAD_R) -> Benchmark:
    """XQuAD-R in the given languages, with one relevant sentence a question and language; see `lareqa.load`."""
    return lareqa.load(SOURCE, languages, "XQuAD-R")


def fetch(languages: Sequence[str] = XQUAD_R) -> dict[str, Path]:
    """The file of each language; see `lareqa.fetch`."""
    return lareqa.fetch(SOURCE, languages, "XQuAD-R")

"""The museum as the catalogue opens it; apart from `museum.py`, whose own text is part of the key of the museum's runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hybridkit.corpora import museum
from hybridkit.languages import XQUAD_R

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.corpora.catalogue import Source
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.params import Parameters


def load_pairs(source: "Source", parameters: "Parameters") -> "TrainingPairs":
    """The training split, of the size that the parameters ask for."""
    return museum.training_pairs(parameters.museum_exhibits)


def load_benchmark(source: "Source", parameters: "Parameters", languages: Sequence[str] = ()) -> "Benchmark":
    """The evaluation split, of the size that the parameters ask for."""
    return museum.benchmark(parameters.museum_evaluation_exhibits, languages=languages or XQUAD_R)


def load_key(source: "Source", parameters: "Parameters") -> str:
    """The content of both splits."""
    return museum.content_key(parameters.museum_exhibits, parameters.museum_evaluation_exhibits)

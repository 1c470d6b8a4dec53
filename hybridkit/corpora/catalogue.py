"""The catalogue of sources, and the one way from a name in the parameters to its data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from hybridkit.errors import KitError
from hybridkit.files import content_key as content_hash
from hybridkit.languages import XQUAD_R

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.params import Parameters


@dataclass(frozen=True)
class Source:
    """One source of data as `hybridkit data list` shows it.

    `kind` is "training pairs", "benchmark" or both, `checksum` says how the content is verified, `loader` names the
    module. `commit`, `url` (with the slots {commit} and {file}), `hub` (a data set of Hugging Face) and `files` (name to
    SHA-256 and size in bytes, or to nothing where they are locked at the first download) are there for downloaded
    sources only. `must_accept`: whether the user must accept the licence first.
    """

    name: str
    what: str
    kind: str
    languages: tuple[str, ...]
    size: str
    licence: str
    revision: str
    checksum: str
    loader: str
    commit: str = ""
    url: str = ""
    hub: str = ""
    must_accept: bool = False
    files: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)


def _read() -> dict[str, Source]:
    text = (files("hybridkit.corpora") / "catalogue.yaml").read_text(encoding="utf-8")
    entries = YAML(typ="safe", pure=True).load(text)
    return {
        name: Source(name=name, **entry | {"languages": tuple(entry["languages"])}) for name, entry in entries.items()
    }


CATALOGUE: dict[str, Source] = _read()


def training_pairs(name: str, parameters: "Parameters") -> "TrainingPairs":
    """Training pairs by their name in the catalogue, or by the path of a .jsonl file (see `jsonl.read_pairs`) or of a
    folder that the kit wrote (`pairs.build_pairs`).

    `parameters` gives the museum's size (`museum_exhibits`). Raises KitError for a name that is neither, and for a
    test set.
    """
    if name == "museum":
        from hybridkit.corpora import museum

        return museum.training_pairs(parameters.museum_exhibits)
    if name == "afriqa":
        from hybridkit.corpora import afriqa

        return afriqa.training_pairs()
    if _holds_pairs(name):
        from hybridkit.corpora.pairs import TrainingPairs

        return TrainingPairs.open(name)
    if name.endswith(".jsonl"):
        from hybridkit.corpora.jsonl import read_pairs

        return read_pairs(name)
    if name in CATALOGUE:
        raise KitError(
            f'"{name}" cannot be trained on, it is a test set (XQuAD-R is made from the development set of SQuAD 1.1, '
            f"and every result on it would be void): write it under benchmarks, and one of {_named('training pairs')} "
            "or a .jsonl file under training_data."
        )
    raise KitError(
        f'"{name}" is no training data: write {_named("training pairs")}, or the path of a .jsonl file{_nearest(name)}.'
    )


def benchmark(name: str, parameters: "Parameters") -> "Benchmark":
    """A benchmark by its name in the catalogue, or by the path of a folder (see `jsonl.read_benchmark`).

    `parameters` gives the museum's size (`museum_evaluation_exhibits`). Raises KitError for a name that is neither.
    """
    if name == "museum":
        from hybridkit.corpora import museum

        return museum.benchmark(parameters.museum_evaluation_exhibits, languages=XQUAD_R)
    if name == "xquad-r":
        from hybridkit.corpora import xquad_r

        return xquad_r.load()
    if name == "afriqa":
        from hybridkit.corpora import afriqa

        return afriqa.benchmark()
    if (Path(name) / "queries.jsonl").is_file():
        from hybridkit.corpora.jsonl import read_benchmark

        return read_benchmark(name)
    raise KitError(
        f'"{name}" is no benchmark: write {_named("benchmark")}, or the path of a folder that holds queries.jsonl, '
        f"candidates.jsonl and relevance.jsonl{_nearest(name)}."
    )


def content_key(name: str, parameters: "Parameters") -> str:
    """What decides the content of a source, known without building or loading it; part of a run's key."""
    if name == "museum":
        from hybridkit.corpora import museum

        return museum.content_key(parameters.museum_exhibits, parameters.museum_evaluation_exhibits)
    if name in CATALOGUE:
        from hybridkit.corpora import downloads

        return downloads.revision(CATALOGUE[name])
    found = content_hash(Path(name) / "about.json" if _holds_pairs(name) else Path(name), "*.jsonl")
    if not found:
        raise KitError(
            f'"{name}" is neither in the catalogue nor a file or folder of JSONL; give its path{_nearest(name)}.'
        )
    return found


def fetch(name: str, accept_licence: bool = False) -> str:
    """Download a source, or check the copy that is there; a sentence on what is there now."""
    if name == "museum":
        return "The museum comes with the kit; there is nothing to download."
    if name not in CATALOGUE:
        raise KitError(f'"{name}" is not in the catalogue ({", ".join(CATALOGUE)}){_nearest(name)}.')
    from hybridkit import lock, paths
    from hybridkit.corpora import downloads

    source = CATALOGUE[name]
    if accept_licence and source.must_accept:
        lock.accept(name, source.licence)
    for file in source.files:
        downloads.file(source, file)
    return f"{name}: {len(source.files)} files with the right checksums in {paths.downloads() / name}"


def _holds_pairs(name: str) -> bool:
    """Whether this is a folder of training pairs; its about.json tells their fingerprint."""
    return all((Path(name) / part).exists() for part in ("about.json", "passages", "positive.npy"))


def _named(kind: str) -> str:
    return " or ".join(f'"{name}"' for name, source in CATALOGUE.items() if kind in source.kind)


def _nearest(name: str) -> str:
    near = get_close_matches(name.lower(), CATALOGUE, n=1)
    return f'; perhaps "{near[0]}"' if near else ""

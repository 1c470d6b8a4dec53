"""The catalogue of sources, and the one way from a name in the parameters to its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
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
# Benchmarks that can be loaded in some of their languages.
_IN_PARTS = ("xquad-r", "mlqa-r", "miracl", "miracl-hard-negatives")


def split_part(name: str) -> tuple[str, tuple[str, ...]]:
    """A name such as "miracl:sw+yo" as the source and its languages in the catalogue's order; () stands for all.

    Raises KitError for a language that the source lacks and for a source that has no parts.
    """
    base, colon, languages = name.partition(":")
    if not colon or base not in CATALOGUE:
        return name, ()
    if base not in _IN_PARTS:
        raise KitError(f'"{name}": only {", ".join(_IN_PARTS)} can be loaded in some languages; write "{base}".')
    known, asked = CATALOGUE[base].languages, languages.split("+")
    unknown = [code for code in asked if code not in known]
    if unknown:
        raise KitError(
            f'"{name}": {base} has no language "{unknown[0]}"; write some of {"+".join(known)} after the colon.'
        )
    return base, () if set(asked) == set(known) else tuple(code for code in known if code in asked)


def part_name(name: str, languages: Sequence[str]) -> str:
    """The name of a source's part in these languages: "miracl:sw+yo", or the source's own name for all of them."""
    known = CATALOGUE[name].languages
    return name if set(known) <= set(languages) else f"{name}:{'+'.join(code for code in known if code in languages)}"


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
    if split_part(name)[0] in CATALOGUE:
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

    A name may choose languages, as in "miracl:sw+yo" (see `split_part`). `parameters` gives the museum's size
    (`museum_evaluation_exhibits`). Raises KitError for a name that is neither.
    """
    source, languages = split_part(name)
    if source in _IN_PARTS:
        return import_module(CATALOGUE[source].loader).load_benchmark(CATALOGUE[source], parameters, languages)
    if name == "museum":
        from hybridkit.corpora import museum

        return museum.benchmark(parameters.museum_evaluation_exhibits, languages=XQUAD_R)
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
    source, languages = split_part(name)
    if source in CATALOGUE:
        from hybridkit.corpora import downloads

        return ":".join([downloads.revision(CATALOGUE[source]), *languages])
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
    base, languages = split_part(name)
    if base not in CATALOGUE:
        raise KitError(f'"{name}" is not in the catalogue ({", ".join(CATALOGUE)}){_nearest(name)}.')
    from hybridkit import lock, paths
    from hybridkit.corpora import downloads

    source = CATALOGUE[base]
    if accept_licence and source.must_accept:
        lock.accept(base, source.licence)
    if base in _IN_PARTS:
        fetched = import_module(source.loader).fetch_files(source, languages)
    else:
        fetched = [downloads.file(source, file) for file in source.files]
    return f"{name}: {len(fetched)} files with the right checksums in {paths.downloads() / base}"


def _holds_pairs(name: str) -> bool:
    """Whether this is a folder of training pairs; its about.json tells their fingerprint."""
    return all((Path(name) / part).exists() for part in ("about.json", "passages", "positive.npy"))


def _named(kind: str) -> str:
    return " or ".join(f'"{name}"' for name, source in CATALOGUE.items() if kind in source.kind)


def _nearest(name: str) -> str:
    near = get_close_matches(name.lower(), CATALOGUE, n=1)
    return f'; perhaps "{near[0]}"' if near else ""

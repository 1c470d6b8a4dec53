"""The catalogue of sources, and the one way from a name in the parameters to its data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from hybridkit import paths
from hybridkit.errors import KitError
from hybridkit.files import content_key as content_hash

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.params import Parameters
    from hybridkit.transfer.tasks import Labelled


@dataclass(frozen=True)
class Source:
    """One source of data as `hybridkit data list` shows it.

    `kind` is some of "training pairs", "validation pairs", "benchmark", "captioned images" and "labelled texts",
    `checksum` says how the content is verified. `loader` names the module that reads it, which has
    `load_pairs(source, parameters)` for pairs, `load_benchmark(source, parameters, languages=())` for a benchmark,
    `load_labelled(source, parameters, languages=())` for labelled texts, where () stands for all languages, and
    `load_captioned(source, parameters, split)` for captioned images (`imagetext.sources`); it may have
    `load_key(source, parameters)`, where the content is not decided by the source's files, and
    `fetch_files(source, languages=())`, where the files are not those of `files_of`.

    For downloaded sources only: `commit`, `url` (with the slots {commit} and {file}), `hub` (a data set of Hugging
    Face), `by_hand` (how to come by files that nothing fetches) and `files`: name to SHA-256 ("sha256") and size
    ("bytes"), or to neither where they are locked at the first download; with "language" for a file that is needed
    for one language alone, and "url" for one that has an address of its own. `must_accept`: whether the user must
    accept the licence first. `in_parts`: whether some of its languages can be asked for (`split_part`).
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
    by_hand: str = ""
    must_accept: bool = False
    in_parts: bool = False
    files: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)

    def files_of(self, languages: Sequence[str] = ()) -> list[str]:
        """The files that these languages need, in the catalogue's order; () stands for all languages."""
        needed = {"", *(languages or self.languages)}
        return [name for name, pin in self.files.items() if pin.get("language", "") in needed]


def _read() -> dict[str, Source]:
    text = (files("hybridkit.corpora") / "catalogue.yaml").read_text(encoding="utf-8")
    entries = YAML(typ="safe", pure=True).load(text)
    return {
        name: Source(name=name, **entry | {"languages": tuple(entry["languages"])}) for name, entry in entries.items()
    }


CATALOGUE: dict[str, Source] = _read()
#: In the kind of sources that runs of images read, and no run of texts.
IMAGES = "captioned images"
# Test sets that are not in the catalogue, by the names that people give them, and what speaks against each.
_TEST_SETS = {
    "xquad": "its questions are those of XQuAD-R",
    "squad-dev": "XQuAD-R is made from the development set of SQuAD 1.1",
    "squad-validation": "XQuAD-R is made from the development set of SQuAD 1.1",
    "mlqa": "MLQA-R is made from its development set",
}


def split_part(name: str) -> tuple[str, tuple[str, ...]]:
    """A name such as "miracl:sw+yo" as the source and its languages in the catalogue's order; () stands for all.

    Raises KitError for a language that the source lacks and for a source that has no parts.
    """
    base, colon, languages = name.partition(":")
    if not colon or base not in CATALOGUE:
        return name, ()
    if not CATALOGUE[base].in_parts:
        some = ", ".join(other for other, source in CATALOGUE.items() if source.in_parts)
        raise KitError(f'"{name}": only {some} can be loaded in some languages; write "{base}".')
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
    """Training or validation pairs by their name in the catalogue, or by the path of a .jsonl file (`jsonl.read_pairs`)
    or of a folder that the kit wrote (`pairs.build_pairs`).

    `parameters` gives what a source needs of them: languages, `max_rows`, the museum's size. Raises KitError for a name
    that is neither, and for a test set.
    """
    if name in CATALOGUE and "pairs" in CATALOGUE[name].kind:
        if IMAGES in CATALOGUE[name].kind and parameters.track != "image-text":
            raise KitError(
                f'"{name}" holds images with captions, and this is a run of texts: take a profile of images, such as '
                "tiny-pictures, or other training_data."
            )
        return _loader(name).load_pairs(CATALOGUE[name], parameters)
    if _holds_pairs(name):
        from hybridkit.corpora.pairs import TrainingPairs

        return TrainingPairs.open(name)
    if name.endswith(".jsonl"):
        from hybridkit.corpora.jsonl import read_pairs

        return read_pairs(name)
    write = f"write {_named('training pairs', but=IMAGES)}, or the path of a .jsonl file"
    if reason := _test_set(name):
        raise KitError(
            f'"{name}" cannot be trained on, it is a test set ({reason}, and every result on it would be void): {write} '
            "under training_data, and test sets under benchmarks alone."
        )
    raise KitError(f'"{name}" is no training data: {write}{nearest(name)}.')


def _test_set(name: str) -> str:
    """Why a name must not be trained on; "" for one that is no test set."""
    plain = name.partition(":")[0].lower().replace("_", "-")
    if plain == "xquad-r":
        return "XQuAD-R is made from the development set of SQuAD 1.1"
    if plain in CATALOGUE and "pairs" not in CATALOGUE[plain].kind:
        return f"it is in the catalogue as {CATALOGUE[plain].kind}"
    return _TEST_SETS.get(plain, "")


def benchmark(name: str, parameters: "Parameters") -> "Benchmark":
    """A benchmark by its name in the catalogue, or by the path of a folder (see `jsonl.read_benchmark`).

    A name may choose languages, as in "miracl:sw+yo" (see `split_part`). `parameters` gives what a source needs of
    them, such as the museum's size. Raises KitError for a name that is neither.
    """
    source, languages = split_part(name)
    if source in CATALOGUE and "benchmark" in CATALOGUE[source].kind:
        return _loader(source).load_benchmark(CATALOGUE[source], parameters, languages)
    if source in CATALOGUE and IMAGES in CATALOGUE[source].kind:
        raise KitError(f'"{name}" is images with captions: only runs whose track is image-text are evaluated on it.')
    if (Path(name) / "queries.jsonl").is_file():
        from hybridkit.corpora.jsonl import read_benchmark

        return read_benchmark(name)
    raise KitError(
        f'"{name}" is no benchmark: write {_named("benchmark")}, or the path of a folder that holds queries.jsonl, '
        f"candidates.jsonl and relevance.jsonl{nearest(name)}."
    )


def labelled(name: str, parameters: "Parameters") -> "Labelled":
    """The labelled texts of a task by its name in the catalogue; a name may choose languages, as in "sib-200:de+en".

    Raises KitError for a name that is none.
    """
    source, languages = split_part(name)
    if source in CATALOGUE and "labelled texts" in CATALOGUE[source].kind:
        return _loader(source).load_labelled(CATALOGUE[source], parameters, languages)
    raise KitError(f'"{name}" is no task with labelled texts: write {_named("labelled texts")}{nearest(name)}.')


def content_key(name: str, parameters: "Parameters") -> str:
    """What decides the content of a source beside the parameters, known without building it; part of a run's key.

    Raises KitError where that is neither pinned nor locked and cannot be fetched (`downloads.content_key`).
    """
    source, languages = split_part(name)
    if source in CATALOGUE:
        from hybridkit.corpora import downloads

        if own := getattr(_loader(source), "load_key", None):
            return own(CATALOGUE[source], parameters)
        return ":".join([downloads.content_key(CATALOGUE[source], parameters.languages), *languages])
    found = content_hash(Path(name) / "about.json" if _holds_pairs(name) else Path(name), "*.jsonl")
    if not found:
        raise KitError(
            f'"{name}" is neither in the catalogue nor a file or folder of JSONL; give its path{nearest(name)}.'
        )
    return found


def fetch(name: str, accept_licence: bool = False, languages: Sequence[str] = ()) -> str:
    """Download a source, or check the copy that is there; a sentence on what is there now.

    `languages`: only the files that these need, as far as the source has them; () for all, or for those that the name
    chooses (`split_part`). Raises KitError where the source has none of them, and for a language that no source has.
    """
    from hybridkit import lock
    from hybridkit.corpora import downloads

    base, chosen = split_part(name)
    if base not in CATALOGUE:
        raise KitError(f'"{name}" is not in the catalogue ({", ".join(CATALOGUE)}){nearest(name)}.')
    source = CATALOGUE[base]
    languages = chosen or _held_of(source, languages)
    if not source.url and not source.hub and not source.by_hand:
        return f"{name} comes with the kit; there is nothing to download."
    if accept_licence and source.must_accept:
        lock.accept(base, source.licence)
    if own := getattr(_loader(base), "fetch_files", None):
        fetched = own(source, languages)
    else:
        fetched = [downloads.file(source, file) for file in source.files_of(languages)]
    return f"{name}: {len(fetched)} files with the right checksums in {paths.downloads() / _folder(fetched, base)}"


def _folder(fetched: Sequence[Path], base: str) -> str:
    """The folder of the downloads that holds a source's files; some sources read those of another."""
    own = (path.relative_to(paths.downloads()) for path in fetched if path.is_relative_to(paths.downloads()))
    return next(own, Path(base)).parts[0]


def _held_of(source: Source, languages: Sequence[str]) -> tuple[str, ...]:
    unknown = [code for code in languages if not any(code in other.languages for other in CATALOGUE.values())]
    held = tuple(code for code in languages if code in source.languages)
    if unknown or (languages and not held):
        wrong = f"no language {unknown[0]!r}" if unknown else f"none of the languages {', '.join(languages)}"
        raise KitError(f"{source.name} has {wrong}: name some of {', '.join(source.languages)}.")
    return held


def _holds_pairs(name: str) -> bool:
    """Whether this is a folder of training pairs; its about.json tells their fingerprint."""
    return all((Path(name) / part).exists() for part in ("about.json", "passages", "positive.npy"))


def _loader(name: str) -> ModuleType:
    return import_module(CATALOGUE[name].loader)


def _named(kind: str, but: str = "") -> str:
    found = [name for name, one in CATALOGUE.items() if kind in one.kind and not (but and but in one.kind)]
    return " or ".join(f'"{name}"' for name in found)


def nearest(name: str, known: Iterable[str] = CATALOGUE) -> str:
    """What a wrong name may have been meant for, as the end of a sentence; "" where nothing is near."""
    near = get_close_matches(name.lower(), list(known), n=1)
    return f'; perhaps "{near[0]}"' if near else ""

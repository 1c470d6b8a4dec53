"""Models of the Hugging Face hub at locked revisions: resolved once, downloaded once, their weights checked at use."""

import warnings
from functools import cache
from pathlib import Path, PurePosixPath

from hybridkit import lock
from hybridkit.corpora.downloads import told
from hybridkit.errors import KitError, KitWarning

_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin"}
#: Other formats of the same weights, which nothing here reads.
_OTHER_FORMATS = ("onnx/", "openvino/")
#: How long the hub may take to answer.
_SECONDS = 10
_BY_HAND = "or give a folder with a copy of the model instead of its id"


def repository(name: str) -> str:
    """The repository of a model id; one without an owner belongs to sentence-transformers."""
    return name if "/" in name else f"sentence-transformers/{name}"


def revision(name: str) -> str:
    """The commit of a model that the lock file names.

    The first time it is the newest one, or, where the hub cannot be reached, the one in the hub's cache on this machine;
    it is recorded (`hybridkit.lock`). Raises KitError where there is neither.
    """
    from huggingface_hub import HfApi

    repo = repository(name)

    def newest() -> str:
        try:
            with told(repo, f"The model {repo}", _BY_HAND):
                return HfApi().repo_info(repo, timeout=_SECONDS).sha
        except KitError:
            if cached := _cached(repo, "main"):
                return cached.name  # the folder of a commit is called by it
            raise

    return lock.revision("models", repo, newest)


def folder(name: str) -> Path:
    """The folder of a model's files at its locked revision, downloaded where they are not on this machine yet.

    Every file that the repository has at that revision and that is read must be there: a model without its modules.json
    would be another, with the library's own pooling. Their list is asked of the hub once and recorded in the lock file.
    Weights are taken from safetensors where there are such, and their SHA-256 is compared with the lock file, or recorded
    there. Raises KitError where something cannot be fetched, is missing or differs; warns where no list can be had.
    """
    repo = repository(name)
    return _checked(repo, revision(name))


@cache
def _checked(repo: str, commit: str) -> Path:
    """Once a process: the weights of a large model take seconds to hash."""
    found = _cached(repo, commit)
    try:
        names = lock.contents("models", repo, commit, lambda: _listed(repo, commit))
    except KitError:
        if not found or not _weights(found):
            raise
        _check_unlisted(repo, found)
    else:
        if not found or _missing(found, names):
            found = _download(repo, commit, names)
    for path in _weights(found):
        lock.check_file("models", repo, path.relative_to(found).as_posix(), path)
    return found


def _cached(repo: str, commit: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, "config.json", revision=commit)
    return Path(path).parent if isinstance(path, str) else None


def _weights(folder: Path) -> list[Path]:
    """The files of weights that are read: in each folder the safetensors, and pickled ones only where there are none."""
    safe = sorted(folder.rglob("*.safetensors"))
    pickled = [
        path for path in sorted(folder.rglob("pytorch_model*.bin")) if path.parent not in {p.parent for p in safe}
    ]
    return [*safe, *pickled]


def _listed(repo: str, commit: str) -> list[str]:
    """The names of the files of a repository at a commit that are read, as the hub lists them."""
    from huggingface_hub import HfApi

    with told(repo, f"The model {repo}", _BY_HAND):
        about = HfApi().repo_info(repo, revision=commit, timeout=_SECONDS)
        return sorted(_wanted([file.rfilename for file in about.siblings]))


def _missing(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if not (folder / name).is_file()]


def _check_unlisted(repo: str, found: Path) -> None:
    """What can be said of a cached copy where the hub's list of files cannot be had."""
    if repo.startswith("sentence-transformers/") and not (found / "modules.json").is_file():
        raise KitError(
            f"The copy of the model {repo} in {found} lacks modules.json, so it would be loaded as another model, and the hub "
            f"could not be reached for the rest: connect to the network, {_BY_HAND}."
        )
    warnings.warn(
        f"The hub could not be asked which files the model {repo} has, so whether its copy in {found} is complete could not "
        "be checked; connect to the network once to lock their list.",
        KitWarning,
        stacklevel=2,
    )


def _download(repo: str, commit: str, names: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    with told(repo, f"The model {repo}", _BY_HAND):
        found = Path(snapshot_download(repo, revision=commit, allow_patterns=names))
    if missing := _missing(found, names):  # the library returns what is in its cache where it cannot reach the hub
        raise KitError(
            f"The copy of the model {repo} in {found} lacks {', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}, "
            f"which could not be downloaded: connect to the network, {_BY_HAND}."
        )
    return found


def _wanted(names: list[str]) -> list[str]:
    kept = [n for n in names if PurePosixPath(n).suffix in _SUFFIXES and not n.startswith(_OTHER_FORMATS)]
    safe = {PurePosixPath(name).parent for name in kept if name.endswith(".safetensors")}
    return [name for name in kept if not (name.endswith(".bin") and PurePosixPath(name).parent in safe)]

"""Models of the Hugging Face hub at locked revisions: resolved once, downloaded once, their weights checked at use."""

from functools import cache
from pathlib import Path, PurePosixPath

from hybridkit import lock
from hybridkit.corpora.downloads import told
from hybridkit.errors import KitError

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

    Weights are taken from safetensors where there are such, and their SHA-256 is compared with the lock file, or recorded
    there. Raises KitError where something cannot be fetched or differs.
    """
    repo = repository(name)
    return _checked(repo, revision(name))


@cache
def _checked(repo: str, commit: str) -> Path:
    """Once a process: the weights of a large model take seconds to hash."""
    found = _cached(repo, commit)
    if not found or not _weights(found):
        found = _download(repo, commit)
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


def _download(repo: str, commit: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    with told(repo, f"The model {repo}", _BY_HAND):
        about = HfApi().repo_info(repo, revision=commit, timeout=_SECONDS)
        names = _wanted([file.rfilename for file in about.siblings])
        return Path(snapshot_download(repo, revision=commit, allow_patterns=names))


def _wanted(names: list[str]) -> list[str]:
    kept = [n for n in names if PurePosixPath(n).suffix in _SUFFIXES and not n.startswith(_OTHER_FORMATS)]
    safe = {PurePosixPath(name).parent for name in kept if name.endswith(".safetensors")}
    return [name for name in kept if not (name.endswith(".bin") and PurePosixPath(name).parent in safe)]

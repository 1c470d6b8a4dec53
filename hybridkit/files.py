"""Files and folders that are written whole or not at all, and hashes of what they hold."""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from hybridkit import paths
from hybridkit.errors import KitError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` for a file or folder; it becomes `path` when the block ends well, else it goes.

    A folder at `path` is replaced. Raises KitError where nothing can be written.
    """
    stage = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield stage
        if path.is_dir():
            # A folder that is not empty cannot be replaced in one step: step the old one aside first.
            with _stepped_aside(path):
                os.replace(stage, path)
        else:
            os.replace(stage, path)
    except OSError as error:
        reason = error.strerror or error
        raise KitError(f"{path} cannot be written ({reason}): free the place, or {_elsewhere(path)}.") from error
    finally:
        remove(stage)


def _elsewhere(path: Path) -> str:
    """How to have a path somewhere else."""
    for variable, folder in (("HYBRIDKIT_CACHE", paths.cache()), ("HYBRIDKIT_OUTPUTS", paths.outputs())):
        if path.absolute().is_relative_to(folder):
            return f"set {variable} to another folder"
    return "name another place"


@contextmanager
def _stepped_aside(folder: Path) -> Iterator[None]:
    """Move `folder` aside for the block; delete it when the block ends well, put it back when not."""
    aside = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.old")
    os.replace(folder, aside)
    try:
        yield
    except BaseException:
        if not folder.exists():
            os.replace(aside, folder)
        raise
    finally:
        remove(aside)


def remove(path: Path) -> None:
    """Remove a file or a folder with all in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.unlink(missing_ok=True)


def holds_only(folder: Path, names: Collection[str]) -> bool:
    """Whether nothing but these names is in a folder, or nothing is there at all, so that it may be replaced."""
    return not folder.exists() or (folder.is_dir() and {path.name for path in folder.iterdir()} <= set(names))


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; errors as `written_whole`."""
    with written_whole(path) as stage:
        stage.write_text(text, encoding="utf-8")


def digests(folder: Path, pattern: str = "*") -> dict[str, str]:
    """SHA-256 of every file below `folder` whose name fits `pattern`, by its path in the folder, in order of paths."""
    found = {}
    for path in sorted(path for path in folder.rglob(pattern) if path.is_file()):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def content_key(path: Path, pattern: str = "*", without: str = "") -> str:
    """One SHA-256 over a file's content, or over the names and contents of a folder's files; "" where nothing is.

    The file `without` of the folder does not count.
    """
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    found = digests(path, pattern)
    found.pop(without, None)
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest() if found else ""

"""The lock file: revisions and checksums of what this kit's makers never saw, recorded at the user's first download.

The user keeps hybridkit-lock.json and commits it. A later difference is an error that names both.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from hybridkit import paths
from hybridkit.errors import KitError
from hybridkit.files import write_text

_EMPTY = {"datasets": {}, "models": {}, "accepted": {}}


def read() -> dict:
    """What is locked: "datasets" and "models" (by name: revision, date, files with SHA-256 and bytes, contents by commit), "accepted"."""
    path = paths.lock_file()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not _is_lock(found):
            raise ValueError("it holds no locked revisions")
        return _EMPTY | found
    except FileNotFoundError:
        return {part: {} for part in _EMPTY}
    except ValueError as fault:
        raise KitError(
            f"The lock file {path} is damaged ({fault}); take it from your version control, or delete it to lock the "
            "newest revisions anew."
        ) from fault


def _is_lock(found: object) -> bool:
    """Whether this is what `_record` writes: parts, entries by name, files by name with their checksums."""
    if not isinstance(found, dict) or not all(isinstance(found.get(part, {}), dict) for part in _EMPTY):
        return False
    entries = [entry for part in _EMPTY for entry in found.get(part, {}).values()]
    if not all(isinstance(entry, dict) and isinstance(entry.get("files", {}), dict) for entry in entries):
        return False
    files = [file for entry in entries for file in entry.get("files", {}).values()]
    return all(isinstance(file, dict) and {"sha256", "bytes"} <= file.keys() for file in files)


def revision(kind: str, name: str, newest: Callable[[], str]) -> str:
    """The locked revision of a data set or model; the first time that which `newest()` resolves, recorded from then on.

    `kind` is "datasets" or "models". Raises whatever `newest` raises.
    """
    held = read()[kind].get(name, {}).get("revision")
    return held or _record(kind, name, {"revision": newest(), "locked": _today()})["revision"]


def contents(kind: str, name: str, commit: str, told: Callable[[], list[str]]) -> list[str]:
    """The names of the files that are read of a data set or model at a commit; the first time what `told()` lists, recorded.

    Raises whatever `told` raises.
    """
    held = read()[kind].get(name, {}).get("contents", {}).get(commit)
    return held or _record(kind, name, {"contents": {commit: told()}})["contents"][commit]


def check_file(kind: str, name: str, file: str, path: Path) -> None:
    """Compare a file with its locked SHA-256, or record it where the file is seen for the first time.

    Raises KitError, naming both checksums, for a file that differs.
    """
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    size = path.stat().st_size
    held = read()[kind].get(name, {}).get("files", {}).get(file)
    if held is None:
        # What stands there may by now be what another process saw.
        held = _record(kind, name, {"files": {file: {"sha256": found, "bytes": size}}})["files"][file]
    if held["sha256"] != found:
        raise KitError(
            f"{path} has the SHA-256 {found} ({size:,} bytes), but {paths.lock_file()} says {held['sha256']} "
            f"({held['bytes']:,} bytes) for {file} of {name}: delete the file and download it again, or, if the new one "
            f"is meant, delete the entry {name} of the lock file."
        )


def accept(name: str, licence: str) -> None:
    """Record that the user accepts the licence of a source."""
    _record("accepted", name, {"licence": licence, "accepted": _today()})


def is_accepted(name: str) -> bool:
    """Whether the user has accepted the licence of a source."""
    return name in read()["accepted"]


def _record(part: str, name: str, entry: dict) -> dict:
    path = paths.lock_file()
    _check_writable(path)
    with FileLock(path.with_name(f".{path.name}.lock")):
        held = read()
        old = held[part].get(name, {})
        # What another process has recorded in the meantime stays.
        merged = {key: entry.get(key, {}) | old.get(key, {}) for key in ("contents", "files")}
        held[part][name] = {**entry, **old, **{key: dict(sorted(of.items())) for key, of in merged.items() if of}}
        held = {key: dict(sorted(value.items())) for key, value in held.items()}
        write_text(path, json.dumps(held, indent=1, ensure_ascii=False) + "\n")
        return held[part][name]


def _check_writable(path: Path) -> None:
    """Raise KitError where the lock file cannot be written: waiting for its lock would never end there."""
    probe = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as fault:
        raise KitError(
            f"The lock file {path} cannot be written ({fault.strerror or fault}): set HYBRIDKIT_LOCK to a file that can."
        ) from fault


def _today() -> str:
    return time.strftime("%Y-%m-%d")

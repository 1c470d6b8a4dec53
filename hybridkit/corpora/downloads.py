"""Files of a source in the catalogue: downloaded once, checked at every use against the kit's pins or the user's lock.

A source whose commit and checksums stand in the catalogue is pinned. Any other is locked: its newest revision is
resolved at the first download and recorded with the checksums (`hybridkit.lock`).
"""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hybridkit import lock, paths
from hybridkit.errors import KitError

if TYPE_CHECKING:
    from hybridkit.corpora.catalogue import Source


def file(source: "Source", name: str) -> Path:
    """A file of a source, pinned or locked; raises KitError as `pinned` and `locked`."""
    return pinned(source, name) if source.files[name].get("sha256") else locked(source, name)


def check_accepted(source: "Source") -> None:
    """Raise KitError for a source whose licence must be accepted and has not been."""
    if source.must_accept and not lock.is_accepted(source.name):
        raise KitError(
            f"The licence of {source.name} ({source.licence}) has not been accepted: read it, then run "
            f"`hybridkit data fetch {source.name} --accept-licence`, or leave {source.name} out."
        )


def revision(source: "Source") -> str:
    """The revision in use. Of a data set of the hub the locked one, recorded the first time: the catalogue's commit if
    it names one, else the newest; so a user can lock another where a commit is gone. Else the pinned commit.

    "" for a source that has files by address alone. Raises KitError where it cannot be resolved.
    """
    if not source.hub:
        return source.commit

    def newest() -> str:
        if source.commit:
            return source.commit
        from huggingface_hub import HfApi

        with told(source.name, f"the data set {source.hub}", _by_hand(source)):
            return HfApi().repo_info(source.hub, repo_type="dataset", timeout=10).sha

    return lock.revision("datasets", source.name, newest)


def _by_hand(source: "Source") -> str:
    """How to do without the network, with what is not there yet."""
    folder = paths.downloads() / source.name
    missing = [name for name in source.files if not (folder / name).is_file()]
    others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
    told_missing = f" ({missing[0]}{others} not there yet)" if missing else ""
    return f"or put a copy of the files into {folder}{told_missing}"


def content_key(source: "Source", languages: Sequence[str]) -> str:
    """What decides the content of a source in these languages, as far as it needs files: known without building it.

    The pinned commit; or the locked revision; or, of files that come by address or by hand, their checksums, which are
    locked now where they are not yet: then the files are fetched. "" for a source without files. Raises KitError
    for a licence that is not accepted, and as `revision` and `locked`.
    """
    if source.commit and not source.hub:
        return source.commit
    check_accepted(source)
    held, needed = lock.read()["datasets"].get(source.name, {}), source.files_of(languages)
    seen = all(name in held.get("files", {}) or _path(source, name).is_file() for name in needed)
    if held.get("revision") or (source.hub and not (needed and seen)):
        return revision(source)
    sums = [(name, _checksum(source, name)) for name in needed]
    return hashlib.sha256(repr(sums).encode()).hexdigest() if sums else ""


def _checksum(source: "Source", name: str) -> str:
    def held() -> str:
        return lock.read()["datasets"].get(source.name, {}).get("files", {}).get(name, {}).get("sha256", "")

    if not held():
        locked(source, name)
    return held()


def _path(source: "Source", name: str) -> Path:
    return paths.downloads() / source.name / name


def locked(source: "Source", name: str) -> Path:
    """A file of a source that is not pinned: from the folder of downloads if it is there, else fetched into it.

    Its SHA-256 is compared with the lock file, or recorded there. Raises KitError where it differs, and where nothing
    is there and nothing can be fetched, with the reason: no network, access not granted, a revision that is gone, a
    file that is only given out by hand.
    """
    check_accepted(source)
    path = _path(source, name)
    if not path.is_file():
        url = source.files.get(name, {}).get("url", source.url).format(commit=source.commit, file=name)
        if not (source.hub or url):
            raise KitError(f"{path} is not there, and cannot be fetched: {source.by_hand}.")
        with told(source.name, f"{name} of {source.hub or urlsplit(url).hostname}"):
            _fetch(source, name, url)
    lock.check_file("datasets", source.name, name, path)
    return path


def _fetch(source: "Source", name: str, url: str) -> None:
    folder = paths.downloads() / source.name
    if source.hub:
        from huggingface_hub import hf_hub_download

        hf_hub_download(source.hub, name, repo_type="dataset", revision=revision(source), local_dir=folder)
    else:
        import pooch

        path = _path(source, name)
        pooch.get_logger().setLevel("WARNING")  # it would advise on checksums, which the lock file keeps
        pooch.retrieve(url, known_hash=None, fname=path.name, path=path.parent, progressbar=False)


def pin_state(source: "Source") -> str:
    """What is known of a source's revision by now: verified in the kit, locked by the user, or not locked yet."""
    if not source.files and not source.hub:
        return "nothing to download of its own"
    if source.files and all(pin.get("sha256") for pin in source.files.values()):
        return "every file is checked against a SHA-256 in the kit"
    held = lock.read()["datasets"].get(source.name, {})
    files = held.get("files", {})
    if not held:
        return "pinned, checksums not seen yet" if source.commit else "not locked yet"
    when = f" on {held['locked']}" if "locked" in held else ""
    return f"locked{when}: {held.get('revision', 'no revision')}, {len(files)} files with SHA-256"


@contextmanager
def told(name: str, what: str, by_hand: str = "") -> Iterator[None]:
    """Turn what the libraries raise while they fetch `what` of the source or model `name` into one KitError.

    `by_hand` says how to do without the network; by default, that the files can be put among the downloads.
    """
    from huggingface_hub import errors
    from huggingface_hub.utils import logging
    from requests.exceptions import RequestException

    logging.set_verbosity_error()  # else every attempt to reach a hub that cannot be reached is told
    by_hand = by_hand or f"or put a copy of the files into {paths.downloads() / name}"
    try:
        yield
    except errors.GatedRepoError as fault:
        raise KitError(
            f"{what} is given only to those who were granted access: ask for it on its page of huggingface.co, log in "
            f"with `hf auth login`, and run the same command again, {by_hand}."
        ) from fault
    except errors.RevisionNotFoundError as fault:
        raise KitError(
            f"{what}: the revision that {paths.lock_file()} names no longer exists; write one that does as the revision "
            f"of {name} there, without its files, {by_hand}."
        ) from fault
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError) as fault:
        if isinstance(fault, errors.LocalEntryNotFoundError):
            raise KitError(f"{what} could not be reached: connect to the network, {by_hand}.") from fault
        raise KitError(f"{what} does not exist there any more (or not for you): {by_hand}.") from fault
    except (RequestException, errors.HTTPError, ConnectionError) as fault:
        status = getattr(getattr(fault, "response", None), "status_code", None)
        if status in (401, 403, 404, 410):
            raise KitError(f"{what} does not exist there any more, or not for you ({status}): {by_hand}.") from fault
        raise KitError(f"{what} could not be reached: connect to the network, {by_hand}.") from fault
    except OSError as fault:
        full = "free some space, or " if fault.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise KitError(
            f"{what} cannot be written to {paths.downloads()} ({fault.strerror or fault}): {full}set HYBRIDKIT_DOWNLOADS to "
            "another folder."
        ) from fault


def pinned(source: "Source", name: str) -> Path:
    """A file of the source, downloaded where it is not in the folder `paths.downloads()/<source's name>` yet.

    A file that is there with the pinned SHA-256 is used without network, also from a read-only folder. Raises
    KitError for a file with another checksum (which is never overwritten), and where nothing is there and nothing
    can be fetched.
    """
    check_accepted(source)
    path, pin = paths.downloads() / source.name / name, source.files[name]
    if not path.is_file():
        _download(source, name, path)
        return path
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pin["sha256"]:
        raise KitError(
            f"{path} is cut short or altered: it has {path.stat().st_size:,} bytes of {pin['bytes']:,} and the "
            f"SHA-256 {found} where {pin['sha256']} was expected; delete it and run `hybridkit data fetch {source.name}`."
        )
    return path


def is_there(source: "Source") -> bool:
    """Whether all files are downloaded; raises KitError for one that is cut short or altered.

    Pinned files are hashed, locked ones, which may be large, are told by their size.
    """
    if not all(_path(source, name).is_file() for name in source.files):
        return False
    held = lock.read()["datasets"].get(source.name, {}).get("files", {})
    for name, pin in source.files.items():
        if pin.get("sha256"):
            pinned(source, name)
        elif name in held and (size := _path(source, name).stat().st_size) != held[name]["bytes"]:
            raise KitError(
                f"{_path(source, name)} has {size:,} bytes, but {paths.lock_file()} says {held[name]['bytes']:,}: it was "
                f"cut short or altered; delete it and run `hybridkit data fetch {source.name}`."
            )
    return True


def _download(source: "Source", name: str, path: Path) -> None:
    import pooch
    from requests.exceptions import RequestException

    url, sha256 = source.url.format(commit=source.commit, file=name), source.files[name]["sha256"]
    host, folder = urlsplit(url).hostname, paths.downloads() / source.name
    try:
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent, progressbar=False)
    except RequestException as error:
        reason = f"answered {error.response.status_code}" if error.response is not None else "could not be reached"
        raise KitError(
            f"{path} is not there and {host} {reason}: connect to the network, or put a copy of the files of "
            f"{source.name} into {folder}, or set HYBRIDKIT_DOWNLOADS to a folder that holds them in {source.name}/."
        ) from error
    except ValueError as error:
        raise KitError(
            f"What {host} sent for {path.name} does not have the SHA-256 {sha256} of the pinned revision, and was "
            f"thrown away: try again, and if it stays so, put a copy of the files of {source.name} into {folder}."
        ) from error
    except OSError as error:
        raise KitError(
            f"{path} cannot be written ({error.strerror or error}): set HYBRIDKIT_DOWNLOADS to a folder that can."
        ) from error

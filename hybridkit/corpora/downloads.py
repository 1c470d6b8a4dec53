"""Files of a source in the catalogue: downloaded once from the pinned commit, checked at every use."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hybridkit import paths
from hybridkit.errors import KitError

if TYPE_CHECKING:
    from hybridkit.corpora.catalogue import Source


def pinned(source: "Source", name: str) -> Path:
    """A file of the source, downloaded where it is not in the folder `paths.downloads()/<source's name>` yet.

    A file that is there with the pinned SHA-256 is used without network, also from a read-only folder. Raises
    KitError for a file with another checksum (which is never overwritten), and where nothing is there and nothing
    can be fetched.
    """
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
    """Whether all files are downloaded; raises KitError for one that is cut short or altered."""
    if not all((paths.downloads() / source.name / name).is_file() for name in source.files):
        return False
    for name in source.files:
        pinned(source, name)
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

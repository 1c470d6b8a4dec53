"""The one place that knows folders.

The kit's home is the folder that holds `notebooks/` and `params/`: the repository of an editable
install, or the folder named by HYBRIDKIT_HOME. Every folder below can be moved by a variable of the
environment; nothing else in the kit reads one.
"""

import os
from pathlib import Path


def home() -> Path:
    """The folder with `notebooks/` and `params/`."""
    return Path(os.environ.get("HYBRIDKIT_HOME") or Path(__file__).resolve().parents[1])


def params() -> Path:
    """Parameter files: `profiles/` and `mixtures/`."""
    return home() / "params"


def notebooks() -> Path:
    """The numbered notebooks."""
    return home() / "notebooks"


def outputs() -> Path:
    """Everything that runs write (HYBRIDKIT_OUTPUTS; default `outputs/` in the kit's home)."""
    return Path(os.environ.get("HYBRIDKIT_OUTPUTS") or home() / "outputs").resolve()


def cache() -> Path:
    """Work done once and shared by runs: warmed-up encoders, built corpora (HYBRIDKIT_CACHE; default `outputs/cache`)."""
    return Path(os.environ.get("HYBRIDKIT_CACHE") or outputs() / "cache").resolve()


def downloads() -> Path:
    """Downloaded data, one folder a source (HYBRIDKIT_DOWNLOADS; default `downloads` in the cache).

    May point at a read-only copy: a file that is there with the right checksum is never fetched again.
    """
    return Path(os.environ.get("HYBRIDKIT_DOWNLOADS") or cache() / "downloads").resolve()


def lock_file() -> Path:
    """Revisions and checksums seen at first downloads, for the user to commit (HYBRIDKIT_LOCK; default in the home)."""
    return Path(os.environ.get("HYBRIDKIT_LOCK") or home() / "hybridkit-lock.json").resolve()

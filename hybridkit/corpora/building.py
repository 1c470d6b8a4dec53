"""What the loaders of downloaded training pairs share: the cache of built pairs, and what is told of rows left out."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from hybridkit import paths
from hybridkit.corpora import downloads
from hybridkit.corpora.pairs import TrainingPairs
from hybridkit.errors import KitWarning

if TYPE_CHECKING:
    from hybridkit.corpora.catalogue import Source


def built(
    source: "Source",
    languages: Sequence[str],
    max_rows: int,
    version: int,
    build: Callable[[Path], TrainingPairs],
) -> TrainingPairs:
    """The pairs of a source in these languages, from the cache, or else made by `build(folder)`.

    Keyed by the source's revision (or checksums), the languages, `max_rows` and the loader's `version`.
    """
    key = repr((downloads.content_key(source, languages), sorted(languages), max_rows, version))
    folder = paths.cache() / "pairs" / f"{source.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        return TrainingPairs.open(folder) if (folder / "about.json").exists() else build(folder)


def tell(source: "Source", left: Counter[str], rows: int) -> None:
    """Say once, as a note, how many rows were left out and why."""
    if left:
        why = ", ".join(f"{count:,} {reason}" for reason, count in left.items())
        warnings.warn(f"{source.name}: {rows:,} rows; left out: {why}.", KitWarning, stacklevel=2)

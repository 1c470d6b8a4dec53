"""Pixels by row number: of scenes that are drawn, or of files in a folder."""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from filelock import FileLock

from hybridkit import paths
from hybridkit.errors import KitError, KitWarning
from hybridkit.files import write_text, written_whole
from hybridkit.pictures.scene import ATTRIBUTES, Scene

#: Bytes of all pixels up to which they are prepared once and memory-mapped; more are decoded when they are needed.
PREPARED_BYTES = 2 * 2**30
_AT_A_TIME = 256  # images in memory while they are prepared


class Images(Protocol):
    """Images by row number.

    `key` tells their content without reading pixels: it changes wherever an image does. `mark(row)` is the same for
    images of the same content, in other collections of the same class too, and `weight(row)`, which costs nothing, is
    the same wherever the marks are.
    """

    key: str

    def __len__(self) -> int: ...

    def pixels(self, rows: Sequence[int], size: int) -> np.ndarray:
        """(rows, size, size, 3) uint8, RGB, each image squeezed into a square."""
        ...

    def weight(self, row: int) -> int: ...

    def mark(self, row: int) -> str: ...


class DrawnImages:
    """Pictures of the museum, drawn whenever they are asked for."""

    def __init__(self, scenes: Sequence[Scene], key: str):
        self.scenes = list(scenes)
        self.key = hashlib.sha256(repr((key, self.scenes)).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.scenes)

    def pixels(self, rows: Sequence[int], size: int) -> np.ndarray:
        from hybridkit.pictures.drawing import draw

        return np.stack([draw(self.scenes[row], size) for row in rows])

    def weight(self, row: int) -> int:
        return 0

    def mark(self, row: int) -> str:
        return repr([getattr(self.scenes[row], attribute) for attribute in ATTRIBUTES])


class FileImages:
    """Image files in a folder, in the order of `names`. They must be there and readable: `readable` looks."""

    def __init__(self, folder: Path, names: Sequence[str]):
        self.folder, self.names = Path(folder), list(names)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def key(self) -> str:
        """Over names and bytes of each file: reading tens of thousands of photographs takes minutes."""
        return _state(self.folder, self.names)

    def pixels(self, rows: Sequence[int], size: int) -> np.ndarray:
        return np.stack([decoded(self.folder / self.names[row], size) for row in rows])

    def weight(self, row: int) -> int:
        return (self.folder / self.names[row]).stat().st_size

    def mark(self, row: int) -> str:
        return hashlib.sha256((self.folder / self.names[row]).read_bytes()).hexdigest()


def _state(folder: Path, names: Sequence[str], changed: bool = False) -> str:
    """A hash over the names of files, how large they are, and with `changed` when they were changed; or that they lack."""
    digest = hashlib.sha256()
    for name in names:
        path = folder / name
        about = path.stat() if path.is_file() else None
        digest.update(repr((name, about and about.st_size, about and changed and about.st_mtime_ns)).encode())
    return digest.hexdigest()


def decoded(path: Path, size: int) -> np.ndarray:
    """One image file as (size, size, 3) uint8, RGB: turned as its camera says, what is transparent white.

    Raises KitError where the file is missing, cut short, no image, or has more pixels than Pillow takes for safe.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image).convert("RGBA")
    # Pillow raises what a format's reader meets: OSError for most, but SyntaxError and ValueError, too.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        raise KitError(f"{path} cannot be read as an image ({_reason(fault)}): replace it or leave it out.") from fault
    white = Image.new("RGBA", turned.size, "white")
    return np.asarray(
        Image.alpha_composite(white, turned).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    )


def _reason(fault: Exception) -> str:
    if isinstance(fault, FileNotFoundError):
        return "it is not there"
    return "no format that Pillow knows" if "cannot identify" in str(fault) else str(fault).splitlines()[0]


def readable(name: str, folder: Path, names: Sequence[str], missing: str) -> list[int]:
    """The numbers of those of a source's image files that are there and can be read; looked at once, then known.

    `missing`, for those that are not: "refuse" raises a KitError that names the first and how many there are, "skip"
    leaves them out, which is told. With none left there is always a KitError.
    """
    if missing not in ("refuse", "skip"):
        raise KitError(f"missing_images is {missing!r}; write refuse or skip.")
    faults = _faults(Path(folder), names)
    if not faults:
        return list(range(len(names)))
    first = faults[min(faults, key=int)]
    count = f"{len(faults):,} of {len(names):,} images"
    if missing == "refuse" or len(faults) == len(names):
        skip = (
            ", or set missing_images to skip" if len(faults) < len(names) else ", or name their folder as image_folder"
        )
        raise KitError(f"{name}: {count} are missing or cannot be read, the first: {first} Mend them{skip}.")
    warnings.warn(f"{name}: {count} are left out, the first: {first}", KitWarning, stacklevel=2)
    return [row for row in range(len(names)) if str(row) not in faults]


def _faults(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """What is wrong with which image files, by row number; kept in the cache until a file changes."""
    kept = paths.cache() / "images" / f"faults-{_state(folder, names, changed=True)[:16]}.json"
    if not kept.exists():
        found = {}
        for row, name in enumerate(names):
            try:
                decoded(folder / name, 8)
            except KitError as fault:
                found[str(row)] = str(fault)
        write_text(kept, json.dumps(found, ensure_ascii=False))
    return json.loads(kept.read_text(encoding="utf-8"))


def reader(images: Images, size: int) -> Callable[[Sequence[int]], np.ndarray]:
    """A function from row numbers to pixels (rows, size, size, 3) uint8: from `prepared` up to `PREPARED_BYTES`."""
    if len(images) * size * size * 3 > PREPARED_BYTES:
        return lambda rows: images.pixels(rows, size)
    pixels = prepared(images, size)
    return lambda rows: pixels[np.asarray(rows, dtype=np.int64)]


def prepared(images: Images, size: int) -> np.ndarray:
    """All pixels at a size: (images, size, size, 3) uint8, memory-mapped, made at first use and kept in the cache."""
    import PIL

    key = hashlib.sha256(repr((images.key, size, PIL.__version__)).encode()).hexdigest()[:16]
    path = paths.cache() / "images" / f"{key}-{size}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            with written_whole(path) as stage:
                _write(stage, images, size)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _write(path: Path, images: Images, size: int) -> None:
    shape = (len(images), size, size, 3)
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, len(images), _AT_A_TIME):
        rows = range(start, min(start + _AT_A_TIME, len(images)))
        pixels[start : rows.stop] = images.pixels(rows, size)
    pixels.flush()


def normalised(pixels: np.ndarray) -> np.ndarray:
    """Pixels (n, size, size, 3) uint8 as a vision transformer takes them: (n, 3, size, size) float32 from -1 to 1.

    Mean and deviation .5 a channel, as the image processor of `google/vit-base-patch16-224` has them.
    """
    return np.ascontiguousarray((pixels.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))


def repeated(one: Images, other: Images) -> list[tuple[int, int]]:
    """Pairs of rows, of the first and of the second collection, that are the same image."""
    weights: dict[int, list[int]] = {}
    for row in range(len(one)):
        weights.setdefault(one.weight(row), []).append(row)
    candidates = [row for row in range(len(other)) if other.weight(row) in weights]
    needed = {number for row in candidates for number in weights[other.weight(row)]}
    marks: dict[str, int] = {one.mark(row): row for row in sorted(needed, reverse=True)}
    return [(marks[mark], row) for row in candidates if (mark := other.mark(row)) in marks]

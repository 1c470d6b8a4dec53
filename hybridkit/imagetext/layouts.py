"""How public sets of captions are laid out in files, and how they become images with captions from the user's folder."""

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from hybridkit import paths
from hybridkit.corpora import downloads
from hybridkit.errors import KitError
from hybridkit.imagetext.captioned import CaptionedImages, make_captioned
from hybridkit.imagetext.captioned import training_pairs as pairs_of
from hybridkit.imagetext.images import FileImages, readable
from hybridkit.imagetext.sources import image_folder

if TYPE_CHECKING:
    from hybridkit.corpora.catalogue import Source
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.params import Parameters

#: Texts of every image, by language.
Captions = Mapping[str, Sequence[Sequence[str]]]


def lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, which may be packed by gzip. Raises KitError where it cannot be read as that."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        # By line feeds alone: captions may hold what else Unicode calls a line break.
        return content.decode("utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, EOFError, UnicodeDecodeError) as fault:
        raise KitError(f"{path} cannot be read as text ({fault}): delete it and fetch it again.") from fault


def aligned(images: Path, captions: Mapping[str, Path]) -> tuple[list[str], Captions]:
    """A list of images, one a line, and a file of captions a language whose lines follow the list.

    Raises KitError, naming both files and their counts, where a file has other lines than the list.
    """
    names = [line.strip() for line in lines(images)]
    found = {}
    for code, path in captions.items():
        texts = lines(path)
        if len(texts) != len(names):
            raise KitError(
                f"{path} has {len(texts):,} lines and {images} {len(names):,}: they must follow each other line by line; "
                "delete both and fetch them again."
            )
        found[code] = [(text,) for text in texts]
    return names, found


def tabbed(path: Path) -> dict[str, list[str]]:
    """Captions by image from lines `image#number<TAB>caption`. Raises KitError for a line with other columns."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines(path), start=1):
        columns = line.split("\t")
        if len(columns) != 2:
            raise KitError(
                f"{path}, line {number}: {len(columns)} columns where image#number and caption were expected."
            )
        found.setdefault(columns[0].rpartition("#")[0] or columns[0], []).append(columns[1])
    return found


def objects(path: Path) -> Iterator[dict]:
    """A JSON object a line. Raises KitError, naming the line, for one that is none."""
    for number, line in enumerate(lines(path), start=1):
        try:
            found = json.loads(line)
        except ValueError as fault:
            raise KitError(f"{path}, line {number} is no JSON ({fault}): fetch the file again.") from fault
        if not isinstance(found, dict):
            raise KitError(f"{path}, line {number} is no JSON object: fetch the file again.")
        yield found


def coco_name(folder: Path, name: str) -> str:
    """The path below `folder` of an image of COCO 2014: in the folder itself, or in train2014 or val2014 as it is given out."""
    part = next((part for part in ("train2014", "val2014") if part in name), "")
    return f"{part}/{name}" if part and not (folder / name).is_file() and (folder / part).is_dir() else name


def captioned(
    source: "Source", parameters: "Parameters", split: str, names: Sequence[str], captions: Captions
) -> CaptionedImages:
    """Images with captions whose files `names` are in the user's folder (`sources.image_folder`); the id is a file's stem.

    What is missing or unreadable is refused or left out, as `missing_images` says. Errors as `readable` and
    `make_captioned`.
    """
    folder = image_folder(source, parameters)
    rows = readable(source.name, folder, names, parameters.missing_images)
    return make_captioned(
        name=source.name,
        licence=source.licence,
        split=split,
        ids=[Path(names[row]).stem for row in rows],
        captions={code: [texts[row] for row in rows] for code, texts in captions.items()},
        images=FileImages(folder, [names[row] for row in rows]),
    )


def training_pairs(data: CaptionedImages) -> "TrainingPairs":
    """The images as training pairs, kept in the cache by their fingerprint."""
    from hybridkit.corpora.pairs import TrainingPairs

    folder = paths.cache() / "pairs" / f"{data.name}-{data.fingerprint[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        return TrainingPairs.open(folder) if (folder / "about.json").exists() else pairs_of(data, folder)


def key(source: "Source", parameters: "Parameters", names: Sequence[str]) -> str:
    """What decides the content: the caption files, and which of the images are there with how many bytes."""
    images = FileImages(image_folder(source, parameters), names).key
    return hashlib.sha256(repr((downloads.content_key(source, ()), images)).encode()).hexdigest()

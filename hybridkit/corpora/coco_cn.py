"""COCO-CN (arXiv 1805.08661): images of COCO 2014 with Chinese captions written for them and COCO's English ones."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit.corpora import downloads
from hybridkit.corpora.catalogue import Source
from hybridkit.errors import KitError
from hybridkit.imagetext import layouts
from hybridkit.imagetext.sources import image_folder

if TYPE_CHECKING:
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.imagetext.captioned import CaptionedImages
    from hybridkit.params import Parameters

_SPLITS = {"train": "train", "evaluation": "test"}
_CHINESE = "imageid.human-written-caption.txt"
_ENGLISH = ("annotations/captions_train2014.json", "annotations/captions_val2014.json")


def _english(path: Path) -> dict[str, list[str]]:
    """Captions of COCO's file by the stem of the image's file name."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        stems = {image["id"]: Path(image["file_name"]).stem for image in data["images"]}
        found: dict[str, list[str]] = {}
        for one in data["annotations"]:
            found.setdefault(stems[one["image_id"]], []).append(one["caption"])
    except (ValueError, KeyError, TypeError) as fault:
        raise KitError(f"{path} has not the layout of COCO's captions ({fault!r}): fetch the file again.") from fault
    return found


def _read(source: Source, parameters: "Parameters", split: str) -> tuple[list[str], layouts.Captions]:
    images = [line.strip() for line in layouts.lines(downloads.file(source, f"coco-cn_{_SPLITS[split]}.txt"))]
    texts = {"zh": layouts.tabbed(downloads.file(source, _CHINESE)), "en": {}}
    for name in _ENGLISH:
        texts["en"] |= _english(downloads.file(source, name))
    folder = image_folder(source, parameters)
    names = [layouts.coco_name(folder, f"{image}.jpg") for image in images]
    return names, {code: [tuple(found.get(image, ())) for image in images] for code, found in texts.items()}


def load_captioned(source: Source, parameters: "Parameters", split: str) -> "CaptionedImages":
    """For `imagetext.sources`: the training set, or the test as evaluation; errors as `layouts.captioned`."""
    return layouts.captioned(source, parameters, split, *_read(source, parameters, split))


def load_pairs(source: Source, parameters: "Parameters") -> "TrainingPairs":
    """For the catalogue: the training set as pairs."""
    return layouts.training_pairs(load_captioned(source, parameters, "train"))


def load_key(source: Source, parameters: "Parameters") -> str:
    """For the catalogue: the caption files, and which images are there."""
    return layouts.key(source, parameters, [name for split in _SPLITS for name in _read(source, parameters, split)[0]])

"""Crossmodal-3600 (arXiv 2205.12522): 3,600 images from all over the world with captions in 36 languages. A test set."""

from typing import TYPE_CHECKING

from hybridkit.corpora import downloads
from hybridkit.corpora.catalogue import Source
from hybridkit.errors import KitError
from hybridkit.imagetext import layouts

if TYPE_CHECKING:
    from hybridkit.imagetext.captioned import CaptionedImages
    from hybridkit.params import Parameters


def _read(source: Source) -> tuple[list[str], layouts.Captions]:
    path = downloads.file(source, "captions.jsonl")
    names: list[str] = []
    captions: dict[str, list[tuple[str, ...]]] = {code: [] for code in source.languages}
    for number, image in enumerate(layouts.objects(path), start=1):
        try:
            names.append(f"{image['image/key']}.jpg")
            for code, column in captions.items():
                column.append(tuple(image.get(code, {"caption": []})["caption"]))
        except (KeyError, TypeError, AttributeError) as fault:
            raise KitError(f"{path}, line {number} has another layout ({fault!r}): fetch the file again.") from fault
    return names, {code: column for code, column in captions.items() if any(column)}


def load_captioned(source: Source, parameters: "Parameters", split: str) -> "CaptionedImages":
    """For `imagetext.sources`: all of it, as evaluation; errors as `layouts.captioned`."""
    return layouts.captioned(source, parameters, split, *_read(source))


def load_key(source: Source, parameters: "Parameters") -> str:
    """For the catalogue: the caption file, and which images are there."""
    return layouts.key(source, parameters, _read(source)[0])

"""From a name in the parameters to images with captions, as `corpora.catalogue` does for texts."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit import paths
from hybridkit.corpora.catalogue import CATALOGUE, IMAGES, nearest
from hybridkit.errors import KitError

if TYPE_CHECKING:
    from hybridkit.corpora.catalogue import Source
    from hybridkit.imagetext.captioned import CaptionedImages
    from hybridkit.params import Parameters

SPLITS = ("train", "evaluation")


def captioned(name: str, parameters: "Parameters", split: str) -> "CaptionedImages":
    """A split ("train" or "evaluation") of a source of the catalogue whose kind is "captioned images".

    `parameters` gives what a source needs of them: `pictures_train`, `pictures_evaluation`, `image_folder`,
    `missing_images`, `explicit_negatives`. Raises KitError for a name that is no such source, for a split that it
    lacks, and as the source's loader.
    """
    if split not in SPLITS:
        raise KitError(f"Images have the splits {SPLITS[0]} and {SPLITS[1]}, not {split!r}.")
    if name not in named():
        raise KitError(f'"{name}" has no images with captions: write {", ".join(named())}{nearest(name, named())}.')
    source = CATALOGUE[name]
    if split == "train" and "pairs" not in source.kind:
        raise KitError(f'"{name}" cannot be trained on, it is a test set: name it under benchmarks alone.')
    return import_module(source.loader).load_captioned(source, parameters, split)


def named() -> list[str]:
    """The sources with images and captions."""
    return [name for name, source in CATALOGUE.items() if IMAGES in source.kind]


def image_folder(source: "Source", parameters: "Parameters") -> Path:
    """Where the user has a source's image files: `image_folder`, or `images` among the source's downloads."""
    folder = parameters.image_folder
    return Path(folder) if folder else paths.downloads() / source.name / "images"

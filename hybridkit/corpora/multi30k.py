"""Multi30k (arXiv 1605.00459), task 1: one caption an image of Flickr30k in English and its translations."""

from typing import TYPE_CHECKING

from hybridkit.corpora import downloads
from hybridkit.corpora.catalogue import Source
from hybridkit.imagetext import layouts

if TYPE_CHECKING:
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.imagetext.captioned import CaptionedImages
    from hybridkit.params import Parameters

_SPLITS = {"train": "train", "evaluation": "test_2016_flickr"}


def _read(source: Source, split: str) -> tuple[list[str], layouts.Captions]:
    part = _SPLITS[split]
    captions = {code: downloads.file(source, f"task1/raw/{part}.{code}.gz") for code in source.languages}
    return layouts.aligned(downloads.file(source, f"task1/image_splits/{part}.txt"), captions)


def load_captioned(source: Source, parameters: "Parameters", split: str) -> "CaptionedImages":
    """For `imagetext.sources`: the training set, or the test of 2016 as evaluation; errors as `layouts.captioned`."""
    return layouts.captioned(source, parameters, split, *_read(source, split))


def load_pairs(source: Source, parameters: "Parameters") -> "TrainingPairs":
    """For the catalogue: the training set as pairs."""
    return layouts.training_pairs(load_captioned(source, parameters, "train"))


def load_key(source: Source, parameters: "Parameters") -> str:
    """For the catalogue: the caption files, and which images are there."""
    return layouts.key(source, parameters, [name for split in _SPLITS for name in _read(source, split)[0]])

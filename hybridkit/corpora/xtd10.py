"""XTD10 (arXiv 2012.05107): a caption of a thousand images of COCO 2014 in each of eleven languages. A test set."""

from typing import TYPE_CHECKING

from hybridkit.corpora import downloads
from hybridkit.corpora.catalogue import Source
from hybridkit.imagetext import layouts
from hybridkit.imagetext.sources import image_folder

if TYPE_CHECKING:
    from hybridkit.imagetext.captioned import CaptionedImages
    from hybridkit.params import Parameters

_NAMES = "XTD10/test_image_names.txt"
#: Files call Japanese by its country; seven languages are XTD10's own, the others are of MIC and STAIR.
_FILES = {"ja": "STAIR/test_1kcaptions_jp.txt"}
_FILES |= {code: f"MIC/test_1kcaptions_{code}.txt" for code in ("de", "en", "fr")}


def _read(source: Source, parameters: "Parameters") -> tuple[list[str], layouts.Captions]:
    captions = {
        code: downloads.file(source, _FILES.get(code, f"XTD10/test_1kcaptions_{code}.txt")) for code in source.languages
    }
    names, texts = layouts.aligned(downloads.file(source, _NAMES), captions)
    folder = image_folder(source, parameters)
    return [layouts.coco_name(folder, name) for name in names], texts


def load_captioned(source: Source, parameters: "Parameters", split: str) -> "CaptionedImages":
    """For `imagetext.sources`: all of it, as evaluation; errors as `layouts.captioned`."""
    return layouts.captioned(source, parameters, split, *_read(source, parameters))


def load_key(source: Source, parameters: "Parameters") -> str:
    """For the catalogue: the caption files, and which images are there."""
    return layouts.key(source, parameters, _read(source, parameters)[0])

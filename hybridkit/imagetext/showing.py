"""Some images of a source with their captions, for the command line."""

from pathlib import Path

import numpy as np

from hybridkit.corpora.catalogue import CATALOGUE
from hybridkit.errors import KitError
from hybridkit.files import written_whole
from hybridkit.imagetext import sources
from hybridkit.imagetext.captioned import CaptionedImages
from hybridkit.params import Parameters

_SHOWN = 8
_IN_A_ROW = 4
_SIZE = 144


def show(name: str, language: str, png: Path | None) -> str:
    """Captions of the first images of the evaluation in a language, and where there are some what foils say.

    With `png` the same images are written there, in rows of four. Raises KitError for a language without captions,
    and where the file cannot be written.
    """
    data = sources.captioned(name, Parameters(), "evaluation")
    if language not in data.captions:
        raise KitError(f"{name} has no {language!r}; it has {' '.join(data.languages)}.")
    rows = range(min(_SHOWN, len(data)))
    lines = [f"{name} in {language} (licence {data.licence}):", *_status(name, language)]
    for row in rows:
        lines += ["", f"{row + 1}. {data.ids[row]}", *(f"   {text}" for text in data.captions[language][row])]
        foils = data.foils[language][row] if data.foils else {}
        lines += [f"   wrong {attribute}: {texts[0]}" for attribute, texts in foils.items()]
    if png:
        _write(png, data, rows)
        lines += ["", f"{png}: these images, {_IN_A_ROW} in a row"]
    return "\n".join(lines)


def _status(name: str, language: str) -> list[str]:
    if CATALOGUE[name].loader != "hybridkit.corpora.museum_pictures":
        return []
    from hybridkit.pictures.wording import read

    return [f"captions of the museum's pictures in {language}: {read(language)['status']}"]


def _write(path: Path, data: CaptionedImages, rows: range) -> None:
    from PIL import Image

    lines = -(-len(rows) // _IN_A_ROW)
    sheet = np.full((lines * _IN_A_ROW, _SIZE, _SIZE, 3), 255, np.uint8)
    sheet[: len(rows)] = data.images.pixels(rows, _SIZE)
    sheet = sheet.reshape(lines, _IN_A_ROW, _SIZE, _SIZE, 3).swapaxes(1, 2)
    with written_whole(path) as stage:
        Image.fromarray(sheet.reshape(lines * _SIZE, _IN_A_ROW * _SIZE, 3)).save(stage, format="PNG")

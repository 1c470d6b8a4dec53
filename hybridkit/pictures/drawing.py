"""Draw a scene: shapes of a material, on a floor and on shelves above it, before the wall of a room.

Everything is drawn four times as large, in whole pixels, and reduced by the average of each 4 x 4 block, so edges
are smooth and a picture is the same on every machine that has the same Pillow.
"""

from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image, ImageChops, ImageDraw
from ruamel.yaml import YAML

from hybridkit.errors import KitError
from hybridkit.pictures.scene import Scene
from hybridkit.streams import Stream

#: The shortest side of a picture, in pixels.
MIN_SIZE = 16
_SCALE = 4
_FLOOR = 0.86  # where the floor begins, of the picture's side from above
_STAND = 0.96  # where the lowest copy stands
_ROW = 0.32  # from one copy to the next above it
_HEIGHT = {"small": 0.21, "large": 0.31}
_PLACE = {"left": 0.20, "middle": 0.50, "right": 0.80}
_TONES = {"base": 0, "light": 40, "dark": -60}
Colour = tuple[int, int, int]


def draw(scene: Scene, size: int) -> np.ndarray:
    """The picture of a scene: (size, size, 3) uint8, RGB. Raises KitError for a size below 16."""
    picture, side = _room(scene.room, _checked(size) * _SCALE).copy(), size * _SCALE
    shift = 0.02 * Stream("jitter", scene.id.partition("~")[0]).uniform(2) - 0.01
    middle, height = (_PLACE[scene.position] + shift[0]) * side, round(_HEIGHT[scene.size] * side)
    copy, mask = _object(scene.object, scene.material, height)
    for row in range(scene.number):
        foot = round((_STAND + shift[1] - row * _ROW) * side)
        if row:
            _shelf(picture, scene.room, round(middle), foot)
        picture.paste(copy, (round(middle) - height // 2, foot - height), mask)
    return np.asarray(picture.reduce(_SCALE))


def draw_room(room: str, size: int) -> np.ndarray:
    """A room with nothing in it: (size, size, 3) uint8, RGB. Raises KitError for a size below 16."""
    return np.asarray(_room(room, _checked(size) * _SCALE).reduce(_SCALE))


def _checked(size: int) -> int:
    if size < MIN_SIZE:
        raise KitError(f"A picture of {size} pixels a side shows nothing; take {MIN_SIZE} or more.")
    return size


@cache
def look(what: str) -> dict:
    """How things look, from the file `<what>.yaml`: shapes by object, materials, rooms."""
    text = (files("hybridkit.pictures") / f"{what}.yaml").read_text(encoding="utf-8")
    return YAML(typ="safe", pure=True).load(text)


def _toned(colour: Colour, tone: str) -> Colour:
    return tuple(max(0, min(255, value + _TONES[tone])) for value in colour)


@cache
def _object(name: str, material: str, side: int) -> tuple[Image.Image, Image.Image]:
    """An object of a material in a square, and the mask of what it covers there."""
    about = look("materials")[material]
    colour = tuple(about["colour"])
    picture, mask = Image.new("RGB", (side, side), colour), Image.new("L", (side, side), 0)
    for kind, tone, *numbers in look("shapes")[name]:
        part = _part(kind, numbers, side)
        if tone == "hole":
            mask.paste(0, mask=part)
            continue
        picture.paste(_toned(colour, tone), mask=part)
        # A dark edge, without which white porcelain is lost before a light wall.
        picture.paste(_toned(colour, "dark"), mask=_edge(part, side))
        mask = ImageChops.lighter(mask, part)
    if "pattern" in about:
        picture.paste(tuple(about["second"]), mask=_pattern(about["pattern"], side))
    return picture, mask.point(lambda value: value * (255 - about.get("behind", 0)) // 255)


def _part(kind: str, numbers: list[float], side: int) -> Image.Image:
    """The mask of one part of a shape, whose numbers are in a square of side 1."""
    mask = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(mask)
    if kind == "line":
        width, *numbers = numbers
        pen.line([round(number * side) for number in numbers], fill=255, width=max(1, round(width * side)))
    elif kind == "ring":
        *corners, width = [round(number * side) for number in numbers]
        pen.ellipse(corners, outline=255, width=max(1, width))
    else:
        form = {"polygon": pen.polygon, "ellipse": pen.ellipse, "box": pen.rectangle}[kind]
        form([round(number * side) for number in numbers], fill=255)
    return mask


def _edge(part: Image.Image, side: int) -> Image.Image:
    """The rim of a part, about a sixtieth of the side wide."""
    width = max(1, side // 60)
    inner = part
    for across, down in ((width, 0), (-width, 0), (0, width), (0, -width)):
        moved = Image.new("L", part.size, 0)
        moved.paste(part, (across, down))
        inner = ImageChops.darker(inner, moved)
    return ImageChops.subtract(part, inner)


@cache
def _pattern(name: str, side: int) -> Image.Image:
    """The mask of a pattern in a square, thick enough to be seen when it is a tenth of a small picture."""
    mask = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(mask)
    if name == "stripes":
        for at in range(0, side, max(4, side // 7)):
            pen.rectangle([at, 0, at + side // 18, side], fill=190)
    elif name == "bands":
        for at in range(side // 8, side, max(4, side // 4)):
            pen.rectangle([0, at, side, at + side // 14], fill=255)
    elif name == "sheen":
        pen.polygon([side // 5, side, side // 3, side, side, side // 4, side, 0, side * 9 // 10, 0], fill=150)
    elif name == "veins":
        for at in (0.05, 0.4, 0.75):
            pen.line(
                [round(x * side) for x in (at, 0, at + 0.2, 0.4, at + 0.05, 0.6, at + 0.25, 1)], 200, side // 20 + 1
            )
    else:
        across, down = Stream("speckles").uniform(80).reshape(2, 40) * side
        for x, y in zip(across.round().astype(int).tolist(), down.round().astype(int).tolist(), strict=True):
            pen.ellipse([x, y, x + side // 12, y + side // 12], fill=200)
    return mask


@cache
def _room(name: str, side: int) -> Image.Image:
    about = look("rooms")[name]
    wall = Image.new("RGB", (side, side), tuple(about["wall"]))
    _decorate(ImageDraw.Draw(wall), about["decoration"], tuple(about["accent"]), side)
    ImageDraw.Draw(wall).rectangle([0, round(_FLOOR * side), side, side], fill=tuple(about["floor"]))
    return wall


def _decorate(pen: ImageDraw.ImageDraw, name: str, accent: Colour, side: int) -> None:
    """The decoration of a wall, mostly between the places of the objects, at .35 and .65 of the width."""

    def box(left: float, top: float, right: float, bottom: float) -> list[int]:
        return [round(number * side) for number in (left, top, right, bottom)]

    if name == "shelves":
        for row in (0.1, 0.26, 0.42, 0.58, 0.74):
            pen.rectangle(box(0, row, 1, row + 0.015), fill=accent)
            for book in range(6):
                left = (0.3 if book < 3 else 0.6) + book % 3 * 0.035
                pen.rectangle(box(left, row - 0.09 + book % 2 * 0.02, left + 0.025, row), fill=accent)
    elif name == "windows":
        for left in (0.31, 0.61):
            pen.rectangle(box(left, 0.16, left + 0.08, 0.52), fill=accent)
            pen.ellipse(box(left, 0.12, left + 0.08, 0.20), fill=accent)
    elif name == "arches":
        for left in (0.02, 0.35, 0.68):
            pen.arc(box(left, 0.05, left + 0.3, 0.55), 180, 360, fill=accent, width=round(0.03 * side))
            for edge in (left, left + 0.27):
                pen.rectangle(box(edge, 0.3, edge + 0.03, _FLOOR), fill=accent)
    elif name == "columns":
        for left in (0.31, 0.61):
            pen.rectangle(box(left + 0.015, 0.06, left + 0.065, _FLOOR), fill=accent)
            for top in (0.03, _FLOOR - 0.04):
                pen.rectangle(box(left - 0.01, top, left + 0.09, top + 0.04), fill=accent)
    elif name == "bars":
        for left in range(0, 100, 10):
            pen.rectangle(box(left / 100, 0, left / 100 + 0.035, _FLOOR), fill=accent)
    elif name == "vines":
        for left in (0.34, 0.65):
            for row in range(9):
                x, y = left + (0.025 if row % 2 else -0.025), 0.02 + row * 0.09
                pen.ellipse(box(x - 0.03, y, x + 0.03, y + 0.07), fill=accent)
    elif name == "tiles":
        for line in range(1, 8):
            pen.rectangle(box(0, line / 8, 1, line / 8 + 0.012), fill=accent)
            pen.rectangle(box(line / 8, 0, line / 8 + 0.012, _FLOOR), fill=accent)


def _shelf(picture: Image.Image, room: str, middle: int, top: int) -> None:
    """What a copy stands on that does not stand on the floor."""
    side = picture.width
    board = [middle - round(0.18 * side), top, middle + round(0.18 * side), top + round(0.018 * side)]
    ImageDraw.Draw(picture).rectangle(board, fill=tuple(look("rooms")[room]["floor"]))

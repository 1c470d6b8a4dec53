"""Emoji: 1,650 pictograms of Noto Emoji with their names in eleven languages from CLDR, split by families.

Near-duplicates (a clock face for every half hour, a woman and a man of one profession, keycaps) are one family, and a
family is either in the training or in the evaluation.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from hybridkit import lock, paths
from hybridkit.corpora import downloads
from hybridkit.corpora.catalogue import CATALOGUE, Source
from hybridkit.errors import KitError
from hybridkit.files import write_text
from hybridkit.streams import Stream

if TYPE_CHECKING:
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.imagetext.captioned import CaptionedImages
    from hybridkit.params import Parameters

SOURCE = CATALOGUE["emoji"]
#: Share of the images that is trained on.
TRAINED = 0.8
#: Images with a smaller mean difference than this, of 255 levels at 24 x 24 pixels over white, are near-duplicates.
NEAR = 10
_SIDE = 24
# Code points that make no family of their own: joiners, styles, signs of gender, the direction of a walk.
_IGNORED = {0x200D, 0xFE0F, 0x2640, 0x2642, 0x27A1}
_GROWN, _CHILDREN = {0x1F468, 0x1F469, 0x1F9D1}, {0x1F466, 0x1F467, 0x1F9D2}
_KEYCAP = 0x20E3
# Recoloured shapes, which pixels do not tell, by the last word of the English name.
_SHAPES = ("heart", "circle", "square")
# Part of the key: to be raised when the same files would be split or read otherwise.
_VERSION = 1
_DOWNLOADED_AT_ONCE = 8


@cache
def pins() -> dict:
    """What is pinned: `commit`, `url` and `files` (SHA-256, bytes) of CLDR's names, and `sha256_all` and `images`: the
    images' names in order, and the SHA-256 over their bytes in this order."""
    folder = files("hybridkit.corpora")
    found = json.loads((folder / "emoji_pins.json").read_text(encoding="utf-8"))
    names = (folder / "emoji_images.txt").read_text(encoding="utf-8").split()
    return found | {"images": [f"emoji_u{points}.png" for points in names]}


def _folder() -> Path:
    return paths.downloads() / SOURCE.name


def fetch_files(source: Source, languages: Sequence[str] = ()) -> list[Path]:
    """The images and `captions.tsv`; what is not there is downloaded, and the captions built from CLDR's pinned files.

    Raises KitError where nothing can be fetched, and where the images do not have the pinned SHA-256.
    """
    names = pins()["images"]
    with ThreadPoolExecutor(_DOWNLOADED_AT_ONCE) as pool:
        images = list(pool.map(_image, names))
    _check_images(names)
    path = _folder() / "captions.tsv"
    if not path.is_file():
        write_text(path, _table(names))
    lock.check_file("datasets", SOURCE.name, path.name, path)
    return [path, *images]


def _image(name: str) -> Path:
    import pooch

    path = _folder() / "png72" / name
    if not path.is_file():
        url = SOURCE.url.format(commit=SOURCE.commit, file=name)
        pooch.get_logger().setLevel("WARNING")
        with downloads.told(SOURCE.name, f"{name} of Noto Emoji"):
            pooch.retrieve(url, known_hash=None, fname=name, path=path.parent, progressbar=False)
    return path


def _check_images(names: Sequence[str]) -> None:
    digest = hashlib.sha256()
    for name in names:
        digest.update((_folder() / "png72" / name).read_bytes())
    if digest.hexdigest() != pins()["sha256_all"]:
        raise KitError(
            f"The images in {_folder() / 'png72'} have together the SHA-256 {digest.hexdigest()} where {pins()['sha256_all']} "
            f"was expected: one is cut short or altered; delete the folder and run `hybridkit data fetch {SOURCE.name}`."
        )


def _table(names: Sequence[str]) -> str:
    """captions.tsv: a line an image with its characters and its name in every language."""
    cldr = replace(SOURCE, **{key: pins()[key] for key in ("commit", "url", "files")})
    told = {code: _cldr_names(cldr, code) for code in SOURCE.languages}
    lines = [["image", "emoji", *SOURCE.languages]]
    for name in names:
        character = "".join(map(chr, _points(name)))
        missing = [code for code in told if character not in told[code]]
        if missing:
            raise KitError(f"CLDR's pinned files have no name of {character!r} in {missing[0]}: fetch them again.")
        lines.append([name, character, *(told[code][character] for code in told)])
    return "".join("\t".join(line) + "\n" for line in lines)


def _cldr_names(cldr: Source, code: str) -> dict[str, str]:
    """Names by characters: the first spoken form, of the base file before that of the derived one."""
    found: dict[str, str] = {}
    for name in cldr.files:
        if name.split("/")[-2] == code:
            data = json.loads(downloads.pinned(cldr, name).read_text(encoding="utf-8"))
            (part,) = data.values()
            for character, entry in part["annotations"].items():
                if "tts" in entry:
                    found.setdefault(character, " ".join(entry["tts"][0].split()))
    return found


def _points(image: str) -> list[int]:
    """The code points of an image's file name: emoji_u0023_20e3.png is # and a keycap."""
    return [int(point, 16) for point in image.removeprefix("emoji_u").removesuffix(".png").split("_")]


def _captions() -> list[dict[str, str]]:
    """The lines of captions.tsv by column, fetched where it is not there; all images are there and as pinned."""
    path = _folder() / "captions.tsv"
    if not path.is_file():
        fetch_files(SOURCE)
    lock.check_file("datasets", SOURCE.name, path.name, path)
    rows = list(read_table(path))
    if [row["image"] for row in rows] != pins()["images"]:
        raise KitError(
            f"{path} does not name the pinned images in their order: delete it and fetch {SOURCE.name} again."
        )
    if lacking := [name for name in pins()["images"] if not (_folder() / "png72" / name).is_file()]:
        raise KitError(
            f"{_folder() / 'png72' / lacking[0]} is not there ({len(lacking)} such in all): run `hybridkit data fetch "
            f"{SOURCE.name}`."
        )
    _check_images(pins()["images"])
    return rows


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """The lines of a file of names as dicts by its first line. KitError where a line has other columns or a name is empty."""
    head, *lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    if lacking := [name for name in ("image", *SOURCE.languages) if name not in head]:
        raise KitError(f"{path} has no column {lacking[0]!r}; it has {' '.join(head)}.")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(head):
            raise KitError(
                f"{path}, line {number}: {len(line)} columns where its first line has {len(head)}; mend the line."
            )
        row = dict(zip(head, line, strict=True))
        if empty := [name for name in head if not row[name].strip()]:
            raise KitError(f"{path}, line {number}: {empty[0]} is empty; mend the line.")
        yield row


def families(names: Sequence[str], english: Sequence[str], pixels: np.ndarray) -> list[int]:
    """The family of every image, numbered from 0 in the order of their first images.

    `pixels` (images, values). Of one family are images whose code points differ in gender, age and joiners alone, all
    that show nothing but families, all keycaps, all hearts, circles and squares by their English names, and images that
    are nearer to each other than `NEAR` levels; and whatever is joined through a third.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import pdist

    first: dict[object, int] = {}
    joins = [(row, first.setdefault(key, row)) for row, name in enumerate(names) for key in _keys(name, english[row])]
    near = pdist(pixels.astype(np.float32), "cityblock") < NEAR * pixels.shape[1]
    one, other = (part[near] for part in np.triu_indices(len(names), 1))
    one, other = np.concatenate([one, [a for a, _ in joins]]), np.concatenate([other, [b for _, b in joins]])
    graph = coo_array((np.ones(len(one)), (one.astype(int), other.astype(int))), shape=(len(names), len(names)))
    labels = connected_components(graph, directed=False)[1].tolist()
    number = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return [number[label] for label in labels]


def _keys(name: str, english: str) -> Iterator[object]:
    """Names of the families that an image belongs to by its code points and by its English name."""
    points = tuple(
        "grown" if point in _GROWN else "child" if point in _CHILDREN else point
        for point in _points(name)
        if point not in _IGNORED
    )
    if set(points) <= {"grown", "child"}:
        yield "family"
    else:
        yield "keycap" if _KEYCAP in points else points
    if (last := english.split()[-1]) in _SHAPES:
        yield last


@cache
def _split() -> dict[str, list[tuple[dict[str, str], str]]]:
    """The images of both splits as lines of captions.tsv with their family, without those that repeat another's bytes.

    Families come in random order, into the training until it has its share of the images.
    """
    rows = list({_digest(row["image"]): row for row in reversed(_captions())}.values())[::-1]
    number = _families(rows)
    sizes, names = np.bincount(number), {}
    for row, family in zip(rows, number, strict=True):
        names.setdefault(family, row["image"])
    order = Stream(SOURCE.name).permutation(len(sizes))
    enough = np.cumsum(sizes[order]) >= TRAINED * len(rows)
    trained = set(order[: int(enough.argmax()) + 1].tolist())
    found: dict[str, list] = {"train": [], "evaluation": []}
    for row, family in zip(rows, number, strict=True):
        found["train" if family in trained else "evaluation"].append((row, names[family]))
    return found


def _digest(image: str) -> bytes:
    return hashlib.sha256((_folder() / "png72" / image).read_bytes()).digest()


def _families(rows: Sequence[dict[str, str]]) -> list[int]:
    """`families` of the downloaded images, from the cache if there."""
    names = [row["image"] for row in rows]
    key = hashlib.sha256(repr((_VERSION, NEAR, names, pins()["sha256_all"])).encode()).hexdigest()[:16]
    kept = paths.cache() / "images" / f"emoji-families-{key}.json"
    if not kept.exists():
        pixels = np.stack([_small(_folder() / "png72" / name) for name in names])
        write_text(kept, json.dumps(families(names, [row["en"] for row in rows], pixels)))
    return json.loads(kept.read_text(encoding="utf-8"))


def _small(path: Path) -> np.ndarray:
    """An image over white at 24 x 24 pixels, as one row of values."""
    from PIL import Image

    with Image.open(path) as image:
        shown = image.convert("RGBA")
    shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return np.asarray(shown.resize((_SIDE, _SIDE), Image.Resampling.BOX)).ravel()


def captioned(split: str) -> "CaptionedImages":
    """The images of a split ("train" or "evaluation"), each with its name in every language; errors as `fetch_files`."""
    from hybridkit.imagetext.captioned import make_captioned
    from hybridkit.imagetext.images import FileImages

    shown = _split()[split]
    images = [row["image"] for row, _ in shown]
    return make_captioned(
        name=SOURCE.name,
        licence=SOURCE.licence,
        split=split,
        ids=[image.removeprefix("emoji_u").removesuffix(".png") for image in images],
        captions={code: [(row[code],) for row, _ in shown] for code in SOURCE.languages},
        images=FileImages(_folder() / "png72", images),
        family=[family for _, family in shown],
    )


def load_captioned(source: Source, parameters: "Parameters", split: str) -> "CaptionedImages":
    """For `imagetext.sources`: `captioned`, whatever the parameters."""
    return captioned(split)


def load_pairs(source: Source, parameters: "Parameters") -> "TrainingPairs":
    """For the catalogue: the training split as pairs, kept in the cache."""
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.imagetext.captioned import training_pairs

    folder = paths.cache() / "pairs" / f"emoji-{load_key(source, parameters)[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        return (
            TrainingPairs.open(folder)
            if (folder / "about.json").exists()
            else training_pairs(captioned("train"), folder)
        )


def load_key(source: Source, parameters: "Parameters") -> str:
    """For the catalogue: the images' checksum, the names, and how they are split."""
    path = _folder() / "captions.tsv"
    if not path.is_file():
        fetch_files(source)
    return hashlib.sha256(repr((_VERSION, pins()["sha256_all"])).encode() + path.read_bytes()).hexdigest()

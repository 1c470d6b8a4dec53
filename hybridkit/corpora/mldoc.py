"""MLDoc (Schwenk and Li, LREC 2018): topics of Reuters news in eight languages, from the user's own licensed copy."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from hybridkit import lock, paths
from hybridkit.corpora.catalogue import CATALOGUE, Source
from hybridkit.errors import KitError
from hybridkit.languages import language
from hybridkit.transfer.tasks import Labelled, Part, make_labelled, part

if TYPE_CHECKING:
    from hybridkit.params import Parameters

SOURCE = CATALOGUE["mldoc"]
#: Corporate and industrial, economics, government and social, markets.
TOPICS = ("CCAT", "ECAT", "GCAT", "MCAT")
#: The ends of the files' names, by split; of the four sizes of training sets, the one that results are mostly given for.
ENDS = {"train": "train.1000", "dev": "dev", "test": "test"}


def labelled(languages: Sequence[str] = SOURCE.languages) -> Labelled:
    """The texts of the languages that are there, in all three splits.

    Read from <downloads>/mldoc/ the files that MLDoc's script writes (english.test, or english/english.test); of a file
    that is not there the texts are taken from rcv1/ (English) or RCV2_Multilingual_Corpus/<language>/ as
    mldoc-indices/ lists them. Raises KitError, telling how to come by them, where no language has all three.
    """
    parts = {}
    for code in languages:
        found = {split: _split(code, split) for split in ENDS}
        if all(found.values()):
            parts |= {(code, split): rows for split, rows in found.items()}
    if not parts:
        raise KitError(f"{_folder()} holds no MLDoc in {', '.join(languages)}: {SOURCE.by_hand}.")
    return make_labelled(SOURCE.name, SOURCE.licence, TOPICS, parts)


def _folder() -> Path:
    return paths.downloads() / SOURCE.name


def _name(code: str, split: str) -> str:
    return f"{language(code).name.lower()}.{ENDS[split]}"


def _place(code: str, split: str) -> Path | None:
    """The file with the texts of a split, or else the list of its texts in the corpora; None where neither is there."""
    name = _name(code, split)
    places = (_folder() / name, _folder() / name.partition(".")[0] / name, _folder() / "mldoc-indices" / name)
    return next((path for path in places if path.is_file()), None)


def _split(code: str, split: str) -> Part | None:
    place = _place(code, split)
    if place is None:
        return None
    if place.parent.name == "mldoc-indices":
        name = language(code).name.lower()
        texts = _folder() / ("rcv1" if code == "en" else f"RCV2_Multilingual_Corpus/{name}")
        rows = [_news(texts, entry) for entry in place.read_text(encoding="utf-8").split()]
    else:
        lock.check_file("datasets", SOURCE.name, _name(code, split), place)
        rows = list(_built(place))
    if not rows:
        raise KitError(f"{place} is empty: build it again.")
    topics, documents = zip(*rows, strict=True)
    return part(documents, topics)


def _built(path: Path) -> Iterator[tuple[str, str]]:
    """Topic and text of each line. Run by Python 3, MLDoc's script writes the texts as literals of bytes, b'...'."""
    for number, line in enumerate(_lines(path), start=1):
        topic, tab, text = line.partition("\t")
        if not tab or topic not in TOPICS:
            raise KitError(
                f"{path}, line {number} begins {line[:20]!r}: expected one of {', '.join(TOPICS)}, a tab and a text."
            )
        yield topic, _text_of_bytes(text, path, number) if text.startswith(("b'", 'b"')) else text


def _lines(path: Path) -> list[str]:
    """Lines by line feeds alone: news hold other characters that Python would end a line at."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _text_of_bytes(literal: str, path: Path, number: int) -> str:
    try:
        return ast.literal_eval(literal).decode("utf-8")
    except (ValueError, SyntaxError) as fault:
        raise KitError(
            f"{path}, line {number}: the text is no whole literal of bytes; build the file again."
        ) from fault


def _news(folder: Path, entry: str) -> tuple[str, str]:
    """Topic and text of a news story: the entry FDCH5-39373 is the file FDCH5/39373.xml."""
    path = folder / f"{entry.replace('-', '/', 1)}.xml"
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as fault:
        raise KitError(
            f"{path}, which mldoc-indices lists, cannot be read ({fault}): unpack the corpus again."
        ) from fault
    codes = [code.get("code") for code in root.findall(".//codes[@class='bip:topics:1.0']/code")]
    topics = [code for code in codes if code in TOPICS]
    if len(topics) != 1:
        raise KitError(f"{path} has {len(topics)} of the topics {', '.join(TOPICS)}, expected one: check the corpus.")
    return topics[0], " ".join(paragraph.text or "" for paragraph in root.findall(".//p"))


def load_labelled(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Labelled:
    """For the catalogue: `labelled`, where () stands for all languages."""
    return labelled(languages or source.languages)


def fetch_files(source: Source, languages: Sequence[str] = ()) -> list[Path]:
    """For the catalogue: nothing is fetched; the files that are there, read and checked. KitError as `labelled`."""
    parts = labelled(languages or source.languages).parts
    return [place for code, split in parts if (place := _place(code, split))]

"""Bilingual lexicons for code-switching: the museum's own, and files in the format of MUSE that a user brings.

Here a word is a stretch of letters, digits and combining marks between spaces and punctuation. In scripts without spaces,
and in Vietnamese, whose spaces stand between syllables, an entry of the lexicon is a word: the longest that fits.
"""

import hashlib
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from hybridkit.errors import KitError, KitWarning

#: The name of the lexicon that comes with the kit.
MUSEUM = "museum"
#: Most words of a phrase, as in the Wikipedia titles of arXiv 2305.05295.
PHRASE = 3
#: Most characters or syllables of a word, where spaces do not show the words.
_LONGEST = 24
# Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, kana, Han.
_RUN_ON = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003134f"
)
_GAP = re.compile(r"[\s'’\-]*")


_runs_on = re.compile(f"[{_RUN_ON}]").search


@cache
def _patterns() -> tuple[re.Pattern, re.Pattern]:
    """A word (`\\w` alone would cut Hindi at its vowel signs); and the parts of one that holds characters of a script
    without spaces: each of those with its marks, and what stands between them."""
    runs: list[list[int]] = []
    for number in range(0x20000):  # beyond are no letters but Han
        if unicodedata.category(chr(number)).startswith("M"):
            runs = [*runs[:-1], [runs[-1][0], number]] if runs and runs[-1][1] == number - 1 else [*runs, [number] * 2]
    marks = "".join(f"{chr(first)}-{chr(last)}" for first, last in runs) + "\u200c\u200d"  # with the joiners
    return re.compile(rf"[\w{marks}]+"), re.compile(rf"([{_RUN_ON}][{marks}]*)|[^{_RUN_ON}]+")


def runs_on(character: str) -> bool:
    """Whether a character is of a script that is written without spaces."""
    return bool(_runs_on(character))


def in_word(character: str) -> bool:
    """Whether a character can be part of a word."""
    return bool(_patterns()[0].match(character))


@lru_cache(maxsize=100_000)
def _folded(word: str, code: str) -> str:
    """What is looked up: lower case, composed. str.lower() knows no Turkish: I is the capital of ı, İ that of i."""
    if code == "tr":
        word = unicodedata.normalize("NFC", word).replace("I", "ı").replace("İ", "i")
    return unicodedata.normalize("NFC", word.lower())


class Atom(NamedTuple):
    """A word, or a character of a script without spaces: its place in the text and how it is looked up."""

    start: int
    end: int
    folded: str
    run_on: bool


def atoms(text: str, code: str) -> list[Atom]:
    """The words of a text in language `code`, and the characters of what it holds in scripts without spaces."""
    word, part = _patterns()
    found: list[Atom] = []
    for match in word.finditer(text):
        start, end = match.span()
        if _runs_on(text, start, end):
            for one in part.finditer(text, start, end):
                found.append(Atom(*one.span(), _folded(one[0], code), one.lastindex == 1))
        else:
            found.append(Atom(start, end, _folded(match[0], code), False))
    return found


class Table:
    """What words and phrases of one language are in another: an entry has one translation, the first that is given."""

    def __init__(self, source: str, pairs: Iterable[tuple[str, str]]):
        self.source = source
        self.entries: dict[str, str] = {}
        lengths: dict[str, set[int]] = {}
        for entry, translation in pairs:
            parts = atoms(entry, source)
            if parts and len({part.run_on for part in parts}) == 1:  # one that mixes scripts is never looked up
                self.entries.setdefault(_key(parts), translation)
                lengths.setdefault(parts[0].folded, set()).add(len(parts))
        several = {first: sorted(found, reverse=True) for first, found in lengths.items() if found != {1}}
        self._lengths = several  # of the entries that begin so, the longest first; those of one word alone need none

    def longest(self, text: str, parts: Sequence[Atom], at: int, by: str) -> tuple[int, str | None]:
        """The longest entry that begins at part `at`: how many parts it takes, and its translation; 1 and None for none.

        `by` is "word" or "phrase", which differ where words have spaces: a phrase has up to `PHRASE` words.
        """
        first = parts[at]
        lengths = self._lengths.get(first.folded)
        if lengths is None:
            return 1, self.entries.get(first.folded)
        most = _LONGEST if first.run_on or self.source == "vi" else PHRASE if by == "phrase" else 1
        for length in lengths:
            if length <= most and at + length <= len(parts):
                # Where words have no spaces an entry is what stands there; else its words, whatever is between.
                here = (
                    unicodedata.normalize("NFC", text[first.start : parts[at + length - 1].end])
                    if first.run_on
                    else _phrase(text, parts[at : at + length])
                )
                translation = self.entries.get(here)
                if translation is not None:
                    return length, translation
        return 1, None


def _key(parts: Sequence[Atom]) -> str:
    return ("" if parts[0].run_on else " ").join(part.folded for part in parts)


def _phrase(text: str, parts: Sequence[Atom]) -> str:
    """How parts are looked up as one entry; "", which none is, where more than spaces, hyphens, apostrophes is between."""
    apart = any(not _GAP.fullmatch(text, one.end, other.start) for one, other in pairwise(parts))
    return "" if apart else _key(parts)


def table(lexicons: str, source: str, target: str) -> Table:
    """The table from one language to another: of the museum, kept in memory, or of a folder, read anew at every call.

    Raises KitError where there is none.
    """
    return _museum_table(source, target) if lexicons == MUSEUM else _muse_table(Path(lexicons), source, target)


def check(lexicons: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A hash of the content of the tables of these ordered pairs of languages; KitError where some are missing.

    Of a folder, the files are hashed and not read as tables.
    """
    digest = hashlib.sha256(b"lexicons 1\n")
    pairs = sorted(set(pairs))
    if lexicons != MUSEUM:
        _check_files(Path(lexicons), pairs)
    for source, target in pairs:
        if lexicons == MUSEUM:
            content = repr(list(_museum_table(source, target).entries.items())).encode()
        else:
            content = _file(Path(lexicons), source, target).read_bytes()
        digest.update(f"{source} {target} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


# Files of a user


def _file(folder: Path, source: str, target: str) -> Path:
    return folder / f"{source}-{target}.txt"


def _check_files(folder: Path, pairs: Sequence[tuple[str, str]]) -> None:
    missing = [path for pair in pairs if not (path := _file(folder, *pair)).is_file()]
    if missing:
        others = ", ".join(path.name for path in missing[1:4]) + (" and more" if len(missing) > 4 else "")
        more = f" ({len(missing)} of {len(pairs)} are missing, {others} too)" if others else ""
        raise KitError(
            f"The lexicon {missing[0]} does not exist{more}: give a folder that has a file for "
            "every ordered pair of languages that is switched, a pair a line: a word and its translation, separated by a "
            'space or a tab, as MUSE has them; or set switch_lexicons to "museum".'
        )


def _muse_table(folder: Path, source: str, target: str) -> Table:
    path = _file(folder, source, target)
    _check_files(folder, [(source, target)])
    try:
        lines = path.read_text(encoding="utf-8-sig").split(
            "\n"
        )  # no other sign ends a line, as str.splitlines() has it
    except (OSError, UnicodeDecodeError) as fault:
        reason = getattr(fault, "strerror", None) or "it is no UTF-8 text"
        raise KitError(f"The lexicon {path} cannot be read ({reason}): write a pair a line, in UTF-8.") from fault
    rows = {number: _pair(line) for number, line in enumerate(lines, start=1) if line.strip()}
    odd = [number for number, pair in rows.items() if pair is None]
    if len(odd) == len(rows):
        raise KitError(
            f"The lexicon {path} holds no pair: write a word and its translation a line, separated by a space or a tab."
        )
    if odd:
        told = (
            f"{len(odd)} of {len(rows)} lines of {path} are no pair of words and left out; the first is line {odd[0]}."
        )
        warnings.warn(told, KitWarning, stacklevel=4)
    return Table(source, filter(None, rows.values()))


def _pair(line: str) -> tuple[str, str] | None:
    """A line's two sides: around a tab, where they may be phrases, or two words with a space between; None for neither."""
    parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


# The museum's

#: What stands around the words of an entry: articles, prepositions, measure words. An entry is paired without them.
_AROUND = {
    "ar": r"^في ",
    "de": r"^(im|in|auf|an|der|die|das|dem|des|eine?[mnrs]?) ",
    "el": r"^(από|σε|στη|στην|στο|στον|ο|η|το|τη|την|τον|του|της|ένας?|έναν|ενός|μιας?) ",
    "en": r"^(in|on|at|the|an?) ",
    "es": r"^(en|el|la|los|del?|una?) ",
    "hi": r"^एक | (में|पर)$",
    "ru": r"^(в|во|на|из) ",
    "th": r"^(ใน|บน|ที่(?=ก้น|สถานี))|(แห่ง|ลำ|ใบ)หนึ่ง$",
    "tr": r"^bir |'\w+$",
    "vi": r"^(trong|dưới|ở|trên|một|các|chiếc|con|quả|cây|thanh|tấm) ",
    "zh": r"^一.|[里上]$",
}
#: Nouns that the templates themselves hold, in the forms that they have there.
_OF_TEMPLATES = {
    "museum": {
        "ar": "المتحف", "de": "Museum Museums", "el": "μουσείο", "en": "museum", "es": "museo", "hi": "संग्रहालय",
        "ru": "музей музея музею", "th": "พิพิธภัณฑ์", "tr": "müze müzeye müzenin", "vi": "bảo_tàng", "zh": "博物馆",
    },
    "workshop": {
        "ar": "ورشة", "de": "Werkstatt", "el": "εργαστήριο", "en": "workshop", "es": "taller", "hi": "कार्यशाला",
        "ru": "мастерская мастерской", "th": "โรงช่าง", "tr": "atölye atölyesi atölyesinde", "vi": "xưởng", "zh": "作坊",
    },
    "collector": {
        "ar": "جامعي_التحف", "de": "Sammler", "el": "συλλέκτης", "en": "collector", "es": "coleccionista",
        "hi": "संग्रहकर्ता", "ru": "коллекционер", "th": "นักสะสม", "tr": "koleksiyoncu", "vi": "nhà_sưu_tầm", "zh": "收藏家",
    },
    "visitors": {
        "ar": "الزوار", "de": "Besucher", "el": "επισκέπτες", "en": "visitors", "es": "visitantes", "hi": "दर्शक",
        "ru": "посетители", "th": "ผู้เข้าชม", "tr": "ziyaretçiler", "vi": "khách_tham_quan", "zh": "参观者",
    },
    "price": {
        "ar": "سعر ثمن", "de": "Preis", "el": "τιμή", "en": "price", "es": "precio", "hi": "कीमत", "ru": "цена",
        "th": "ราคา", "tr": "fiyatı", "vi": "giá", "zh": "价格",
    },
}  # fmt: skip


def _bare(text: str, code: str) -> str:
    """An entry of the museum without what stands around its words."""
    before = ""
    while text != before:
        before, text = text, re.sub(_AROUND[code], "", text)
    return text


@cache
def museum_words(code: str) -> Mapping[str, Mapping[str, str]]:
    """The museum's words in a language: by concept ("object.clock"), the forms that its file has, by their names.

    Raises KitError for a language that the museum lacks.
    """
    from hybridkit.museum.lexicon import lexicon
    from hybridkit.museum.world import CONCEPTS

    data = lexicon(code).data
    found = {}
    for category, concepts in CONCEPTS.items():
        for concept in concepts:
            entry = data[category][concept]
            forms = {"": entry} if isinstance(entry, str) else {f: t for f, t in entry.items() if f != "gender"}
            found[f"{category}.{concept}"] = dict(_surfaces(forms, data, code))
    for concept, words in _OF_TEMPLATES.items():
        forms = [word.replace("_", " ") for word in words[code].split()]
        found[f"template.{concept}"] = {f"form {number}" if number else "": form for number, form in enumerate(forms)}
    return found


def _surfaces(forms: Mapping[str, str], data: dict, code: str) -> Iterator[tuple[str, str]]:
    """The forms of an entry as texts have them: bare, and with the endings of agreement that Arabic adjectives take."""
    for form, text in forms.items():
        yield form, _bare(text, code)
        if form == "adj":
            for gender, ending in data["agreement"]["ending"].items():
                yield f"{form} {gender}", text + ending


@cache
def _museum_table(source: str, target: str) -> Table:
    """Forms are paired by name (genitive with genitive), else with the form that the target's file gives first."""
    there = museum_words(target)
    pairs = []
    for concept, forms in museum_words(source).items():
        others = there[concept]
        # The first Arabic form of an object has the article, which does not suit a word among foreign ones.
        usual = others.get("bare") or next(iter(others.values()))
        pairs += [(text, others.get(form, usual)) for form, text in forms.items()]
    return Table(source, pairs)

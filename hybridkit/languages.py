"""The languages that the kit knows: code, English name, script, direction, and whether words have spaces."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from hybridkit.errors import KitError


@dataclass(frozen=True)
class Language:
    """One language.

    `code` is the ISO 639-1 code used in every file of the kit, `script` the Unicode name of its
    main script as it begins the names of its letters (`unicodedata.name`), `direction` is "ltr" or
    "rtl" as in HTML, and `spaced` says whether words are separated by spaces.
    """

    code: str
    name: str
    script: str
    direction: str = "ltr"
    spaced: bool = True


_TABLE = [
    Language("ar", "Arabic", "ARABIC", "rtl"),
    Language("bem", "Bemba", "LATIN"),
    Language("bg", "Bulgarian", "CYRILLIC"),
    Language("bn", "Bengali", "BENGALI"),
    Language("de", "German", "LATIN"),
    Language("el", "Greek", "GREEK"),
    Language("en", "English", "LATIN"),
    Language("es", "Spanish", "LATIN"),
    Language("fa", "Persian", "ARABIC", "rtl"),
    Language("fi", "Finnish", "LATIN"),
    Language("fr", "French", "LATIN"),
    Language("ha", "Hausa", "LATIN"),
    Language("hi", "Hindi", "DEVANAGARI"),
    Language("id", "Indonesian", "LATIN"),
    Language("ig", "Igbo", "LATIN"),
    Language("it", "Italian", "LATIN"),
    Language("ja", "Japanese", "CJK", spaced=False),
    Language("ko", "Korean", "HANGUL"),
    Language("nl", "Dutch", "LATIN"),
    Language("pt", "Portuguese", "LATIN"),
    Language("ro", "Romanian", "LATIN"),
    Language("ru", "Russian", "CYRILLIC"),
    Language("rw", "Kinyarwanda", "LATIN"),
    Language("sw", "Swahili", "LATIN"),
    Language("te", "Telugu", "TELUGU"),
    Language("th", "Thai", "THAI", spaced=False),
    Language("tr", "Turkish", "LATIN"),
    Language("tw", "Twi", "LATIN"),
    Language("ur", "Urdu", "ARABIC", "rtl"),
    Language("vi", "Vietnamese", "LATIN"),
    Language("yo", "Yoruba", "LATIN"),
    Language("zh", "Chinese", "CJK", spaced=False),
    Language("zu", "Zulu", "LATIN"),
]
LANGUAGES = {language.code: language for language in _TABLE}

#: The eleven languages of XQuAD-R, and of the museum.
XQUAD_R = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
#: The nine languages that the paper trains on (section 4 of arXiv 2408.10536); el and vi stay unseen.
TRAINED = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")


def language(code: str) -> Language:
    """Look up a language by its code; an unknown code gives a language of Latin script named by its code.

    Users bring languages that the table lacks; only the displayed name and direction depend on it.
    """
    return LANGUAGES.get(code, Language(code, code, "LATIN"))


def check_code(code: object) -> str:
    """Return `code` if it is a plausible language code, else raise KitError with the likely one."""
    if isinstance(code, str) and re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", code):
        return code
    names = {entry.name.lower(): entry.code for entry in _TABLE}
    near = get_close_matches(str(code).lower(), [*names, *LANGUAGES], n=1)
    hint = f'; perhaps "{names.get(near[0], near[0])}"' if near else ""
    raise KitError(f'{code!r} is not a language code: write a quoted two- or three-letter code such as "en"{hint}.')

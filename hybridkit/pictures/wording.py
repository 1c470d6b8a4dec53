"""Captions of a scene in a language: the museum's words, in templates of the language's caption file.

A template holds slots in braces as those of the museum do: `{object.nom}`, `{ein@object}`; `{noun.many}` is a form of
the object that the museum lacks. The format is told for authors in docs/pictures.md.
"""

import re
from functools import cache
from importlib.resources import files

from ruamel.yaml import YAML, YAMLError

from hybridkit.errors import KitError
from hybridkit.museum.lexicon import SLOT, lexicon
from hybridkit.pictures.scene import Scene
from hybridkit.streams import Stream

#: How the caption files name the numbers of copies.
NUMBERS = {1: "one", 2: "two", 3: "three"}


@cache
def read(code: str) -> dict:
    """The caption file of a language. Raises KitError for a language of which the museum has no words."""
    lexicon(code)
    path = files("hybridkit.pictures") / "captions" / f"{code}.yaml"
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, OSError) as fault:
        raise KitError(f"The caption file {path} cannot be read: {str(fault).splitlines()[0]}.") from fault


def captions(scene: Scene, code: str) -> list[str]:
    """Every caption of a scene in a language, one a template; each states all six attributes."""
    return [caption(scene, code, which) for which in range(len(read(code)["captions"]))]


def caption(scene: Scene, code: str, which: int) -> str:
    """The caption of a scene by template number `which`, counted from 0."""
    data = read(code)
    return filled(data, data["captions"][which], scene)


def drawn(scene: Scene, code: str) -> int:
    """The number of the one template that the evaluation takes for a scene, and for its foils."""
    return Stream("caption", scene.id.partition("~")[0], code).integer(len(read(code)["captions"]))


def filled(data: dict, template: str, scene: Scene) -> str:
    """A template of the caption file `data`, filled for a scene, with a capital at its beginning."""
    text = _fill(data, template, scene)
    # str.upper() knows no Turkish: a dotted i has a dotted capital.
    first = "İ" if data["language"] == "tr" and text[0] == "i" else text[0].upper()
    return first + text[1:]


def gender(code: str, concept: str) -> str | None:
    """The gender (in Chinese and Thai the measure word) of an object in the museum's words; None without one."""
    entry = lexicon(code).data["object"][concept]
    return entry.get("gender") if isinstance(entry, dict) else None


def _fill(data: dict, template: str, scene: Scene) -> str:
    def slot(match: re.Match) -> str:
        name, form, of = match.groups()
        own = gender(data["language"], scene.object)
        if of:
            return data["agreement"][name][own]
        if name == "phrase":
            return _fill(data, data["phrase"][NUMBERS[scene.number]], scene)
        entry = _entry(data, name, scene)
        if form:
            entry = entry[form]
        return entry[own] if isinstance(entry, dict) else entry

    return SLOT.sub(slot, template)


def _entry(data: dict, name: str, scene: Scene) -> str | dict:
    if name == "noun":
        return data["noun"][scene.object]
    if name in ("size", "position"):
        return data[name][getattr(scene, name)]
    return lexicon(data["language"]).data[name][getattr(scene, name)]

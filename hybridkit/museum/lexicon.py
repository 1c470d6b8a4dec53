"""One language's lexicon file: its words in full inflected forms, and the templates that use them.

A template holds slots in braces. `{room}` takes the only form of an entry, `{object.dat}` one of
several, `{restored@object}` the form of the agreement word `restored` for the gender of the object.
The format is told for authors in docs/museum.md.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from ruamel.yaml import YAML, YAMLError

from hybridkit.errors import KitError
from hybridkit.languages import XQUAD_R
from hybridkit.museum.world import CONCEPTS, FINAL_SYLLABLES, KINDS, SYLLABLES, Exhibit, Person
from hybridkit.streams import Stream

SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?(?:@(\w+))?\}")


class Lexicon:
    """The words and templates of one language, read from its file."""

    def __init__(self, data: dict):
        self.data = data
        self.code = data["language"]
        self.status = data["status"]
        self._syllables = data["names"].get("syllables") or {s: s for s in SYLLABLES}
        self._finals = data["names"].get("final_syllables") or {s: s for s in FINAL_SYLLABLES}
        self._digits = str.maketrans("0123456789", data["digits"])

    def name(self, person: Person) -> str:
        """A person's name in this language's script."""
        first, last = self.name_parts(person)
        return self.data["names"]["order"].format(first=first, last=last)

    def name_parts(self, person: Person) -> tuple[str, str]:
        """A person's first and last name in this language's script."""
        return self._spell(person.first), self._spell(person.last)

    def _spell(self, syllables: tuple[str, ...]) -> str:
        word = "".join(self._syllables[s] for s in syllables[:-1]) + self._finals[syllables[-1]]
        return word[0].upper() + word[1:]

    def number(self, value: int, grouped: bool = False) -> str:
        """A number in this language's digits; a price has its thousands grouped."""
        text = f"{value:,}".replace(",", self.data["thousands"]) if grouped else str(value)
        return text.translate(self._digits)

    def sentence(self, exhibit: Exhibit, kind: str) -> str:
        """The sentence that states one fact of an exhibit, with a template drawn for this language."""
        return self._render(exhibit, kind, "sentences")

    def question(self, exhibit: Exhibit, kind: str) -> str:
        """The question that the fact answers."""
        return self._render(exhibit, kind, "questions")

    def _render(self, exhibit: Exhibit, kind: str, part: str) -> str:
        templates = self.data["facts"][kind][part]
        stream = Stream("template", exhibit.id, kind, part, self.code)
        template = templates[stream.integer(len(templates))]
        text = self.fill(template, exhibit, stream)
        # str.upper() knows no Turkish: a dotted i has a dotted capital.
        first = "İ" if self.code == "tr" and text[0] == "i" else text[0].upper()
        return first + text[1:]

    def fill(self, template: str, exhibit: Exhibit, stream: Stream) -> str:
        """Fill the slots of a template, the exhibit's name among them."""

        def slot(match: re.Match) -> str:
            name, form, of = match.groups()
            if of:
                return self.data["agreement"][name][self._entry(of, exhibit)["gender"]]
            if name == "exhibit":
                ways = self.data["exhibit"][form] if form else self.data["exhibit"]
                return self.fill(ways[stream.integer(len(ways))], exhibit, stream)
            return self._value(name, form, exhibit)

        return SLOT.sub(slot, template)

    def _entry(self, slot: str, exhibit: Exhibit):
        concept = getattr(exhibit, slot) if slot in ("object", "material", "town") else exhibit.facts[slot]
        return self.data[slot][concept]

    def _value(self, slot: str, form: str | None, exhibit: Exhibit) -> str:
        if slot == "maker":
            return self.name(exhibit.maker)
        if slot == "workshop":
            return self.name(exhibit.facts[slot])
        if slot in ("year", "price"):
            return self.number(exhibit.facts[slot], grouped=slot == "price")
        entry = self._entry(slot, exhibit)
        return entry[form] if form else entry


@cache
def lexicon(code: str) -> Lexicon:
    """The lexicon of a language. Raises KitError for a language that the museum has no file for."""
    if code not in XQUAD_R:
        raise KitError(f"The museum has no language {code!r}; it has {' '.join(XQUAD_R)}.")
    path = files("hybridkit.museum") / "lexicons" / f"{code}.yaml"
    try:
        return Lexicon(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))
    except (YAMLError, KeyError, OSError) as fault:
        raise KitError(f"The lexicon {path} cannot be read: {str(fault).splitlines()[0]}.") from fault


def _texts(entry) -> dict[str, str]:
    """The forms of an entry, without its gender; a plain string has one unnamed form."""
    return {"": entry} if isinstance(entry, str) else {f: t for f, t in entry.items() if f != "gender"}


def problems(data: dict) -> list[str]:
    """Everything that a machine can find wrong with a lexicon file, a sentence each; empty if it is sound."""
    checks = (_wrong_words, _wrong_names, _wrong_templates, _wrong_slots, _unused)
    return [problem for check in checks for problem in check(data)]


def _wrong_words(data: dict) -> Iterator[str]:
    for category, concepts in CONCEPTS.items():
        words = data[category]
        for concept in sorted(set(concepts) ^ set(words)):
            yield f"{category}: the concept {concept} is missing or unknown"
        seen: dict[tuple[str, str], str] = {}
        for concept in [c for c in concepts if c in words]:
            for form, text in _forms(words[concept]).items():
                if not isinstance(text, str) or not text or text != text.strip():
                    yield f"{category}.{concept}.{form}: {text!r} is not a trimmed text"
                elif seen.setdefault((form, text), concept) != concept:
                    yield f"{category}: {concept} and {seen[form, text]} are both {text!r}"


def _wrong_names(data: dict) -> Iterator[str]:
    for table, syllables in (("syllables", SYLLABLES), ("final_syllables", FINAL_SYLLABLES)):
        spelt = data["names"].get(table)
        if spelt is None:
            continue
        if set(spelt) != set(syllables):
            yield f"names.{table}: missing or unknown {sorted(set(spelt) ^ set(syllables))}"
        if len(set(spelt.values())) < len(spelt):
            yield f"names.{table}: two syllables are written alike"


def _wrong_templates(data: dict) -> Iterator[str]:
    for way in _ways(data):
        if sorted(name for name, _, of in SLOT.findall(way) if not of) != ["maker", "material", "object", "town"]:
            yield f"exhibit: needs {{object}}, {{material}}, {{maker}} and {{town}} once each: {way!r}"
    for kind in sorted(set(KINDS) ^ set(data["facts"])):
        yield f"facts: the kind {kind} is missing or unknown"
    for kind, parts in data["facts"].items():
        for part, end in (("sentences", data["sentence_end"]), ("questions", data["question_end"])):
            templates = parts[part]
            if len(set(templates)) < 3:
                yield f"facts.{kind}.{part}: fewer than three different templates"
            for template in templates:
                slots = [name for name, _, of in SLOT.findall(template) if not of]
                if slots.count("exhibit") != 1 or slots.count(kind) != (part == "sentences"):
                    yield f"facts.{kind}.{part}: needs {{exhibit}}, and {{{kind}}} in sentences alone: {template!r}"
                if not template.endswith(end) or "  " in template:
                    yield f"facts.{kind}.{part}: does not end in {end!r} or has a double space: {template!r}"


def _ways(data: dict) -> list[str]:
    ways = data["exhibit"]
    return ways if isinstance(ways, list) else [way for form in ways.values() for way in form]


def _templates(data: dict) -> Iterator[str]:
    yield from _ways(data)
    for parts in data["facts"].values():
        yield from parts["sentences"] + parts["questions"]


def _wrong_slots(data: dict) -> Iterator[str]:
    plain = {"maker", "workshop", "year", "price"}
    for template in _templates(data):
        if re.sub(SLOT, "", template).count("{"):
            yield f"a slot is not closed or holds more than letters: {template!r}"
        for name, form, of in SLOT.findall(template):
            if of:
                genders = {entry["gender"] for entry in data[of].values()}
                wrong = genders - set(data["agreement"].get(name, {}))
                if wrong:
                    yield f"agreement.{name}: no form for {sorted(wrong)}, in {template!r}"
            elif name == "exhibit":
                if (form or None) not in (data["exhibit"] if isinstance(data["exhibit"], dict) else [None]):
                    yield f"exhibit has no form {form!r}, in {template!r}"
            elif name not in plain:
                missing = [c for c, e in data[name].items() if form not in _forms(e)] if name in CONCEPTS else ["?"]
                if missing:
                    yield f"{name} has no form {form!r} for {missing[0]}, in {template!r}"


def _unused(data: dict) -> Iterator[str]:
    used = {(name, form) for t in _templates(data) for name, form, of in SLOT.findall(t) if not of}
    agreed = {name for t in _templates(data) for name, _, of in SLOT.findall(t) if of}
    for category in CONCEPTS:
        for form in sorted({form for entry in data[category].values() for form in _forms(entry)}):
            if (category, form) not in used:
                yield f"{category}: no template uses the form {form!r}"
    for word in sorted(set(data.get("agreement", {})) - agreed):
        yield f"agreement: no template uses {word}"
    if isinstance(data["exhibit"], dict):
        for form in sorted(set(data["exhibit"]) - {form for name, form in used if name == "exhibit"}):
            yield f"exhibit: no template uses the form {form}"


def _forms(entry: str | dict) -> dict[str, str]:
    """The forms of an entry, without its gender; a plain string has one unnamed form."""
    return {"": entry} if isinstance(entry, str) else {f: t for f, t in entry.items() if f != "gender"}

"""What a machine finds wrong with a caption file, and a printable sheet of it for a speaker to proofread.

`hybridkit data show museum-pictures --review --language de` prints the sheet; what the machine found comes first.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from hybridkit.languages import language
from hybridkit.museum.lexicon import SLOT
from hybridkit.pictures.scene import VALUES, Scene, foils, scenes
from hybridkit.pictures.wording import NUMBERS, filled, gender, read

_SLOTS = {"phrase", "position", "room"}
_PHRASE_SLOTS = {"noun", "object", "material", "size"}


def problems(data: dict) -> list[str]:
    """Everything that a machine can find wrong with a caption file, a sentence each; empty if it is sound."""
    found = [problem for check in (_wrong_templates, _wrong_words, _unused) for problem in check(data)]
    return found or list(_wrong_captions(data))


def _wrong_templates(data: dict) -> Iterator[str]:
    if len(set(data["captions"])) < 4:
        yield "captions: fewer than four different templates"
    for template in data["captions"]:
        if sorted(name for name, _, _ in SLOT.findall(template)) != sorted(_SLOTS):
            yield f"captions: needs {{phrase}}, {{position}} and {{room}} once each: {template!r}"
    for number in sorted(set(NUMBERS.values()) ^ set(data["phrase"])):
        yield f"phrase: the number {number} is missing or unknown"
    for number, template in data["phrase"].items():
        named = [name for name, _, of in SLOT.findall(template) if not of]
        if set(named) - _PHRASE_SLOTS or sum(name in ("noun", "object") for name in named) != 1:
            yield f"phrase.{number}: needs {{noun}} or {{object}} once, and beside it material and size alone: {template!r}"
        if not {"material", "size"} <= set(named):
            yield f"phrase.{number}: needs {{material}} and {{size}}: {template!r}"
    for template in [*data["captions"], *data["phrase"].values()]:
        if "{" in SLOT.sub("", template) or "  " in template or template != template.strip():
            yield f"a slot is not closed, or there are spaces too many: {template!r}"


def _wrong_words(data: dict) -> Iterator[str]:
    for name in ("size", "position"):
        for value in sorted(set(VALUES[name]) ^ set(data[name])):
            yield f"{name}: the value {value} is missing or unknown"
    forms = {form for template in data["phrase"].values() for name, form, _ in SLOT.findall(template) if name == "noun"}
    for concept in sorted(set(data["noun"]) ^ set(VALUES["object"] if forms else ())):
        yield f"noun: the object {concept} is missing or unknown"
    for concept, words in data["noun"].items():
        for form in sorted(set(words) ^ (forms - ({"one"} - set(words)))):
            yield f"noun.{concept}: the form {form} is missing or unknown"
    for form in forms:
        seen: dict[str, str] = {}
        for concept, words in data["noun"].items():
            if form in words and seen.setdefault(words[form], concept) != concept:
                yield f"noun: {concept} and {seen[words[form]]} are both {words[form]!r}"
    genders = {gender(data["language"], concept) for concept in VALUES["object"]}
    for word, texts in data.get("agreement", {}).items():
        for missing in sorted(genders ^ set(texts), key=str):
            yield f"agreement.{word}: the gender {missing} is missing or unknown"


def _unused(data: dict) -> Iterator[str]:
    slots = [slot for template in [*data["captions"], *data["phrase"].values()] for slot in SLOT.findall(template)]
    for word in sorted(set(data.get("agreement", {})) - {name for name, _, of in slots if of}):
        yield f"agreement: no template uses {word}"
    for name in ("size", "position"):
        used = {form for slot, form, _ in slots if slot == name}
        for value, entry in data[name].items():
            forms = set(entry) if isinstance(entry, dict) else {""}
            for form in sorted(forms ^ used):
                yield f"{name}.{value}: the form {form!r} is missing, or no template uses it"


def _wrong_captions(data: dict) -> Iterator[str]:
    """What is wrong with the captions of 400 scenes, and of the foils of 50."""
    script, seen = language(data["language"]).script, {}
    for number, scene in enumerate(scenes("train", 400)):
        others = foils(scene) if number < 50 else {}
        for template in data["captions"]:
            text = filled(data, template, scene)
            if seen.setdefault(text, scene) != scene:
                yield f"{scene} and {seen[text]} are both {text!r}"
            letters = [one for one in text if unicodedata.category(one)[0] == "L"]
            if foreign := [one for one in letters if script not in unicodedata.name(one)]:
                yield f"{foreign[0]!r} of {text!r} is of another script"
            if "  " in text or text != text.strip() or text != unicodedata.normalize("NFC", text):
                yield f"spaces or characters of {text!r} are not in their usual form"
            for attribute, foil in others.items():
                if filled(data, template, foil) == text:
                    yield f"another {attribute} leaves {text!r} as it is"


def check_sheet(code: str) -> str:
    """The review sheet of a language's captions as Markdown: status, problems, words, templates, and each template filled."""
    data = read(code)
    lines = [f"# Captions in {language(code).name} ({code}): {data['status']}", ""]
    found = problems(data)
    lines += ["## Problems found by machine", "", *[f"- {problem}" for problem in found], ""] if found else []
    return "\n".join([*lines, *_words(data), *_templates(data)])


def _words(data: dict) -> list[str]:
    lines = ["## Words", ""]
    for part in ("size", "position", "agreement"):
        lines += [f"- {part} {name}: {_shown(entry)}" for name, entry in data.get(part, {}).items()]
    lines += ["", "## One, two and three of everything", ""]
    for number, concept in enumerate(VALUES["object"]):
        scene = Scene(
            "review", concept, VALUES["material"][number % 16], VALUES["size"][number % 2], 1, "left", "tower"
        )
        shown = [filled(data, "{phrase}", replace(scene, number=count)) for count in VALUES["number"]]
        lines.append(f"- {concept}: {' / '.join(shown)}")
    return [*lines, ""]


def _shown(entry: str | dict) -> str:
    return entry if isinstance(entry, str) else ", ".join(f"{name}: {_shown(word)}" for name, word in entry.items())


def _templates(data: dict) -> list[str]:
    """Each template filled for three scenes, a line each."""
    lines = ["## Templates, filled", ""]
    shown = iter(scenes("train", 3 * len(data["captions"])))
    for template in data["captions"]:
        lines.append(f"- `{template}`")
        lines += [f"  - {filled(data, template, next(shown))}" for _ in range(3)]
    return [*lines, ""]

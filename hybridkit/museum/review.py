"""A printable sheet of one language of the museum, for a speaker to proofread: every word, every template, samples.

`hybridkit data show museum --review --language de` prints it; problems that a machine can find come first.
"""

from hybridkit.languages import language
from hybridkit.museum.lexicon import Lexicon, lexicon, problems
from hybridkit.museum.world import CONCEPTS, FINAL_SYLLABLES, KINDS, SYLLABLES, generate
from hybridkit.streams import Stream


def sheet(code: str, samples: int = 3) -> str:
    """The review sheet of a language as Markdown: status, words, templates, and rendered exhibits.

    Every template is shown filled three times, so that agreement can be judged in place.
    """
    lex = lexicon(code)
    lines = [f"# {language(code).name} ({code}): {lex.status}", ""]
    found = problems(lex.data)
    lines += ["## Problems found by machine", "", *[f"- {p}" for p in found], ""] if found else []
    return "\n".join([*lines, *_words(lex), *_templates(lex), *_samples(lex, samples)])


def _words(lex: Lexicon) -> list[str]:
    lines = ["## Words", ""]
    for category, concepts in CONCEPTS.items():
        lines += [f"### {category}", "", "| concept | in use |", "|---|---|"]
        for concept in concepts:
            entry = lex.data[category][concept]
            shown = entry if isinstance(entry, str) else ", ".join(f"{k}: {v}" for k, v in entry.items())
            lines.append(f"| {concept} | {shown} |")
        lines.append("")
    for word, forms in lex.data.get("agreement", {}).items():
        lines.append(f"- agreement {word}: " + ", ".join(f"{k}: {v}" for k, v in forms.items()))
    names = lex.data["names"]
    for table, syllables in (("syllables", SYLLABLES), ("final_syllables", FINAL_SYLLABLES)):
        if names.get(table):
            lines.append(f"- {table}: " + " ".join(f"{s}={names[table][s]}" for s in syllables))
    return [*lines, ""]


def _templates(lex: Lexicon) -> list[str]:
    """Each template filled for several exhibits, one line each."""
    exhibits = generate("train", 200)
    lines = ["## Templates, filled", ""]
    for kind in KINDS:
        having = [e for e in exhibits if kind in e.facts]
        for part in ("sentences", "questions"):
            for number, template in enumerate(lex.data["facts"][kind][part]):
                lines.append(f"- `{template}`")
                for exhibit in having[3 * number : 3 * number + 3]:
                    lines.append(f"  - {lex.fill(template, exhibit, Stream('review', exhibit.id, template))}")
    return [*lines, ""]


def _samples(lex: Lexicon, count: int) -> list[str]:
    lines = ["## Exhibits", ""]
    for exhibit in generate("train", count):
        lines += ["> " + " ".join(lex.sentence(exhibit, kind) for kind in exhibit.facts), ""]
        lines += [f"- {lex.question(exhibit, kind)}" for kind in exhibit.facts] + [""]
    return lines

"""Code-switching of training texts by lexicon: words are put into another language, each with a probability.

The rule is that of arXiv 2305.05295 as its code has it (BL-CS and ML-CS); docs/code-switching.md lists what differs.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from hybridkit import lexicons
from hybridkit.errors import KitError
from hybridkit.lexicons import Atom, Table, atoms, in_word, runs_on
from hybridkit.streams import Stream

if TYPE_CHECKING:
    import pandas as pd

    from hybridkit.params import Parameters
    from hybridkit.sampling import Batch, BatchPlan


class Switched(NamedTuple):
    """A text after switching, and what was done.

    `words` counts words, where a phrase that the lexicon has is one, and so is, in a script without spaces, what stands
    between two entries; `known` those of them that the lexicon of their drawn language has, `switched` those that were
    replaced. `letters` are the characters of all words, `switched_letters` those of the replaced ones.
    """

    text: str
    words: int = 0
    known: int = 0
    switched: int = 0
    letters: int = 0
    switched_letters: int = 0


@dataclass(frozen=True)
class Switching:
    """How the texts of a training are code-switched.

    probability: that a word is switched; query_to, passage_to: the languages that words of that side are switched to,
    none for a side that is left alone. A text's own language is left out of them; where none is left, the text stays.
    each: "word" draws a language for every word, "example" one for all words of a side of an example. by: "word" or
    "phrase" (`lexicons.Table.longest`). kinds: "mono" or "all" batches. lexicons: "museum" or a folder.

    All is drawn from streams named by seed, step, place of the example in the batch and column, two numbers a word: so
    any text can be switched alone, and what is switched at one probability is switched alike at every higher one.
    """

    probability: float
    query_to: tuple[str, ...] = ()
    passage_to: tuple[str, ...] = ()
    each: str = "word"
    by: str = "word"
    kinds: str = "mono"
    lexicons: str = lexicons.MUSEUM
    seed: int = 0

    @classmethod
    def from_parameters(cls, parameters: "Parameters") -> "Switching | None":
        """The switching of a run, or None where nothing is switched. KitError for a lexicon that is missing."""
        p = parameters
        if not p.switch_probability:
            return None
        check_lexicons(p)
        names = ("probability", "query_to", "passage_to", "each", "by", "kinds", "lexicons")
        values = {name: getattr(p, f"switch_{name}") for name in names}
        return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}, seed=p.seed)

    def column(
        self, batch: "Batch", column: str, places: Sequence[int], codes: Sequence[str], texts: Sequence[str]
    ) -> list[Switched]:
        """The texts of one column of a batch, switched: of the examples at `places`, in the languages `codes`."""
        to = getattr(self, f"{_side(column)}_to") if self.kinds == "all" or batch.kind == "mono" else ()
        return [
            self._switched(text, code, column, batch.step, int(place), [other for other in to if other != code])
            for text, code, place in zip(texts, codes, places, strict=True)
        ]

    def text(self, text: str, language: str, column: str = "query", step: int = 0, place: int = 0) -> Switched:
        """One text in its language, switched as the example at `place` of batch `step` has it in `column`.

        Columns are "query", "positive", "negative_1" and so on, as `rendering.render` names them.
        """
        targets = [code for code in getattr(self, f"{_side(column)}_to") if code != language]
        return self._switched(text, language, column, step, place, targets)

    def _switched(self, text: str, language: str, column: str, step: int, place: int, targets: list[str]) -> Switched:
        parts = atoms(text, language)
        if not targets:
            return Switched(text, _words(parts), letters=_letters(parts))
        tables = [(code, self._table(language, code)) for code in targets]
        draws = Stream("switch", self.seed, step, place, column).uniform(2 * len(parts)).tolist()
        whether, which = draws[::2], draws[1::2]
        if self.each == "example":
            once = Stream("switch", self.seed, step, place, _side(column), "language").uniform(1).tolist()
            which = once * len(parts)
        found = _entries(text, parts, tables, which, self.by)
        chosen = [entry for entry in found if whether[entry.at] < self.probability]
        return Switched(
            _replaced(text, language, parts, chosen) if chosen else text,
            words=len(found) + _words(parts, {at for one in found for at in range(one.at, one.at + one.length)}),
            known=len(found),
            switched=len(chosen),
            letters=_letters(parts),
            switched_letters=sum(_letters(parts[one.at : one.at + one.length]) for one in chosen),
        )

    def _table(self, source: str, target: str) -> Table:
        """Each table is read once for all texts that are switched by this object."""
        if (source, target) not in self._tables:
            self._tables[source, target] = lexicons.table(self.lexicons, source, target)
        return self._tables[source, target]

    @cached_property
    def _tables(self) -> dict[tuple[str, str], Table]:
        return {}


def _side(column: str) -> str:
    return "query" if column == "query" else "passage"


class _Entry(NamedTuple):
    """An entry that stands in a text: at which part of it, over how many, and its translation into which language."""

    at: int
    length: int
    translation: str
    code: str


def _entries(
    text: str, parts: Sequence[Atom], tables: Sequence[tuple[str, Table]], which: Sequence[float], by: str
) -> list[_Entry]:
    """Go through a text from left to right: at each word the longest entry in the table of its drawn language."""
    found, at, count = [], 0, len(tables)
    while at < len(parts):
        code, table = tables[int(which[at] * count)]
        length, translation = table.longest(text, parts, at, by)
        if translation is not None:
            found.append(_Entry(at, length, translation, code))
        at += length
    return found


def _words(parts: Sequence[Atom], without: Container[int] = ()) -> int:
    """How many words there are: in a script without spaces, a stretch of characters that touch is one."""
    words, last = 0, -1
    for at, (start, end, _, run_on) in enumerate(parts):
        if at not in without:
            words += start != last
            last = end if run_on else -1
    return words


def _letters(parts: Sequence[Atom]) -> int:
    return sum([end - start for start, end, _, _ in parts])


def _written(word: str, translation: str, source: str, target: str, first: bool) -> str:
    """A translation with the capital of the word that it replaces, but for German words within a text: nouns have one."""
    if word[0].isupper() and (first or source != "de"):
        capital = "İ" if target == "tr" and translation[0] == "i" else translation[0].title()
        return capital + translation[1:]
    return translation


def _replaced(text: str, language: str, parts: Sequence[Atom], chosen: Sequence[_Entry]) -> str:
    """A text with entries replaced; a space is put where a word of a script with spaces would run into another word."""
    done, written = "", 0
    for at, length, translation, code in chosen:
        start, end = parts[at].start, parts[at + length - 1].end
        for piece in (text[written:start], _written(text[start:end], translation, language, code, at == 0)):
            done += f" {piece}" if _collide(done, piece) else piece
        written = end
    rest = text[written:]
    return done + (f" {rest}" if _collide(done, rest) else rest)


def _collide(text: str, piece: str) -> bool:
    if not text or not piece or (runs_on(text[-1]) and runs_on(piece[0])):
        return False
    return in_word(text[-1]) and in_word(piece[0])


def check_lexicons(parameters: "Parameters") -> str:
    """A hash of the lexicons that a run's switching needs, "" where nothing is switched; part of the run's key.

    Raises KitError where one is missing, and where words would go to the texts' own language alone.
    """
    p = parameters
    if not p.switch_probability:
        return ""
    targets = [*p.switch_query_to, *p.switch_passage_to]
    pairs = {(s, t) for s, t in product(p.languages, targets) if s != t}
    if not pairs:
        raise KitError(
            f"switch_query_to and switch_passage_to name {p.languages[0]} alone, the only language that is trained on, "
            "so nothing would be switched; name another, or set switch_probability to 0.0."
        )
    return lexicons.check(p.switch_lexicons, pairs)


def realised(plan: "BatchPlan", switching: Switching, steps: Iterable[int]) -> "pd.DataFrame":
    """What switching really does in some steps of a plan: a row a kind of batch and a side, and one for all together.

    Columns: kind, side, texts, words, known, switched (counts, as `Switched` has them); `of_words` = switched / words,
    `of_known` = switched / known (near the probability, by chance), `of_letters` = letters of switched words / of all
    words: the share that does not depend on what a word is in Chinese or Thai. Passages are positives and negatives.
    """
    import numpy as np
    import pandas as pd

    from hybridkit.rendering import columns_of

    counts = ["words", "known", "switched", "letters", "switched_letters"]
    found = []
    for batch in map(plan.step, steps):
        for column, codes, texts in columns_of(plan, batch, np.arange(plan.batch_size)):
            done = switching.column(batch, column, range(plan.batch_size), codes, texts)
            summed = {name: sum(getattr(one, name) for one in done) for name in counts}
            found.append({"kind": batch.kind, "side": _side(column), "texts": len(done)} | summed)
    table = pd.DataFrame(found).groupby(["kind", "side"], sort=False).sum().reset_index()
    table.loc[len(table)] = {"kind": "all", "side": "both"} | table[["texts", *counts]].sum().to_dict()
    shares = {"of_words": ("switched", "words"), "of_known": ("switched", "known")}
    shares["of_letters"] = ("switched_letters", "letters")
    shares = {name: table[part] / table[whole] for name, (part, whole) in shares.items()}
    return table.assign(**shares).drop(columns=["letters", "switched_letters"])

"""Contamination audit: does training data hold texts or names of a benchmark? So "zero-shot" is checked, not claimed.

Texts are compared within a language; a translation of a benchmark's text into a language that the benchmark lacks
is not found.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.pairs import TrainingPairs
from hybridkit.errors import KitError
from hybridkit.languages import language

_GRAM = 5  # characters
_TRAINING_BLOCK, _BENCHMARK_BLOCK = 2_000, 1_000  # texts; bounds the products of n-gram counts to some 50 MB
_CASED = {"LATIN", "GREEK", "CYRILLIC"}
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
# What stands before the first word of a sentence or of a quotation.
_OPENING = frozenset(".!?…:;¿¡\"“”„«»'‘’\n")


@dataclass(frozen=True)
class AuditRow:
    """The audit of one language.

    `questions`, `passages`: distinct texts of the benchmark that were checked (of passages the relevant ones), against
    `training` texts. `exact_*`: those found in training after normalisation; `near_*`: those not found so, whose
    Jaccard similarity of character 5-grams with a training text reaches the threshold. `highest`: the highest
    similarity of all, exact matches included, and its `example` (text of the benchmark, of training). `names_by`: how
    names were told ("given by the sources", "capitalised words", or "not checked").
    """

    language: str
    training: int
    questions: int
    passages: int
    exact_questions: int
    exact_passages: int
    near_questions: int
    near_passages: int
    highest: float
    example: tuple[str, str]
    names_by: str
    names: int
    shared_names: tuple[str, ...]

    @property
    def exact_share(self) -> float:
        """Share of the checked texts that training holds word for word."""
        return (self.exact_questions + self.exact_passages) / max(self.questions + self.passages, 1)

    @property
    def near_share(self) -> float:
        """Share of the checked texts that training holds nearly so."""
        return (self.near_questions + self.near_passages) / max(self.questions + self.passages, 1)

    @property
    def clean(self) -> bool:
        """No exact and no near duplicate, and no shared name."""
        return not (self.exact_share or self.near_share or self.shared_names)


@dataclass(frozen=True)
class AuditReport:
    """The audit of training pairs against a benchmark, a row a language of the benchmark."""

    training: str
    benchmark: str
    near: float
    rows: tuple[AuditRow, ...]

    @property
    def clean(self) -> bool:
        """No exact and no near duplicate of a text, and no shared name, in any language."""
        return all(row.clean for row in self.rows)

    def to_markdown(self) -> str:
        """The report as Markdown: verdict, table, and the most similar texts of each language."""
        lines = [
            f"## Audit of {self.training} (training) against {self.benchmark} (benchmark)\n",
            self._verdict() + "\n",
            f"Near: Jaccard similarity of character {_GRAM}-grams of at least {self.near:g}. Texts are compared within "
            "a language; of passages, the relevant ones are checked.\n",
            "| language | training | questions | exact | near | passages | exact | near | highest | shared names |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
            *(_table_row(row) for row in self.rows),
        ]
        examples = [(row.language, row.highest, *map(_quoted, row.example)) for row in self.rows if row.highest]
        if examples:
            lines.append("\nMost similar texts:\n")
        lines += [f"- {code}, {like:.2f}: benchmark {own}, training {other}" for code, like, own, other in examples]
        return "\n".join(lines) + "\n"

    def _verdict(self) -> str:
        unread = ", ".join(row.language for row in self.rows if row.names_by == "not checked")
        aside = f" Names were not checked in {unread}: no letter case, and no lists of names." if unread else ""
        if self.clean:
            return f"Clean: no exact or near duplicate of a text and no shared name.{aside}"
        texts = ", ".join(row.language for row in self.rows if row.exact_share or row.near_share)
        names = ", ".join(row.language for row in self.rows if row.shared_names)
        found = {"duplicates of texts": texts, "shared names": names}
        faults = [f"{what} in {where}" for what, where in found.items() if where]
        return f"**Not clean**: {' and '.join(faults)}.{aside}"


def audit(pairs: TrainingPairs, benchmark: Benchmark, near: float = 0.8) -> AuditReport:
    """Look for questions, relevant passages and names of `benchmark` among all queries and passages of `pairs`.

    `near`: the Jaccard similarity of character 5-grams, above 0 and up to 1, from which a text counts as a near
    duplicate. Memory is bounded by the blocks. Raises KitError for another `near`.
    """
    if not 0 < near <= 1:
        raise KitError(f"near is {near!r}: write a similarity above 0 and up to 1, such as 0.8.")
    codes = sorted({*benchmark.languages, *benchmark.query_languages.tolist()})
    return AuditReport(pairs.name, benchmark.name, near, tuple(_row(pairs, benchmark, code, near) for code in codes))


def _row(pairs: TrainingPairs, benchmark: Benchmark, code: str, near: float) -> AuditRow:
    questions, passages = _checked(benchmark, code)
    texts, split = [*questions, *passages], len(questions)
    similarity, exact, partner = _most_similar(texts, pairs, code)
    almost = ~exact & (similarity >= near)
    top = int(similarity.argmax()) if similarity.any() else None
    names_by, names, shared = _names(pairs, benchmark, code, texts)
    return AuditRow(
        language=code,
        training=sum(int(store.has(code).sum()) for store in (pairs.queries, pairs.passages)),
        questions=split,
        passages=len(passages),
        exact_questions=int(exact[:split].sum()),
        exact_passages=int(exact[split:].sum()),
        near_questions=int(almost[:split].sum()),
        near_passages=int(almost[split:].sum()),
        highest=0.0 if top is None else float(similarity[top]),
        example=("", "") if top is None else (texts[top], partner[top]),
        names_by=names_by,
        names=names,
        shared_names=shared,
    )


def _checked(benchmark: Benchmark, code: str) -> tuple[list[str], list[str]]:
    """Distinct questions and distinct relevant passages of a language."""
    asked = np.flatnonzero(benchmark.query_languages == code)
    relevant = np.unique(benchmark.gold_candidate)
    relevant = relevant[benchmark.candidate_languages[relevant] == code]
    questions = dict.fromkeys(benchmark.query_texts[row] for row in asked)
    return list(questions), list(dict.fromkeys(benchmark.candidate_texts[row] for row in relevant))


def _training_blocks(pairs: TrainingPairs, code: str) -> Iterator[list[str]]:
    for store in (pairs.queries, pairs.passages):
        rows = np.flatnonzero(store.has(code))
        for start in range(0, len(rows), _TRAINING_BLOCK):
            yield store.texts(code, rows[start : start + _TRAINING_BLOCK])


def _normal(text: str) -> str:
    # Twice NFKC: folding the case can undo it.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def _most_similar(texts: list[str], pairs: TrainingPairs, code: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """For each text: its Jaccard similarity to the most similar training text, whether that is equal, and which it is.

    The most similar one is found by hashed 5-grams, a block of texts at a time, and then measured without hashing.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(
        analyzer="char", ngram_range=(_GRAM, _GRAM), n_features=2**20, binary=True, norm=None,
        alternate_sign=False, lowercase=False, dtype=np.float32,
    )  # fmt: skip
    normal = [_normal(text) for text in texts]
    best, exact, partner = np.zeros(len(texts)), np.zeros(len(texts), dtype=bool), [""] * len(texts)
    if not texts:
        return best, exact, partner
    checked = hashed.transform(normal)
    for block in _training_blocks(pairs, code):
        trained = [_normal(text) for text in block]
        original = dict(zip(trained, block, strict=True))
        grams = hashed.transform(trained)
        sizes, columns = grams.getnnz(axis=1), grams.T.tocsr()
        for start in range(0, len(texts), _BENCHMARK_BLOCK):
            part = checked[start : start + _BENCHMARK_BLOCK]
            shared = (part @ columns).toarray()
            jaccard = shared / np.maximum(part.getnnz(axis=1)[:, None] + sizes - shared, 1)
            for row, column in enumerate(jaccard.argmax(axis=1)):
                if jaccard[row, column] > best[start + row]:
                    best[start + row], partner[start + row] = jaccard[row, column], block[column]
        for row, text in enumerate(normal):
            if not exact[row] and text in original:
                exact[row], partner[row] = True, original[text]
    similarity = [1.0 if same else _jaccard(a, _normal(b)) for a, b, same in zip(normal, partner, exact, strict=True)]
    return np.array(similarity), exact, partner


def _jaccard(a: str, b: str) -> float:
    a, b = ({text[i : i + _GRAM] for i in range(len(text) - _GRAM + 1)} for text in (a, b))
    return len(a & b) / max(len(a | b), 1)


def _names(pairs: TrainingPairs, benchmark: Benchmark, code: str, texts: list[str]) -> tuple[str, int, tuple[str, ...]]:
    """How names were told in a language, how many the benchmark has, and those that training has too."""
    trained, known = pairs.names.get(code), benchmark.names.get(code)
    if trained and known:
        how, trained = "given by the sources", set(map(_normal, trained))
    elif language(code).script in _CASED:
        how, known = "capitalised words", {name for text in texts for name in _capitalised(text)}
        blocks = _training_blocks(pairs, code)
        trained = {_normal(name) for block in blocks for text in block for name in _capitalised(text)}
    else:
        return "not checked", 0, ()
    return how, len(known), tuple(sorted(name for name in known if _normal(name) in trained))


def _capitalised(text: str) -> Iterator[str]:
    """Runs of two or more capitalised words, without the first word of a sentence."""
    run: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        gap = text[end : match.start()]
        opens = not end or not _OPENING.isdisjoint(gap)
        if gap.strip() or opens or not match[0][0].isupper():
            if len(run) > 1:
                yield " ".join(run)
            run = []
        if match[0][0].isupper() and not opens:
            run.append(match[0])
        end = match.end()
    if len(run) > 1:
        yield " ".join(run)


def _table_row(row: AuditRow) -> str:
    names = "not checked"
    if row.names_by != "not checked":
        some = ", ".join(row.shared_names[:3]) + (", …" if len(row.shared_names) > 3 else "")
        names = f"{len(row.shared_names):,} of {row.names:,}{f' ({some})' if some else ''}, {row.names_by}"
    cells = [row.language, f"{row.training:,}"]
    cells += [f"{n:,}" for n in (row.questions, row.exact_questions, row.near_questions)]
    cells += [f"{n:,}" for n in (row.passages, row.exact_passages, row.near_passages)]
    return f"| {' | '.join([*cells, f'{row.highest:.2f}', names])} |"


def _quoted(text: str, most: int = 120) -> str:
    text = " ".join(text.split())
    text = text if len(text) <= most else text[: most - 1] + "…"
    # Isolated (U+2068, U+2069), so that right-to-left text leaves the line around it in order.
    return f"\u2068“{text}”\u2069"

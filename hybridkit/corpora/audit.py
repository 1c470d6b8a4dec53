"""Contamination audit: does training data hold texts or names of a benchmark? So "zero-shot" is checked, not claimed.

Texts are compared within a language; a translation of a benchmark's text into a language that the benchmark lacks
is not found. What it costs stands in docs/audit.md.
"""

import hashlib
import json
import multiprocessing
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from hybridkit import paths
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.pairs import TrainingPairs
from hybridkit.corpora.similar import GRAM, SHORT, MostSimilar, normal
from hybridkit.corpora.stores import TextStore
from hybridkit.errors import KitError, KitWarning
from hybridkit.files import write_text
from hybridkit.languages import language
from hybridkit.processes import processors

# Part of the cache's key: to be raised when the same texts would give another report.
_FORMAT = 2
#: Training texts that one task compares; more than this in a language are shared among processes.
_TASK = 200_000
_SAMPLE = 2_000  # training texts from which the rate and the rare grams are told
_LONG = 60  # seconds from which on the expected time is told beforehand
# The highest similarity is found where it reaches this, and looked for again among all pairs where it does not.
_FLOOR = 0.2
_CASED = {"LATIN", "GREEK", "CYRILLIC"}
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
# What stands before the first word of a sentence or of a quotation.
_OPENING = frozenset(".!?…:;¿¡\"“”„«»'‘’\n")


@dataclass(frozen=True)
class AuditRow:
    """The audit of one language.

    `questions`, `passages`: distinct texts of the benchmark that were checked (of passages the relevant ones), against
    `training` texts. `exact_*`: those found in training after normalisation; `near_*`: those not found so, of
    whose character 5-grams a training text holds the share of the threshold (`similar.likeness`). `highest`: the highest
    similarity of all, exact matches included, and its `example` (text of the benchmark, of training); 0 where it is
    below the threshold and was not looked for. `names_by`: how names were told ("given by the sources", "capitalised
    words", or "not checked").
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
    def kinds(self) -> dict[str, tuple[int, int]]:
        """By kind of text, how many were found in training, word for word or nearly so, and how many were checked."""
        return {
            "questions": (self.exact_questions + self.near_questions, self.questions),
            "relevant passages": (self.exact_passages + self.near_passages, self.passages),
        }

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
    full: bool
    rows: tuple[AuditRow, ...]
    use: str = "training data"  # what the pairs are for: "training data" or "validation data"

    @property
    def clean(self) -> bool:
        """No exact and no near duplicate of a text, and no shared name, in any language."""
        return all(row.clean for row in self.rows)

    @property
    def worst(self) -> tuple[float, AuditRow, str]:
        """The largest share of the texts of one kind in one language that training holds, its row and its kind."""
        shares = [(found / max(of, 1), row, kind) for row in self.rows for kind, (found, of) in row.kinds.items()]
        return max(shares, key=lambda one: one[0])

    def refuse(self, limit: float) -> None:
        """Raise KitError if training holds more than `limit` of a benchmark's questions, or of its relevant passages,
        in any one language."""
        share, row, _ = self.worst
        if share > limit:
            own, other = map(_quoted, row.example)
            raise KitError(
                f"{self._held()}, but contamination_limit is {limit:g}, so results on it would be void; such as {own}, in "
                f"training {other}. Leave {self.training} out of {self.use.replace(' ', '_')} or {self.benchmark} out of benchmarks, or "
                "raise contamination_limit knowingly."
            )

    def note(self) -> str:
        """A sentence on what training and benchmark share, or "" where that is nothing."""
        if self.worst[0]:
            return f"{self._held()}; no more than contamination_limit allows."
        names = sum(len(row.shared_names) for row in self.rows)
        return (
            f"{self.training} ({self.use}) and the benchmark {self.benchmark} share {names:,} names." if names else ""
        )

    def _held(self) -> str:
        share, row, kind = self.worst
        found, of = row.kinds[kind]
        return (
            f"{self.training} ({self.use}) holds {_percent(share)} of the {kind} in {row.language!r} of the benchmark "
            f"{self.benchmark} ({found:,} of {of:,}, word for word or nearly so)"
        )

    def to_markdown(self) -> str:
        """The report as Markdown: verdict, table, and the most similar texts of each language."""
        lines = [
            f"## Audit of {self.training} ({self.use}) against {self.benchmark} (benchmark)\n",
            self._verdict() + "\n",
            (
                f"Near: a training text holds at least {self.near:g} of the text's character {GRAM}-grams (of a text "
                f"with fewer than {SHORT}: their Jaccard similarity). Texts are compared within a language; of passages, "
                "the relevant ones are checked.\n"
            ),
            "| language | training | questions | exact | near | passages | exact | near | highest | shared names |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
            *(_table_row(row, self) for row in self.rows),
        ]
        examples = [(row.language, row.highest, *map(_quoted, row.example)) for row in self.rows if row.highest]
        if examples:
            lines.append("\nMost similar texts:\n")
        lines += [f"- {code}, {like:.2f}: benchmark {own}, training {other}" for code, like, own, other in examples]
        return "\n".join(lines) + "\n"

    def _verdict(self) -> str:
        unread = ", ".join(row.language for row in self.rows if row.names_by == "not checked")
        why = "no letter case, and no lists of names" if self.full else "no lists of names"
        aside = f" Names were not checked in {unread}: {why}." if unread else ""
        if self.clean:
            return f"Clean: no exact or near duplicate of a text and no shared name.{aside}"
        texts = ", ".join(row.language for row in self.rows if row.exact_share or row.near_share)
        names = ", ".join(row.language for row in self.rows if row.shared_names)
        found = {"duplicates of texts": texts, "shared names": names}
        faults = [f"{what} in {where}" for what, where in found.items() if where]
        return f"**Not clean**: {' and '.join(faults)}.{aside}"


def audit(pairs: TrainingPairs, benchmark: Benchmark, near: float = 0.9, full: bool = True) -> AuditReport:
    """Look for questions, relevant passages and names of `benchmark` among all queries and passages of `pairs`.

    `near`: the share of a text's character 5-grams, above 0 and up to 1, from which a training text that holds them
    makes it a near duplicate (`similar.likeness`). Not `full`: no highest similarity below `near`, and no names but those that the sources give; takes half
    the time. A language is read from the cache where the same texts were audited before; a language of more than
    200,000 training texts is shared among all processors, with a KitWarning on how long that takes if it is long.
    Memory is bounded by the blocks. Raises KitError for another `near`.
    """
    if not 0 < near <= 1:
        raise KitError(f"near is {near!r}: write a similarity above 0 and up to 1, such as 0.9.")
    codes = sorted({*benchmark.languages, *benchmark.query_languages.tolist()})
    folder = paths.cache() / "audits" / _content(pairs, benchmark, near, full)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for code in codes:
        file = folder / f"{code}.json"
        with FileLock(file.with_suffix(".lock")):
            row = _read(file)
            if row is None:
                row = _row(pairs, benchmark, code, near, full)
                write_text(file, json.dumps(asdict(row), ensure_ascii=False))
            rows.append(row)
    return AuditReport(pairs.name, benchmark.name, near, full, tuple(rows))


def _content(pairs: TrainingPairs, benchmark: Benchmark, near: float, full: bool) -> str:
    """What decides an audit, as a name for its folder."""
    names = [sorted((code, sorted(found)) for code, found in source.names.items()) for source in (pairs, benchmark)]
    what = (_FORMAT, pairs.fingerprint, benchmark.fingerprint, near, full, names)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _read(file: Path) -> AuditRow | None:
    """A row that was kept; None where there is none, or a damaged one."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return AuditRow(**held | {name: tuple(held[name]) for name in ("example", "shared_names")})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _row(pairs: TrainingPairs, benchmark: Benchmark, code: str, near: float, full: bool) -> AuditRow:
    questions, passages = _checked(benchmark, code)
    texts, split = [*questions, *passages], len(questions)
    similarity, exact, partner = _most_similar(texts, pairs, code, near, full)
    almost = ~exact & (similarity >= near)
    top = int(similarity.argmax()) if similarity.any() else None
    names_by, names, shared = _names(pairs, benchmark, code, texts, full)
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
    questions = dict.fromkeys(_texts(benchmark.query_texts, asked))
    return list(questions), list(dict.fromkeys(_texts(benchmark.candidate_texts, relevant)))


def _texts(column: Sequence[str], rows: np.ndarray) -> list[str]:
    return [column[row] for row in rows] if isinstance(column, list) else list(column[rows])


def _tasks(pairs: TrainingPairs, code: str) -> list[tuple[TextStore, str, np.ndarray]]:
    """All training texts of a language in parts of up to `_TASK`: store, language, row numbers."""
    found = [(store, np.flatnonzero(store.has(code))) for store in (pairs.queries, pairs.passages)]
    return [(store, code, rows[i : i + _TASK]) for store, rows in found for i in range(0, len(rows), _TASK)]


def _blocks(store: TextStore, code: str, rows: np.ndarray, size: int = 10_000) -> Iterator[list[str]]:
    for start in range(0, len(rows), size):
        yield store.texts(code, rows[start : start + size])


def _most_similar(
    texts: list[str], pairs: TrainingPairs, code: str, near: float, full: bool
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """For each text: its similarity to the most similar training text, whether that is equal, and which it is.

    Similarities below `near` are 0 but for the highest of all, if that is asked for.
    """
    tasks = _tasks(pairs, code)
    best, exact, partner = np.zeros(len(texts)), np.zeros(len(texts), dtype=bool), [""] * len(texts)
    if texts and tasks:
        sample = [
            text for task in tasks for text in _sample(*task, share=_SAMPLE / sum(len(rows) for *_, rows in tasks))
        ]
        for floor in (min(near, _FLOOR), 0.0) if full else (near,):
            best, exact, partner = _search((texts, near, floor, sample), tasks)
            if best.max() >= floor:
                break
    kept = best >= near
    if full:
        kept[best.argmax() if len(best) else []] = True
    return np.where(kept, best, 0), exact, partner


def _sample(store: TextStore, code: str, rows: np.ndarray, share: float) -> list[str]:
    return store.texts(code, rows[:: max(1, round(1 / share))])


def _search(sought: tuple, tasks: list[tuple]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """What is found in all tasks, by this process or, where there is much to compare, by all processors."""
    much = sum(len(rows) for *_, rows in tasks) > _TASK
    # A process of a cluster may not start others.
    processes = min(len(tasks), processors()) if much and not multiprocessing.current_process().daemon else 1
    search = MostSimilar(*sought)
    if much:
        _tell_time(sought, tasks, processes)
    if processes == 1:
        for task in tasks:
            for block in _blocks(*task):
                search.see(block)
        return search.found()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(_search_task, [sought] * len(tasks), tasks):
            search.add(*found)
    return search.found()


def _search_task(sought: tuple, task: tuple) -> tuple[np.ndarray, np.ndarray, list[str]]:
    search = MostSimilar(*sought)
    for block in _blocks(*task):
        search.see(block)
    return search.found()


def _tell_time(sought: tuple, tasks: list[tuple], processes: int) -> None:
    """Say beforehand how long it will take, by the time that the sample takes."""
    *_, sample = sought
    search, started = MostSimilar(*sought), time.perf_counter()
    search.see(sample)
    count = sum(len(rows) for *_, rows in tasks)
    seconds = (time.perf_counter() - started) / len(sample) * count / processes
    if seconds >= _LONG:
        told = f"Auditing {count:,} training texts in {tasks[0][1]!r} will take some {seconds / 60:.0f} minutes on "
        told += f"{processes} processors; it is kept in the cache, and done languages stay if it is interrupted."
        warnings.warn(told, KitWarning, stacklevel=2)


def _names(
    pairs: TrainingPairs, benchmark: Benchmark, code: str, texts: list[str], full: bool
) -> tuple[str, int, tuple[str, ...]]:
    """How names were told in a language, how many the benchmark has, and those that training has too."""
    trained, known = pairs.names.get(code), benchmark.names.get(code)
    if trained and known:
        how, trained = "given by the sources", set(map(normal, trained))
    elif full and language(code).script in _CASED:
        how, known = "capitalised words", {name for text in texts for name in _capitalised(text)}
        sought = set(map(normal, known))
        blocks = (block for task in _tasks(pairs, code) for block in _blocks(*task))
        # Only what is sought is kept, so that memory does not grow with the training data.
        trained = {
            found for block in blocks for text in block for found in map(normal, _capitalised(text)) if found in sought
        }
    else:
        return "not checked", 0, ()
    return how, len(known), tuple(sorted(name for name in known if normal(name) in trained))


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


def _table_row(row: AuditRow, report: AuditReport) -> str:
    names = "not checked"
    if row.names_by != "not checked":
        some = ", ".join(row.shared_names[:3]) + (", …" if len(row.shared_names) > 3 else "")
        names = f"{len(row.shared_names):,} of {row.names:,}{f' ({some})' if some else ''}, {row.names_by}"
    cells = [row.language, f"{row.training:,}"]
    cells += [f"{n:,}" for n in (row.questions, row.exact_questions, row.near_questions)]
    cells += [f"{n:,}" for n in (row.passages, row.exact_passages, row.near_passages)]
    highest = f"{row.highest:.2f}" if row.highest or report.full or not row.training else f"< {report.near:g}"
    return f"| {' | '.join([*cells, highest, names])} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"


def _quoted(text: str, most: int = 120) -> str:
    text = " ".join(text.split())
    text = text if len(text) <= most else text[: most - 1] + "…"
    # Isolated (U+2068, U+2069), so that right-to-left text leaves the line around it in order.
    return f"\u2068“{text}”\u2069"

"""XNLI (arXiv 1809.05053): inference in 15 languages with English training pairs, and its 15-way parallel sentences."""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from hybridkit.corpora import building, downloads, tables
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.catalogue import CATALOGUE, Source
from hybridkit.errors import KitError
from hybridkit.transfer import parallel
from hybridkit.transfer.tasks import Labelled, Part, make_labelled, part

if TYPE_CHECKING:
    from hybridkit.params import Parameters

SOURCE = CATALOGUE["xnli"]
RELATIONS = ("entailment", "neutral", "contradiction")
# What the machine-translated training files, the English one among them, call a contradiction.
_OTHER_NAMES = {"contradictory": "contradiction"}


@contextmanager
def _member(source: Source, archive: str, name: str) -> Iterator[TextIO]:
    """A text file of an archive as it was given out; KitError where the archive has no such file or is damaged."""
    path = downloads.file(source, archive)
    try:
        with zipfile.ZipFile(path) as found:
            inner = next((one for one in found.namelist() if one.rpartition("/")[2] == name), "")
            if not inner:
                raise KitError(f"{path} holds no {name}: delete it and run `hybridkit data fetch {source.name}`.")
            with found.open(inner) as stream:
                yield io.TextIOWrapper(stream, encoding="utf-8", newline="")
    except zipfile.BadZipFile as fault:
        raise KitError(
            f"{path} is cut short or no archive: delete it and run `hybridkit data fetch {source.name}`."
        ) from fault


def english() -> dict[tuple[str, str], Part]:
    """The English training pairs, which are MultiNLI's, and the English dev and test pairs of XNLI."""
    columns = ("premise", "hypo", "label")
    with _member(SOURCE, "XNLI-MT-1.0.zip", "multinli.train.en.tsv") as lines:
        found = [tuple(row.values()) for row in tables.rows(lines, columns, "multinli.train.en.tsv")]
    return {("en", "train"): _part(found, "the training pairs"), **_judged("dev", ["en"]), **_judged("test", ["en"])}


def _judged(split: str, languages: Sequence[str]) -> dict[tuple[str, str], Part]:
    """The pairs of a split of XNLI itself ("dev", "test") in some languages, which stand in one file."""
    name, rows = f"xnli.{split}.tsv", {code: [] for code in languages}
    with _member(SOURCE, "XNLI-1.0.zip", name) as lines:
        for row in tables.rows(lines, ("language", "sentence1", "sentence2", "gold_label"), name):
            if row["language"] in rows:
                rows[row["language"]].append((row["sentence1"], row["sentence2"], row["gold_label"]))
    for code, found in rows.items():
        if not found:
            raise KitError(f"{name} has no pairs in {code!r}: leave the language out.")
    return {(code, split): _part(found, f"{name}, {code}") for code, found in rows.items()}


def _part(rows: Sequence[tuple[str, str, str]], where: str) -> Part:
    """Pairs and labels; pairs without a text or one of the three labels are left out, which is told."""
    left: Counter[str] = Counter()
    rows = [(premise, hypothesis, _OTHER_NAMES.get(label, label)) for premise, hypothesis, label in rows]
    whole = [row for row in rows if row[2] in RELATIONS and row[0].strip() and row[1].strip()]
    if len(whole) < len(rows):
        left[f"of {where} without a text or a label"] = len(rows) - len(whole)
    building.tell(SOURCE, left, len(whole))
    if not whole:
        raise KitError(f"XNLI: {where}: no pair has two texts and one of the labels {', '.join(RELATIONS)}.")
    premises, hypotheses, labels = zip(*whole, strict=True)
    return part(premises, labels, hypotheses)


def labelled(languages: Sequence[str] = SOURCE.languages) -> Labelled:
    """XNLI's test pairs in some languages, and in English also the training and dev pairs, for the head."""
    return make_labelled("xnli", SOURCE.licence, RELATIONS, english() | _judged("test", languages))


def parallel_sentences(languages: Sequence[str] = SOURCE.languages, name: str = "xnli-15way") -> Benchmark:
    """The sentences of the 15-way file as a benchmark; a line that lacks one of the languages is left out, and told."""
    source, table, left = CATALOGUE["xnli-15way"], "xnli.15way.orig.tsv", Counter()
    ids, texts = [], {code: [] for code in languages}
    with _member(source, "XNLI-15way.zip", table) as lines:
        for number, row in enumerate(tables.rows(lines, languages, table), start=1):
            if all(row[code].strip() for code in languages):
                ids.append(str(number))
                for code in languages:
                    texts[code].append(row[code])
            else:
                left["without a text in some language"] += 1
    building.tell(source, left, len(ids))
    return parallel.benchmark(name, source.licence, ids, texts)


def load_labelled(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Labelled:
    """For the catalogue: `labelled`, where () stands for all languages."""
    return labelled(languages or source.languages)

"""The published numbers: every cell of Tables 1 to 8, 12 and 13 of arXiv 2408.10536, and what each one measures."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: What the kit calls the paper's ways to make batches.
MIXTURES = {"mono": "X-X-mono", "cross": "X-Y", "hybrid-0.50": "Hybrid"}
#: Rows of the tables that summarise the others.
AVERAGES = ("mean", "median")


@dataclass(frozen=True, order=True)
class Meaning:
    """What a figure measures: published encoder ("XLM-R" or "LaBSE"), mixture, benchmark, setting and metric in the
    kit's names, and the language of the query, or "mean" or "median" over the languages."""

    encoder: str
    mixture: str
    benchmark: str
    setting: str
    metric: str
    query_language: str

    def __str__(self) -> str:
        return " ".join(asdict(self).values())


@dataclass(frozen=True)
class Cell:
    """One printed number: its table, row and column, its value to so many decimals, its meaning, notes on errors.

    `precision` is how far off the printed value may be: half a unit of its last digit, or what a note says.
    """

    table: int
    row: str
    column: str
    value: float
    decimals: int
    meaning: Meaning
    precision: float
    notes: tuple[str, ...] = ()

    @property
    def printed(self) -> str:
        """The value as it stands in the paper."""
        return f"{self.value:.{self.decimals}f}"


@cache
def _content() -> dict:
    return json.loads((files("hybridkit.verdict") / "published.json").read_text(encoding="utf-8"))


def source() -> dict[str, str]:
    """The paper, and which version of its text the numbers were read from."""
    return _content()["source"]


def captions() -> dict[int, str]:
    """What each table shows, by its number."""
    return {table["number"]: table["caption"] for table in _content()["tables"]}


def contents(benchmark: str) -> dict:
    """How a benchmark of the paper is known again: by a `fingerprint`, or by its numbers of `queries` and `candidates`
    in each language."""
    return _content()["benchmarks"][benchmark]


def benchmarks() -> list[str]:
    """The benchmarks of the tables."""
    return list(_content()["benchmarks"])


@cache
def cells() -> tuple[Cell, ...]:
    """Every cell, table by table, row by row."""
    return tuple(
        _cell(table, row, column, value)
        for table in _content()["tables"]
        for row in table["rows"]
        for column, value in zip(table["columns"], row["values"], strict=True)
    )


def _cell(table: dict, row: dict, column: dict, value: float) -> Cell:
    notes = [note for note in _content()["notes"] if _about(note, table["number"], row["name"], column["name"])]
    return Cell(
        table=table["number"],
        row=row["name"],
        column=column["name"],
        value=value,
        decimals=table["decimals"],
        meaning=Meaning(**table["meaning"], **row["meaning"], **column["meaning"]),
        precision=max(
            [note["precision"] for note in notes if "precision" in note], default=0.5 * 10 ** -table["decimals"]
        ),
        notes=tuple(note["text"] for note in notes),
    )


def _about(note: dict, table: int, row: str, column: str) -> bool:
    """Whether a note is about a cell; one without columns is about the whole row."""
    return note["table"] == table and row in note["rows"] and column in note.get("columns", [column])


@cache
def by_meaning() -> dict[Meaning, Cell]:
    """One cell for each meaning: the one printed with the most decimals where two tables print the same figure."""
    return {cell.meaning: cell for cell in sorted(cells(), key=lambda cell: cell.decimals)}


def languages(benchmark: str) -> list[str]:
    """The languages of the queries that the tables print for a benchmark, sorted."""
    found = {cell.meaning.query_language for cell in cells() if cell.meaning.benchmark == benchmark}
    return sorted(found - set(AVERAGES))


def languages_of(meaning: Meaning) -> list[str]:
    """The languages that a figure touches: its own within a language, else all of its pools, parallel sets or means."""
    alone = meaning.setting == "monolingual" and meaning.query_language not in AVERAGES
    return [meaning.query_language] if alone else languages(meaning.benchmark)


def table() -> "pd.DataFrame":
    """The cells as a table, a row each: table, row, column, value, decimals, the parts of the meaning, notes."""
    import pandas as pd

    rows = [asdict(cell) | asdict(cell.meaning) | {"notes": " ".join(cell.notes)} for cell in cells()]
    return pd.DataFrame(rows).drop(columns="meaning")

"""AmericasNLI (arXiv 2104.08726): XNLI's pairs in ten indigenous languages of the Americas."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hybridkit import lock
from hybridkit.corpora import building, downloads, tables, xnli
from hybridkit.corpora.catalogue import CATALOGUE, Source
from hybridkit.transfer.tasks import Labelled, Part, make_labelled, part

if TYPE_CHECKING:
    from hybridkit.params import Parameters

SOURCE = CATALOGUE["americasnli"]
#: The share of a language's dev pairs that a head of its own is trained on; the others choose its strength.
TRAINED = 0.8


def labelled(languages: Sequence[str] = SOURCE.languages) -> Labelled:
    """The test pairs; the dev pairs as training and dev of a head for the language itself; and XNLI's English pairs.

    The latter where XNLI is on this machine and its licence accepted: it is not downloaded for this.
    """
    parts = xnli.english() if _xnli_is_there() else {}
    for code in languages:
        dev = _rows(code, "dev")
        cut = int(TRAINED * len(dev))
        parts |= {(code, "train"): _part(dev[:cut]), (code, "dev"): _part(dev[cut:])}
        parts[code, "test"] = _part(_rows(code, "test"))
    return make_labelled(SOURCE.name, SOURCE.licence, xnli.RELATIONS, parts)


def _xnli_is_there() -> bool:
    return lock.is_accepted(xnli.SOURCE.name) and downloads.is_there(xnli.SOURCE)


def _rows(code: str, split: str) -> list[dict[str, str]]:
    """The pairs of a language; those without a text are left out, which is told."""
    path = downloads.pinned(SOURCE, f"{split}/{code}.tsv")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(tables.rows(lines, ("premise", "hypothesis", "label"), str(path)))
    whole = [row for row in rows if row["premise"].strip() and row["hypothesis"].strip()]
    left = Counter({f"of {split}/{code}.tsv without a text": len(rows) - len(whole)})
    building.tell(SOURCE, +left, len(whole))
    return whole


def _part(rows: Sequence[dict[str, str]]) -> Part:
    return part(*([row[column] for row in rows] for column in ("premise", "label", "hypothesis")))


def load_labelled(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Labelled:
    """For the catalogue: `labelled`, where () stands for all languages."""
    return labelled(languages or source.languages)

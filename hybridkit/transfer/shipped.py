"""The tables of transfer that ship with the kit: what the text encoders of finished runs do on other tasks.

Made by `python tools/make_transfer.py` from trained encoders, never by hand. Which rows belong together is told by
SYSTEM: the base encoder, the kind of training (`text`, `image-text`, or `none` for the base encoder itself), the
mixture and the seed.
"""

import json

import pandas as pd

from hybridkit import reference
from hybridkit.languages import TRAINED
from hybridkit.params import mixture_order
from hybridkit.transfer.heads import EACH

ACCURACIES = reference.FOLDER / "transfer.csv"
PARALLEL = reference.FOLDER / "transfer-parallel.csv"
ABOUT = reference.FOLDER / "transfer.json"
#: What names an encoder: rows that agree in these are one encoder's.
SYSTEM = ["encoder", "training", "mixture", "seed"]
#: The mixture and the training of an encoder as it was before any training of the kit's runs.
BASE = "none"
#: Groups of languages, with the head that is tested on them: see `by_group`.
GROUPS = ("English", "zero-shot, trained", "zero-shot, unseen", "own head, trained", "own head, unseen")


def accuracies() -> pd.DataFrame:
    """A row an encoder, task, language of the head ("en", or "each": its own) and language of the test.

    Columns: those of SYSTEM (seed -1 of a base encoder), task, head, language, accuracy, low, high, majority, n,
    hypothesis only (NaN of single texts), C, in training, as in `heads.transfer`.
    """
    return pd.read_csv(ACCURACIES, keep_default_na=False, na_values=[""])


def parallel() -> pd.DataFrame:
    """Parallel sentences: a row an encoder and benchmark. Columns: those of SYSTEM, benchmark, sentences, and those of
    `parallel.figures`."""
    return pd.read_csv(PARALLEL, keep_default_na=False, na_values=[""])


def about() -> dict:
    """The keys of the runs, and the provenance of the tables."""
    return json.loads(ABOUT.read_text(encoding="utf-8"))


def by_group(table: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracies over the languages of GROUPS: a row an encoder and task, with the columns of SYSTEM, task and GROUPS.

    `trained` are the languages that the kit's runs are trained in, without English where the head is English; `unseen`
    all others of the task. `own head`: heads fitted in the language that they are tested in.
    """
    own, trained = table["head"] == EACH, table["language"].isin(TRAINED)
    english = table["language"] == "en"
    kinds = (~own & english, ~own & ~english & trained, ~own & ~trained, own & trained, own & ~trained)
    rows = table[[*SYSTEM, "task", "accuracy"]].assign(group="")
    for name, chosen in zip(GROUPS, kinds, strict=True):
        rows.loc[chosen, "group"] = name
    wide = rows.pivot_table(index=[*SYSTEM, "task"], columns="group", values="accuracy", sort=False)
    return wide.reindex(columns=list(GROUPS)).rename_axis(columns=None).reset_index()


def in_order(mixtures) -> list[str]:
    """Mixtures in the order of the kit's tables, the base encoder first."""
    found = set(mixtures)
    return [name for name in (BASE,) if name in found] + sorted(found - {BASE}, key=mixture_order)

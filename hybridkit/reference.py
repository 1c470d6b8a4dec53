"""The reference runs that ship with the kit: results of the tiny profile, for readers who have no run of their own.

Made by `python tools/make_reference.py` from finished runs, never by hand. Gold ranks are kept for a
fourth of the questions, drawn at random (in all languages, against the whole pool), and ranked lists for some of these;
the figures are over all questions.
"""

import json
from collections.abc import Collection
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from hybridkit import bias
from hybridkit.errors import KitError
from hybridkit.ranked_lists import RankedLists, drawn
from hybridkit.ranks import GoldRanks

FOLDER = Path(str(files("hybridkit"))) / "reference"
#: Of how many questions one is kept.
EVERY = 4
#: The mixtures whose gold ranks and lists are kept: more would make the package large.
RANKED = ("mono", "hybrid-0.75", "hybrid-0.50", "hybrid-0.25", "cross")
#: Of how many questions ranked lists are kept.
LISTED = 36
#: The trainings that are kept, by the parameters in which they differ from the tiny profile.
VARIANTS = {"tiny profile": {}, "1,200 steps": {"steps": 1200}, "slow start": {"warmup_fraction": 0.5}}


def about() -> dict:
    """Which runs these are, and their provenance."""
    return json.loads((FOLDER / "about.json").read_text(encoding="utf-8"))


def mixtures() -> list[str]:
    """The mixtures with reference gold ranks (encoder tiny-mlm), in the order of the paper."""
    return about()["mixtures"]


def gold_ranks(system: str) -> GoldRanks:
    """Reference gold ranks on the museum: of the model of a mixture (tiny-mlm, seed 0), or of "BM25"."""
    folder = FOLDER / system
    if not folder.is_dir():
        raise KitError(f"There is no reference run {system!r}; there are {', '.join(mixtures())} and BM25.")
    return GoldRanks.open(folder)


def ranked_lists(mixture: str) -> RankedLists:
    """Reference ranked lists on the museum: of the model of a mixture (tiny-mlm, seed 0), for some of the questions
    that `gold_ranks` has."""
    if mixture not in mixtures():
        raise KitError(f"There are no reference lists of {mixture!r}; there are some of {', '.join(mixtures())}.")
    return RankedLists.open(FOLDER / "lists" / mixture)


def table(encoder: str = "tiny-mlm", variant: str = "tiny profile") -> pd.DataFrame:
    """The figures of the reference runs of a tiny encoder, and BM25's, in the form of `comparison.figures_of`.

    `variant` is one of VARIANTS; KitError where there are no such runs.
    """
    everything = pd.read_csv(FOLDER / "figures.csv").assign(beyond="", embeddings="as trained")
    wanted = (everything["encoder"] == encoder) & (everything["settings"] == variant)
    if not wanted.any():
        raise KitError(f"There are no reference runs of {encoder} with {variant!r}; there are {', '.join(VARIANTS)}.")
    return everything[wanted | (everything["encoder"] == "BM25")].assign(settings="reference").reset_index(drop=True)


def of_run(run, parallel: bool = False) -> tuple[GoldRanks, bool, str]:
    """What a notebook shows for a run: its own gold ranks if it has any, else those of the reference run.

    Returns the gold ranks on the run's first benchmark, whether they are the run's own, and a sentence on where they
    come from. With `parallel` a benchmark without questions that have answers in several languages does not do.
    """
    name = run.parameters.benchmarks[0]
    why = "You have no trained run with these parameters"
    if (run.folder / "model").exists() or (run.folder / "ranks" / Path(name).name).exists():
        gold = run.gold_ranks(next(iter(run.benchmarks)))
        if not parallel or has_parallel_answers(gold):
            return gold, True, f"These are the results of your own run: {run.title}."
        why = f"No question of {gold.benchmark} has answers in several languages"
    mixture = _instead_of(run)
    told = f"{why}, so this shows the reference run {mixture} of the tiny profile, encoder tiny-mlm."
    return gold_ranks(mixture), False, told


def lists_of_run(run, own: bool) -> RankedLists | None:
    """The ranked lists that go with the gold ranks of `of_run`, which tells whether they are the run's own.

    None for a run of one's own that has no lists and from whose model none can be made.
    """
    if not own:
        return ranked_lists(_instead_of(run))
    try:
        return run.ranked_lists(next(iter(run.benchmarks)))
    except KitError:
        return None


def _instead_of(run) -> str:
    """The mixture of the reference run that stands in for a run."""
    return run.parameters.mixture if run.parameters.mixture in mixtures() else "hybrid-0.50"


def has_parallel_answers(gold: GoldRanks) -> bool:
    """Whether some query has relevant passages in several languages, so that there is a rank distance."""
    return bool(bias.in_several_languages(gold.gold_query, gold.gold_language).any())


def select(gold: GoldRanks, every: int = EVERY) -> GoldRanks:
    """Keep one question in `every`, drawn at random, in all its languages, with its ranks in the whole pool."""
    return only(gold, drawn(gold.questions, len(np.unique(gold.questions)) // every))


def only(gold: GoldRanks, questions: Collection[str]) -> GoldRanks:
    """Keep some questions, in all their languages, with their ranks in the whole pool."""
    queries = np.isin(gold.questions, list(questions))
    golds = queries[gold.gold_query]
    place = np.cumsum(queries) - 1
    return replace(
        gold,
        query_ids=gold.query_ids[queries],
        query_languages=gold.query_languages[queries],
        questions=gold.questions[queries],
        gold_query=place[gold.gold_query[golds]],
        gold_language=gold.gold_language[golds],
        gold_candidate=gold.gold_candidate[golds],
        above=gold.above[golds],
        tied=gold.tied[golds],
    )

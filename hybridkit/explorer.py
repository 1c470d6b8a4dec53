"""The bias explorer: for one question, where each language's answer ranks, who outranks it, and how the ratio moves it."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybridkit import figures, reference, runs
from hybridkit.errors import KitError
from hybridkit.params import Parameters, for_run
from hybridkit.ranked_lists import RankedLists
from hybridkit.ranks import GoldRanks


@dataclass(frozen=True)
class System:
    """A system to look at: its gold ranks, and its ranked lists where there are any."""

    gold: GoldRanks
    lists: RankedLists | None

    @property
    def title(self) -> str:
        return self.gold.system


def systems(run: "runs.Run", gold: GoldRanks, lists: RankedLists | None, own: bool) -> dict[float, System]:
    """A system for each share of mono batches (alpha) that is known, ascending: cross batches fill the rest.

    `gold`, `lists` and `own` as `reference.of_run` and `reference.lists_of_run` gave them for `run`. Finished runs of
    one's own with the same seed and settings come before reference runs, which stand in only on the same benchmark.
    Each is cut to the questions that all have, so that they can be compared.
    """
    found = {}
    for name in reference.mixtures():
        ranks, parameters = reference.gold_ranks(name), for_run("tiny", name)
        if ranks.fingerprint == gold.fingerprint and _on_the_edge(parameters):
            found[parameters.mono] = System(ranks, reference.ranked_lists(name))
    if own:
        for folder, manifest in runs.finished_like(run):
            parameters = Parameters(**manifest["parameters"])
            if parameters.seed == run.parameters.seed and _on_the_edge(parameters):
                found[parameters.mono] = _opened(folder, gold.benchmark)
        if _on_the_edge(run.parameters) or not found:
            found[run.parameters.mono] = System(gold, lists)
    ranked = _shared(one.gold for one in found.values())
    listed = _shared(one.lists for one in found.values() if one.lists is not None)
    return {alpha: _cut(found[alpha], ranked, listed & ranked) for alpha in sorted(found)}


def _shared(results: Iterable[GoldRanks | RankedLists]) -> set[str]:
    """The questions that all have."""
    questions = [{*one.questions.tolist()} for one in results]
    return set.intersection(*questions) if questions else set()


def _cut(one: System, ranked: set[str], listed: set[str]) -> System:
    """The system with these questions alone."""
    lists = one.lists and one.lists.select(np.isin(one.lists.questions, list(listed)))
    return System(reference.only(one.gold, ranked), lists)


def _on_the_edge(parameters: Parameters) -> bool:
    """Whether mono and cross batches are all that a mixture has."""
    return not parameters.multi and not parameters.beyond_weights()


def _opened(folder, benchmark: str) -> System:
    """The results of a finished run."""
    kept = folder / "lists" / benchmark
    lists = RankedLists.open(kept) if (kept / "about.json").exists() else None
    return System(GoldRanks.open(folder / "ranks" / benchmark), lists)


def questions_of(found: Mapping[float, System]) -> list[str]:
    """The questions to look at, sorted: those with answers, and with ranked lists where there are any."""
    listed = {question for one in found.values() if one.lists is not None for question in one.lists.questions.tolist()}
    gold = next(iter(found.values())).gold
    answered = {*gold.questions[gold.gold_query].tolist()}
    return sorted(listed & answered or answered)


def answers(gold: GoldRanks, question: str, asked: str) -> pd.Series:
    """Rank of each language's best answer in the pool of all languages, by language, for a question asked in `asked`.

    KitError where there is no such question, or no answer to it.
    """
    mine = _golds(gold, question, asked)
    if not len(mine):
        raise KitError(f"{gold.benchmark} has no answer to the question {question!r} in {asked!r}: choose another.")
    return pd.Series(gold.ranks(gold.pools)[mine], gold.gold_language[mine]).groupby(level=0).min()


def over_ratio(found: Mapping[float, System], question: str, asked: str) -> pd.DataFrame:
    """`answers` of every system, a row for each alpha."""
    return pd.DataFrame({alpha: answers(one.gold, question, asked) for alpha, one in found.items()}).T


def outranked_by(gold: GoldRanks, question: str, asked: str) -> pd.DataFrame:
    """How many candidates of each language (columns) outrank each language's best answer (rows); ties count half."""
    mine = _golds(gold, question, asked)
    order = mine[np.argsort(gold.ranks(gold.pools)[mine], kind="stable")]
    table = pd.DataFrame(gold.above[order] + gold.tied[order] / 2, gold.gold_language[order], columns=list(gold.pools))
    return table.groupby(level=0).first()


def _golds(gold: GoldRanks, question: str, asked: str) -> np.ndarray:
    """Rows of the golds of a question that is asked in a language; KitError where there is no such query."""
    query = np.flatnonzero((gold.questions == question) & (gold.query_languages == asked))
    if not len(query):
        raise KitError(f"{gold.system} has no question {question!r} in {asked!r} on {gold.benchmark}: choose another.")
    return np.flatnonzero(gold.gold_query == query[0])


def top(system: System, question: str, asked: str, k: int = 10) -> pd.DataFrame:
    """The first k places for a question: place, language, answer (whether it is one), candidate (id)."""
    gold, lists = system.gold, system.lists
    if lists is None:
        raise KitError(f"{gold.system} has no ranked lists; `Run.ranked_lists` makes them from its model.")
    answers_here = set(gold.gold_candidate[_golds(gold, question, asked)].tolist())
    query = np.flatnonzero((lists.questions == question) & (lists.query_languages == asked))
    if not len(query):
        raise KitError(f"{gold.system} has no ranked list of the question {question!r} in {asked!r}: choose another.")
    rows = [row for row in lists.places[query[0]][:k] if row >= 0]
    found = lists.candidate_ids[rows].tolist()
    return pd.DataFrame(
        {
            "place": range(1, len(rows) + 1),
            "language": lists.candidate_languages[rows],
            "answer": [one in answers_here for one in found],
            "candidate": found,
        }
    )


def view(found: Mapping[float, System], question: str, asked: str, alpha: float) -> figures.Picture:
    """The static view of a question: ranks over the ratio, and who outranks each answer at `alpha`."""
    title = f"A question asked in {asked}: its answers over the ratio"
    ranks, above = over_ratio(found, question, asked), outranked_by(found[alpha].gold, question, asked)
    return figures.answers_over_ratio(ranks, above, alpha, title)


def controls(
    show: Callable,
    questions: Mapping[str, str],
    languages: Sequence[str],
    alphas: Sequence[float],
    asked: str,
    alpha: float,
):
    """Menus and a slider that call show(question, asked, alpha) and display what it returns, in a live JupyterLab.

    `questions`: id by what the menu says. None where there is nobody to move them (a notebook that papermill or nbval
    executes, a page on the web), or where ipywidgets is not installed: a widget without its kernel shows nothing.
    """
    if "JPY_SESSION_NAME" not in os.environ:  # a Jupyter server sets it for the kernels of its notebooks
        return None
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets.interactive(
        show,
        question=ipywidgets.Dropdown(options=list(questions.items()), layout={"width": "46em"}),
        asked=ipywidgets.Dropdown(options=list(languages), value=asked, description="asked in"),
        alpha=ipywidgets.SelectionSlider(options=list(alphas), value=alpha, continuous_update=False),
    )

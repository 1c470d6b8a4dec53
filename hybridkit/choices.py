"""Which mixture to choose for which goal, and how sure one can be of it, from draws over seeds and questions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hybridkit.params import mixture_order
from hybridkit.simplex import DISTANCE, GOALS
from hybridkit.statistics import MINIMUM_SEEDS

#: What one can want of a mixture, by the figure that says how well it does.
WANTED = dict(zip(GOALS, ("within each language", "across languages", "one pool of all languages"), strict=True))
WANTED |= {"all alike": "all of these alike", DISTANCE: "least language bias"}
#: A loss that is as good as none: of mAP, and of rank distance in doublings (a quarter more).
MARGINS = {DISTANCE: float(np.log2(1.25))}
MARGIN = 0.01
#: A choice is sure if it costs no more than the margin in this share of the draws.
SURE = 0.95
_COLUMNS = ["goal", "figure", "choose", "seeds", "best in", "costs little in", "about as good", "how sure"]


def goals(draws: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """How well every mixture does at every goal of WANTED, higher is better: a row a draw, a column a mixture.

    `draws`: of `study.Study.draws`. "all alike" is the mean of the mAP that are defined, where several are; rank
    distance counts in doublings, with a minus.
    """
    found = {goal: draws[goal] for goal in GOALS if goal in draws}
    if len(found) > 1:
        found["all alike"] = sum(found.values()) / len(found)
    if DISTANCE in draws:
        found[DISTANCE] = -np.log2(draws[DISTANCE].clip(lower=1))
    return found


def choices(draws: Mapping[str, pd.DataFrame], seeds: int) -> pd.DataFrame:
    """The mixture to choose for each goal, a row a goal.

    Columns: goal, figure, choose (the best in the mean over draws), seeds (as given), best in (the share of draws in
    which it is the best; draws with ties count in part), costs little in (the share in which it is at most MARGIN below
    the best of the draw, whichever that is), about as good (the mixtures that are at most MARGIN below it in the mean,
    itself among them) and how sure, in a word: "sure" needs SURE of the draws and MINIMUM_SEEDS seeds.
    """
    rows = []
    for figure, values in goals(draws).items():
        mean, margin, top = values.mean(), MARGINS.get(figure, MARGIN), values.max(axis=1)
        best = mean.idxmax()
        ties = values.eq(top, axis=0).sum(axis=1)
        share = float(((values[best] == top) / ties).mean())
        little = float((top - values[best] <= margin).mean())
        near = sorted(mean.index[mean >= mean[best] - margin], key=mixture_order)
        rows.append((WANTED[figure], figure, best, seeds, share, little, near, _how_sure(little, seeds)))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _how_sure(little: float, seeds: int) -> str:
    if little < SURE:
        return "open"
    if seeds == 1:
        return "not known: one seed"
    return "sure" if seeds >= MINIMUM_SEEDS else f"fairly: {seeds} seeds"


def told(row: Mapping) -> str:
    """A row of `choices` in a few sentences."""
    others = [name for name in row["about as good"] if name != row["choose"]]
    near = ", ".join(others) or "none"
    if len(others) > 5:
        near = f"{len(others)} others, so let another goal decide among them"
    loss = "a quarter more rank distance" if row["figure"] == DISTANCE else f"{MARGIN:g} of mAP"
    return (
        f"{row['goal']}: choose {row['choose']}. It is the best in {100 * row['best in']:.0f} % of the draws, and "
        f"costs at most {loss} in {100 * row['costs little in']:.0f} % of them. About as good: {near}. How sure: {row['how sure']}."
    )


def losses(draws: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each mixture loses against the best one, at each goal, in the mean over draws: a row a mixture.

    In mAP; for rank distance in doublings.
    """
    means = {WANTED[figure]: values.mean() for figure, values in goals(draws).items()}
    return pd.DataFrame({goal: mean.max() - mean for goal, mean in means.items()})


def safest(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """For each goal the mixture whose largest loss is least, over several studies: a choice for an unknown one.

    `parts`: tables of `losses`, by what they are of. Only mixtures and goals that all have count. Columns: goal, choose,
    its loss in each of the parts, and about as safe (mixtures whose largest loss is at most MARGIN above its own).
    """
    both = pd.concat(parts, axis=1, join="inner").swaplevel(axis=1)
    rows = []
    for figure, goal in WANTED.items():
        if goal in both and len(both[goal].columns) == len(parts):
            worst = both[goal].max(axis=1)
            name = worst.idxmin()
            near = worst.index[worst <= worst[name] + MARGINS.get(figure, MARGIN)].drop(name)
            rows.append({"goal": goal, "choose": name, **both[goal].loc[name], "about as safe": list(near)})
    return pd.DataFrame(rows, columns=["goal", "choose", *parts, "about as safe"])

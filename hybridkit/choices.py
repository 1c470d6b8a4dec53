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
#: Who finds nothing prefers no language: the least bias is sought among mixtures that find so large a share of the best.
FINDS = 0.5
#: A choice is sure if it costs no more than the margin in this share of the draws.
SURE = 0.95
#: So many mixtures that are about as good are named, and more are counted.
_NAMED = 5
_COLUMNS = ["goal", "figure", "choose", "reaches", "seeds", "best in", "costs little in", "about as good", "how sure"]


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

    Columns: goal, figure, choose (the best in the mean over draws), reaches (its figure), seeds (as given), best in (the
    share of draws in which it is the best; draws with ties count in part), costs little in (the share in which it is at
    most MARGIN below the best of the draw, whichever that is), about as good (the mixtures that are at most MARGIN below
    it in the mean, itself among them) and how sure, in a word: "sure" needs SURE of the draws and MINIMUM_SEEDS seeds.
    The least bias is sought among mixtures with FINDS of the best mean mAP or more.
    """
    rows = []
    for figure, values in _eligible(goals(draws)).items():
        mean, margin, top = values.mean(), MARGINS.get(figure, MARGIN), values.max(axis=1)
        best = mean.idxmax()
        ties = values.eq(top, axis=0).sum(axis=1)
        share = float(((values[best] == top) / ties).mean())
        little = float((top - values[best] <= margin).mean())
        near = sorted(mean.index[mean >= mean[best] - margin], key=mixture_order)
        reached = float(2 ** -mean[best] if figure == DISTANCE else mean[best])
        rows.append((WANTED[figure], figure, best, reached, seeds, share, little, near, _how_sure(little, seeds)))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _eligible(found: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The mixtures that may be chosen for each goal: for the least bias those that find enough."""
    means = [found[goal].mean() for goal in GOALS if goal in found]
    if DISTANCE not in found or not means:
        return dict(found)
    mean = sum(means) / len(means)
    return {**found, DISTANCE: found[DISTANCE].loc[:, mean >= FINDS * mean.max()]}


def _how_sure(little: float, seeds: int) -> str:
    if little < SURE:
        return "open"
    if seeds == 1:
        return "not known: one seed"
    return "sure" if seeds >= MINIMUM_SEEDS else f"fairly: {seeds} seeds"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `choices` for the eye: shares in per cent, and names where there are few."""
    shares = {name: (100 * table[name]).map("{:.0f} %".format) for name in ("best in", "costs little in")}
    rows = table.to_dict("records")
    texts = {"reaches": [_reached(row) for row in rows], "about as good": [_others(row) for row in rows]}
    return table.assign(**shares, **texts).drop(columns=["figure", "seeds"]).set_index("goal")


def told(row: Mapping) -> str:
    """A row of `choices` in words."""
    if len(row["about as good"]) > _NAMED + 1:
        many = len(row["about as good"])
        return f"{row['goal']}: many do; {many} mixtures are about as good, {row['choose']} with {_reached(row)} among them"
    reached = f"{row['choose']}, which reaches {_reached(row)}"
    return f"{row['goal']}: choose {reached} ({row['how sure']}); about as good: {_others(row)}"


def _reached(row: Mapping) -> str:
    """What the choice reaches: mAP, or a rank distance."""
    return f"{row['reaches']:,.0f}" if row["figure"] == DISTANCE else f"{row['reaches']:.3f}"


def _others(row: Mapping) -> str:
    """What is about as good as the choice: the names, or how many there are."""
    others = [name for name in row["about as good"] if name != row["choose"]]
    return ", ".join(others) or "none" if len(others) <= _NAMED else f"{len(others)} others"


def losses(draws: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each mixture loses against the one to choose, at each goal, in the mean over draws: a row a mixture.

    In mAP; for rank distance in doublings, below 0 for a mixture that has less because it finds too little (FINDS).
    """
    found = goals(draws)
    best = {figure: values.mean().max() for figure, values in _eligible(found).items()}
    return pd.DataFrame({WANTED[figure]: best[figure] - values.mean() for figure, values in found.items()})


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

"""Figures of transfer: how alike the texts of pairs are, accuracy by language, and any figure by mixture."""

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hybridkit.figures import PALETTE, Picture, picture
from hybridkit.transfer import shipped

_MARKERS = "osD^v"
_LINES = ("-", "--", "-.", ":")


def similarities(values: Mapping[str, np.ndarray], title: str) -> Picture:
    """Histograms of the cosines of pairs of texts, a step curve for each kind of pair. `values`: cosines (n,) by kind."""
    figure, axis = plt.subplots(figsize=(6.5, 3), layout="constrained")
    every = np.concatenate(list(values.values()))
    edges = np.linspace(every.min(), every.max(), 41)
    told = []
    for number, (name, cosines) in enumerate(values.items()):
        counts, _ = np.histogram(cosines, edges)
        line = _LINES[number % len(_LINES)]
        axis.stairs(counts, edges, color=PALETTE[number], linestyle=line, linewidth=2, label=name)
        told.append(f"{name} median {np.median(cosines):.2f}")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set(title=title, xlabel="cosine of the two vectors", ylabel="pairs")
    axis.legend(frameon=False, fontsize=8)
    return picture(figure, f"{title}: histograms of the cosines by kind of pair; {', '.join(told)}.")


def accuracies(tables: Mapping[str, pd.DataFrame], title: str, unseen: Collection[str] = ()) -> Picture:
    """Accuracy by language, with 95 % intervals: a mark for each table (`heads.transfer`, or rows of `shipped.accuracies`).

    Hollow marks: languages `unseen`. Dashes: the accuracy of always giving the most frequent answer.
    """
    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    told = []
    for number, (name, table) in enumerate(tables.items()):
        colour, shift = PALETTE[number], 0.22 * (number - (len(tables) - 1) / 2)
        for place, row in enumerate(table.sort_values("language").itertuples()):
            face = "white" if row.language in unseen else colour
            axis.plot([place + shift] * 2, [row.low, row.high], color=colour, linewidth=1.5)
            axis.plot(place + shift, row.accuracy, marker=_MARKERS[number], color=colour, markerfacecolor=face)
        axis.plot([], [], marker=_MARKERS[number], color=colour, linestyle="", label=name)
        told.append(f"{name} from {table['accuracy'].min():.2f} to {table['accuracy'].max():.2f}")
    ordered = table.sort_values("language")
    for place, majority in enumerate(ordered["majority"]):
        axis.plot([place - 0.4, place + 0.4], [majority] * 2, color="black", linestyle="--", linewidth=1)
    axis.plot([], [], color="black", linestyle="--", linewidth=1, label="majority")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set(
        xticks=range(len(ordered)), xticklabels=ordered["language"], ylim=(0, 1.02), ylabel="accuracy", title=title
    )
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    hollow = f" Hollow: {' and '.join(sorted(unseen))}." if unseen else ""
    least, most = (f"{value:.2f}" for value in (ordered["majority"].min(), ordered["majority"].max()))
    told.append(f"the majority has {least}" + f" to {most}" * (least != most))
    return picture(figure, f"{title}: accuracy by language with intervals; {'; '.join(told)}.{hollow}")


def by_mixture(table: pd.DataFrame, columns: Sequence[str], title: str, log: Collection[str] = ()) -> Picture:
    """Figures by mixture, a panel for each of `columns`: a small dot a seed, and their means as a line for each base encoder.

    `table`: rows with the columns of `shipped.SYSTEM` and `columns`. Columns in `log` have a log scale, all others go from 0 to 1.
    """
    mixtures = shipped.in_order(table["mixture"])
    figure, axes = plt.subplots(1, len(columns), figsize=(3.7 * len(columns), 3.8), layout="constrained", squeeze=False)
    told = []
    for axis, column in zip(axes[0], columns, strict=True):
        for number, (name, rows) in enumerate(table.groupby("encoder", sort=False)):
            places, colour = rows["mixture"].map(mixtures.index), PALETTE[number]
            axis.scatter(places, rows[column], color=colour, s=10, marker=_MARKERS[number])
            means = rows.groupby(places)[column].mean()
            style = {"color": colour, "marker": _MARKERS[number], "linestyle": _LINES[number]}
            trained = [place for place in means.index if mixtures[place] != shipped.BASE]
            axis.plot(trained, means[trained], label=name, **style)
            axis.plot(means.index, means, **style | {"linestyle": ""})
            least, most = mixtures[means.idxmin()], mixtures[means.idxmax()]
            told.append(f"{column}, {name}: from {_short(means.min())} ({least}) to {_short(means.max())} ({most})")
        axis.spines[["top", "right"]].set_visible(False)
        axis.set(
            title=column, xticks=range(len(mixtures)), **({"yscale": "log"} if column in log else {"ylim": (0, 1.02)})
        )
        axis.set_xticklabels(mixtures, rotation=60, ha="right")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    return picture(figure, f"{title}, by mixture, means over seeds. {'; '.join(told)}.")


def _short(value: float) -> str:
    return f"{value:,.0f}" if value > 10 else f"{value:.2f}"

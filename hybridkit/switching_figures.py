"""Code-switched runs among the runs of a study, and figures of what the switching probability does."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from hybridkit.errors import KitError
from hybridkit.figures import PALETTE, Picture, picture
from hybridkit.reranking import KINDS

#: What the figures of runs are of, in order: within a language, across, in one pool of all, and the bias.
_PANELS = ("monolingual mAP", "cross-lingual mAP", "multilingual mAP", "rank distance")
_CURVE = "mono, words switched with p"
_LINES = (("--", PALETTE[1]), (":", PALETTE[2]), ("-.", PALETTE[4]))
# The marker of another mixture, its colour, and how far beside its probability it stands, so as not to hide the curve.
_MARKS = (("D", PALETTE[3], 0.04), ("s", PALETTE[1], -0.04), ("^", PALETTE[5], 0.08), ("v", PALETTE[6], -0.08))


def probabilities(rows: pd.DataFrame) -> pd.DataFrame:
    """The mixtures whose training texts are code-switched: columns mixture, mono (its weight), probability, how.

    `rows`: of `comparison.figures_of`. `how` is what is said of the switching besides its probability.
    """
    told = rows[["mixture", "mono", "beyond"]].drop_duplicates()
    told = told[told["beyond"].str.contains("switch_probability")]
    found = told["beyond"].str.extract(r"switch_probability: ([\d.e-]+)")[0].astype(float)
    how = told["beyond"].str.replace(r"switch_probability: [\d.e-]+(, )?", "", regex=True)
    return told.assign(probability=found, how=how).drop(columns="beyond").reset_index(drop=True)


def curve(rows: pd.DataFrame) -> dict[str, float]:
    """The mixtures of mono batches that differ in the switching probability alone, ascending; mono itself at 0.

    Of several ways to switch it is the one with most probabilities, then the one to fewest languages. Empty where nothing is switched or mono is missing.
    """
    found = probabilities(rows)
    alone = found[(found["mono"] == 1) & ~found["how"].str.contains("end_|variants")]
    mono = rows.loc[(rows["beyond"] == "") & (rows["mono"] == 1), "mixture"]
    if alone.empty or mono.empty:
        return {}
    often = alone["how"].value_counts()
    way = min(often.index, key=lambda how: (-often[how], len(how)))
    chosen = alone[alone["how"] == way].sort_values("probability")
    return {mono.iloc[0]: 0.0} | dict(zip(chosen["mixture"], chosen["probability"], strict=True))


def encoders(rows: pd.DataFrame, beside: str = "hybrid-0.50") -> list[str]:
    """The base encoders with switched runs of mono batches, mono itself, and the mixture to hold them against."""
    of = dict(tuple(rows.groupby("encoder", sort=False)))
    return [name for name, its in of.items() if curve(its) and beside in set(its["mixture"])]


def realised_shares(table: pd.DataFrame) -> Picture:
    """Which share of the words is really switched, against the probability, with binomial bounds.

    `table`: columns probability, words, known, switched (counts, as `codeswitch.Switched` has them).
    """
    table = table.sort_values("probability")
    p, known = table["probability"].to_numpy(), table["known"].to_numpy()
    of_known, of_words = (table["switched"] / table[of] for of in ("known", "words"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(p, of_known, color=PALETTE[0], marker="o", label="of the words in the lexicon")
    left.plot(p, of_words, color=PALETTE[1], marker="s", linestyle="--", label="of all words")
    left.set(ylabel="share switched", ylim=(-0.02, 1.03))
    low, high = stats.binom.interval(0.95, known, p) / known
    right.bar(p, high - low, 0.15, low - p, color=PALETTE[0], alpha=0.3, label="95 % of binomial draws")
    right.scatter(p, of_known - p, color=PALETTE[0], label="of the words in the lexicon")
    right.axhline(0, color="black", linewidth=0.8)
    right.set(ylabel="share switched - p", ylim=(-1.7 * np.max(high - low), 1.7 * np.max(high - low)))
    for axis in (left, right):
        axis.set(xlabel="switching probability p", xticks=p)
        axis.legend(frameon=False, fontsize=9, loc="upper left")
        axis.spines[["top", "right"]].set_visible(False)
    told = "; ".join(f"{a:.2f} and {b:.2f} at {at:g}" for at, a, b in zip(p, of_known, of_words, strict=True))
    inside = int(((low <= of_known) & (of_known <= high)).sum())
    return picture(
        figure,
        f"Share of words switched, of those in the lexicon and of all, by probability p: {told}. Of the first, {inside} "
        f"of {len(p)} lie within the 95 % bounds of binomial draws.",
    )


def effect(
    intervals: pd.DataFrame, by_probability: Mapping[str, float], title: str, lines: Sequence[str] = (),
    marks: Mapping[str, float] | None = None,
) -> Picture:  # fmt: skip
    """mAP in three settings, and rank distance, by switching probability, with intervals where there are several seeds.

    `intervals`: of `statistics.with_intervals`, of one encoder, settings, benchmark and scope. `by_probability`: of
    `curve`; `lines`: mixtures to compare with, drawn across; `marks`: others that switch, at their probability. Mixtures
    that the table lacks are left out. KitError where none of `by_probability` is there.
    """
    table = intervals.set_index(["metric", "mixture"])
    panels = [name for name in _PANELS if name in table.index and table.loc[name, "mean"].notna().any()]
    if not any((name, one) in table.index for name in panels for one in by_probability):
        raise KitError(
            f"No figure of {', '.join(by_probability) or 'switched runs'} is there to draw; train some first."
        )
    figure, axes = plt.subplots(1, len(panels), figsize=(3.1 * len(panels), 3.5), layout="constrained", squeeze=False)
    told = [
        _panel(axis, table.loc[name], name, by_probability, lines, marks or {}) for axis, name in zip(axes[0], panels)
    ]
    legend = dict(zip(*reversed(axes[0][0].get_legend_handles_labels()), strict=True))
    names = sorted(legend, key=lambda name: name != _CURVE)
    figure.legend([legend[n] for n in names], names, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.suptitle(title)
    return picture(figure, f"{title}, by switching probability p. " + " ".join(told))


def _panel(axis, table: pd.DataFrame, metric: str, by_probability, lines, marks) -> str:
    """Draw one figure of all runs, and tell it."""
    there = {name: at for name, at in by_probability.items() if name in table.index}
    _points(axis, table.loc[list(there)], list(there.values()), color=PALETTE[0], marker="o", label=_CURVE)
    lines = [name for name in lines if name in table.index]
    for name, (style, colour) in zip(lines, cycle(_LINES)):
        axis.axhline(table.loc[name, "mean"], color=colour, linestyle=style, label=name)
    marks = {name: at for name, at in marks.items() if name in table.index}
    for (name, at), (marker, colour, beside) in zip(marks.items(), cycle(_MARKS)):
        _points(axis, table.loc[[name]], [at + beside], color=colour, marker=marker, linestyle="none", label=name)
    axis.set(title=metric, xlabel="p", xlim=(-0.1, 1.1), xticks=[0, 0.25, 0.5, 0.75, 1])
    axis.set_xticklabels(["0", ".25", ".5", ".75", "1"])
    if metric != "rank distance":
        axis.set_ylim(0, 1.03)
    elif min(drawn := table.loc[[*there, *lines, *marks], "mean"]) * 10 > max(drawn):
        axis.set_ylim(0, 1.3 * max(drawn))
    else:
        axis.set(yscale="log", ylim=(min(drawn) / 2, 2 * max(drawn)), title=f"{metric} (log scale)")
    if metric == "rank distance":
        axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.spines[["top", "right"]].set_visible(False)
    said = [f"{_value(table.loc[name, 'mean'])} at {at:g}" for name, at in there.items()]
    said += [f"{name} {_value(table.loc[name, 'mean'])}" for name in (*lines, *marks)]
    return f"{metric}: {', '.join(said)}."


def _points(axis, table: pd.DataFrame, at: Sequence[float], **how) -> None:
    low = table["low"].fillna(table["mean"]).clip(lower=0 if table["mean"].max() <= 1 else 1)
    high = table["high"].fillna(table["mean"])
    axis.errorbar(at, table["mean"], [table["mean"] - low, high - table["mean"]], capsize=4, **how)


def _value(value: float) -> str:
    return f"{value:,.0f}" if value > 1 else f"{value:.2f}"


def mean_reciprocal_ranks(table: pd.DataFrame, title: str) -> Picture:
    """MRR@10 of several rankings by setting, a panel a kind of setting.

    `table`: columns setting (one of `reranking.KINDS`), query_language, passage_language, then one a ranking, of which the
    first, that of the first stage, is drawn as a dash.
    """
    names = list(table.columns[3:])
    kinds = [kind for kind in KINDS if kind in set(table["setting"])]
    sizes = [int((table["setting"] == kind).sum()) for kind in kinds]
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(0.75 * len(table) + 1.5, 3.4), sharey=True, layout="constrained", squeeze=False,
        width_ratios=sizes,
    )  # fmt: skip
    for axis, kind in zip(axes[0], kinds, strict=True):
        part = table[table["setting"] == kind]
        places = np.arange(len(part))
        axis.scatter(places, part[names[0]], marker="_", color="black", s=900)
        axis.scatter([], [], marker="_", color="black", s=200, label=names[0])  # shorter in the legend
        for number, (name, marker) in enumerate(zip(names[1:], "osD^v", strict=False)):
            beside = 0.2 * (number - (len(names) - 2) / 2)  # points that are equal stand side by side
            axis.scatter(places + beside, part[name], marker=marker, color=PALETTE[number], s=40, label=name)
        axis.set_xticks(places, part["query_language"] + "\n" + part["passage_language"])
        axis.set(title=kind, xlim=(-0.6, len(part) - 0.4), ylim=(-0.03, 1.03))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("MRR@10")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.suptitle(f"{title} (above: language of the questions, below: of the passages)", fontsize=10)
    means = table.groupby("setting")[names].mean()
    told = "; ".join(f"{kind}: " + ", ".join(f"{n} {means.loc[kind, n]:.2f}" for n in names) for kind in kinds)
    return picture(figure, f"{title}: MRR@10 by setting, in the mean over settings {told}.")

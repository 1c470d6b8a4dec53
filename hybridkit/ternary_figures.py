"""Figures of a study over the simplex of mixtures: maps, the Pareto front, the edge from cross to mono, differences."""

import matplotlib.pyplot as plt
import mpltern  # noqa: F401 (its import makes the projection "ternary" known)
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation

from hybridkit.errors import KitError
from hybridkit.figures import PALETTE, Picture, picture
from hybridkit.simplex import DISTANCE, GOALS, on_front
from hybridkit.statistics import LOWER_IS_BETTER

_WEIGHTS = ["mono", "cross", "multi"]
#: Where the paper reports that the results change little (section on the batch ratio): alpha, the share of mono.
FLAT = (0.4, 0.6)
_SHAPES = (("o", "-"), ("s", "--"), ("^", ":"))


def ternary_maps(table: pd.DataFrame, title: str) -> Picture:
    """Monolingual, cross-lingual and multilingual mAP and rank distance over the simplex, a triangle each.

    `table`: of `simplex.points`, at least one mixture. A triangle's corners are pure mixtures and its dots the mixtures
    that were trained, with their values; between dots the colours are interpolated, outside of them there are none.
    Bright is good in every triangle; mAP goes from 0 to 1, rank distance has a log scale. A star marks uniform, a ring
    the best.
    """
    _check(table)
    figure = plt.figure(figsize=(11, 9.4), layout="constrained")
    told = []
    for place, metric in enumerate((*GOALS, DISTANCE)):
        axis = figure.add_subplot(2, 2, place + 1, projection="ternary")
        axis.set_title(f"{metric} (log colours)" if metric == DISTANCE else metric, pad=40)
        shown = table.dropna(subset=metric) if metric in table else table.iloc[:0]
        if shown.empty:
            axis.text(1 / 3, 1 / 3, 1 / 3, "not defined", ha="center")
            told.append(f"{metric} is not defined")
        else:
            colours = _triangle(axis, shown, metric)
            figure.colorbar(colours, ax=axis, shrink=0.6, pad=0.08)
            told.append(_extremes(shown, metric))
        _corners(axis)
    figure.suptitle(f"{title}: {_how_many(table)}", fontsize=13)
    figure.supxlabel(
        "dots: mixtures that were trained; star: uniform; red ring: the best; bright is better", fontsize=10
    )
    return picture(
        figure, f"{title}: four triangles over the mixtures of mono, cross and multi. " + "; ".join(told) + "."
    )


def _check(table: pd.DataFrame) -> None:
    if table.empty:
        raise KitError("There is no mixture to draw; finish runs first, with `hybridkit sweep --mixtures simplex`.")


def _triangle(axis, shown: pd.DataFrame, metric: str):
    """Draw one triangle and return what a colour bar is made from."""
    values, weights = shown[metric].to_numpy(), shown[_WEIGHTS].to_numpy()
    distance = metric == DISTANCE
    norm = LogNorm(max(1, values.min()), max(2, values.max())) if distance else Normalize(0, 1)
    look = {"cmap": "cividis_r" if distance else "cividis", "norm": norm}
    if np.linalg.matrix_rank(weights - weights[0], tol=1e-6) == 2:  # else all dots lie on one line
        axis.tripcolor(*weights.T, np.maximum(values, 1) if distance else values, shading="gouraud", **look)
    dots = axis.scatter(*weights.T, c=values, edgecolor="black", s=45, zorder=3, clip_on=False, **look)
    _mark(axis, shown, metric)
    raised = ScaledTranslation(0, 6 / 72, axis.figure.dpi_scale_trans)  # clear of the dots
    size = 8.5 if len(shown) <= 25 else 6.5
    for place, value in zip(weights, values, strict=True):
        number = _number(value, metric).replace(",", "").removeprefix("0") or "0"
        text = axis.text(*place, number, size=size, ha="center", va="bottom", zorder=5)
        text.set_transform(text.get_transform() + raised)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    return dots


def _mark(axis, shown: pd.DataFrame, metric: str) -> None:
    """A ring around the best mixture and a star on the uniform one."""
    best = shown.loc[_best(shown, metric)]
    axis.scatter(
        *best[_WEIGHTS].astype(float),
        facecolor="none",
        edgecolor="#d62728",
        linewidth=2.5,
        s=150,
        zorder=4,
        clip_on=False,
    )
    uniform = shown[shown["mixture"] == "uniform"]
    axis.scatter(*uniform[_WEIGHTS].to_numpy().T, marker="*", color="white", edgecolor="black", s=190, zorder=4)


def _best(shown: pd.DataFrame, metric: str):
    return shown[metric].idxmin() if metric == DISTANCE else shown[metric].idxmax()


def _corners(axis) -> None:
    """Name the corners, outside of them, and leave the ticks out: the dots lie at known places."""
    axis.set_ternary_lim(0, 1, 0, 1, 0, 1)
    for side in (axis.taxis, axis.laxis, axis.raxis):
        side.set_ticks([])
    for place, name in (((1.14, -0.07, -0.07), "mono"), ((-0.1, 1.13, -0.03), "cross"), ((-0.1, -0.03, 1.13), "multi")):
        axis.text(*place, name, ha="center", va="center", size=12, weight="bold")


def _number(value: float, metric: str) -> str:
    return f"{value:,.0f}" if metric == DISTANCE else f"{value:.3f}"


def _extremes(shown: pd.DataFrame, metric: str) -> str:
    """Best and worst mixture of a figure, and the uniform one, in words."""
    by_name = shown.set_index("mixture")[metric]
    best = by_name.index[shown.index.get_loc(_best(shown, metric))]
    worst = by_name.idxmax() if metric == DISTANCE else by_name.idxmin()
    told = f"{metric} is best at {best} ({_number(by_name[best], metric)}) and worst at {worst} "
    told += f"({_number(by_name[worst], metric)})"
    return told + (f", uniform has {_number(by_name['uniform'], metric)}" if "uniform" in by_name else "")


def _how_many(table: pd.DataFrame) -> str:
    least, most = int(table["seeds"].min()), int(table["seeds"].max())
    seeds = f"{least} seed{'s' * (least > 1)}" if least == most else f"{least} to {most} seeds"
    return f"{len(table)} mixtures, means of {seeds}"


def front_dots(table: pd.DataFrame, title: str) -> Picture:
    """The Pareto front: mAP of every mixture in the three settings, filled where no other mixture beats it in all.

    `table`: of `simplex.points`. One mixture beats another if it is at least as good in every setting and better in
    one. Those on the front stand above, by cross-lingual mAP, then the others.
    """
    _check(table)
    goals = [goal for goal in GOALS if goal in table and table[goal].notna().any()]
    by = "cross-lingual mAP" if "cross-lingual mAP" in goals else goals[0]
    ordered = table.assign(front=on_front(table)).sort_values(["front", by], ascending=[False, False], kind="stable")
    count = int(ordered["front"].sum())
    figure, axes = plt.subplots(
        1,
        len(goals),
        figsize=(3.3 * len(goals) + 1.6, 0.27 * len(ordered) + 1.5),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    for axis, goal, colour in zip(axes[0], goals, PALETTE, strict=False):
        _dots(axis, ordered, goal, colour)
        axis.axhline(count - 0.5, color="black", linewidth=0.8, linestyle="--")
    axes[0][0].set_yticks(range(len(ordered)), ordered["mixture"])
    axes[0][0].set_ylim(len(ordered) - 0.3, -0.7)
    figure.suptitle(f"{title}: above the line, the {count} mixtures that no other beats in all settings")
    names = ", ".join(ordered["mixture"][:count])
    return picture(
        figure,
        f"{title}: dots of {', '.join(goals)} by mixture. No other mixture beats {names}; the other "
        f"{len(ordered) - count} of {len(ordered)} are beaten. {'; '.join(_extremes(table, goal) for goal in goals)}.",
    )


def _dots(axis, ordered: pd.DataFrame, goal: str, colour) -> None:
    values, rows, front = ordered[goal].to_numpy(), np.arange(len(ordered)), ordered["front"].to_numpy()
    axis.scatter(values[front], rows[front], color=colour, s=45, zorder=3)
    axis.scatter(values[~front], rows[~front], facecolor="white", edgecolor="grey", s=35, zorder=3)
    for value, row, on in zip(values, rows, front, strict=True):
        if not np.isnan(value):
            told = {"ha": "right", "xytext": (-7, 0)} if value > 0.5 else {"ha": "left", "xytext": (7, 0)}
            axis.annotate(
                f"{value:.3f}", (value, row), textcoords="offset points", va="center", size=8,
                color="black" if on else "dimgrey", **told,
            )  # fmt: skip
    axis.set(title=goal, xlim=(-0.04, 1.04), xlabel="mAP")
    axis.grid(axis="y", color="#eeeeee")
    axis.spines[["top", "right"]].set_visible(False)


def edge_curve(edge: pd.DataFrame, title: str) -> Picture:
    """The edge from cross (alpha 0) to mono (alpha 1): mAP in three settings, and rank distance where it is defined, with
    their intervals.

    `edge`: of `simplex.edge`, or with other intervals in its columns low and high; NaN where there is none. The grey
    region is FLAT, in which the paper reports stable results.
    """
    if edge.empty:
        raise KitError("There is no mixture of mono and cross alone to draw; finish runs such as mono and cross first.")
    panels = 1 + int(edge.loc[edge["metric"] == DISTANCE, "mean"].notna().any())
    figure, axes = plt.subplots(1, panels, figsize=(5 * panels, 3.8), layout="constrained", squeeze=False)
    left, right = axes[0, 0], axes[0, -1]
    told = []
    for metric, colour, shape in zip(GOALS, PALETTE, _SHAPES, strict=False):
        told += _curve(left, edge, metric, colour, shape)
    if panels == 2:
        told += _curve(right, edge, DISTANCE, "black", ("D", "-"))
        right.set(ylabel="rank distance (log scale)", yscale="log")
    for axis in axes[0]:
        axis.axvspan(*FLAT, color="#dddddd", zorder=0, label="paper: stable (.4 to .6)")
        axis.set(xlabel="alpha: share of mono batches, the rest is cross", xlim=(-0.03, 1.03))
        axis.spines[["top", "right"]].set_visible(False)
    left.set(ylabel="mAP", ylim=(0, 1.03))
    handles = left.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2 * panels, frameon=False, fontsize=9)
    figure.suptitle(f"{title} (bars: intervals, where there are several seeds)", fontsize=11)
    return picture(
        figure, f"{title}. " + "; ".join(told) + f". Grey: alpha from {FLAT[0]} to {FLAT[1]}, stable in the paper."
    )


def _curve(axis, edge: pd.DataFrame, metric: str, colour, shape: tuple[str, str]) -> list[str]:
    """Draw a figure along the edge and return what is to be told of it, if it is defined."""
    part = edge[(edge["metric"] == metric) & edge["mean"].notna()].sort_values("mono")
    if part.empty:
        return []
    low = part["low"]
    if metric == DISTANCE:  # a log scale needs more than 0, and a distance below 1 takes ties
        low = low.clip(lower=part["mean"].clip(upper=1))
    bars = [part["mean"] - low, part["high"] - part["mean"]]
    axis.errorbar(
        part["mono"], part["mean"], bars, color=colour, marker=shape[0], linestyle=shape[1], capsize=4, label=metric
    )
    inside = part[part["mono"].between(FLAT[0] - 1e-9, FLAT[1] + 1e-9)]["mean"]
    ends = f"{metric} from {_number(part['mean'].iloc[0], metric)} at alpha {part['mono'].iloc[0]:g} to "
    ends += f"{_number(part['mean'].iloc[-1], metric)} at alpha {part['mono'].iloc[-1]:g}"
    between = f", in the grey region {_number(inside.min(), metric)} to {_number(inside.max(), metric)}"
    return [ends + (between if len(inside) else "")]


def triangle(table: pd.DataFrame) -> Picture:
    """Where each mixture of a table of `simplex.points` lies: corners pure, edges of two kinds, all three inside."""
    _check(table)
    figure = plt.figure(figsize=(7.6, 6), layout="constrained")
    axis = figure.add_subplot(projection="ternary")
    _corners(axis)
    on = (table[_WEIGHTS] > 0).sum(axis=1)
    looks = {1: ("s", "a corner: one kind of batch"), 2: ("o", "an edge: two kinds"), 3: ("^", "inside: all three")}
    for count, (marker, label) in looks.items():
        part = table.loc[on == count, _WEIGHTS].to_numpy()
        if len(part):
            axis.scatter(*part.T, marker=marker, s=60, color=PALETTE[count - 1], label=label, zorder=3, clip_on=False)
    for name, place in zip(table["mixture"], table[_WEIGHTS].to_numpy(), strict=True):
        _name(axis, name, place)
    figure.legend(loc="upper left", frameon=False, fontsize=9)
    told = ", ".join(f"{(on == count).sum()} {label.partition(':')[0]}" for count, (_, label) in looks.items())
    return picture(
        figure,
        "A triangle with mono at the top, cross at the left and multi at the right. Of the "
        f"{len(table)} mixtures so many lie on a corner, an edge, inside: {told}.",
    )


def _name(axis, name: str, place: np.ndarray) -> None:
    """Write the name of a mixture beside its dot, outside of the triangle; a corner's is that of LAReQA."""
    mono, cross, multi = place > 0
    away = {"va": "bottom", "ha": "center", "at": (0, 8)}
    if place.max() == 1:
        name, away["at"] = "X-X-mono" if mono else "X-Y" if cross else "X-X", (-34 if mono else 0, 10)
    elif not mono:
        away |= {"va": "top", "at": (0, -8)}
    elif not cross or not multi:
        away |= {"va": "center", "ha": "right" if cross else "left", "at": (-9 if cross else 9, 0)}
    shift = ScaledTranslation(*(points / 72 for points in away.pop("at")), axis.figure.dpi_scale_trans)
    text = axis.text(*place, name.removeprefix("mix-").replace("0.", "."), size=8.5, zorder=4, **away)
    text.set_transform(text.get_transform() + shift)
    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def differences(table: pd.DataFrame, title: str) -> Picture:
    """Differences from the baseline with their intervals, a row a mixture and a panel a metric; right is always better.

    `table`: of `statistics.compare_with`, of one encoder, benchmark and scope. Full dots are those called real. mAP has
    a linear axis; rank distance has its sign turned, and an axis that is logarithmic beyond 10.
    """
    if table.empty:
        raise KitError("There is no difference to draw; the baseline and another mixture must share a seed.")
    mixtures, metrics = list(dict.fromkeys(table["mixture"])), list(dict.fromkeys(table["metric"]))
    size = 3 * len(metrics) + 1.6, 0.27 * len(mixtures) + 1.6
    figure, axes = plt.subplots(1, len(metrics), figsize=size, sharey=True, layout="constrained", squeeze=False)
    told = []
    for axis, metric in zip(axes[0], metrics, strict=True):
        part = table[table["metric"] == metric].set_index("mixture")
        _forest(axis, part, [mixtures.index(name) for name in part.index], metric in LOWER_IS_BETTER)
        axis.set_title(metric, fontsize=10)
        better = part["verdict"] == "real: better"
        told.append(f"{metric}: {better.sum()} really better, {(part['verdict'] == 'real: worse').sum()} really worse")
    axes[0][0].set_yticks(range(len(mixtures)), mixtures)
    axes[0][0].set_ylim(len(mixtures) - 0.4, -0.6)
    baseline = table["baseline"].iloc[0]
    figure.suptitle(f"{title}: differences from {baseline}", fontsize=12)
    figure.supxlabel(
        "blue dots, right of the line: better than the baseline; orange squares: worse; full: real; hollow: not shown",
        fontsize=9,
    )
    return picture(figure, f"{title}: {len(mixtures)} mixtures against {baseline}, with intervals. {'; '.join(told)}.")


def _forest(axis, part: pd.DataFrame, rows: list[int], turned: bool) -> None:
    """The differences of one metric, `turned` where less is better."""
    sign = -1 if turned else 1
    middle, ends = sign * part["difference"], sign * part[["low", "high"]]
    better, real = middle > 0, part["verdict"].str.startswith("real")
    for row, value, low, high, good, full in zip(
        rows, middle, ends.min(axis=1), ends.max(axis=1), better, real, strict=True
    ):
        colour = PALETTE[0] if good else PALETTE[3]
        axis.plot([low, high], [row, row], color=colour, linewidth=1.5, zorder=2)
        face = colour if full else "white"
        axis.scatter(value, row, s=34, marker="o" if good else "s", edgecolor=colour, facecolor=face, zorder=3)
    axis.axvline(0, color="black", linewidth=0.8)
    if turned:
        axis.set_xscale("symlog", linthresh=10)
        axis.margins(x=0.12)
        axis.tick_params(axis="x", labelsize=7)
    else:
        axis.locator_params(axis="x", nbins=5)  # labels of thousandths are wide
    axis.set_xlabel("less rank distance" if turned else "more mAP", fontsize=9)
    axis.grid(axis="y", color="#eeeeee")
    axis.spines[["top", "right"]].set_visible(False)

"""Figures of a study over the simplex of mixtures: ternary maps, the Pareto front, the edge from cross to mono."""

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
    """The edge from cross (alpha 0) to mono (alpha 1): mAP in three settings, and rank distance, with their intervals.

    `edge`: of `simplex.edge`, or with other intervals in its columns low and high; NaN where there is none. The grey
    region is FLAT, in which the paper reports stable results.
    """
    if edge.empty:
        raise KitError("There is no mixture of mono and cross alone to draw; finish runs such as mono and cross first.")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    told = []
    for metric, colour, shape in zip(GOALS, PALETTE, _SHAPES, strict=False):
        told += _curve(left, edge, metric, colour, shape)
    told += _curve(right, edge, DISTANCE, "black", ("D", "-"))
    for axis in (left, right):
        axis.axvspan(*FLAT, color="#dddddd", zorder=0, label="paper: stable (.4 to .6)")
        axis.set(xlabel="alpha: share of mono batches, the rest is cross", xlim=(-0.03, 1.03))
        axis.spines[["top", "right"]].set_visible(False)
    left.set(ylabel="mAP", ylim=(0, 1.03))
    right.set(ylabel="rank distance (log scale)", yscale="log")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
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

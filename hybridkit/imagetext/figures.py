"""Figures of images with captions, each with its alternative text: pictures in rows, attention, losses, stages, ratios.

Texts in many scripts stand beside pictures as HTML, where a reader's own fonts show them; nothing is told by colour alone.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybridkit.figures import PALETTE, Picture, _axes, _points, picture
from hybridkit.languages import language

#: Pixels of a side as which a picture is shown.
SIDE = 112
_LINES = ("-", "--", ":", "-.")
_MARKERS = "osD^vP*X"


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture, uint8 (height, width, 3), with the text below it in a language; `right` draws a frame and a tick."""

    pixels: np.ndarray
    text: str = ""
    language: str = "en"
    right: bool = False


@dataclass(frozen=True, eq=False)
class PictureRows:
    """Rows of pictures: each with a heading, its language, and pictures of which `what` says in general what they are."""

    rows: Sequence[tuple[str, str, Sequence[Shown]]]
    what: str

    def _repr_html_(self) -> str:
        return f"<table>{''.join(self._row(number, *row) for number, row in enumerate(self.rows, 1))}</table>"

    def _row(self, number: int, heading: str, code: str, pictures: Sequence[Shown]) -> str:
        style = "text-align: start; white-space: normal; max-width: 20em"
        head = f'<th scope="row" {_direction(code)} style="{style}">{html.escape(heading)}</th>' if heading else ""
        cells = [self._cell(f"row {number}, {place} of {len(pictures)}", one) for place, one in enumerate(pictures, 1)]
        return f"<tr>{head}{''.join(cells)}</tr>"

    def _cell(self, place: str, one: Shown) -> str:
        alt = f"{self.what}: picture in {place}{', the right one' if one.right else ''}. {one.text}"
        frame = f"outline: 4px solid {_hex(PALETTE[0])}; outline-offset: -4px; " if one.right else ""
        text = ("✓ " if one.right else "") + one.text
        return (
            '<td style="text-align: center; vertical-align: top">'
            f'<img alt="{html.escape(alt, quote=True)}" width="{SIDE}" height="{SIDE}" '
            f'style="{frame}image-rendering: pixelated" src="data:image/png;base64,{base64.b64encode(png(one.pixels)).decode()}">'
            f'<div {_direction(one.language)} style="max-width: {SIDE}px; white-space: normal">{html.escape(text)}</div></td>'
        )

    def __repr__(self) -> str:
        told = "; ".join(
            f"{heading}: {', '.join(one.text + (' (right)' if one.right else '') for one in pictures)}"
            for heading, _, pictures in self.rows
        )
        return f"{self.what}. {told}"


def _direction(code: str) -> str:
    return f'lang="{code}" dir="{language(code).direction}"'


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


def png(pixels: np.ndarray) -> bytes:
    """A picture, uint8 (height, width, 3), as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return buffer.getvalue()


def gallery(
    pixels: Sequence[np.ndarray], texts: Sequence[str], what: str, columns: int = 4, code: str = "en"
) -> PictureRows:
    """Pictures with a text below each, in rows of so many."""
    shown = [Shown(one, text, code) for one, text in zip(pixels, texts, strict=True)]
    return PictureRows([("", code, shown[start : start + columns]) for start in range(0, len(shown), columns)], what)


def retrieved(found: Sequence[tuple[str, str, Sequence[np.ndarray], int | None]], what: str) -> PictureRows:
    """What captions find: for each its text, its language, the pictures best first, and the place of the right one, from
    0, or None where it is not among them."""
    return PictureRows(
        [
            (text, code, [Shown(one, str(place + 1), right=place == right) for place, one in enumerate(pictures)])
            for text, code, pictures, right in found
        ],
        what,
    )


def attention(pixels: np.ndarray, words: Sequence[tuple[str, np.ndarray]], code: str, what: str) -> PictureRows:
    """Where each word looks in a picture: the picture itself, and for each word one that is dark where it does not look.

    `pixels`: uint8 (size, size, 3). `words`: a word and its shares (rows, columns) of patches (`Albef.attend`).
    """
    shown = [Shown(pixels, "")]
    for word, shares in words:
        times = pixels.shape[0] // shares.shape[0]
        light = 0.15 + 0.85 * np.kron(shares / shares.max(), np.ones((times, times)))
        shown.append(Shown((pixels * light[..., None]).round().astype(np.uint8), word, code))
    return PictureRows([("", code, shown)], what)


def loss_parts(losses: Mapping[str, Sequence[tuple[int, float]]], title: str = "Losses of ALBEF") -> Picture:
    """Each loss by step, of `losses.json` of a run: name to pairs (step, mean since the last point)."""
    figure, axis = _axes(6.5, 3.2)
    told = []
    for place, (name, points) in enumerate(losses.items()):
        steps, values = zip(*points, strict=True)
        style = {"color": PALETTE[place], "linestyle": _LINES[place % 4], "marker": _MARKERS[place % 8]}
        axis.plot(steps, values, label=name, markersize=4, **style)
        told.append(f"{name} from {values[0]:.2f} to {values[-1]:.2f}")
    axis.set(xlabel="step", ylabel="loss (mean since the last point)", ylim=(0, None), title=title)
    axis.legend(frameon=False, fontsize=8)
    return picture(figure, f"{title}, lines by step: {'; '.join(told)}.")


def two_stages(table: pd.DataFrame, direction: str, title: str, metric: str = "R@1") -> Picture:
    """A figure, and the time of a query, by how many candidates the first stage passes on (`fico.Comparison.pipelines`).

    Black lines are the share of queries with a relevant candidate passed on, above which nothing can come.
    """
    figure, (left, right) = _axes(9.5, 3.6, columns=2)
    told = []
    mine = table[table["direction"] == direction]
    for place, ((first, second), rows) in enumerate(mine.groupby(["first", "second"], sort=False)):
        style = {
            "color": PALETTE[place],
            "linestyle": _LINES[place % 4],
            "marker": _MARKERS[place % 8],
            "markersize": 5,
        }
        left.plot(rows["passed on"], rows[metric], label=f"{first}, then {second}", **style)
        right.plot(rows["passed on"], rows["query ms"], **style)
        last = rows.iloc[-1]
        told.append(
            f"{first}, then {second}: {metric} {rows[metric].iloc[0]:.2f} with {rows['passed on'].iloc[0]} passed on and "
            f"{last[metric]:.2f} with {last['passed on']}, which takes {last['query ms']:.2g} ms a query"
        )
    for place, (first, rows) in enumerate(mine.drop_duplicates(["first", "passed on"]).groupby("first", sort=False)):
        style = {"color": "black", "linewidth": 1, "linestyle": _LINES[place % 4]}
        left.plot(rows["passed on"], rows["first-stage recall"], label=f"passed on by {first}", **style)
    passed_on = sorted(set(mine["passed on"]))
    for axis in (left, right):
        axis.set(xscale="log", xlabel="candidates passed on")
        axis.set_xticks(passed_on, [f"{k}" for k in passed_on])
        axis.minorticks_off()
    left.set(ylim=(0, 1.03), ylabel=metric)
    right.set(yscale="log", ylabel="ms a query")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.suptitle(f"{title}, {direction}")
    return picture(figure, f"{title}, {direction}: curves over the candidates passed on. {'; '.join(told)}.")


def ratio_curve(tables: Mapping[str, pd.DataFrame], metrics: Sequence[str], title: str) -> Picture:
    """Figures against the share of mono batches, a panel a metric, a line for each table; other mixtures stand beside.

    `tables`: rows of `comparison.collect` for one set of images and scope, by the name of the line (such as the
    encoder's). Points are means over seeds, bars one standard deviation. Mixtures with multi batches, such as uniform,
    are points right of the line.
    """
    figure, axes = _axes(4.6 * len(metrics), 3.8, columns=len(metrics))
    told = []
    for axis, metric in zip(np.atleast_1d(axes), metrics, strict=True):
        beside = sorted({name for rows in tables.values() for name in rows[rows["multi"] > 0]["mixture"]})
        for place, (name, rows) in enumerate(tables.items()):
            points = _points(rows[rows["multi"] == 0], metric)
            style = {"color": PALETTE[place], "marker": _MARKERS[place % 8], "capsize": 2}
            axis.errorbar(points.index, points["mean"], points["std"], linestyle=_LINES[place % 4], label=name, **style)
            others = rows[rows["metric"] == metric].groupby("mixture")["value"].agg(["mean", "std"]).fillna(0)
            for number, other in enumerate(beside):
                if other in others.index:
                    at = 1.18 + 0.16 * number + 0.03 * place
                    axis.errorbar(at, *others.loc[other], linestyle="none", **style)
            told.append(f"{metric} of {name} " + ", ".join(f"{v:,.3g} at {a:g}" for a, v in points["mean"].items()))
            told += [f"{others.loc[other, 'mean']:,.3g} with {other}" for other in beside if other in others.index]
        ticks = [*(tick / 4 for tick in range(5)), *(1.18 + 0.16 * number for number in range(len(beside)))]
        axis.set(xlabel="alpha: share of mono batches", ylabel=metric, xticks=ticks)
        axis.set_xticklabels([*(f"{tick / 4:g}" for tick in range(5)), *beside], fontsize=8)
    np.atleast_1d(axes)[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    return picture(figure, f"{title}. Points over alpha: {'; '.join(told)}.")

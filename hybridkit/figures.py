"""Every figure of the kit, each with its alternative text; colours that colour-blind readers can tell apart."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg", force=False)
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from hybridkit.languages import language
from hybridkit.metrics import SETTINGS
from hybridkit.ranks import GoldRanks

PALETTE = sns.color_palette("colorblind")
KIND_COLOURS = {"mono": PALETTE[0], "cross": PALETTE[1], "multi": PALETTE[2], "variants": PALETTE[4]}
_STYLES = {"monolingual": ("o", "-"), "cross-lingual": ("s", "--"), "multilingual": ("^", ":")}


@dataclass(frozen=True)
class Picture:
    """A figure and the text that stands for it where it cannot be seen.

    Shown in a notebook as an HTML image with that text: JupyterLab puts none on plain PNG outputs.
    """

    png: bytes
    alt: str

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        return f'<img alt="{html.escape(self.alt, quote=True)}" style="max-width: 100%" src="data:image/png;base64,{data}">'

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"

    def save(self, path: Path) -> Path:
        """Write the PNG, and its alternative text beside it as .txt."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.png)
        path.with_suffix(".txt").write_text(self.alt + "\n", encoding="utf-8")
        return path


def picture(figure: Figure, alt: str) -> Picture:
    """Turn a matplotlib figure into a Picture and close it. `alt` says what a reader should see in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return Picture(buffer.getvalue(), alt)


def _axes(width: float, height: float, columns: int = 1, **kwargs):
    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", **kwargs)
    for axis in np.atleast_1d(axes):
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def batch_kinds(plan, steps: int = 60) -> Picture:
    """The kind of each of the first batches of a plan (`sampling.BatchPlan`), as a strip."""
    kinds = [plan.kind(step) for step in range(steps)]
    figure, axis = _axes(9, 1.3)
    there = [kind for kind in KIND_COLOURS if plan.weights[kind] > 0 or kind in kinds]
    for row, kind in enumerate(there):
        at = [step for step, found in enumerate(kinds) if found == kind]
        axis.scatter(at, [row] * len(at), marker="s", s=40, color=KIND_COLOURS[kind])
        axis.text(-1.5, row, f"{kind} ({len(at)})", ha="right", va="center")
    axis.set(xlabel="step", yticks=[], ylim=(-0.7, len(there) - 0.3))
    axis.spines["left"].set_visible(False)
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in there)
    order = "in random order" if plan.end is None else "drawn by weights that move"
    return picture(figure, f"The first {steps} batches by kind: {told}, {order}.")


def score_matrices(batches: dict[str, Sequence[tuple[str, str]]]) -> Picture:
    """The score matrix of a small batch of each kind: which scores compare a question with a passage of its language.

    `batches`: kind to a list of (question's language, passage's language), a pair an example. Row i is question i,
    column j the passage of example j, so the diagonal holds the scores to raise and the rest those to lower.
    """
    width = 3.1 * len(batches) + 0.6
    figure, axes = _axes(width, 3.6, columns=len(batches))
    told = []
    for axis, (kind, batch) in zip(np.atleast_1d(axes), batches.items(), strict=True):
        asked, answered = zip(*batch, strict=True)
        same = np.array([[q == p for p in answered] for q in asked])
        sns.heatmap(
            same, ax=axis, cmap=["#f2f2f2", PALETTE[0]], vmin=0, vmax=1, cbar=False, square=True, linewidths=1,
            xticklabels=answered, yticklabels=asked,
        )  # fmt: skip
        for i in range(len(batch)):
            axis.text(
                i + 0.5, i + 0.5, "+", ha="center", va="center", color="white" if same[i, i] else "black", size=15
            )
        axis.tick_params(axis="y", rotation=0)
        axis.tick_params(axis="x", rotation=0)
        axis.set(title=kind, xlabel="passage, by language")
        negatives = same.sum() - np.trace(same)
        told.append(
            f"{kind}: {np.trace(same)} of {len(batch)} positives and {negatives} of {len(batch) * (len(batch) - 1)} "
            "negatives are in the language of their question"
        )
    np.atleast_1d(axes)[0].set_ylabel("question, by language")
    figure.legend(
        handles=[Patch(color=PALETTE[0], label="same language as the question"), Patch(color="#d9d9d9", label="another language")],
        loc="outside lower center", ncols=2, frameon=False, fontsize=9,
    )  # fmt: skip
    return picture(figure, "Score matrices of small batches, positives on the diagonal. " + "; ".join(told) + ".")


def language_pairs(table: pd.DataFrame, languages: Sequence[str], title: str) -> Picture:
    """How many examples of a plan table have each pair of query and passage language, as a heat map."""
    counts = pd.crosstab(table["query_language"], table["passage_language"]).reindex(
        index=languages, columns=languages, fill_value=0
    )
    figure, axis = _axes(4.6, 3.8)
    sns.heatmap(counts, ax=axis, cmap="cividis", annot=True, fmt="d", cbar=False, square=True, annot_kws={"size": 7})
    axis.set(title=title, xlabel="passage language", ylabel="query language")
    same = int(np.trace(counts.to_numpy()))
    return picture(
        figure,
        f"{title}: heat map of query language by passage language; {same} of {int(counts.to_numpy().sum())} "
        "examples lie on the diagonal, where both languages are the same.",
    )


def loss_curve(record: dict, title: str = "Training loss") -> Picture:
    """The loss of a training record (`training.train`) by step."""
    steps, losses = zip(*record["loss"], strict=True)
    figure, axis = _axes(6, 3)
    axis.plot(steps, losses, color=PALETTE[0], marker=".")
    axis.set(xlabel="step", ylabel="loss (mean since the last point)", title=title, yscale="log")
    return picture(figure, f"{title}: from {losses[0]:.2f} to {losses[-1]:.3f} over {steps[-1]} steps.")


def rank_distance_dots(rows: pd.DataFrame, title: str) -> Picture:
    """Rank distance by query language (`bias.rank_distance`), with the chance level as a line; log scale."""
    figure, axis = _axes(6, 3)
    axis.scatter(rows["query_language"], rows["mean"], color=PALETTE[0], s=50, label="mean")
    axis.scatter(rows["query_language"], rows["median"], color=PALETTE[1], marker="D", zorder=3, label="median")
    axis.axhline(rows["chance"].mean(), color="black", linestyle="--", label="chance level")
    axis.set(yscale="log", ylabel="rank distance", xlabel="query language", title=title)
    axis.legend(frameon=False, fontsize=8)
    least, most = rows.loc[rows["mean"].idxmin()], rows.loc[rows["mean"].idxmax()]
    return picture(
        figure,
        f"{title}: dots of mean rank distance by query language, from {least['mean']:,.0f} ({least['query_language']}) "
        f"to {most['mean']:,.0f} ({most['query_language']}); chance level {rows['chance'].mean():,.0f}.",
    )


def where_answers_rank(gold: GoldRanks, question: str, title: str, unseen: Sequence[str] = ()) -> Picture:
    """For one question, asked in each language: the rank of each language's answer in the pool of all languages.

    Answers in the languages `unseen` are drawn hollow.
    """
    ranks = gold.ranks(gold.pools)
    asked_in = gold.query_languages[gold.gold_query]
    chosen = gold.questions[gold.gold_query] == question
    figure, axis = _axes(6.5, 0.3 * len(set(asked_in[chosen])) + 1.4)
    for row, code in enumerate(sorted(set(asked_in[chosen]))):
        mine = chosen & (asked_in == code)
        axis.plot([ranks[mine].min(), ranks[mine].max()], [row, row], color="lightgrey", zorder=1)
        for rank, said in zip(ranks[mine], gold.gold_language[mine], strict=True):
            colour, marker, size = (PALETTE[1], "D", 36) if said == code else (PALETTE[0], "o", 20)
            face = "white" if said in unseen else colour
            axis.scatter(rank, row, edgecolor=colour, facecolor=face, marker=marker, s=size, zorder=2 + (said == code))
    axis.invert_yaxis()
    axis.set(
        xscale="log",
        yticks=range(len(set(asked_in[chosen]))),
        yticklabels=sorted(set(asked_in[chosen])),
        xlabel="rank in the pool of all languages (1 is best)",
        ylabel="asked in",
        title=title,
    )
    worst = ranks[chosen].max()
    return picture(
        figure,
        f"{title}: for each query language, the ranks of the {len(gold.pools)} parallel answers on a log scale; "
        f"diamonds mark the answer in the language of the question, hollow marks answers in {' and '.join(unseen) or 'none'}; "
        f"the worst rank is {worst:,.0f}.",
    )


def ratio_curve(table: pd.DataFrame, title: str, baseline: dict[str, float] | None = None) -> Picture:
    """mAP of the three settings, and rank distance, against the share of mono batches (alpha).

    `table`: rows of `comparison.collect` for one encoder, benchmark and scope, mixtures with multi = 0;
    points are means over seeds, bars one standard deviation. `baseline`: BM25's figures, as thin lines.
    """
    figure, (left, right) = _axes(9, 3.4, columns=2)
    told = []
    for colour, setting in zip(PALETTE, SETTINGS, strict=False):
        points = _points(table, f"{setting} mAP")
        if points.empty:  # a benchmark with candidates in one language alone
            continue
        marker, line = _STYLES[setting]
        left.errorbar(
            points.index, points["mean"], points["std"], color=colour, marker=marker, linestyle=line, label=setting
        )
        if baseline:
            left.axhline(baseline[f"{setting} mAP"], color=colour, linewidth=0.8, alpha=0.6)
        told.append(
            f"{setting} mAP from {points['mean'].iloc[0]:.2f} at alpha 0 to {points['mean'].iloc[-1]:.2f} at alpha 1"
        )
    left.set(xlabel="alpha: share of mono batches", ylabel="mAP", ylim=(0, 1.03))
    left.legend(frameon=False, fontsize=8)
    points = _points(table, "rank distance")
    if points.empty:
        right.text(
            0.5, 0.5, "no rank distance:\nno answers in several languages", ha="center", transform=right.transAxes
        )
    right.errorbar(points.index, points["mean"], points["std"], color="black", marker="o")
    right.set(xlabel="alpha: share of mono batches", ylabel="rank distance (log scale)", yscale="log")
    figure.suptitle(title)
    told.append(
        "rank distance " + (", ".join(f"{v:,.0f} at {a:g}" for a, v in points["mean"].items()) or "not defined")
    )
    return picture(figure, f"{title}. " + "; ".join(told) + ".")


def _points(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    points = table[table["metric"] == metric].groupby("mono")["value"].agg(["mean", "std"])
    return points.dropna(subset="mean").fillna(0)


@dataclass(frozen=True)
class TextsTable:
    """A table of texts in several languages: HTML that tells each text's language and shows it in its direction.

    `languages` names, for each column of texts, the column that holds their language code.
    """

    rows: list[dict[str, str]]
    languages: dict[str, str]

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" style="text-align: left">{html.escape(name)}</th>' for name in self.rows[0])
        body = "".join(f"<tr>{self._cells(row)}</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cells(self, row: dict[str, str]) -> str:
        style = "text-align: start; white-space: normal; max-width: 34em"
        cells = []
        for name, text in row.items():
            code = row[self.languages[name]] if name in self.languages else "en"
            cells.append(
                f'<td lang="{code}" dir="{language(code).direction}" style="{style}">{html.escape(str(text))}</td>'
            )
        return "".join(cells)

    def __repr__(self) -> str:
        return "\n".join("  ".join(str(text) for text in row.values()) for row in self.rows)


def rank_distance_curves(distances: dict[str, Sequence[float]], chance: float, title: str) -> Picture:
    """How many queries have at most a given rank distance, a curve for each name; log scale.

    `distances`: the rank distance of every query, by the name of the curve; `chance`: the chance level, a vertical line.
    """
    figure, axis = _axes(6.5, 3.4)
    told = []
    for place, (name, values) in enumerate(distances.items()):
        ordered, share = np.maximum(np.sort(values), 1), np.arange(1, len(values) + 1) / len(values)
        line, marker = ("-", "--", "-.", ":")[place % 4], "osD^v"[place % 5]
        axis.plot(ordered, share, color=PALETTE[place], linestyle=line, marker=marker, markevery=0.1, label=name)
        told.append(f"{name} median {np.median(values):,.0f} and mean {np.mean(values):,.0f}")
    axis.axvline(chance, color="black", linewidth=1, linestyle="--", label="chance level")
    axis.set(xscale="log", ylim=(0, 1.03), xlabel="rank distance", ylabel="share of queries", title=title)
    axis.legend(frameon=False, fontsize=8)
    return picture(
        figure,
        f"{title}: share of the queries with at most a given rank distance, log scale; {'; '.join(told)}; "
        f"chance level {chance:,.0f}.",
    )


def language_heatmaps(
    parts: dict[str, pd.DataFrame], value: str, column: str, title: str, ranks: bool = False
) -> Picture:
    """Heat maps of `value` by query language and by `column`, side by side, a panel for each name, one colour scale.

    Values go from 0 to 1; with `ranks` they start at 1, and the colours follow a log scale. Bright is high.
    """
    wide = {name: rows.pivot(index="query_language", columns=column, values=value) for name, rows in parts.items()}
    rows, columns = max(len(w) for w in wide.values()), max(len(w.columns) for w in wide.values())
    figure, axes = _axes(0.44 * columns * len(wide) + 1.2, 0.36 * rows + 1.4, columns=len(wide))
    scale = LogNorm(1, max(2, *(np.nanmax(w) for w in wide.values()))) if ranks else Normalize(0, 1)
    told = []
    for axis, (name, values) in zip(np.atleast_1d(axes), wide.items(), strict=True):
        sns.heatmap(
            values, ax=axis, cmap="cividis", norm=scale, cbar=False, annot=values.map(_short if ranks else "{:.2f}".format),
            fmt="", annot_kws={"size": 6.5},
        )  # fmt: skip
        axis.tick_params(rotation=0, labelsize=8)
        axis.set(
            title=name,
            xlabel=column.replace("_", " "),
            ylabel="query language" if axis is np.atleast_1d(axes)[0] else "",
        )
        same = np.array([[q == c for c in values.columns] for q in values.index])
        digits = 0 if ranks else 2
        inside, outside = np.nanmean(values.to_numpy()[same]), np.nanmean(values.to_numpy()[~same])
        told.append(f"{name}: mean {inside:,.{digits}f} on the diagonal and {outside:,.{digits}f} off it")
    figure.suptitle(title)
    return picture(
        figure, f"{title}: heat maps by query language and {column.replace('_', ' ')}. " + "; ".join(told) + "."
    )


def _short(rank: float) -> str:
    """A rank in few characters: 7, 2.5, 340, 1.2k, 12k."""
    if rank < 1000:
        return f"{rank:.3g}"
    return f"{rank / 1000:.1f}k" if rank < 9950 else f"{rank / 1000:.0f}k"


def score_shares(scores: np.ndarray, temperatures: Sequence[float]) -> Picture:
    """The softmax of every row of a score matrix at several temperatures; frames mark the positives, column i of row i.

    `scores`: (questions, passages), at least as many passages as questions.
    """
    figure, axes = _axes(2.9 * len(temperatures) + 0.4, 3.1, columns=len(temperatures))
    told = []
    for axis, temperature in zip(np.atleast_1d(axes), temperatures, strict=True):
        powers = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
        shares = powers / powers.sum(axis=1, keepdims=True)
        sns.heatmap(shares, ax=axis, cmap="cividis", vmin=0, vmax=1, annot=True, fmt=".2f", cbar=False, square=True)
        for i in range(len(scores)):
            axis.add_patch(Rectangle((i, i), 1, 1, fill=False, edgecolor=PALETTE[1], linewidth=3))
        axis.set(title=f"T = {temperature:g}", xlabel="passage", xticklabels=range(1, scores.shape[1] + 1))
        axis.set_yticklabels(range(1, len(scores) + 1), rotation=0)
        own = np.diagonal(shares)
        told.append(f"at T = {temperature:g} the positives have {own.min():.2f} to {own.max():.2f}")
    np.atleast_1d(axes)[0].set_ylabel("question")
    return picture(figure, "Shares of the passages of each question after the softmax: " + ", ".join(told) + ".")


def drawn_means(draws: dict[str, np.ndarray], value: float, title: str) -> Picture:
    """How often a figure came out at each value when it was drawn anew, a step curve for each way of drawing.

    `draws`: the drawn values (draws,) by the name of the way; `value`: the figure itself, a vertical line.
    """
    figure, axis = _axes(6.5, 3.2)
    edges = np.linspace(*np.quantile(np.concatenate(list(draws.values())), (0.001, 0.999)), 41)
    told = []
    for place, (name, values) in enumerate(draws.items()):
        counts, _ = np.histogram(values, edges)
        axis.stairs(counts, edges, color=PALETTE[place], linestyle=("-", "--", ":")[place % 3], linewidth=2, label=name)
        low, high = np.quantile(values, (0.025, 0.975))
        told.append(f"{name}: 95 % of the draws from {low:.3f} to {high:.3f}")
    axis.axvline(value, color="black", linewidth=1)
    axis.set(title=title, xlabel="value in a draw", ylabel="draws")
    axis.legend(frameon=False, fontsize=8)
    return picture(figure, f"{title}: histograms around {value:.3f}. " + "; ".join(told) + ".")


def answers_over_ratio(ranks: pd.DataFrame, above: pd.DataFrame, alpha: float, title: str) -> Picture:
    """For one question: where each language's answer ranks at each ratio, and at the ratio `alpha` who outranks it.

    `ranks`: index alpha, a column a language, ranks in the pool of all languages; `above`: a row an answer's language,
    a column a language of the candidates, how many of these outrank the answer.
    """
    figure, (left, right) = _axes(10.5, 4, columns=2)
    colours = [*PALETTE, "black"]
    for place, code in enumerate(ranks):
        style = {"color": colours[place % len(colours)], "marker": "osD^vP*X<>h"[place % 11]}
        left.plot(ranks.index, ranks[code], markersize=5, linestyle=("-", "--", ":")[place % 3], label=code, **style)
    left.axvline(alpha, color="black", linewidth=1)
    left.set(yscale="log", xticks=ranks.index, xlabel="alpha: share of mono batches", title="rank of the answer in ...")
    left.set_ylabel("rank in the pool of all languages")
    left.invert_yaxis()
    left.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    sns.heatmap(
        above + 1, ax=right, cmap="cividis", norm=LogNorm(1, max(2, above.to_numpy().max() + 1)), cbar=False,
        annot=above.map(_short), fmt="", annot_kws={"size": 6.5},
    )  # fmt: skip
    right.tick_params(rotation=0, labelsize=8)
    right.set(title=f"candidates above it at alpha {alpha:g}", xlabel="language of the candidates", ylabel="answer in")
    figure.suptitle(title)
    here = ranks.loc[alpha].sort_values()
    last, most = here.index[-1], above.loc[here.index[-1]]
    told = ", ".join(f"{code} {rank:,.0f}" for code, rank in here.items())
    return picture(
        figure,
        f"{title}. Left, lines over alpha; at alpha {alpha:g} the answers rank: {told}. Right, a heat map; the answer in "
        f"{last} has {most.sum():,.0f} candidates above it, most of them in {most.idxmax()} ({most.max():,.0f}).",
    )

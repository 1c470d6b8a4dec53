"""Write the tables of docs/findings.md anew, from the studies that ship with the kit; the prose between them stays.

    python tools/make_findings.py

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. tests/test_findings.py checks that the tables are those
of the shipped studies, and that every figure in the prose stands in one of them.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from hybridkit import choices, statistics, study
from hybridkit.comparison import EMBEDDINGS, HEADLINE, markdown_lines
from hybridkit.files import write_text
from hybridkit.params import mixture_order

PAGE = Path(__file__).parents[1] / "docs" / "findings.md"
_PLACE = re.compile(r"(<!-- table: ([^>]+?) -->\n).*?(?=<!-- end -->)", re.DOTALL)
#: The mixtures of mono and cross alone, with the corner and the middle of the third kind.
EDGE = ("mono", "hybrid-0.75", "hybrid-0.60", "hybrid-0.50", "hybrid-0.40", "hybrid-0.25", "cross", "uniform", "multi")
#: From tiny-mlm: mixtures with so many cross batches that a training may not get off the ground, and two that did.
PLATEAU = ["cross", "mix-0.00-0.75-0.25", "hybrid-0.25", "hybrid-0.40", "hybrid-0.50"]


def shown(metric: str, value: float, half: float = np.nan) -> str:
    """A figure as a text, with half its interval where there is one; mAP to three digits, rank distance to none."""
    if np.isnan(value):
        return "–"
    digits = 0 if metric == "rank distance" else 3
    value = round(value, digits) + 0.0  # no -0
    return f"{value:,.{digits}f}" + ("" if np.isnan(half) else f" ± {half:,.{digits}f}")


def means(part: study.Study, mixtures=None) -> pd.DataFrame:
    """The figures of mixtures, with half their intervals over new seeds and questions: a row a mixture."""
    table = statistics.with_intervals(part.replicates)
    rows = []
    for name in sorted(table["mixture"].unique(), key=mixture_order):
        if mixtures is None or name in mixtures:
            mine = table[table["mixture"] == name].set_index("metric")
            row = {"mixture": name, "seeds": mine["seeds"].iloc[0]}
            found = {metric: mine.loc[metric] for metric in HEADLINE if metric in mine.index}
            rows.append(row | {m: shown(m, one["mean"], one["high"] - one["mean"]) for m, one in found.items()})
    return pd.DataFrame(rows)


def differences(part: study.Study, baseline: str, mixtures=None) -> pd.DataFrame:
    """Differences of mixtures from a baseline, with half their intervals; * marks those that are called real."""
    names = part.rows["mixture"].unique() if mixtures is None else mixtures
    table = statistics.compare_with(baseline, part.only([baseline, *names]).replicates)
    rows = {}
    for one in table.itertuples():
        text = shown(one.metric, one.difference, one.high - one.difference)
        sign, star = "+" * (not text.startswith(("-", "0.000", "0 "))), "*" * one.verdict.startswith("real")
        rows.setdefault(one.mixture, {"mixture": one.mixture, "seeds": one.seeds})[one.metric] = sign + text + star
    return pd.DataFrame([rows[name] for name in sorted(rows, key=mixture_order)])


def by_share(part: study.Study, metric: str) -> pd.DataFrame:
    """One figure by the share of cross batches, and by what the other batches are."""
    points = part.points()
    points = points[(points["cross"] * 4 % 1).round(6) == 0]
    rest = {"rest mono": "multi == 0", "rest of both": "multi > 0 and mono > 0", "rest multi": "mono == 0"}
    rows = []
    for share, its in points.groupby("cross"):
        found = {name: its.query(question)[metric] for name, question in rest.items()}
        rows.append({"share of cross": f"{share:.2f}"} | {name: _span(metric, one) for name, one in found.items()})
    return pd.DataFrame(rows)


def _span(metric: str, values: pd.Series) -> str:
    found = sorted({shown(metric, value) for value in values})
    return "–" if not found else found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


def chosen(part: study.Study) -> pd.DataFrame:
    """What to choose for which goal (`choices.choices`)."""
    part = part.simplex()
    table = choices.readable(choices.choices(part.draws(), len(part.common()[1]))).reset_index()
    return table[["goal", "choose", "reaches", "costs little in", "about as good", "how sure"]]


def by_seed(part: study.Study, metric: str, mixtures) -> pd.DataFrame:
    """One figure of every training, a column a seed."""
    rows = part.rows.query("metric == @metric and embeddings == @EMBEDDINGS[0] and mixture in @mixtures")
    wide = rows.pivot_table(index="mixture", columns="seed", values="value").reindex(mixtures)
    return wide.map(lambda value: shown(metric, value)).rename(columns="seed {}".format).reset_index()


def six_seeds(part: study.Study) -> study.Study:
    """The part of the mixtures with the seeds that a verdict needs."""
    points = part.simplex().points()
    return part.only(points.loc[points["seeds"] >= statistics.MINIMUM_SEEDS, "mixture"])


def centred(part: study.Study, mixtures) -> pd.DataFrame:
    """The mean figures as trained and with each language's mean taken away."""
    rows = part.rows[part.rows["mixture"].isin(mixtures)]
    wide = rows.pivot_table(index="mixture", columns=["metric", "embeddings"], values="value")
    found = []
    for name in sorted(wide.index, key=mixture_order):
        pairs = {m: [shown(m, wide.loc[name].get((m, kind), np.nan)) for kind in EMBEDDINGS] for m in HEADLINE}
        found.append({"mixture": name} | {m: " → ".join(pair) for m, pair in pairs.items() if pair != ["–", "–"]})
    return pd.DataFrame(found)


def runs_of(profile: str) -> pd.DataFrame:
    """How many runs a study has, of how many mixtures, with how many seeds, by encoder."""
    rows = []
    for name in (seen := study.shipped(profile)).encoders:
        mine = seen.rows[seen.rows["encoder"] == name].drop_duplicates(["mixture", "seed"])
        seeds = mine.groupby("mixture")["seed"].nunique()
        weights = mine[mine["beyond"] == ""]["mixture"].nunique()
        row = {"encoder": name, "runs": len(mine), "mixtures of three weights": weights}
        row |= {"other mixtures": len(seeds) - weights, "with three seeds or more": int((seeds >= 3).sum())}
        rows.append(row | {"with six seeds": int((seeds >= statistics.MINIMUM_SEEDS).sum())})
    return pd.DataFrame(rows)


def tables() -> dict[str, pd.DataFrame]:
    """All tables of the page by name."""
    tiny, found = study.shipped("tiny"), {"runs": runs_of("tiny")}
    for name in tiny.encoders:
        part, unseen = tiny.of(name), tiny.of(name, study.SCOPES[1])
        moving, switched = part.beyond("end_"), part.beyond("variants", "switch_")
        found |= {
            f"{name} ratio": means(part.simplex()),
            f"{name} share": by_share(part, "cross-lingual mAP"),
            f"{name} uniform": differences(six_seeds(part), "uniform"),
            f"{name} choices": chosen(part),
            f"{name} choices of six seeds": chosen(six_seeds(part)),
            f"{name} flat": differences(part, "hybrid-0.50", ["hybrid-0.60", "hybrid-0.40"]),
            f"{name} time": differences(part, "hybrid-0.50", moving),
            f"{name} remedies": means(part, ["mono", *switched, "hybrid-0.50"]),
            f"{name} centred": centred(part, EDGE),
            f"{name} unseen": means(unseen.simplex(), EDGE),
        }
    found["plateau"] = by_seed(tiny.of("tiny-mlm"), "cross-lingual mAP", PLATEAU)
    if "laptop" in study.profiles():
        laptop = study.shipped("laptop")
        real = laptop.encoders[0]
        found["laptop runs"] = runs_of("laptop")
        for scope in study.SCOPES:
            found[f"laptop {scope}"] = means(laptop.of(real, scope))
        found["laptop against mono"] = differences(laptop.of(real), "mono")
        found["laptop centred"] = centred(laptop.of(real), EDGE)
    return found


def with_tables(text: str, found: dict[str, pd.DataFrame]) -> str:
    """The page with its tables written anew; KeyError names one that there is not."""
    return _PLACE.sub(lambda place: place[1] + "\n".join(markdown_lines(found[place[2]])) + "\n", text)


if __name__ == "__main__":
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8"), tables()))

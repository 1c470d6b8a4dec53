"""Make hybridkit/reference/images/ from finished runs of images, and the tables of docs/image-findings.md from it.

    hybridkit sweep --profile tiny-pictures --mixtures mono,hybrid-0.50,cross,multi,uniform --seeds 0,1,2 --no-notebooks
    python tools/make_imagetext.py tiny-pictures tiny-emoji
    python tools/make_imagetext.py --closer outputs/tiny-pictures/tiny-mlm/hybrid-0.50/seed-0
    python tools/make_imagetext.py

docs/image-findings.md has the other commands. Takes the runs as they are and trains nothing: all finished ones of the
profiles whose data and encoders are still the same, those with other settings (such as a loss that is left out) too.
With --closer a run's model is seen more closely: three scorers are compared, which is timed, so on a machine that does
nothing else. In every case the tables of the page are written anew.
"""

import argparse
import json
import re
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from hybridkit import comparison, runs
from hybridkit.comparison import markdown_lines
from hybridkit.errors import KitError
from hybridkit.files import write_text
from hybridkit.imagetext import evaluation, fico, images, shipped, sources, training
from hybridkit.imagetext.albef import Albef
from hybridkit.params import Parameters

PAGE = Path(__file__).parents[1] / "docs" / "image-findings.md"
_PLACE = re.compile(r"(<!-- table: ([^>]+?) -->\n).*?(?=<!-- end -->)", re.DOTALL)
NONE = "No such runs ship with this version of the kit."
#: The columns of the tables over the ratio: of the museum's pictures, and of emoji, of which few are found at once.
HEADLINE = ("image-to-text R@1", "text-to-image R@1", "rSum", "re-ranked image-to-text R@1")
HEADLINE += ("re-ranked text-to-image R@1", "re-ranked rSum", "rank distance")
EMOJI = ("image-to-text R@1", "image-to-text R@10", "image-to-text median rank", "text-to-image R@1")
EMOJI += ("text-to-image R@10", "text-to-image median rank", "re-ranked rSum", "rank distance")
#: Of which pictures of the evaluation, and in which languages, it is kept where the words of a caption look.
LOOKED_AT = (range(3), ("en", "de", "zh"))
_SCOPES = {"trained": "training languages", "unseen": "unseen languages"}


def make_figures(profile: str) -> None:
    """Write the figures of a profile's finished runs."""
    settings = {}
    for _, manifest in runs.finished_runs(profile):
        parameters = Parameters(**manifest["parameters"])
        settings.setdefault(repr(parameters.model_dump(exclude=runs.VARIED)), parameters)
    found, rows = [], []
    for parameters in settings.values():
        alike = runs.finished_like(runs.Run(parameters))
        rows.append(comparison.figures_of(alike).assign(settings=shipped.variant(parameters)))
        found += alike
    if not found:
        raise KitError(f"There is no finished run of the profile {profile}; see the commands in {__file__}.")
    told = {
        "profile": profile,
        "runs": {str(folder.relative_to(folder.parents[2])): manifest["key"] for folder, manifest in found},
        "seconds": round(sum(manifest["training"]["seconds"] for _, manifest in found)),
        "provenance": runs.provenance(),
    }
    shipped.save(profile, pd.concat(rows), told)
    print(f"{profile}: {len(found)} runs")


def make_closer(folder: Path, language: str = "en") -> None:
    """Write what a run's three scorers find and cost, which foils its model knows, its losses, and where words look."""
    manifest = runs.read_manifest(folder)
    if manifest is None:
        raise KitError(f"{folder} is no finished run; name a folder such as outputs/PROFILE/ENCODER/MIXTURE/seed-0.")
    parameters = Parameters(**manifest["parameters"])
    found = fico.of_run(folder, language=language)
    told = {"run": runs.Run(parameters).title, "profile": parameters.profile, "key": manifest["key"]}
    told |= {"language": language, "images": len(found.seen.images), "measured on": fico.measured_on(found.seen.model)}
    scorers, stages = found.table(), found.pipelines()
    data = sources.captioned(parameters.benchmarks[0], parameters, "evaluation")
    model = Albef.open(folder / "model")
    foils, losses = evaluation.foil_accuracy(model, data), _losses(folder)
    shipped.save_closer(shipped.Closer(scorers, stages, foils, losses, _attention(model, data), told))
    print(told)


def _losses(folder: Path) -> pd.DataFrame:
    parts = json.loads((folder / training.LOSSES).read_text(encoding="utf-8"))
    rows = [(name, step, value) for name, points in parts.items() for step, value in points]
    return pd.DataFrame(rows, columns=["name", "step", "value"])


def _attention(model: Albef, data) -> pd.DataFrame:
    """Where the words of LOOKED_AT look, three digits of each share."""
    rows = []
    for row, code in product(*LOOKED_AT):
        pixels = images.normalised(data.images.pixels([row], model.image_size))[0]
        tokens, maps = model.attend(torch.from_numpy(pixels), data.captions[code][row][0])
        shares = [" ".join(f"{share:.3g}" for share in one) for one in maps.flatten(1).tolist()]
        rows += [(row, code, token, text) for token, text in zip(tokens, shares, strict=True)]
    return pd.DataFrame(rows, columns=["row", "language", "token", "shares"])


def tables() -> dict[str, pd.DataFrame]:
    """All tables that can be made of what ships, by name."""
    found = {}
    there = {profile: shipped.figures(profile) for profile in shipped.profiles()}
    if there:
        found["runs"] = pd.concat([_runs(profile, rows) for profile, rows in there.items()])
    for profile, rows in there.items():
        for encoder in rows["encoder"].unique():
            for called, scope in _SCOPES.items():
                mine = rows[(rows["encoder"] == encoder) & (rows["scope"] == scope)]
                shown = EMOJI if profile == "tiny-emoji" else HEADLINE
                whole = mine[mine["settings"] == shipped.WHOLE]
                if len(whole):
                    found[f"{profile} {encoder} {called}"] = shipped.means(whole, shown)
                of_one = mine[mine["mixture"] == "hybrid-0.50"]
                if of_one["settings"].nunique() > 1:
                    found[f"{profile} {encoder} parts {called}"] = shipped.means(of_one, shown, by="settings")
    if one := shipped.closer():
        found |= {"scorers": _rounded(one.scorers), "stages": _stages(one.stages), "foils": _foils(one.foils)}
        found["measured on"] = pd.DataFrame([one.about])
    return found


def _runs(profile: str, rows: pd.DataFrame) -> pd.DataFrame:
    """How many runs there are, by encoder and settings."""
    distinct = rows.drop_duplicates(["encoder", "settings", "mixture", "seed"])
    counted = distinct.groupby(["encoder", "settings"], sort=False)
    table = counted.agg(runs=("seed", "size"), mixtures=("mixture", "nunique"), seeds=("seed", "nunique"))
    return table.reset_index().assign(profile=profile)[["profile", "encoder", "settings", "runs", "mixtures", "seeds"]]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Three digits that count for times, whole sizes, three digits behind the point for the rest; NaN stays."""
    texts = {
        name: "{:,.0f}" if name.endswith("bytes") else "{:.3g}" if name.endswith((" s", " ms")) else "{:.3f}"
        for name in table.select_dtypes("float")
    }
    written = {
        name: table[name].map(lambda v, text=text: "–" if pd.isna(v) else text.format(v))
        for name, text in texts.items()
    }
    return table.assign(**written)


def _stages(table: pd.DataFrame, direction: str = "text-to-image") -> pd.DataFrame:
    """One direction, a row a number of candidates passed on: what can be found at most, R@1 and the time of a query."""
    found = {}
    for (first, second), rows in table[table["direction"] == direction].groupby(["first", "second"], sort=False):
        rows = _rounded(rows.set_index("passed on"))
        found[f"passed on by {first}"] = rows["first-stage recall"]
        found[f"{first}, {second}: R@1"] = rows["R@1"]
        found[f"{first}, {second}: ms"] = rows["query ms"]
    return pd.DataFrame(found).reset_index()


def _foils(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over languages by attribute."""
    means = table.groupby("attribute", sort=False)[["contrast", "matching"]].mean()
    return _rounded(means.reset_index())


def with_tables(text: str, found: dict[str, pd.DataFrame]) -> str:
    """The page with its tables written anew; where runs are missing it says so."""

    def lines(place: re.Match) -> str:
        name = place[2]
        return place[1] + "\n".join(markdown_lines(found[name]) if name in found else [NONE]) + "\n"

    return _PLACE.sub(lines, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profiles", nargs="*", help="profiles whose finished runs are taken")
    parser.add_argument("--closer", type=Path, metavar="RUN", help="a finished run to be seen more closely")
    asked = parser.parse_args()
    for profile in asked.profiles:
        make_figures(profile)
    if asked.closer:
        make_closer(asked.closer)
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8"), tables()))


if __name__ == "__main__":
    main()

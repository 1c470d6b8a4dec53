"""Code-switched runs among others, and their figures: what is told in words, against values made up here."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridkit import comparison, sweep, switching_figures
from hybridkit.errors import KitError
from hybridkit.params import for_run

HOME = Path(__file__).parents[1]
PNG = b"\x89PNG"


def rows(*runs, encoder="tiny-mlm"):
    """Rows of figures as `comparison` makes them, of (mixture file, overrides, cross-lingual mAP)."""
    found = []
    for mixture, overrides, value in runs:
        parameters = for_run("tiny", mixture, 0, {"encoder": encoder} | overrides)
        measured = {"museum": {"training languages": {"cross-lingual mAP": value}}}
        found += comparison.rows_of(parameters, measured, "settings")
    return pd.DataFrame(found)


def switched(p, mixture="switched-0.50"):
    return mixture, {"switch_probability": p, "mixture": f"{mixture[:-5]}-{p:.2f}"}, 0.1 + p / 10


MONO, HYBRID = ("mono", {}, 0.1), ("hybrid-0.50", {}, 0.7)
ELEVEN = ("switched-eleven-0.50", {}, 0.15)
INSIDE = ("switched-hybrid-0.50", {}, 0.75)


def test_switched_mixtures_are_found_with_their_probability():
    found = switching_figures.probabilities(rows(MONO, HYBRID, switched(0.25), ELEVEN, INSIDE)).set_index("mixture")
    assert found["probability"].to_dict() == {
        "switched-0.25": 0.25,
        "switched-eleven-0.50": 0.5,
        "switched-hybrid-0.50": 0.5,
    }
    assert found.loc["switched-0.25", "how"] == found.loc["switched-hybrid-0.50", "how"]
    assert '"el"' in found.loc["switched-eleven-0.50", "how"] and "probability" not in found["how"].str.cat()


def test_the_curve_has_the_mono_runs_that_differ_in_the_probability_alone():
    moving = ("switched-0.50", {"mixture": "moving", "end_mono": 0.0, "end_cross": 1.0}, 0.9)
    by_phrase = ("switched-0.50", {"mixture": "phrases", "switch_by": "phrase", "switch_probability": 0.6}, 0.9)
    table = rows(INSIDE, switched(1.0), ELEVEN, moving, by_phrase, switched(0.25), HYBRID, MONO)
    found = switching_figures.curve(table)
    assert list(found.items()) == [("mono", 0.0), ("switched-0.25", 0.25), ("switched-1.00", 1.0)]
    assert switching_figures.curve(rows(MONO, moving)) == {}  # it ends with cross batches


def test_of_two_ways_with_one_probability_each_the_curve_has_the_one_to_fewer_languages():
    assert list(switching_figures.curve(rows(ELEVEN, MONO, switched(0.5)))) == ["mono", "switched-0.50"]
    assert list(switching_figures.curve(rows(ELEVEN, MONO))) == ["mono", "switched-eleven-0.50"]


def test_there_is_no_curve_without_mono_or_without_switching():
    assert switching_figures.curve(rows(MONO, HYBRID, INSIDE)) == {}
    assert switching_figures.curve(rows(HYBRID, switched(0.5))) == {}


def test_encoders_need_a_curve_and_the_mixture_beside_it():
    parts = [
        rows(MONO, switched(0.5), encoder="tiny-mlm"),
        rows(MONO, switched(0.5), HYBRID, encoder="tiny-aligned"),
        rows(MONO, HYBRID, encoder="another"),
    ]
    assert switching_figures.encoders(pd.concat(parts)) == ["tiny-aligned"]


def shares(switched_at_half):
    return pd.DataFrame(
        {"probability": [1.0, 0.0, 0.5], "words": 4000, "known": 1000, "switched": [1000, 0, switched_at_half]}
    )


@pytest.mark.parametrize("count, inside", [(500, 3), (530, 3), (540, 2), (460, 2)])  # sd of 1,000 draws: 15.8
def test_realised_shares_are_told_with_their_bounds(count, inside):
    shown = switching_figures.realised_shares(shares(count))
    assert f"{count / 1000:.2f} and {count / 4000:.2f} at 0.5" in shown.alt and "1.00 and 0.25 at 1" in shown.alt
    assert f"{inside} of 3 lie within" in shown.alt and shown.png.startswith(PNG)


def intervals(**means):
    found = [
        {
            "mixture": name.replace("_", "-"),
            "metric": metric,
            "mean": value,
            "low": value - width,
            "high": value + width,
        }
        for name, (mean, distance, width) in means.items()
        for metric, value in (("cross-lingual mAP", mean), ("rank distance", distance))
    ]
    return pd.DataFrame(found)


def test_the_effect_is_told_by_probability_with_what_it_is_held_against():
    table = intervals(mono=(0.1, 8000, 0.01), half=(0.2, 5000, np.nan), hybrid=(0.7, 150, 0.01), both=(0.75, 140, 0.01))
    found = {"mono": 0.0, "half": 0.5, "absent": 1.0}
    shown = switching_figures.effect(table, found, "Title", ["hybrid", "cross"], {"both": 0.5})
    assert shown.alt == (
        "Title, by switching probability p. cross-lingual mAP: 0.10 at 0, 0.20 at 0.5, hybrid 0.70, both 0.75. "
        "rank distance: 8,000 at 0, 5,000 at 0.5, hybrid 150, both 140."
    )
    assert shown.png.startswith(PNG)


def test_the_effect_of_nothing_is_refused():
    with pytest.raises(KitError, match="half is there to draw"):
        switching_figures.effect(intervals(hybrid=(0.7, 150, 0.01)), {"half": 0.5}, "Title")


def test_rankings_are_told_by_kind_of_setting():
    table = pd.DataFrame(
        [("cross-lingual", "en", "de", 0.7, 0.2), ("cross-lingual", "de", "en", 0.7, 0.4), ("monolingual", "en", "en", 0.7, 0.6)],
        columns=["setting", "query_language", "passage_language", "first", "again"],
    )  # fmt: skip
    shown = switching_figures.mean_reciprocal_ranks(table, "Title")
    assert shown.alt.endswith("monolingual: first 0.70, again 0.60; cross-lingual: first 0.70, again 0.30.")
    assert shown.png.startswith(PNG)


@pytest.mark.slow
@pytest.mark.parametrize("mixture", ["switched-eleven-0.50", "cross-to-mono"])
def test_the_notebook_works_with_plain_papermill(tmp_path, monkeypatch, mixture):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    output, notebook = tmp_path / "out.ipynb", HOME / "notebooks" / "09_code_switching.ipynb"
    files = ["-f", HOME / "params" / "profiles" / "tiny.yaml", "-f", HOME / "params" / "mixtures" / f"{mixture}.yaml"]
    values = ["-y", "{museum_exhibits: 100, seed: 3, languages: [en, de], encoder: tiny-aligned}"]
    if mixture.startswith("switched"):  # it names the languages that words go to
        values = ["-y", "{museum_exhibits: 100, seed: 3}"]
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", notebook, output, *files, *values]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert sweep.is_complete(output)

"""The simplex: its grid and names, the Pareto front, refinement within a budget, shares of draws, and the figures."""

import json
import shutil
from functools import cache, partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from hybridkit import comparison, params, simplex
from hybridkit.errors import KitError
from hybridkit.params import Parameters


@given(st.integers(1, 30))
def test_grid_has_every_mixture_once_with_corners_and_uniform(divisions):
    found = simplex.grid(divisions)
    names, weights = [one.name for one in found], np.array([one.weights for one in found])
    assert len(set(names)) == len(names) == (divisions + 1) * (divisions + 2) // 2 + (divisions % 3 > 0)
    assert {"mono", "cross", "multi", "uniform"} <= set(names)
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-6 and weights.min() == 0 and weights.max() == 1
    parts = weights[np.array(names) != "uniform"] * divisions
    assert np.abs(parts - parts.round()).max() <= 0.002 * divisions  # thousandths


@settings(max_examples=10)
@given(st.integers(1, 7))
def test_names_of_the_grid_give_the_same_runs_back(divisions):
    for one in simplex.grid(divisions):
        found = params.for_run("tiny", one.name)
        assert (found.mixture, found.mono, found.cross, found.multi) == one and not found.beyond_weights()


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 1000))
def test_any_weights_have_a_name_that_says_them(a, b, c):
    weights = np.array([a, b, c]) / (a + b + c)
    found = simplex.named(*weights)
    assert abs(sum(found.weights) - 1) < 1e-9 + 1e-6 * (found.name == "uniform")
    assert np.abs(weights - found.weights).max() < 0.001 and simplex.named(*found.weights) == found
    if found.name.startswith("mix-"):
        assert tuple(params.weights_of_name(found.name).values()) == found.weights
        assert all(len(part.partition(".")[2]) in (2, 3) for part in found.name.split("-")[1:])


def test_mixtures_with_a_file_keep_its_name_and_exact_weights():
    assert simplex.named(0.4, 0.6, 0).name == "hybrid-0.40" and simplex.named(1 / 3, 1 / 3, 1 / 3).mono == 0.333333
    assert simplex.named(0, 1, 0).name == "cross" and simplex.named(0.25, 0.5, 0.25).name == "mix-0.25-0.50-0.25"
    assert simplex.named(1 / 6, 1 / 6, 2 / 3).name == "mix-0.167-0.167-0.666"
    by_name = params.for_run("tiny", "mix-0.25-0.50-0.25")
    assert by_name.key() == Parameters(mono=0.25, cross=0.5, multi=0.25).key()


def test_a_mixture_is_known_by_its_files_name(tmp_path, monkeypatch):
    """A copy of a file in which the old name was left: it must not stand for other weights."""
    shutil.copytree(Path(__file__).parents[1] / "params", tmp_path / "params")
    monkeypatch.setenv("HYBRIDKIT_HOME", str(tmp_path))
    copy = tmp_path / "params" / "mixtures" / "mine.yaml"
    copy.write_text('mixture: "hybrid-0.50"\nmono: 0.45\ncross: 0.55\nmulti: 0.0\n')
    assert simplex.named(0.45, 0.55, 0).name == "mine" and simplex.named(0.5, 0.5, 0).name == "hybrid-0.50"
    with pytest.raises(KitError, match="mine.yaml names its mixture 'hybrid-0.50'; write mixture: \"mine\" in it"):
        params.for_run("tiny", "mine")


def test_mixtures_stand_in_the_papers_order_and_what_is_untrained_last():
    names = ["none", "variants", "mix-0.25-0.50-0.25", "uniform", "cross", "hybrid-0.25", "hybrid-0.75", "mono"]
    expected = ["mono", "hybrid-0.75", "hybrid-0.25", "cross", "uniform", "mix-0.25-0.50-0.25", "variants", "none"]
    assert sorted(names, key=params.mixture_order) == expected


@pytest.mark.parametrize("weights", [(0.5, 0.6, 0), (-0.1, 0.6, 0.5), (float("nan"), 0.5, 0.5)])
def test_weights_that_are_no_mixture_are_told(weights):
    with pytest.raises(KitError, match="at least 0 and sum to 1"):
        simplex.named(*weights)


@pytest.mark.parametrize("divisions", [0, -4, 101])
def test_grid_that_is_none_is_told(divisions):
    with pytest.raises(KitError, match=f"The grid is {divisions}; .* 1 to 100"):
        simplex.grid(divisions)


def test_name_whose_weights_do_not_sum_to_one_is_told():
    with pytest.raises(KitError, match="sum to 0.75, but must sum to 1"):
        params.for_run("tiny", "mix-0.25-0.25-0.25")
    with pytest.raises(KitError, match="'mix-0.5-0.5-0.0' is none of the mixtures"):
        params.for_run("tiny", "mix-0.5-0.5-0.0")


def beaten(row, others):
    """By its definition, one figure after the other."""
    return any(
        all(theirs >= own for own, theirs in zip(row, other)) and any(theirs > own for own, theirs in zip(row, other))
        for other in others
    )


@given(arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.sampled_from([0, 1, 2, 3, np.nan])))
def test_pareto_front_is_what_no_other_beats(values):
    sound = [row for row in values if not np.isnan(row).any()]
    expected = [not np.isnan(row).any() and not beaten(row, sound) for row in values]
    assert simplex.pareto_front(values).tolist() == expected


def test_new_mixtures_lie_halfway_between_the_front_and_its_neighbours():
    known = simplex.grid(2)
    best = np.array([[float(one.name == "cross")] for one in known])
    assert {one.name for one in simplex.between(known, best, 2)} == {"hybrid-0.25", "mix-0.00-0.75-0.25"}
    # With cross and hybrid-0.50 both on the front, what lies between them comes first.
    two = np.array([[float(one.name == "cross"), float(one.name == "hybrid-0.50")] for one in known])
    assert simplex.between(known, two, 2)[0].name == "hybrid-0.25"
    assert len(simplex.between(known, two, 2)) > 2


class Made:
    """Stands for a run: finished where it is in `done`, with figures that follow from its weights and seed."""

    def __init__(self, folder, done, name, seed):
        self.which, self.done, self.final = (name, seed), done, folder / f"{name}-{seed}"

    @property
    def finished(self):
        return self.which in self.done

    def finish(self):
        mono, cross, multi = weights_of(self.which[0])
        noise = np.random.default_rng(self.which[1]).normal(0, 0.01)
        figures = 0.9 - cross**4 / 2 - multi / 3, cross * (1 - cross / 3) + noise, 0.8 * cross + noise
        self.final.mkdir(exist_ok=True)
        text = json.dumps({"museum": {"training languages": dict(zip(simplex.GOALS, figures, strict=True))}})
        (self.final / "metrics.json").write_text(text)
        self.done.add(self.which)


@cache
def weights_of(name):
    found = params.for_run("tiny", name)
    return found.mono, found.cross, found.multi


def study(folder, done, seeds, budget, divisions=2, stop_after=10**6):
    """Carry out a study as a sweep does, until it is stopped after so many new runs; the runs in their order."""
    make, known, order = partial(Made, folder, done), simplex.grid(divisions), []
    grid = [make(one.name, seed) for seed in seeds for one in known]
    for runs in chain([grid], simplex.refinement(make, known, seeds, budget - len(grid), divisions)):
        for run in runs:
            order.append(run.which)
            if not run.finished:
                run.finish()
                stop_after -= 1
            if not stop_after:
                return order
    return order


@settings(max_examples=8)
@given(budget=st.integers(14, 70), seeds=st.sampled_from([(0,), (0, 1), (3, 0)]), stop=st.integers(1, 70))
def test_refinement_keeps_the_budget_and_goes_on_as_if_nothing_had_happened(tmp_path_factory, budget, seeds, stop):
    folder = tmp_path_factory.mktemp("study")
    whole, done = study(folder, set(), seeds, budget), set()
    assert len(set(whole)) == len(whole) <= budget
    assert study(folder, done, seeds, budget, stop_after=stop) == whole[:stop]
    assert study(folder, done, seeds, budget) == whole and done == set(whole)


def test_budget_is_used_for_new_mixtures_and_for_seeds_where_they_decide(tmp_path):
    order = study(tmp_path, set(), (0, 1), 40)
    assert len(order) == 40
    grid = {one.name for one in simplex.grid(2)}
    beyond = order[2 * len(grid) :]
    new = {name for name, _ in beyond} - grid
    assert len(new) == 6 and all({(name, 0), (name, 1)} <= set(beyond) for name in new)
    added = [(name, seed) for name, seed in beyond if seed > 1]
    assert {"mono", "cross", "uniform"} <= {name for name, _ in added} and len(added) == 14
    assert [seed for _, seed in added] == sorted(seed for _, seed in added)
    # A budget without an end is not used up: every mixture that decides has six seeds.
    everything = study(tmp_path, set(), (0, 1), 10_000)
    assert len(everything) < 200 and max(seed for _, seed in everything) == 5
    assert sum(name == "mono" for name, _ in everything) == simplex.SEEDS


def test_study_waits_for_runs_that_failed(tmp_path):
    done = set()
    make = partial(Made, tmp_path, done)
    known = simplex.grid(1)
    for one in known[:-1]:
        make(one.name, 0).finish()
    assert list(simplex.refinement(make, known, [0], 20, 1)) == []
    make(known[-1].name, 0).finish()
    assert list(simplex.refinement(make, known, [0], 20, 1))
    (make("mono", 0).final / "metrics.json").write_text("{}")
    with pytest.raises(KitError, match="metrics.json has no figures over the training languages"):
        list(simplex.refinement(make, known, [0], 20, 1))


@pytest.mark.parametrize("seeds, expected", [([0], [1, 2, 3, 4, 5]), ([4, 7], [0, 1, 2, 3]), (list(range(8)), [])])
def test_seeds_are_filled_up_to_six(seeds, expected):
    assert simplex.more_seeds(seeds) == expected


def test_shares_of_draws_by_hand():
    draws = {"mono": [1, 1, 0, 0.5], "cross": [0, 1, 1, 0.4], "multi": [0, 0, 1, 0.3]}
    assert simplex.best_shares(draws).to_dict() == {"mono": 2.5 / 4, "cross": 1 / 4, "multi": 0.5 / 4}
    assert simplex.best_shares(draws, lowest=True)["multi"] == (0.5 + 1 + 0 + 1) / 4
    on = simplex.front_shares({"a": np.array([[1, 0], [1, 1]]), "b": np.array([[0, 1], [0, 0]])})
    assert on.to_dict() == {"a": 1.0, "b": 0.5}
    for wrong in ({}, {"a": []}, {"a": [1], "b": [1, 2]}):
        with pytest.raises(KitError, match="same number of draws"):
            simplex.best_shares(wrong)
    with pytest.raises(KitError, match="Draws of b are not defined"):
        simplex.best_shares({"a": [1], "b": [np.nan]})


@pytest.fixture(scope="module")
def rows():
    """Rows of a comparison: a grid with two seeds, hybrid-0.50 with three, BM25, a moving mixture."""
    found = []
    for one in simplex.grid(4):
        for seed in range(3 if one.name == "hybrid-0.50" else 2):
            figures = {goal: 0.2 + one.cross / 2 + seed / 100 for goal in simplex.GOALS}
            figures[simplex.DISTANCE] = 1000 - 900 * one.cross
            p = params.for_run("tiny", one.name, seed)
            found += comparison.rows_of(p, {"museum": {"training languages": figures}}, "abcdef")
    moving = params.for_run("tiny", "cross-then-mono")
    found += comparison.rows_of(moving, {"museum": {"training languages": {simplex.GOALS[0]: 0.9}}}, "abcdef")
    lexical = found[0] | {"encoder": "BM25", "mixture": "none", "mono": np.nan, "cross": np.nan, "multi": np.nan}
    return pd.DataFrame([*found, lexical])


def test_points_are_means_over_seeds(rows):
    table = simplex.points(rows)
    assert len(table) == 16 and list(table["mixture"][:2]) == ["mono", "hybrid-0.75"]
    half = table.set_index("mixture").loc["hybrid-0.50"]
    assert half["seeds"] == 3 and half["cross-lingual mAP"] == pytest.approx(0.2 + 0.25 + 0.01)
    assert set(simplex.GOALS) == set(comparison.HEADLINE[:3]) and comparison.HEADLINE[3] == simplex.DISTANCE
    assert table["mixture"][simplex.on_front(table)].tolist() == ["cross"]


@pytest.mark.parametrize("table", [simplex.points, simplex.edge])
def test_rows_that_are_no_replicates_are_never_averaged(rows, table):
    for column, other in (("encoder", "tiny-aligned"), ("embeddings", "centred"), ("scope", "all languages")):
        with pytest.raises(KitError, match=f"several {column}: .*{other}"):
            table(pd.concat([rows, rows.assign(**{column: other})]))


def test_rank_distance_counts_as_less_is_better():
    table = pd.DataFrame({"monolingual mAP": [0.5, 0.4], "cross-lingual mAP": [np.nan] * 2, "rank distance": [9, 3]})
    assert simplex.on_front(table).tolist() == [True, False]
    assert simplex.on_front(table, distance=True).tolist() == [True, True]


def test_intervals_along_the_edge_are_students(rows):
    edge = simplex.edge(rows)
    assert edge["mono"].is_monotonic_increasing and set(edge["mixture"]) == {
        "cross", "hybrid-0.25", "hybrid-0.50", "hybrid-0.75", "mono",
    }  # fmt: skip
    half = edge[(edge["mixture"] == "hybrid-0.50") & (edge["metric"] == "monolingual mAP")].iloc[0]
    values = [0.45, 0.46, 0.47]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (half["low"], half["high"]) == pytest.approx((expected.low, expected.high))
    assert simplex.edge(rows[rows["seed"] == 0])["low"].isna().all()


def test_figures_say_what_they_show(rows):
    from hybridkit import ternary_figures

    table = simplex.points(rows)
    maps = ternary_figures.ternary_maps(table, "Made up")
    assert maps.png.startswith(b"\x89PNG") and "cross-lingual mAP is best at cross (0.705)" in maps.alt
    assert "rank distance is best at cross (100) and worst at mono (1,000), uniform has 700" in maps.alt
    front = ternary_figures.front_dots(table, "Made up")
    assert "No other mixture beats cross; the other 15 of 16 are beaten" in front.alt
    edge = ternary_figures.edge_curve(simplex.edge(rows), "Made up")
    assert "rank distance from 100 at alpha 0 to 1,000 at alpha 1, in the grey region 550 to 550" in edge.alt
    ties = simplex.edge(rows)
    of = ties["metric"] == simplex.DISTANCE
    ties.loc[of, ["mean", "low", "high"]] = 0.4, -0.1, 0.9  # golds that tie: nearer than one rank
    assert "rank distance from 0 at alpha 0 to 0 at alpha 1" in ternary_figures.edge_curve(ties, "Made up").alt
    assert "3 a corner, 9 an edge, 4 inside" in ternary_figures.triangle(table).alt
    line = table[table["multi"] == 0].assign(**{"multilingual mAP": np.nan})  # nothing to interpolate between
    assert "multilingual mAP is not defined" in ternary_figures.ternary_maps(line, "Few").alt
    with pytest.raises(KitError, match="no mixture to draw"):
        ternary_figures.ternary_maps(table[:0], "None")
    within = ternary_figures.edge_curve(simplex.edge(rows[rows["metric"] != simplex.DISTANCE]), "One panel")
    assert "cross-lingual mAP from" in within.alt and "rank distance" not in within.alt
    with pytest.raises(KitError, match="no mixture of mono and cross alone"):
        ternary_figures.edge_curve(simplex.edge(rows[rows["multi"] > 0]), "None")


def test_figure_of_differences_says_which_are_real():
    from hybridkit import ternary_figures

    made_up = {
        "mixture": ["mono", "cross"] * 2,
        "baseline": "uniform",
        "metric": ["cross-lingual mAP"] * 2 + ["rank distance"] * 2,
    }
    made_up |= {"difference": [-0.1, 0.2, 300, -40], "low": [-0.2, np.nan, 200, -50], "high": [0.1, np.nan, 400, -30]}
    table = pd.DataFrame(
        made_up | {"verdict": ["not shown", "not enough seeds (1 of 6)", "real: worse", "real: better"]}
    )
    alt = ternary_figures.differences(table, "Made up").alt
    assert "2 mixtures against uniform" in alt and "cross-lingual mAP: 0 really better, 0 really worse" in alt
    assert "rank distance: 1 really better, 1 really worse" in alt
    with pytest.raises(KitError, match="no difference to draw"):
        ternary_figures.differences(table[:0], "None")


def test_points_of_several_kinds_of_embeddings_are_not_mixed(rows):
    with pytest.raises(KitError, match="several embeddings: as trained, centred"):
        simplex.points(pd.concat([rows, rows.assign(embeddings="centred")]))

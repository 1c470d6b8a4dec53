"""Statistics of repeated runs: coverage and false alarms on made-up data, agreement with scipy, tables of differences."""

import json
import runpy
import shutil
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from hybridkit import comparison, metrics, per_question, replicates, runs, statistics
from hybridkit.cli import main
from hybridkit.errors import KitError, KitWarning
from hybridkit.params import for_run, to_yaml
from hybridkit.ranks import GoldRanks
from hybridkit.statistics import Replicate, compare_with, effect_size, estimate, sign_flip_p

SIMULATED = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "coverage.py"))
REPEATS = 600


# Intervals


def crossed(seeds=4, questions=30, seed=0):
    """Values (seeds, questions) that vary by seed, by question and by answer."""
    random = np.random.default_rng(seed)
    return random.normal(size=(seeds, 1)) + random.normal(size=questions) + random.normal(size=(seeds, questions))


def test_error_is_that_of_the_bootstrap_corrected():
    """Against the bootstrap carried out: the formula of its variance, and the three corrections of its parts."""
    values = crossed()
    seeds, questions = values.shape
    random = np.random.default_rng(1)
    by_seed = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=40_000) / seeds
    by_question = random.multinomial(questions, np.full(questions, 1 / questions), size=40_000) / questions
    of_seeds = (by_seed @ values.mean(axis=1)).var()
    of_questions = (by_question @ values.mean(axis=0)).var()
    both = ((by_seed @ values) * by_question).sum(axis=1).var()
    a, b, e = statistics.mean_squares(values)
    size, less = values.size, (seeds - 1) * (questions - 1)
    told = (a * (seeds - 1) / seeds + b * (questions - 1) / questions + e * less / size) / size
    assert both == pytest.approx(told, rel=0.03)
    corrected = of_seeds * seeds / (seeds - 1) + of_questions * questions / (questions - 1)
    corrected -= (both - of_seeds - of_questions) * size / less
    assert estimate(values).error ** 2 == pytest.approx(corrected, rel=0.05)


def test_without_questions_of_their_own_it_is_the_t_test_over_seeds():
    one, other = np.random.default_rng(2).normal(size=(2, 6))
    found = estimate(np.repeat((one - other)[:, None], 50, axis=1))
    theirs = stats.ttest_rel(one, other)
    assert found.p() == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_with_seeds_that_agree_it_is_the_t_test_over_questions():
    one, other = np.random.default_rng(3).normal(size=(2, 40))
    found = estimate(np.repeat((one - other)[None], 6, axis=0))
    theirs = stats.ttest_rel(one, other)
    assert found.p() == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))


@pytest.mark.parametrize("what, seeds", [*product(SIMULATED["SOURCES"], (3, 6, 10))])
def test_intervals_hold_the_truth_as_often_as_they_say(what, seeds):
    """Within sampling error (three standard errors) of 95 %; of up to 98 % with three seeds."""
    random = np.random.default_rng([4, seeds])
    held = [0, 0]
    for _, effect in product(range(REPEATS), (0, 1)):
        found = estimate(SIMULATED["differences"](random, what, seeds, 100) + effect)
        held[effect] += found.p(effect) > statistics.LEVEL
    off = 3 * np.sqrt(0.95 * 0.05 / REPEATS)
    for count in held:
        assert 0.95 - off <= count / REPEATS <= (0.98 if seeds == 3 else 0.95) + off


def test_plain_bootstrap_of_three_seeds_does_not():
    """What the correction is for: without it about a fourth of the intervals miss."""
    found = SIMULATED["coverage"]("seeds", 3, 50, 200)
    assert found["percentile"] < 0.85 and found["interval, no effect"] > 0.9


def test_mixtures_that_equal_the_baseline_are_rarely_called_different():
    """In at most one table in twenty of 20 mixtures, within sampling error."""
    low, real = SIMULATED["alarms"](6, 50, 60)
    assert real <= low <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_an_effect_is_found():
    random = np.random.default_rng(5)
    found = [
        estimate(SIMULATED["differences"](random, "seeds and questions", 6, 100) + 6).p() <= 0.05 for _ in range(100)
    ]
    assert sum(found) > 90  # the effect is four standard errors


values_of = arrays.arrays(
    float, st.tuples(st.integers(2, 7), st.integers(2, 9)), elements=st.floats(-100, 100, width=16)
)


@given(values_of, st.floats(-50, 50))
def test_adding_a_constant_shifts_the_interval(values, constant):
    found, shifted = estimate(values), estimate(values + constant)
    assert shifted.value == pytest.approx(found.value + constant, abs=1e-9)
    assert shifted.error == pytest.approx(found.error, abs=1e-6)


@given(values_of)
def test_exchanging_the_two_flips_the_sign(values):
    found, flipped = estimate(values), estimate(-values)
    assert (flipped.value, flipped.error, flipped.p()) == (-found.value, found.error, found.p())
    assert flipped.interval == pytest.approx(tuple(-end for end in reversed(found.interval)))
    assert 0 <= found.p() <= 1
    assert sign_flip_p(values.mean(axis=1)) == sign_flip_p(-values.mean(axis=1))


@given(values_of)
def test_error_is_never_below_that_of_seeds_alone(values):
    assert estimate(values).error >= stats.sem(values.mean(axis=1)) * (1 - 1e-9) - 1e-12


@given(values_of)
def test_the_interval_holds_all_that_has_a_p_above_the_level(values):
    found = estimate(values)
    for end in found.interval:
        if found.error > 1e-6:
            assert found.p(end) == pytest.approx(statistics.LEVEL, rel=1e-6)


@pytest.mark.parametrize("seeds, questions", [(2, 2), (3, 9), (3, 1200), (6, 40)])
@pytest.mark.parametrize("due", [(1, 1), (1, 0.01), (0.01, 1), (1, 0.3)])
def test_p_against_draws_of_two_t(seeds, questions, due):
    random = np.random.default_rng(12)
    sums = due[0] * random.standard_t(seeds - 1, 400_000) + due[1] * random.standard_t(questions - 1, 400_000)
    for value in (0.5, 2, 6):
        p = statistics.Estimate(value, *due, seeds, questions).p()
        assert p == pytest.approx((np.abs(sums) >= value).mean(), abs=4 * np.sqrt(p / 400_000) + 1e-5)


def test_small_p_are_as_rare_as_they_say():
    """With three and six seeds, where an error with one number of degrees of freedom gives p < .001 too often."""
    random = np.random.default_rng(13)
    for seeds in (3, 6):
        found = [estimate(SIMULATED["differences"](random, "seeds and questions", seeds, 50)).p() for _ in range(4000)]
        for level in (0.05, 0.01, 0.001):
            assert np.mean(np.array(found) <= level) <= level + 3 * np.sqrt(level / 4000)


def test_one_seed_or_one_question_says_nothing_of_its_error():
    for values in (np.ones((1, 5)), np.ones((5, 1))):
        found = estimate(values)
        assert found.value == 1 and np.isnan([found.error, found.p(), *found.interval]).all()


def test_no_difference_at_all_is_p_1():
    assert estimate(np.zeros((6, 9))).p() == 1 and estimate(np.zeros((6, 9))).interval == (0, 0)


def test_a_mean_of_zero_is_p_1_and_no_more():
    """Rounding must not push it above: the correction for many comparisons refuses such a p."""
    for seeds, questions, due in product((2, 5, 6, 10), (2, 40, 1200), ((1, 1), (1, 0), (1, 0.3))):
        p = statistics.Estimate(0.0, *due, seeds, questions).p()
        assert p == pytest.approx(1) and p <= 1
        stats.false_discovery_control([p], method="by")


# Tests over seeds


@given(arrays.arrays(float, st.integers(2, 8), elements=st.integers(-9, 9).map(float)))
def test_sign_flips_are_all_tried(of_seeds):
    flips = np.array(list(product((-1, 1), repeat=len(of_seeds)))) @ of_seeds
    assert sign_flip_p(of_seeds) == pytest.approx((np.abs(flips) >= abs(of_seeds.sum())).mean())


def test_smallest_p_of_sign_flips():
    for seeds in range(2, 11):
        assert sign_flip_p(np.arange(1.0, seeds + 1)) == 2 / 2**seeds
    assert sign_flip_p(np.ones(1)) == 1
    least = next(seeds for seeds in range(2, 11) if 2 / 2**seeds <= statistics.LEVEL)
    assert statistics.MINIMUM_SEEDS == least


def test_more_seeds_than_can_be_flipped_in_every_way():
    """Twenty seeds, a million flips: some of them at random, the same ones in every call."""
    of_seeds = np.random.default_rng(6).normal(0.3, 1, 20)
    sums = np.zeros(1)
    for value in of_seeds:
        sums = np.concatenate([sums + value, sums - value])
    exact = (np.abs(sums) >= abs(of_seeds.sum()) - 1e-9).mean()
    assert sign_flip_p(of_seeds) == sign_flip_p(of_seeds) == pytest.approx(exact, rel=0.1)


def test_effect_size_by_hand():
    """Mean 2, standard deviation 1, correction 1 - 3 / 7."""
    assert effect_size(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 * 4 / 7)
    assert effect_size(-np.array([1.0, 2.0, 3.0])) == pytest.approx(-2 * 4 / 7)
    assert np.isnan(effect_size(np.array([1.0, 2.0]))) and np.isnan(effect_size(np.full(6, 0.1)))


def test_effect_size_is_right_on_average():
    random = np.random.default_rng(7)
    found = [effect_size(row) for row in random.normal(0.8, 1, size=(20_000, 6))]
    assert np.mean(found) == pytest.approx(0.8, abs=0.02)


# Figures by question


def figure_of(questions=300, seed=0):
    """A figure whose columns have different questions, some asked in none."""
    random = np.random.default_rng(seed)
    counts = (random.random((questions, 5)) < [0.9, 0.4, 0.7, 0.2, 0.0]).astype(float)
    counts[:3] = 0
    sums = counts * random.beta(2, 2, size=(questions, 1)) * random.random((questions, 5))
    return per_question.Figure(("de", "en", "fr"), np.array([0, 0, 1, 2, 2]), sums, counts)


def test_figures_of_questions_have_the_mean_and_the_spread_of_the_figure():
    """The spread against the bootstrap of the whole figure, which knows nothing of linear parts."""
    figure = figure_of()
    values = figure.by_question()
    assert np.isnan(values[:3]).all()
    values = values[~np.isnan(values)]
    assert values.mean() == pytest.approx(figure.by_language().mean())
    weights = np.random.default_rng(8).multinomial(300, np.full(300, 1 / 300), size=6000).astype(float)
    bootstrap = figure.by_language(weights).mean(axis=1).std()
    assert values.std() / np.sqrt(len(values)) == pytest.approx(bootstrap, rel=0.04)


def test_a_question_asked_everywhere_has_the_mean_over_languages_of_its_values():
    sums = np.random.default_rng(9).random((20, 5))
    figure = per_question.Figure(("de", "en", "fr"), np.array([0, 0, 1, 2, 2]), sums, np.ones((20, 5)))
    expected = (sums[:, :2].mean(axis=1) + sums[:, 2] + sums[:, 3:].mean(axis=1)) / 3
    assert figure.by_question() == pytest.approx(expected)


# Tables


QUESTIONS = 40
LANGUAGES = ("de", "en")


def gold_of(skill, seed, questions=QUESTIONS):
    """Gold ranks of questions in two languages with an answer in each; the more skill, the fewer candidates above."""
    random = np.random.default_rng(seed)
    hard = np.random.default_rng(99).random(questions)
    queries = np.arange(2 * questions)
    expected = np.repeat(hard, 4)[:, None] * 30 * np.exp(-skill + random.normal(0, 0.05))
    return GoldRanks(
        benchmark="made up",
        system="",
        pools=LANGUAGES,
        pool_sizes=np.array([500, 500]),
        query_ids=queries.astype(str),
        query_languages=np.tile(LANGUAGES, questions),
        questions=np.repeat(np.arange(questions), 2).astype(str),
        gold_query=np.repeat(queries, 2),
        gold_language=np.tile(LANGUAGES, 2 * questions),
        gold_candidate=np.arange(4 * questions).astype(str),
        above=np.minimum(random.poisson(np.broadcast_to(expected, (4 * questions, 2))), 400).astype(np.int32),
        tied=np.zeros((4 * questions, 2), np.int32),
    )


SCOPES = {"all languages": list(LANGUAGES), "English": ["en"]}
SKILLS = {"mono": 0.0, "hybrid-0.50": 1.0, "cross": -1.0, "uniform": 0.0}


def made_up(seeds=range(6), mixtures=tuple(SKILLS), **other):
    """Replicates of mixtures with known skills; `uniform` is as good as `mono`."""
    for mixture, seed in product(mixtures, seeds):
        luck = 1000 * list(SKILLS).index(mixture) + seed
        yield Replicate(mixture, seed, gold_of(SKILLS[mixture], luck), SCOPES, **other)


@pytest.fixture(scope="module")
def table():
    return compare_with("mono", made_up())


def one(table, mixture, metric="multilingual mAP", scope="all languages"):
    (row,) = table.query("mixture == @mixture and metric == @metric and scope == @scope").itertuples()
    return row


def test_a_row_of_differences_is_that_of_the_figures(table):
    row = one(table, "hybrid-0.50")
    mean, base = (
        np.mean([metrics.summary(r.gold)["multilingual mAP"] for r in made_up(mixtures=(mixture,))])
        for mixture in ("hybrid-0.50", "mono")
    )
    assert (row.mean, row.baseline_mean) == pytest.approx((mean, base))
    assert row.difference == pytest.approx(mean - base) and row.low < row.difference < row.high
    assert row.seeds == 6 and row.baseline == "mono" and 0.5 < row.questions_won <= 1 and row.effect_size > 0.8


def test_real_differences_are_told_from_none(table):
    for metric in statistics.METRICS:
        assert one(table, "hybrid-0.50", metric).verdict == "real: better", metric
        assert one(table, "cross", metric).verdict == "real: worse", metric
        assert one(table, "uniform", metric).verdict == "not shown", metric
    assert one(table, "hybrid-0.50", "rank distance").difference < 0 < one(table, "cross", "rank distance").difference
    won = [one(table, mixture, "rank distance").questions_won for mixture in ("hybrid-0.50", "cross")]
    assert won[0] > 0.9 and won[1] < 0.1
    assert list(table["mixture"][:3]) == ["hybrid-0.50", "cross", "uniform"]
    assert list(dict.fromkeys(table["metric"])) == list(statistics.METRICS)


def test_p_are_adjusted_for_the_whole_table(table):
    tested = table[table["p"].notna()]
    assert tested["adjusted_p"].to_numpy() == pytest.approx(
        stats.false_discovery_control(tested["p"].to_numpy(), method="by")
    )
    assert (tested["adjusted_p"] >= tested["p"]).all() and len(tested) > 12


def test_labels_exchanged(table):
    back = compare_with("hybrid-0.50", made_up(mixtures=("mono", "hybrid-0.50")))
    for metric in ("multilingual mAP", "rank distance"):
        there, here = one(table, "hybrid-0.50", metric), one(back, "mono", metric)
        assert here.difference == pytest.approx(-there.difference) and here.p == pytest.approx(there.p)
        assert (here.low, here.high) == pytest.approx((-there.high, -there.low))
        assert here.effect_size == pytest.approx(-there.effect_size) and here.sign_flip_p == there.sign_flip_p
        assert here.questions_won == pytest.approx(1 - there.questions_won)
        assert {here.verdict, there.verdict} == {"real: better", "real: worse"}


def test_a_copy_of_the_baseline_is_no_different():
    copy = [replace(r, mixture="copy") for r in made_up(mixtures=("mono",))]
    row = one(compare_with("mono", [*made_up(mixtures=("mono",)), *copy]), "copy")
    assert row.difference == 0 and row.p == row.adjusted_p == row.sign_flip_p == 1
    assert row.questions_won == 0.5 and np.isnan(row.effect_size) and row.verdict == "not shown"


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_nothing_is_real_with_too_few_seeds(seeds):
    table = compare_with("mono", made_up(range(seeds)))
    assert set(table["verdict"]) == {f"not enough seeds ({seeds} of 6)"}
    assert (table["sign_flip_p"] > statistics.LEVEL).all()
    assert table["p"].isna().all() == (seeds == 1)


def test_adjusted_p_alone_is_not_enough():
    """A p that is small over all seeds and questions, with seeds that disagree on the sign."""
    rows = {"seeds": 6, "metric": "mAP", "difference": [1.0, 1.0], "p": [0.001, 0.001], "sign_flip_p": [0.03, 0.07]}
    assert list(statistics.judged(pd.DataFrame(rows))["verdict"]) == ["real: better", "not shown"]


def test_seeds_that_one_of_two_lacks_are_told():
    given_ = [r for r in made_up() if (r.mixture, r.seed) not in {("cross", 5), ("mono", 0)}]
    with pytest.warns(KitWarning) as told:
        table = compare_with("mono", given_)
    sentences = [str(one.message) for one in told]
    assert sorted(sentences) == [
        "made up: no run of cross has seed 5 and no run of mono has seed 0, so cross and mono are compared on 4 seeds.",
        "made up: no run of mono has seed 0, so hybrid-0.50, uniform and mono are compared on 5 seeds.",
    ]
    assert set(table["seeds"]) == {4, 5}
    paired = compare_with("mono", [r for r in made_up(mixtures=("mono", "cross")) if r.seed in {1, 2, 3, 4}])
    assert one(table, "cross").difference == pytest.approx(one(paired, "cross").difference)
    with pytest.warns(KitWarning, match="so cross and mono are compared on no seed"):
        assert compare_with("mono", [*made_up((0,), ("mono",)), *made_up((1,), ("cross",))]).empty


def test_runs_of_other_settings_never_meet():
    others = [replace(r, settings="b") for r in made_up(mixtures=("cross",))]
    with pytest.warns(KitWarning, match="b, made up: there is no run of the baseline mono, so its runs are left out"):
        table = compare_with("mono", [*made_up(mixtures=("mono", "hybrid-0.50"), settings="a"), *others])
    assert set(table["mixture"]) == {"hybrid-0.50"} and set(table["settings"]) == {"a"}


def test_what_is_not_there_is_named():
    with pytest.raises(KitError, match="no run of the baseline 'mone'; there are mono, hybrid-0.50, cross, uniform"):
        compare_with("mone", made_up((0,)))
    with pytest.raises(KitError, match="no run has such figures"):
        compare_with("mono", [])
    for name in ("mAP", "multilingual Recall", "lingual mAP", "multilingual nDCG@0"):
        with pytest.raises(KitError, match="is no figure of the kit: write rank distance, or monolingual"):
            compare_with("mono", made_up((0,)), [name])
    with pytest.raises(KitError, match="cross with seed 0 answered other questions of made up"):
        compare_with("mono", [*made_up((0,), ("mono",)), Replicate("cross", 0, gold_of(0, 1, 41), SCOPES)])
    with pytest.raises(KitError, match="Seed 0 of mono is given twice for made up"):
        compare_with("mono", [*made_up((0,)), *made_up((0,), ("mono",))])


def test_figures_that_a_scope_does_not_have_are_left_out(table):
    assert set(table.query("scope == 'English'")["metric"]) == {"monolingual mAP", "multilingual mAP"}


def test_intervals_of_the_mixtures_themselves():
    table = statistics.with_intervals(made_up(), ["multilingual MRR"])
    row = one(table, "cross", "multilingual MRR")
    figures = [metrics.summary(r.gold)["multilingual MRR"] for r in made_up(mixtures=("cross",))]
    assert row.mean == pytest.approx(np.mean(figures)) and row.deviation == pytest.approx(np.std(figures, ddof=1))
    assert row.low < row.mean < row.high and row.seeds == 6
    assert row.high - row.low > 2 * 1.96 * np.std(figures, ddof=1) / np.sqrt(6)  # the questions add to it


# Draws


def test_draws_spread_as_the_mean_does():
    """Seeds alone, and questions alone: as far as the standard error of each mean."""
    of_seeds = np.repeat(np.random.default_rng(10).normal(size=(1, 4, 1)), 60, axis=2)
    assert statistics.drawn(of_seeds).std() == pytest.approx(stats.sem(of_seeds[0, :, 0]), rel=0.08)
    of_questions = np.repeat(np.random.default_rng(11).normal(size=(1, 1, 60)), 4, axis=1)
    assert statistics.drawn(of_questions).std() == pytest.approx(stats.sem(of_questions[0, 0]), rel=0.08)


def test_best_in_draws():
    table = statistics.best_in_draws(made_up(), ["multilingual mAP", "rank distance"])
    for metric in ("multilingual mAP", "rank distance"):
        shares = table.query("metric == @metric and scope == 'all languages'").set_index("mixture")["share"]
        assert shares.sum() == pytest.approx(1) and shares["hybrid-0.50"] > 0.99
    copy = [replace(r, mixture="copy") for r in made_up(mixtures=("mono",))]
    table = statistics.best_in_draws([*made_up(mixtures=("mono",)), *copy], ["multilingual mAP"])
    assert set(table["share"]) == {0.5}
    alike = statistics.best_in_draws(made_up(mixtures=("mono", "uniform")), ["multilingual mAP"])
    assert alike["share"].between(0.01, 0.99).all()
    one_seed = [*made_up(range(2), ("mono", "cross")), *made_up((1,), ("uniform",))]
    with pytest.warns(KitWarning, match=r"two seeds in common \(uniform has seed 1\), so none is called best") as told:
        assert statistics.best_in_draws(one_seed, ["multilingual mAP", "rank distance"]).empty
    assert len(told) == 1


# Runs


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Finished runs of mono and cross, seeds 0 and 1, and in staging hybrid-0.50, the latter with one seed unfinished."""
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path))
    for mixture, seed in product(("mono", "cross", "hybrid-0.50"), (0, 1)):
        run = runs.Run(for_run("tiny", mixture, seed))
        folder = run.staging if mixture == "hybrid-0.50" else run.final
        folder.mkdir(parents=True)
        (folder / "params.yaml").write_text(to_yaml(run.parameters))
        (folder / "plan.yaml").write_text('seed: 0\ndata: {"museum": "abc"}\nfingerprint: 1\n')
        gold = replace(gold_of(SKILLS[mixture], seed), benchmark="museum", fingerprint="def")
        if (mixture, seed) != ("hybrid-0.50", 1):
            gold.save(folder / "ranks" / "museum")
        if mixture != "hybrid-0.50":
            manifest = {"key": run.key, "parameters": run.parameters.model_dump()}
            manifest |= {"training_data": {"museum": "abc"}, "benchmarks": {"museum": "def"}}
            (folder / runs.MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def test_runs_meet_whether_or_not_they_are_finished(outputs):
    found = list(replicates.of_profile("tiny"))
    assert sorted((r.mixture, r.seed) for r in found) == [
        ("cross", 0), ("cross", 1), ("hybrid-0.50", 0), ("mono", 0), ("mono", 1)
    ]  # fmt: skip
    assert len({r.settings for r in found}) == 1 and {r.encoder for r in found} == {"tiny-mlm"}
    assert found[0].scopes == comparison.scopes(found[0].gold, for_run().languages)
    with pytest.warns(
        KitWarning, match="no run of hybrid-0.50 has seed 1, so hybrid-0.50 and mono are compared on 1 seed"
    ):
        table = compare_with("mono", found, ["multilingual mAP"])
    assert dict(zip(table["mixture"], table["seeds"], strict=True)) == {"hybrid-0.50": 1, "cross": 2}


def test_runs_by_their_parameters(outputs):
    chosen = [runs.Run(for_run("tiny", mixture, 0)) for mixture in ("mono", "hybrid-0.50")]
    assert [r.mixture for r in replicates.of_runs(chosen)] == ["mono", "hybrid-0.50"]
    with pytest.raises(KitError, match="tiny-mlm hybrid-0.50 seed 1 is not trained and evaluated yet"):
        list(replicates.of_runs([runs.Run(for_run("tiny", "hybrid-0.50", 1))]))


def test_runs_of_one_name_and_other_weights_are_told_apart(outputs):
    run = runs.Run(for_run("tiny", "mono", 0, {"mixture": "cross"}))
    manifest = {"key": run.key, "parameters": run.parameters.model_dump()}
    manifest |= {"training_data": {"museum": "abc"}, "benchmarks": {"museum": "def"}}
    folder = runs.Run(for_run("tiny", "mono", 0)).final
    cross = runs.Run(for_run("tiny", "cross", 0)).final
    found = replicates.of_folders([(folder, manifest), (cross, runs.read_manifest(cross))])
    assert [r.mixture for r in found] == ["cross (1 / 0 / 0)", "cross (0 / 1 / 0)"]


def test_damaged_runs_are_left_out_with_a_word(outputs):
    final = runs.Run(for_run("tiny", "mono", 0)).final
    (final / "ranks" / "museum" / "golds.parquet").write_bytes(b"")
    other = runs.Run(for_run("tiny", "mono", 1)).final / runs.MANIFEST
    other.write_text(json.dumps(json.loads(other.read_text()) | {"parameters": {"no_longer_there": 1}}))
    with pytest.warns(KitWarning) as told:
        found = list(replicates.of_profile("tiny"))
    assert {r.mixture for r in found} == {"cross", "hybrid-0.50"}
    assert [("another version" in str(one.message), "readable" in str(one.message)) for one in told] == [
        (True, False), (False, True)
    ]  # fmt: skip


def test_an_evaluated_run_in_staging_that_cannot_be_read_is_told(outputs):
    staged = runs.Run(for_run("tiny", "hybrid-0.50", 0)).staging
    assert {r.mixture for r in replicates.of_profile("tiny")} == {"mono", "cross", "hybrid-0.50"}
    (staged / "ranks" / "museum" / "about.json").write_text("{")
    with pytest.warns(KitWarning, match=f"{staged} was made by another version of the kit, or is damaged") as told:
        assert {r.mixture for r in replicates.of_profile("tiny")} == {"mono", "cross"}
    assert len(told) == 1  # nothing is said of the run that is not evaluated yet


def test_two_runs_of_one_seed_are_named_by_their_folders(outputs):
    """As an encoder that was made anew leaves them: keys differ, and nothing else that is known."""
    folder = runs.Run(for_run("tiny", "mono", 0)).final
    copy = shutil.copytree(folder, folder.with_name("seed-0-01234567"))
    with pytest.raises(KitError, match=f"{folder} and {copy} are both tiny-mlm mono seed 0 on museum, with the same"):
        compare_with("mono", replicates.of_profile("tiny"))


def call(*arguments):
    return CliRunner().invoke(main, ["compare", *arguments])


def test_command_line(outputs, tmp_path):
    answer = call("--baseline", "mono", "--metric", "rank distance", "--csv", str(tmp_path / "differences.csv"))
    assert answer.exit_code == 0, answer.output
    assert "against mono" in answer.output and "not enough seeds (2 of 6)" in answer.output
    assert "With 1 the sign-flip test cannot go below p = 1." in answer.output
    kept = pd.read_csv(tmp_path / "differences.csv")
    assert set(kept["mixture"]) == {"cross", "hybrid-0.50"} and set(kept["metric"]) == {"rank distance"}
    scope = answer.output.split("all languages**")[1]
    line = next(line for line in scope.splitlines() if line.startswith("| rank distance | cross"))
    (row,) = kept.query("mixture == 'cross' and scope == 'all languages'").itertuples()
    assert f"| {row.mean:,.0f} | {row.baseline_mean:,.0f} | {row.difference:+,.1f} |" in line


def test_command_line_tells_of_runs_that_wait_to_be_finished(outputs):
    staged = [runs.Run(for_run("tiny", "hybrid-0.50", seed)).staging for seed in (0, 1)]
    assert "Trained" not in call().output  # they are in work, and not trained yet
    (staged[0] / "training.json").write_text("{}")
    (line,) = [line for line in call().output.splitlines() if "Trained" in line]
    assert "not in these tables: 1 run (named by" in line and "`hybridkit sweep --profile tiny` with" in line
    (staged[1] / "training.json").write_text("{}")
    assert "tables: 2 runs (" in call().output
    (staged[1] / "failure.json").write_text("{}")
    assert "tables: 1 run (" in call().output  # `hybridkit status` tells of the other that it failed
    assert "not in these tables" not in call("--baseline", "mono").output  # where it counts


def test_command_line_tells_faults_in_a_sentence(outputs, tmp_path, monkeypatch):
    answer = call("--baseline", "uniform")
    assert answer.exit_code == 1
    assert "error: There is no run of the baseline 'uniform'; there are mono, hybrid-0.50, cross." in answer.output
    assert "--metric goes with --baseline" in call("--metric", "rank distance").output
    assert "is no figure of the kit" in call("--baseline", "mono", "--metric", "mAP").output
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "empty"))
    assert "no run has such figures" in call("--baseline", "mono").output


def test_the_same_table_every_time(outputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KitWarning)
        first, second = (compare_with("mono", replicates.of_profile("tiny")) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)

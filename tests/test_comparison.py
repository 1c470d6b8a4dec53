"""Runs side by side: tables, scopes, the baseline, the reference runs and the figures' texts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridkit import comparison, figures, metrics, reference, runs
from hybridkit.corpora import museum
from hybridkit.errors import KitError, KitWarning
from hybridkit.params import Parameters, for_run
from hybridkit.ranks import gold_ranks


@pytest.fixture(scope="module")
def benchmark():
    return museum.benchmark(20)


@pytest.fixture(scope="module")
def gold(benchmark):
    draw = np.random.default_rng(0)
    return gold_ranks(
        draw.normal(size=(len(benchmark.query_ids), 8)).astype(np.float32),
        draw.normal(size=(len(benchmark.candidate_ids), 8)).astype(np.float32),
        benchmark,
        system="random",
    )


@pytest.fixture
def outputs(tmp_path, monkeypatch, gold):
    """Finished runs of two mixtures and two seeds, whose figures are made up from random gold ranks."""
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path))
    measured = comparison.measure(gold, Parameters().languages)
    for mixture in ("cross", "mono"):
        for seed in (0, 1):
            parameters = for_run("tiny", mixture, seed, {"museum_evaluation_exhibits": 20})
            folder = runs.Run(parameters).final
            shifted = {s: {k: v + seed / 10 for k, v in figures_.items()} for s, figures_ in measured.items()}
            runs.write_text(folder / "metrics.json", json.dumps({"museum": shifted}))
            manifest = {
                "key": runs.Run(parameters).key,
                "parameters": parameters.model_dump(),
                "training_data": {},
                "benchmarks": {"museum": "x"},
            }
            runs.write_text(folder / runs.MANIFEST, json.dumps(manifest))
    return tmp_path


def test_scopes_split_the_languages(gold):
    trained = Parameters().languages
    found = comparison.scopes(gold, trained)
    assert found["unseen languages"] == ["el", "vi"] and len(found["all languages"]) == 11
    assert sorted(found["training languages"]) == sorted(trained)
    assert "unseen languages" not in comparison.scopes(gold, gold.pools)
    assert "training languages" not in comparison.scopes(gold, ["sw"])


def test_figures_of_runs_are_collected_with_the_baseline(outputs, gold):
    table = comparison.collect("tiny")
    assert set(table["mixture"]) == {"mono", "cross", "none"} and set(table["encoder"]) == {"tiny-mlm", "BM25"}
    found = comparison.by_mixture(table, "monolingual mAP")
    assert list(found["mixture"]) == ["mono", "cross", "none"]
    expected = metrics.summary(gold, Parameters().languages)["monolingual mAP"]
    assert found["mean"][0] == pytest.approx(expected + 0.05) and found["seeds"][0] == 2
    assert found["deviation"][0] == pytest.approx(np.std([0, 0.1], ddof=1)) and np.isnan(found["deviation"][2])
    text = comparison.to_markdown(table)
    assert "**Training languages**" in text and "**Unseen languages**" in text and "BM25" in text and "±" in text
    assert comparison.collect("laptop").empty


def test_other_settings_are_never_averaged(outputs, gold):
    """A run of 7 steps is no second seed of the run of the profile."""
    parameters = for_run("tiny", "mono", 0, {"museum_evaluation_exhibits": 20, "steps": 7})
    folder = runs.Run(parameters).final
    assert folder.name.startswith("seed-0-")
    measured = comparison.measure(gold, parameters.languages)
    runs.write_text(folder / "metrics.json", json.dumps({"museum": measured}))
    manifest = {"key": runs.Run(parameters).key, "parameters": parameters.model_dump()}
    runs.write_text(folder / runs.MANIFEST, json.dumps(manifest | {"training_data": {}, "benchmarks": {"museum": "x"}}))
    found = comparison.by_mixture(comparison.collect("tiny").query("encoder == 'tiny-mlm'"), "monolingual mAP")
    assert sorted(found.query("mixture == 'mono'")["seeds"]) == [1, 2]
    assert "settings" in comparison.headline(comparison.collect("tiny")).columns


def test_a_run_that_is_there_twice_is_told(outputs):
    """As an encoder that was made anew leaves it: another key, the same settings."""
    folder = outputs / "tiny" / "tiny-mlm" / "mono" / "seed-0"
    copy = shutil.copytree(folder, folder.with_name("seed-0-01234567"))
    with pytest.warns(KitWarning, match=f"{folder} and {copy} are one run carried out twice, and both count") as told:
        comparison.collect("tiny")
    assert len(told) == 1


def test_runs_of_another_version_are_left_out_with_a_word(outputs):
    path = outputs / "tiny" / "tiny-mlm" / "mono" / "seed-0" / runs.MANIFEST
    manifest = json.loads(path.read_text())
    manifest["parameters"]["no_longer_there"] = 1
    path.write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match="another version of the kit"):
        assert (comparison.by_mixture(comparison.collect("tiny"), "monolingual mAP")["seeds"] == [1, 2, 1]).all()


def test_damaged_cache_of_the_baseline_is_made_anew(benchmark, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path))
    first = comparison.lexical_baseline(benchmark)
    damaged = next((tmp_path / "lexical").glob("*/golds.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:200])
    assert (comparison.lexical_baseline(benchmark).above == first.above).all()


def test_baseline_is_computed_once(benchmark, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path))
    first = comparison.lexical_baseline(benchmark)
    monkeypatch.setattr("hybridkit.lexical.bm25_gold_ranks", None)
    assert (comparison.lexical_baseline(benchmark).above == first.above).all()


def test_words_carry_within_a_language_and_not_across(benchmark):
    found = comparison.measure(comparison.lexical_baseline(benchmark), Parameters().languages)["training languages"]
    assert found["monolingual mAP"] > 0.4 > 0.2 > found["cross-lingual mAP"]


def test_selection_keeps_ranks_in_the_whole_pool(gold):
    part = reference.select(gold, every=3)
    assert len(set(part.questions)) == len(set(gold.questions)) // 3 and (part.pool_sizes == gold.pool_sizes).all()
    assert {question.split(":")[-1] for question in part.questions} == {q.split(":")[-1] for q in gold.questions}
    assert all((gold.questions == question).sum() == (part.questions == question).sum() for question in part.questions)
    for query in (0, len(part.query_ids) - 1):
        whole = int(np.flatnonzero(gold.query_ids == part.query_ids[query])[0])
        mine, theirs = part.gold_query == query, gold.gold_query == whole
        assert (part.ranks(part.pools)[mine] == gold.ranks(gold.pools)[theirs]).all()
        assert list(part.gold_candidate[mine]) == list(gold.gold_candidate[theirs])


def test_reference_runs_are_whole_and_agree_with_their_figures():
    """The gold ranks of a fourth of the questions lie near the figures over all of them."""
    table = reference.table()
    assert set(reference.mixtures()) >= {"mono", "hybrid-0.50", "cross"}
    for mixture in reference.mixtures():
        gold = reference.gold_ranks(mixture)
        found = metrics.summary(gold, Parameters().languages)
        part = table[(table["mixture"] == mixture) & (table["seed"] == 0) & (table["scope"] == "training languages")]
        figures_ = part.set_index("metric")["value"]
        for metric in comparison.HEADLINE[:3]:
            assert found[metric] == pytest.approx(figures_[metric], abs=0.05)
    with pytest.raises(KitError, match="no reference run 'hybrid-0.99'"):
        reference.gold_ranks("hybrid-0.99")


def test_reference_shows_the_effect():
    """What the museum is there to show, by the seeds that are kept (issue: means over the training languages)."""
    mean = {m: comparison.by_mixture(reference.table(), m).set_index("mixture")["mean"] for m in comparison.HEADLINE}
    mono, cross, multi, distance = (mean[m] for m in comparison.HEADLINE)
    assert cross["hybrid-0.50"] >= cross["mono"] + 0.40
    assert mono["hybrid-0.50"] >= 0.95 * mono["mono"] and mono["hybrid-0.50"] > mono["cross"]
    assert multi["hybrid-0.50"] > max(multi["mono"], multi["cross"])
    assert distance["hybrid-0.50"] <= distance["mono"] / 10


def test_tables_of_the_readme_are_the_reference():
    """Every row of figures in the README, as printed there."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    tests = {"warmed up on translations": ("tiny-aligned", "tiny profile"), "1,200 steps": ("tiny-mlm", "1,200 steps")}
    tests |= {"rising over half": ("tiny-mlm", "slow start"), "": ("tiny-mlm", "tiny profile")}
    checked = 0
    for line in text[text.index("## What the museum shows") : text.index("## Real text on a laptop")].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or cells[0] in ("mixture", "test") or cells[0].startswith("---"):
            continue
        which = next(value for words, value in tests.items() if words in (cells[0] if len(cells) == 6 else ""))
        mixture = "none" if cells[-5].startswith("BM25") else cells[-5]
        for metric, shown in zip(comparison.HEADLINE, cells[-4:], strict=True):
            mean = comparison.by_mixture(reference.table(*which), metric).set_index("mixture")["mean"][mixture]
            assert abs(float(shown.replace(",", "")) - mean) <= (0.5 if metric == "rank distance" else 0.0005), line
            checked += 1
    assert checked == 4 * (6 + 8)


def test_reference_has_every_variant():
    for variant in reference.VARIANTS:
        found = reference.table(variant=variant)
        assert {"hybrid-0.50", "cross"} <= set(found["mixture"]) and set(found["encoder"]) == {"tiny-mlm", "BM25"}
    assert set(reference.table("tiny-aligned")["encoder"]) == {"tiny-aligned", "BM25"}
    with pytest.raises(KitError, match="no reference runs of tiny-aligned with 'slow start'"):
        reference.table("tiny-aligned", "slow start")


def test_run_without_a_model_shows_the_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path))
    gold, own, told = reference.of_run(runs.Run(for_run("tiny", "mono")))
    assert not own and "reference run mono" in told and (gold.above == reference.gold_ranks("mono").above).all()


def test_one_damaged_run_does_not_stop_the_others(outputs):
    folder = outputs / "tiny" / "tiny-mlm"
    (folder / "mono" / "seed-0" / "metrics.json").write_text('{"museum": {"train')
    (folder / "mono" / "seed-1" / runs.MANIFEST).write_text("{}")
    with pytest.warns(KitWarning) as told:
        found = comparison.collect("tiny")
    assert set(found["mixture"]) == {"cross", "none"}
    assert any("seed-0 is left out" in str(w.message) for w in told) and any(
        "is damaged" in str(w.message) for w in told
    )


def test_damaged_centred_figures_take_no_others_with_them(outputs):
    ranks = outputs / "tiny" / "tiny-mlm" / "mono" / "seed-0" / runs.RANKS[True] / "museum"
    ranks.mkdir(parents=True)
    (ranks / "about.json").write_text("{")
    before = comparison.collect("tiny")
    with pytest.warns(KitWarning, match=r"seed-0 is left out \(centred\)") as told:
        found = comparison.collect("tiny", centred=True)
    pd.testing.assert_frame_equal(found, before)
    assert len(told) == 1


def test_damaged_figures_are_computed_again_from_the_ranks(outputs, gold):
    folder = outputs / "tiny" / "tiny-mlm" / "mono" / "seed-0"
    before = comparison.collect("tiny")
    gold.save(folder / "ranks" / "museum")
    (folder / "metrics.json").write_text('{"museum": 3}')
    pd.testing.assert_frame_equal(comparison.collect("tiny"), before)


def test_one_name_for_two_triples_of_weights_is_told_apart(outputs):
    table = comparison.collect("tiny")
    table.loc[(table["mixture"] == "mono") & (table["seed"] == 1), ["mono", "cross"]] = 0.2, 0.8
    found = comparison.by_mixture(table, "monolingual mAP").query("encoder == 'tiny-mlm'")
    assert sorted(found["mixture"]) == ["cross", "mono (0.2 / 0.8 / 0)", "mono (1 / 0 / 0)"]
    assert dict(zip(found["mixture"], found["seeds"]))["cross"] == 2


def test_every_picture_tells_what_it_shows(gold, benchmark):
    from hybridkit import bias

    rows = metrics.table(gold)
    shown = [
        figures.loss_curve({"loss": [[1, 5.0], [2, 1.0]]}),
        figures.language_heatmaps({"one": rows[rows["pool"] != "all"]}, "mAP", "pool", "mAP by language"),
        figures.rank_distance_dots(bias.rank_distance(gold), "Rank distance"),
        figures.where_answers_rank(gold, gold.questions[0], "One question"),
        figures.ratio_curve(
            reference.table().query("encoder == 'tiny-mlm' and scope == 'training languages'"), "Ratio"
        ),
    ]
    for made in shown:
        assert len(made.alt) > 40 and any(c.isdigit() for c in made.alt) and made.png.startswith(b"\x89PNG")
        assert f'alt="{made.alt}"' in made._repr_html_().replace("&#x27;", "'").replace("&quot;", '"')


def test_texts_are_shown_in_their_language_and_direction():
    table = figures.TextsTable([{"language": "ar", "text": "ما <هذا>؟"}], {"text": "language"})
    assert '<td lang="ar" dir="rtl"' in table._repr_html_() and "&lt;هذا&gt;" in table._repr_html_()


def test_picture_is_saved_with_its_text(tmp_path):
    made = figures.loss_curve({"loss": [[1, 5.0], [2, 1.0]]})
    made.save(tmp_path / "figures" / "loss.png")
    assert (tmp_path / "figures" / "loss.txt").read_text().strip() == made.alt


def test_compare_table_is_markdown():
    lines = comparison.markdown_lines(pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]}))
    assert lines[:3] == ["| a | b |", "| --- | --- |", "| 1.5 | x |"]

"""Runs of images side by side: figures kept and made anew, tables beside those of texts, what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from fake_images import captioned

from hybridkit import cli, comparison, replicates, runs
from hybridkit.errors import KitError, KitWarning
from hybridkit.imagetext import evaluation
from hybridkit.params import Parameters
from hybridkit.ranks import count


def figures_of(seed: int) -> tuple[evaluation.Ranks, evaluation.Ranks, dict]:
    """Gold ranks of random scores on eight images with captions in three languages, and the figures."""
    random = np.random.default_rng(seed)
    data = captioned(8, [(row, code) for code in ("de", "el", "en") for row in range(8)])
    sides = data.image_to_text, data.text_to_image
    found, again = (
        evaluation.Ranks(
            *(count([(0, random.random((len(one.query_ids), len(one.candidate_ids))))], one) for one in sides)
        )
        for _ in range(2)
    )
    return found, again, evaluation.measure(found, ["de", "en"], again)


@pytest.fixture
def outputs(tmp_path, monkeypatch) -> dict[Path, dict]:
    """Finished runs of two seeds, and their figures."""
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    made = {}
    for seed in (0, 1):
        parameters = Parameters(
            profile="tiny-pictures", track="image-text", languages=["de", "en"], seed=seed, mono=1, cross=0, multi=0,
            training_data=["museum-pictures"], benchmarks=["museum-pictures"],
        )  # fmt: skip
        folder = runs.Run(parameters).final
        found, again, figures = figures_of(seed)
        for place, both in (("ranks", found), ("ranks-reranked", again)):
            for gold, name in zip(both, ("fake-i2t", "fake-t2i"), strict=True):
                (folder / place).mkdir(parents=True, exist_ok=True)
                gold.save(folder / place / name)
        runs.write_text(folder / "metrics.json", json.dumps({"fake": figures}))
        about = {"key": "x", "parameters": parameters.model_dump(), "training_data": {}}
        runs.write_text(folder / runs.MANIFEST, json.dumps(about | {"benchmarks": {"fake-i2t": "1", "fake-t2i": "2"}}))
        made[folder] = figures
    return made


def test_figures_of_runs_are_collected(outputs):
    table = comparison.collect("tiny-pictures", centred=True)
    assert set(table["encoder"]) == {"tiny-mlm"} and set(table["embeddings"]) == {"as trained"}  # no BM25, no centring
    for seed, figures in enumerate(outputs.values()):
        mine = table[table["seed"] == seed].set_index(["scope", "metric"])["value"]
        for scope, some in figures.items():
            for name, value in some.items():
                np.testing.assert_equal(mine[scope, name], value)


@pytest.mark.parametrize("damage", ["", "{", '{"other": {}}'])
def test_damaged_figures_are_made_anew_from_the_ranks(outputs, damage):
    before = comparison.collect("tiny-pictures")
    for folder in outputs:
        (folder / "metrics.json").write_text(damage)
    pd.testing.assert_frame_equal(before, comparison.collect("tiny-pictures"))


def test_without_ranks_a_run_is_left_out(outputs):
    folder = next(iter(outputs))
    (folder / "metrics.json").unlink()
    (folder / "ranks-reranked" / "fake-t2i" / "golds.parquet").unlink()
    with pytest.warns(KitWarning, match="no readable gold ranks"):
        assert set(comparison.collect("tiny-pictures")["seed"]) == {1}


def test_headline_of_images(outputs):
    shown = comparison.headline(comparison.collect("tiny-pictures"))
    assert shown.columns.tolist() == ["encoder", "benchmark", "mixture", "seeds", *comparison.HEADLINE_IMAGES]
    values = [figures["training languages"]["rSum"] for figures in outputs.values()]
    assert shown["rSum"].tolist() == [f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"]


def test_texts_and_images_have_tables_of_their_own(outputs):
    images = comparison.collect("tiny-pictures")
    row = images.iloc[[0]].assign(benchmark="museum", encoder="other")
    texts = pd.concat([row.assign(metric=metric, value=0.25) for metric in comparison.HEADLINE])
    shown = comparison.to_markdown(pd.concat([texts, images]))
    assert shown.index(comparison.to_markdown(texts)) < shown.index(comparison.to_markdown(images))
    assert "| other | museum |" in shown and "re-ranked rSum" in shown


def test_differences_between_runs_of_images_are_refused(outputs):
    with pytest.raises(KitError, match="2 such in all"):
        list(replicates.of_profile("tiny-pictures"))


def test_scorers_refuse_what_is_no_run_of_images(outputs, tmp_path):
    ask = CliRunner().invoke
    folder = next(iter(outputs))
    for arguments, told in (
        ([str(tmp_path)], "is no run of images"),
        ([str(folder), "--benchmark", "emoji"], "not evaluated on 'emoji': name one of museum-pictures"),
        ([str(folder), "--passed-on", "1,none"], "'none' is neither a number"),
        ([str(folder), "--passed-on", "0"], "'0' is neither a number"),
    ):
        answer = ask(cli.main, ["scorers", *arguments])
        assert answer.exit_code and told in answer.output.replace("\n", " ")

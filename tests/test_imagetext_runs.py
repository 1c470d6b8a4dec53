"""Runs of images: trained, audited, evaluated and finished as runs of texts are, and what they refuse."""

import json

import page_tools
import pandas as pd
import pytest
from click.testing import CliRunner

from hybridkit import encoders, paths, sweep
from hybridkit.cli import main
from hybridkit.errors import KitError
from hybridkit.imagetext import evaluation, fico, shipped, work
from hybridkit.imagetext.albef import Albef
from hybridkit.params import Parameters, for_run
from hybridkit.runs import Run, read_manifest

SMALL = {
    "pictures_train": 100, "pictures_evaluation": 20, "batch_size": 8, "steps": 4, "queue": 16, "image_size": 16,
    "image_encoder": "tiny-vit-random", "patch_size": 8, "max_length": 64, "image_losses": ["contrast", "matching"], "checkpoint_every": 2, "rerank": 2,
    "languages": ["de", "en"],
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
        yield patch


def run_of(encoder, mixture="mono", **changes):
    return Run(for_run("tiny-pictures", mixture, 0, {**SMALL, "encoder": str(encoder), **changes}))


@pytest.fixture(scope="module")
def trained(folders, small_encoder):
    """A run that the command line has trained and evaluated."""
    pytest.importorskip("hybridkit.imagetext.evaluation")
    options = [part for name, value in SMALL.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    command = ["train", "--profile", "tiny-pictures", "--mixture", "mono", "--encoder", str(small_encoder), *options]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return run_of(small_encoder), done.output


def test_the_command_trains_and_evaluates(trained):
    run, told = trained
    assert "### museum-pictures" in told and "image-to-text R@1" in told and "unseen languages" in told
    assert (run.folder / "model" / "text" / "modules.json").is_file() and (run.folder / "plan.yaml").is_file()
    assert "no image in both; captions word for word in both: none" in (run.folder / "audit.md").read_text()
    card = (run.folder / "model" / "README.md").read_text(encoding="utf-8")
    assert "An image-text model (ALBEF" in card and "Albef.open" in card and "re-ranked rSum" in card
    assert set(json.loads((run.folder / "losses.json").read_text())) == {"contrast", "matching"}


def test_gold_ranks_are_kept_and_a_damaged_file_is_made_anew(trained):
    run, _ = trained
    kept = {place: sorted(path.name for path in (run.folder / place).iterdir()) for place in work.RANKS}
    assert kept == {key: ["museum-pictures-i2t", "museum-pictures-t2i"] for key in work.RANKS}
    found, again = work.gold_ranks(run, "museum-pictures")
    assert len(found.image_to_text.gold_query) == 20 * 11 == len(again.text_to_image.gold_query)
    about = run.folder / "ranks" / "museum-pictures-i2t" / "about.json"
    whole = json.loads(about.read_text())
    about.write_text("{")
    work.gold_ranks(run, "museum-pictures")
    assert json.loads(about.read_text()) == whole


def test_a_sweep_finishes_it_without_notebooks(trained):
    run, _ = trained
    outcome = sweep.execute_run(run.parameters.model_dump(), sweep.environment(1), notebooks=False)
    assert outcome.state == "finished", outcome.message
    manifest = read_manifest(run.final)
    assert manifest["key"] == run.key and set(manifest["benchmarks"]) == {"museum-pictures-i2t", "museum-pictures-t2i"}
    assert set(json.loads((run.final / "metrics.json").read_text())) == {"museum-pictures"}
    assert Albef.open(run.final / "model").design.image_losses == ["contrast", "matching"]
    assert encoders.load(str(run.final / "model" / "text")).encode(["Uhr"]).shape == (1, 16)


def test_a_sweep_asked_for_notebooks_says_that_it_goes_without(folders, monkeypatch):
    asked = []
    monkeypatch.setattr(sweep, "sweep", lambda runs, *_: asked.extend(runs) or [])
    done = CliRunner().invoke(main, ["sweep", "--profile", "tiny-pictures", "--mixtures", "mono"])
    assert "without notebooks" in done.output and asked[0].of_images
    again = CliRunner().invoke(main, ["sweep", "--profile", "tiny-pictures", "--mixtures", "mono", "--no-notebooks"])
    assert "without notebooks" not in again.output and len(asked) == 2


def test_scorers_of_a_run_find_what_its_evaluation_finds(trained, tmp_path, monkeypatch):
    """The dual encoder in FAISS, in one language, against the gold ranks by contrast."""
    monkeypatch.setattr(fico, "TIMED", 2)
    run, _ = trained
    table = tmp_path / "scorers.csv"
    command = ["scorers", str(run.folder), "--language", "th", "--passed-on", "3,all", "--csv", str(table)]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0 and "20 images with captions in th" in done.output and "model on cpu" in done.output
    rows = pd.read_csv(table)
    assert len(rows) == 2 * 3 + 2 * 3 * 2
    found = evaluation.by_language(work.gold_ranks(run, "museum-pictures")[0]).set_index("language").loc["th"]
    for direction in ("image-to-text", "text-to-image"):
        row = rows[(rows["direction"] == direction) & (rows["scorer"] == "dual encoder")].iloc[0]
        assert [row[f"R@{k}"] for k in (1, 5, 10)] == [found[f"{direction} R@{k}"] for k in (1, 5, 10)]


def test_nothing_is_ranked_anew_by_a_matching_head_that_was_not_trained(folders, small_encoder):
    run = run_of(small_encoder, image_losses=["contrast"], steps=2)
    run.train()
    found, again = work.gold_ranks(run, "museum-pictures")
    assert again is None and not (run.folder / work.RANKS[1]).exists()
    assert not [name for name in work.metrics(run)["museum-pictures"]["all languages"] if name.startswith("re-ranked")]


def test_a_finished_run_is_seen_more_closely(trained, tmp_path, monkeypatch):
    tool = page_tools.load("make_imagetext")
    monkeypatch.setattr(fico, "TIMED", 2)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "shipped")
    run, _ = trained
    with pytest.raises(KitError, match="is no finished run"):
        tool.make_closer(tmp_path)
    assert sweep.execute_run(run.parameters.model_dump(), sweep.environment(1), notebooks=False).state in (
        "finished",
        "skipped",
    )
    tool.make_closer(run.final, "de")
    found = shipped.closer()
    assert found.about["key"] == run.key and found.about["language"] == "de" and found.about["images"] == 20
    assert set(found.losses["name"]) == {"contrast", "matching"} and found.losses["step"].max() == 4
    assert len(found.foils) == 11 * 6 and len(found.scorers) == 6
    assert found.attend(2, "zh")[1].shape[1:] == (2, 2)


def test_a_run_of_images_has_another_key_than_one_of_texts(folders, small_encoder):
    run = run_of(small_encoder)
    assert run.key != Run(run.parameters.model_copy(update={"track": "text"})).key
    assert run.of_images and not Run(Parameters()).of_images
    assert run.key != run_of(small_encoder, caption_contrast="all").key


def test_what_a_run_of_images_refuses(folders, small_encoder, monkeypatch):
    run = run_of(small_encoder)
    with pytest.raises(KitError, match="is a run of images"):
        run.gold_ranks("museum-pictures-i2t")
    assert not run.has_centred("museum-pictures-i2t")
    monkeypatch.setenv("HYBRIDKIT_PROCESSES", "2")
    with pytest.raises(KitError, match="a run of images is trained in one; set --processes to 1"):
        run.train()
    monkeypatch.delenv("HYBRIDKIT_PROCESSES")
    hidden = run_of(small_encoder, image_losses=["masked-words"])
    with pytest.raises(KitError, match="no token that stands for a hidden word; take masked-words out"):
        hidden.train()
    command = ["train", "--profile", "tiny-pictures", "--cross-encoder", "--encoder", str(small_encoder)]
    assert "--cross-encoder is for runs of texts" in CliRunner().invoke(main, command).output


@pytest.mark.parametrize("profile", ["tiny-pictures", "tiny-emoji"])
def test_the_profile_is_of_images_and_fits_the_papers_mixtures(profile):
    for mixture in ("mono", "cross", "multi", "uniform", "hybrid-0.50", "cross-to-mono"):
        found = for_run(profile, mixture)
        assert found.track == "image-text" and found.explicit_negatives == 0 and not found.query_prefix
    lines = (paths.params() / "profiles" / f"{profile}.yaml").read_text(encoding="utf-8").splitlines()
    assert all("  # " in line for line in lines)


def test_another_recipe_is_another_run(folders, small_encoder, monkeypatch):
    before = run_of(small_encoder).key
    assert run_of(small_encoder).key == before
    monkeypatch.setattr(work, "RECIPE", work.RECIPE + 1)
    assert run_of(small_encoder).key != before

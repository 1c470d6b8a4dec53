"""The card of a trained model: what it says, that hubs can read it, and that it changes neither model nor keys."""

import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer

from hybridkit import __version__, comparison, encoders, files, model_card, params, sweep
from hybridkit.cli import main
from hybridkit.runs import Run

TEXTS = ["Where does the clock stand?", "Где стоят часы?", "钟在哪里？"]
SETTINGS = {
    "steps": 3, "batch_size": 8, "museum_exhibits": 100, "museum_evaluation_exhibits": 20, "explicit_negatives": 0,
    "checkpoint_every": 0, "max_length": 32, "query_prefix": "ask: ", "passage_prefix": "tell: ",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_encoder):
    """A run trained for three steps by the command line, and what its model's folder held before the card."""
    patch = pytest.MonkeyPatch()
    outputs = tmp_path_factory.mktemp("outputs")
    patch.setenv("HYBRIDKIT_OUTPUTS", str(outputs))
    patch.delenv("HYBRIDKIT_CACHE", raising=False)
    # The catalogue knows this encoder by no name, so its folder stands for it.
    values = SETTINGS | {"encoder": str(small_encoder)}
    run = Run(params.for_run(seed=4, overrides=values))
    run.train()
    before = files.digests(run.folder / "model")
    options = [part for name, value in values.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    answer = CliRunner().invoke(main, ["train", "--seed", "4", *options])
    assert answer.exit_code == 0, answer.output
    yield run, before
    patch.undo()


def test_only_the_card_is_new_and_the_key_stays(trained, small_encoder):
    run, before = trained
    folder = run.folder / "model"
    after = files.digests(folder)
    assert after.pop(model_card.CARD) and after == before
    assert encoders.content_key(str(folder)) == files.content_key(folder, without=model_card.CARD)
    assert model_card.is_ours(folder) and not model_card.is_ours(small_encoder)
    (small_encoder / model_card.CARD).write_text("---\ntags:\n- others\n---\nhybridkit\n- hybridkit\n")
    with_other, without = (
        encoders.content_key(str(small_encoder)),
        files.content_key(small_encoder, without=model_card.CARD),
    )
    (small_encoder / model_card.CARD).unlink()
    assert with_other != without == encoders.content_key(str(small_encoder))


def test_the_model_loads_anywhere_and_gives_the_same_vectors(trained, tmp_path):
    run, _ = trained
    elsewhere = shutil.copytree(run.folder / "model", tmp_path / "copied")
    plain, kits = SentenceTransformer(str(elsewhere), device="cpu"), encoders.load(str(run.folder / "model")).to("cpu")
    assert plain.prompts == {"query": "ask: ", "document": "tell: "} and plain.similarity_fn_name == "cosine"
    assert plain.max_seq_length == 32
    for encode in ("encode_query", "encode_document"):
        np.testing.assert_array_equal(getattr(plain, encode)(TEXTS), getattr(kits, encode)(TEXTS))
    assert not np.array_equal(plain.encode_query(TEXTS), plain.encode(TEXTS))


def test_the_card_says_what_was_done(trained):
    run, _ = trained
    text = (run.folder / "model" / model_card.CARD).read_text(encoding="utf-8")
    (dataset,), (benchmark,) = run.datasets, run.benchmarks.values()
    plan = re.search(r"fingerprint_of_first_3_steps: (\w{64})", (run.folder / "plan.yaml").read_text())[1]
    for part in (
        "hybrid-0.50", "50 % batches in one language, 50 % batches of pairs in two languages", "A model for lessons",
        dataset.licence, dataset.fingerprint[:16], benchmark.fingerprint[:16], plan, run.key, f"hybridkit {__version__}",
        f"content {encoders.content_key(run.parameters.encoder)[:16]}", "| seed of the plan | 4 |", "'ask: '",
        "model.encode_query", "ar de en es hi ru th tr zh",
    ):  # fmt: skip
        assert part in text, part
    assert run.parameters.encoder not in text, "a path means nothing elsewhere"


def test_a_hub_reads_the_metadata_and_the_figures(trained):
    run, _ = trained
    data = ModelCard.load(run.folder / "model" / model_card.CARD).data
    assert data.library_name == "sentence-transformers" and data.pipeline_tag == "sentence-similarity"
    assert data.language == sorted(run.parameters.languages) and model_card.TAG in data.tags
    assert data.base_model is None, "a folder is no model of the hub"
    measured = {name: comparison.measure(run.gold_ranks(name), run.parameters.languages) for name in run.benchmarks}
    expected = measured["museum"]["training languages"]
    found = {
        result.metric_name: result.metric_value
        for result in data.eval_results
        if result.dataset_name == "museum, training languages"
    }
    assert set(found) == set(model_card._SHOWN)
    assert found == {name: pytest.approx(expected[name], abs=1e-6) for name in found}
    text = (run.folder / "model" / model_card.CARD).read_text(encoding="utf-8")
    assert f"| {expected['monolingual mAP']:.4f} |" in text
    assert model_card.card(run, measured) == text, "the same results, the same card"


@pytest.mark.parametrize(
    ("encoder", "repository"),
    [("someone/encoder", "someone/encoder"), ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")],
)
def test_a_hubs_encoder_is_named_as_base_and_the_warning_goes(trained, tmp_path, monkeypatch, encoder, repository):
    run, _ = trained
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))
    revision = {"models": {repository: {"revision": "0123abc"}}, "datasets": {"museum": {"revision": "fedcba9"}}}
    (tmp_path / "lock.json").write_text(json.dumps(revision))
    other = Run(run.parameters.model_copy(update={"encoder": encoder, "training_data": ["afriqa"]}))
    vars(other).update({"datasets": run.datasets, "benchmarks": run.benchmarks, "contents": []})
    text = model_card.card(other, {})
    assert f"| base encoder | {encoder}, revision 0123abc |" in text
    assert "| fedcba9 |" in text, "the revision that was used, and not what the catalogue says beforehand"
    assert "A model for lessons" not in text and "Not evaluated" in text
    assert ModelCard(text).data.base_model == repository


def test_code_switched_texts_are_told(trained):
    run, _ = trained
    switched = {"switch_probability": 0.5, "switch_query_to": ["de"]}
    other = Run(run.parameters.model_copy(update=switched))
    vars(other).update({"datasets": run.datasets, "benchmarks": run.benchmarks})
    assert '| switch_probability: 0.5, switch_query_to: ["de"] |' in model_card.card(other, {})
    assert "beside the weights" not in model_card.card(run, {})


def test_figures_that_are_not_defined_are_no_numbers_of_the_metadata(trained):
    run, _ = trained
    text = model_card.card(run, {"museum": {"all languages": {"monolingual mAP": 0.5, "rank distance": float("nan")}}})
    assert [result.metric_name for result in ModelCard(text).data.eval_results] == ["monolingual mAP"]
    assert "| museum | all languages | 0.5000 | not defined |" in text


def test_a_finished_run_has_its_card(trained, tmp_path, monkeypatch):
    run, _ = trained
    shutil.copytree(run.staging, tmp_path / "kept")
    run.metrics()
    (run.folder / "model" / model_card.CARD).unlink()
    sweep.finish(run, {})
    assert run.finished and model_card.is_ours(run.final / "model")
    shutil.rmtree(run.final)
    shutil.copytree(tmp_path / "kept", run.staging)

"""Training: the losses, the trainer carrying out a plan, resuming, and every fault told."""

import errno
import json
import os
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from processes_worker import exact
from safetensors.torch import load_file
from transformers import PreTrainedModel

from hybridkit import checkpoints, cli, encoders, encoding, training, validation
from hybridkit.codeswitch import Switching
from hybridkit.corpora import museum
from hybridkit.errors import KitError
from hybridkit.evaluation import evaluate_model
from hybridkit.params import Parameters
from hybridkit.sampling import BatchPlan
from hybridkit.streams import Stream
from hybridkit.training import (
    EquationOneLoss,
    PlanTrainer,
    VariantsLoss,
    arguments,
    make_loss,
    origin,
    render,
    slots,
    train,
)
from hybridkit.validation import validation_plan

SMALL = {"museum_exhibits": 100, "batch_size": 8, "steps": 12, "checkpoint_every": 4, "max_length": 24}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    old = os.environ.get("HYBRIDKIT_CACHE")
    os.environ["HYBRIDKIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield museum.training_pairs(100)
    os.environ.pop("HYBRIDKIT_CACHE") if old is None else os.environ.update(HYBRIDKIT_CACHE=old)


def settings(encoder, **changes):
    return Parameters(**{**SMALL, "encoder": str(encoder), **changes})


def run(data, folder, encoder, on_step=None, **changes):
    parameters = settings(encoder, **changes)
    return train(parameters, BatchPlan.from_parameters(parameters, [data]), folder, on_step)


def usable(data, folder, encoder, **changes):
    parameters = settings(encoder, **changes)
    made_of = origin(parameters, BatchPlan.from_parameters(parameters, [data]))
    return checkpoints.usable(folder / "checkpoints", made_of)


def weights(folder):
    found = {}
    for path in sorted((folder / "model").rglob("*.safetensors")):
        found |= load_file(path)
    assert found
    return found


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_lowers_the_loss_and_is_not_done_twice(data, tmp_path, small_encoder):
    record = run(data, tmp_path / "run", small_encoder, steps=60, learning_rate=5e-3)
    losses = [loss for _, loss in record["loss"]]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1
    before = (tmp_path / "run" / "model" / "config_sentence_transformers.json").stat().st_mtime_ns
    assert run(data, tmp_path / "run", small_encoder, steps=60, learning_rate=5e-3) == record
    assert (tmp_path / "run" / "model" / "config_sentence_transformers.json").stat().st_mtime_ns == before


def stop_at(last):
    def on_step(step, steps):
        if step == last:
            raise KeyboardInterrupt

    return on_step


def test_interrupted_run_ends_with_the_same_weights(data, tmp_path, small_encoder):
    run(data, tmp_path / "whole", small_encoder)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "cut", small_encoder, on_step=stop_at(10))
    assert not (tmp_path / "cut" / "model").exists()
    record = run(data, tmp_path / "cut", small_encoder)
    assert record["resumed_from"] == "checkpoint-8" and record["steps"] == 12
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_checkpoint_cut_short_is_left_out(data, tmp_path, small_encoder):
    run(data, tmp_path / "whole", small_encoder)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "cut", small_encoder, on_step=stop_at(10))
    broken = tmp_path / "cut" / "checkpoints" / "checkpoint-8" / "optimizer.pt"
    broken.write_bytes(broken.read_bytes()[:100])
    found, told = usable(data, tmp_path / "cut", small_encoder)
    assert found.name == "checkpoint-4" and "checkpoint-8 is cut short or altered" in told[0]
    record = run(data, tmp_path / "cut", small_encoder)
    assert record["resumed_from"] == "checkpoint-4" and record["left_out"] == told
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_checkpoint_without_sound_checksums_is_left_out(data, tmp_path, small_encoder):
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "cut", small_encoder, on_step=stop_at(10))
    (tmp_path / "cut" / "checkpoints" / "checkpoint-8" / "checksums.json").write_text("")
    (tmp_path / "cut" / "checkpoints" / "checkpoint-4" / "checksums.json").unlink()
    found, told = usable(data, tmp_path / "cut", small_encoder)
    assert found is None and len(told) == 2
    assert run(data, tmp_path / "cut", small_encoder)["resumed_from"] is None


def test_kill_between_model_and_record_is_mended(data, tmp_path, small_encoder):
    run(data, tmp_path / "run", small_encoder)
    before = weights(tmp_path / "run")
    (tmp_path / "run" / "training.json").unlink()
    assert run(data, tmp_path / "run", small_encoder)["steps"] == 12
    assert same(before, weights(tmp_path / "run"))


def test_checkpoints_left_beside_a_finished_model_go(data, tmp_path, small_encoder):
    """A kill after the record was written, and before they were removed."""
    record = run(data, tmp_path / "run", small_encoder, steps=2)
    (tmp_path / "run" / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    assert run(data, tmp_path / "run", small_encoder, steps=2) == record
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_what_no_parameter_names_is_held_fast_and_on_the_page(tmp_path, small_encoder):
    """Whatever the defaults of the libraries become."""
    page = (Path(__file__).parents[1] / "docs" / "open-choices.md").read_text(encoding="utf-8")
    found = arguments(settings(small_encoder), tmp_path)
    told = f"{found.adam_beta1}, {found.adam_beta2}, {found.adam_epsilon}; {found.max_grad_norm}: the defaults"
    assert told in page and set(training.OPTIMISER) == {"adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"}
    assert f"| batches of a validation | {validation.BATCHES} of" in page
    assert f"| {encoding.BATCH} texts at a time" in page
    option = next(o for o in cli.evaluate.params if o.name == "batch_size")
    assert option.default == encoding.BATCH


@pytest.mark.parametrize(
    "name, value",
    [("MIXED_PRECISION", "bf16"), ("USE_FSDP", "true"), ("USE_DEEPSPEED", "True"), ("DYNAMO_BACKEND", "INDUCTOR")],
)
def test_surroundings_that_ask_for_another_training_are_told(data, tmp_path, small_encoder, monkeypatch, name, value):
    monkeypatch.setenv(f"ACCELERATE_{name}", value)
    with pytest.raises(KitError, match=f"environment has ACCELERATE_{name}={value}, .*precision is float32.*unset it"):
        run(data, tmp_path / "run", small_encoder, precision="float32")
    assert not (tmp_path / "run").exists()


def test_memory_that_runs_out_in_encoding_is_told(small_encoder):
    def full(texts, **_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    model = SimpleNamespace(encode_document=full)
    with pytest.raises(KitError, match="GPU ran out with 128 texts encoded at a time: .*evaluate --batch-size 64"):
        encoding.documents(model, 128)(["a clock"])


@pytest.mark.parametrize("damage", ['{"loss": [[1', "{}", "[]"])
def test_damaged_record_is_made_anew(data, tmp_path, small_encoder, damage):
    record = run(data, tmp_path / "run", small_encoder, steps=2)
    (tmp_path / "run" / "training.json").write_text(damage)
    again = run(data, tmp_path / "run", small_encoder, steps=2)
    assert again["loss"] == record["loss"]


def test_diverged_training_is_told_and_leaves_no_model(data, tmp_path, small_encoder):
    with pytest.raises(KitError, match="Training diverged: the loss is .* lower learning_rate .1e.30"):
        run(data, tmp_path / "run", small_encoder, learning_rate=1e30)
    assert not (tmp_path / "run" / "model").exists() and not (tmp_path / "run" / "training.json").exists()


def test_a_folder_of_ones_own_among_the_checkpoints_is_let_be(data, tmp_path, small_encoder):
    (tmp_path / "cut" / "checkpoints" / "checkpoint-old").mkdir(parents=True)
    assert usable(data, tmp_path / "cut", small_encoder) == (None, [])


def test_a_language_that_no_data_has_is_told(data, tmp_path, small_encoder):
    with pytest.raises(KitError, match="languages names gr, but no training data has it; museum has ar de el"):
        run(data, tmp_path / "run", small_encoder, languages=["en", "gr"])


def test_batches_merged_over_gpus_are_refused(data, tmp_path, small_encoder):
    parameters = settings(small_encoder)
    plan = BatchPlan.from_parameters(parameters, [data])
    model = encoders.load(str(small_encoder))
    trainer = PlanTrainer(
        model=model,
        args=arguments(parameters, tmp_path),
        train_dataset=slots(parameters, plan, 12),
        loss=make_loss(model, parameters),
    )
    assert [len(batch) for batch in trainer.get_batch_sampler(range(16), 8)] == [8, 8]
    with pytest.raises(KitError, match="CUDA_VISIBLE_DEVICES=0"):
        trainer.get_batch_sampler(range(32), 16)


def test_checkpoints_hold_no_pickled_arguments(data, tmp_path, small_encoder):
    """All that is loaded again is loaded with weights_only=True; the pickled arguments are not written at all."""
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "cut", small_encoder, on_step=stop_at(5))
    checkpoint = tmp_path / "cut" / "checkpoints" / "checkpoint-4"
    names = {p.name for p in checkpoint.iterdir()}
    assert "training_args.bin" not in names and "optimizer.pt" in names
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        # NumPy's random state is allowed by name, as the library does it.
        with torch.serialization.safe_globals(
            [np._core.multiarray._reconstruct, np.ndarray, np.dtype, type(np.dtype("u4"))]
        ):
            torch.load(checkpoint / name, weights_only=True)


def test_same_seed_same_weights_other_seed_other_weights(data, tmp_path, small_encoder):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(data, tmp_path / name, small_encoder, seed=seed, steps=4)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"gradient_accumulation": 2},
        {"loss": "equation-1"},
        {"directions": "symmetric"},
        {"explicit_negatives": 0},
        {"explicit_negatives": 3},
        {"checkpoint_every": 0},
        {"precision": "bfloat16", "cached_texts": 3, "gradient_checkpointing": True},
        {"mono": 0.0, "cross": 0.5, "variants": 0.5, "validation_data": "museum", "validate_every": 2},
        {"mono": 0.0, "cross": 0.0, "variants": 1.0, "loss": "equation-1"},
    ],
)
def test_every_setting_trains(data, tmp_path, small_encoder, changes):
    record = run(data, tmp_path / "run", small_encoder, **{"steps": 2, **changes})
    assert record["steps"] == 2 and all(np.isfinite(loss) for _, loss in record["loss"])


def test_slots_hold_every_batch_of_the_plan(data, small_encoder):
    parameters = settings(small_encoder, gradient_accumulation=3, steps=2)
    plan = BatchPlan.from_parameters(parameters, [data])
    dataset = slots(parameters, plan, 6)
    assert len(dataset) == 2 * 3 * 8
    assert dataset[40:48]["query"] == render(plan, range(40, 48), "Query: ", "Passage: ")["query"]


def test_texts_are_those_of_the_plan(data, small_encoder):
    parameters = settings(small_encoder, explicit_negatives=2, mono=0.0, cross=1.0)
    plan = BatchPlan.from_parameters(parameters, [data])
    columns = render(plan, range(24), "Query: ", "Passage: ")
    assert list(columns) == ["query", "positive", "negative_1", "negative_2"]
    for step in range(3):
        batch = plan.step(step)
        for example in range(8):
            row, asked = batch.row[example], plan.languages[batch.query_language[example]]
            answered = plan.languages[batch.passage_language[example]]
            at = step * 8 + example
            assert columns["query"][at] == "Query: " + data.queries.texts(asked, [data.query[row]])[0]
            assert columns["positive"][at] == "Passage: " + data.passages.texts(answered, [data.positive[row]])[0]
            negative = data.passages.texts(answered, [batch.negatives[example][1]])[0]
            assert columns["negative_2"][at] == "Passage: " + negative


def test_training_texts_are_switched_and_validation_texts_are_not(data, tmp_path, small_encoder):
    switched = {
        "mono": 1.0,
        "cross": 0.0,
        "switch_probability": 0.5,
        "switch_query_to": ["de"],
        "switch_passage_to": ["de"],
    }
    parameters = settings(small_encoder, **switched, **VALIDATED)
    plan = BatchPlan.from_parameters(parameters, [data])
    trainer = training._trainer(parameters, plan, tmp_path, training._Follower(parameters, {}, None))
    switching = Switching.from_parameters(parameters)
    prefixes = (parameters.query_prefix, parameters.passage_prefix)
    assert trainer.train_dataset[16:24] == render(plan, range(16, 24), *prefixes, switching)
    assert trainer.train_dataset[16:24] != render(plan, range(16, 24), *prefixes)
    assert trainer.eval_dataset[16:24] == render(validation_plan(parameters)[0], range(16, 24), *prefixes)


def test_checkpoints_belong_to_their_lexicons(data, small_encoder, tmp_path):
    (tmp_path / "ar-de.txt").write_text("x y")
    plan = BatchPlan.from_parameters(settings(small_encoder), [data])
    assert set(origin(settings(small_encoder), plan)) == {"plan", "encoder", "settings"}
    switched = {"switch_probability": 0.5, "switch_query_to": ["de"], "switch_lexicons": str(tmp_path)}
    found = []
    for content in ("x y", "x z", "x y"):
        (tmp_path / "ar-de.txt").write_text(content)
        found.append(origin(settings(small_encoder, languages=["ar", "de"], **switched), plan))
    assert found[0] == found[2] and found[0]["lexicons"] != found[1]["lexicons"]


def test_negatives_are_rendered_in_their_own_language(data, small_encoder):
    parameters = settings(small_encoder, explicit_negatives=2, mono=0.0, cross=1.0, negative_language="any")
    plan = BatchPlan.from_parameters(parameters, [data])
    batch, columns = plan.step(0), render(plan, range(8))
    assert (batch.negative_language != batch.passage_language[:, None]).any()
    for example in range(8):
        for number in range(2):
            code = plan.languages[batch.negative_language[example, number]]
            expected = data.passages.texts(code, [batch.negatives[example, number]])
            assert [columns[f"negative_{number + 1}"][example]] == expected


class Vectors(torch.nn.Module):
    """Stands for an encoder: the features are the embeddings."""

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}


def cosines(a, b):
    return (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))


@pytest.mark.parametrize("negatives", [1, 2])
def test_equation_one_as_printed(negatives):
    query, positive, *rest = np.random.default_rng(0).normal(size=(2 + negatives, 5, 3))
    own, against = cosines(query, positive), np.concatenate([cosines(query, n) for n in rest], axis=1)
    expected = np.mean([-np.log(np.exp(own[i, i]) / (np.exp(own[i, i]) + np.exp(against[i]).sum())) for i in range(5)])
    features = [{"vectors": torch.tensor(v)} for v in (query, positive, *rest)]
    assert EquationOneLoss(Vectors())(features).item() == pytest.approx(expected)


@pytest.mark.parametrize("directions", ["query-to-passage", "symmetric"])
def test_in_batch_loss_has_the_temperature(directions, small_encoder):
    """Own positive against all positives and explicit negatives of the batch, scores divided by the temperature."""
    query, positive, negative = np.random.default_rng(1).normal(size=(3, 6, 4)).astype(np.float32)
    parameters = settings(small_encoder, temperature=0.1, directions=directions)
    loss = make_loss(Vectors(), parameters)
    found = loss.compute_loss_from_embeddings([torch.tensor(v) for v in (query, positive, negative)], None)
    scores = np.concatenate([cosines(query, positive), cosines(query, negative)], axis=1) / 0.1
    forward = np.mean([np.log(np.exp(scores[i]).sum()) - scores[i, i] for i in range(6)])
    back = cosines(positive, query) / 0.1
    backward = np.mean([np.log(np.exp(back[i]).sum()) - back[i, i] for i in range(6)])
    expected = forward if directions == "query-to-passage" else (forward + backward) / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def gradients(loss, vectors, labels):
    """The loss of a batch of vectors (columns, batch, dimensions), and its gradients by column."""
    columns = [torch.tensor(v, requires_grad=True) for v in vectors]
    found = loss([{"vectors": column} for column in columns], labels)
    found.backward()
    return found.item(), [column.grad.numpy() for column in columns]


@pytest.mark.parametrize("directions", ["query-to-passage", "symmetric"])
@pytest.mark.parametrize("negatives", [0, 2])
@pytest.mark.parametrize("labels", [None, torch.arange(6), torch.tensor([9, 2, 5, 1, 0, 7])])
def test_loss_of_variants_is_the_in_batch_loss_where_no_passage_has_two(directions, negatives, labels, small_encoder):
    vectors = np.random.default_rng(negatives).normal(size=(2 + negatives, 6, 4))
    common = {"temperature": 0.1, "directions": directions, "explicit_negatives": negatives}
    plain = make_loss(Vectors(), settings(small_encoder, **common))
    loss = make_loss(Vectors(), settings(small_encoder, mono=0.0, cross=0.0, variants=1.0, **common))
    assert type(loss) is VariantsLoss and type(plain) is not VariantsLoss
    found, expected = gradients(loss, vectors, labels), gradients(plain, vectors, None)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-12)


def test_loss_of_variants_by_hand():
    """Two groups, of two examples and of one, in the plane: only cosines of 1, 0 and -1, and a temperature of 1."""
    east, north, west = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]
    query, positive, negative = [east, east, north], [east, north, west], [west, west, east]
    vectors, labels = np.array([query, positive, negative]), torch.tensor([4, 4, 0])
    e = np.e
    # Query 1 (east): its own positive 1, the other group's -1, the negatives -1 -1 1; query 2 has the own positive 0.
    # Query 3 (north): its own positive 0, the others' 0 and 1, the negatives 0 0 0.
    first, second = np.log(e + 3 / e + e) - 1, np.log(1 + 3 / e + e)
    third = np.log(1 + 1 + e + 3)
    assert gradients(VariantsLoss(Vectors(), 1.0), vectors, labels)[0] == pytest.approx((first + second + third) / 3)
    # Back, passage 1 (east): queries 1 and 3, 1 and 0; passage 2 (north): queries 2 and 3, 0 and 1; passage 3 (west): all.
    back = [np.log(e + 1) - 1, np.log(1 + e), np.log(1 / e + 1 / e + 1)]
    symmetric = ((first + second + third) / 3 + sum(back) / 3) / 2
    assert gradients(VariantsLoss(Vectors(), 1.0, True), vectors, labels)[0] == pytest.approx(symmetric)


def test_other_languages_of_a_passage_are_neither_pulled_nor_pushed():
    """The gradient of a question does not know the other positives of its group; without groups it does."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, 5, 4))
    other = vectors.copy()
    other[1, 1] = rng.normal(size=4)
    labels = torch.tensor([0, 0, 1, 1, 2])
    for told, moves in ((labels, False), (None, True)):
        before, after = (gradients(VariantsLoss(Vectors(), 0.1), some, told)[1][0][0] for some in (vectors, other))
        assert np.allclose(before, after) != moves


def test_batches_of_variants_are_rendered_with_their_groups(data, small_encoder):
    parameters = settings(small_encoder, mono=0.5, cross=0.0, variants=0.5, explicit_negatives=1)
    plan = BatchPlan.from_parameters(parameters, [data])
    step = next(step for step in range(50) if plan.kind(step) == "variants")
    batch, columns = plan.step(step), render(plan, range(8 * step, 8 * step + 8))
    assert list(columns) == ["query", "positive", "negative_1", "label"]
    assert columns["label"] == batch.group.tolist() == [0] * 8  # nine languages, and eight fit
    assert len(set(columns["query"])) == 1 and len(set(columns["positive"])) == len(set(columns["negative_1"])) == 8
    part = render(plan, range(8 * step + 2, 8 * step + 5))
    assert part == {name: column[2:5] for name, column in columns.items()}


def test_validation_is_the_same_for_every_mixture(small_encoder, data):
    common = {"validation_data": "museum", "validate_every": 4}
    plain, batches = validation.validation_plan(settings(small_encoder, **common))
    for mixture in ({"mono": 0.0, "cross": 0.0, "variants": 1.0}, {"end_cross": 1.0, "mixture_stages": 2}):
        plan, _ = validation.validation_plan(settings(small_encoder, **common, **mixture))
        assert plan.fingerprint(range(batches)) == plain.fingerprint(range(batches))


def test_model_keeps_its_prefixes_and_evaluates(data, tmp_path, small_encoder):
    run(data, tmp_path / "run", small_encoder, steps=2)
    told = json.loads((tmp_path / "run" / "model" / "config_sentence_transformers.json").read_text())
    assert told["prompts"] == {"query": "Query: ", "document": "Passage: "}
    benchmark = museum.benchmark(20)
    gold = evaluate_model(str(tmp_path / "run" / "model"), benchmark)
    assert len(gold.query_ids) == 20 * 6 * 11
    model = encoders.load(str(tmp_path / "run" / "model"))
    query = model.encode(["Query: " + benchmark.query_texts[5]], normalize_embeddings=True)
    candidates = model.encode(["Passage: " + t for t in benchmark.candidate_texts], normalize_embeddings=True)
    scores = (query @ candidates.T)[0]
    mine = gold.gold_query == 5
    for place, candidate in zip(np.flatnonzero(mine), benchmark.gold_candidate[benchmark.gold_query == 5], strict=True):
        # Batches of other shapes may differ in the last bits: as many above, give or take those within rounding.
        near = (np.abs(scores - scores[candidate]) < 1e-5).sum()
        assert abs(gold.ranks(gold.pools)[place] - 1 - (scores > scores[candidate]).sum()) <= near


def test_folder_without_tokenizer_is_told(tmp_path, small_encoder):
    folder = tmp_path / "bare"
    shutil.copytree(small_encoder, folder)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(KitError, match="bare has no tokenizer"):
        encoders.load(str(folder))


def test_folder_without_model_and_missing_folder_are_told(tmp_path):
    with pytest.raises(KitError, match="holds no model"):
        encoders.load(str(tmp_path))
    with pytest.raises(KitError, match="There is no model folder"):
        encoders.load(str(tmp_path / "none"))


def test_gradient_checkpointing_changes_no_result(data, tmp_path, small_encoder, monkeypatch):
    base = encoders.base_encoder
    monkeypatch.setattr(encoders, "base_encoder", lambda *arguments: exact(base(*arguments)))
    enabled, enable = [], PreTrainedModel.gradient_checkpointing_enable

    def noted(self, *arguments, **named):
        enabled.append(self)
        enable(self, *arguments, **named)

    monkeypatch.setattr(PreTrainedModel, "gradient_checkpointing_enable", noted)
    for name, given in (("plain", False), ("saved", True)):
        run(data, tmp_path / name, small_encoder, steps=4, gradient_checkpointing=given)
    assert len(enabled) == 1
    plain, saved = weights(tmp_path / "plain"), weights(tmp_path / "saved")
    assert all(torch.allclose(plain[name], saved[name], 1e-9, 1e-12) for name in plain)


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("linear", lambda done: 1 - done),
        ("cosine", lambda done: 0.5 * (1 + np.cos(np.pi * done))),
        ("constant", lambda done: 1.0),
    ],
)
def test_schedule_of_the_rate(tmp_path, small_encoder, schedule, expected):
    """A rise over 4 of 20 steps, then as named; the rate of a step is the one before it."""
    parameters = settings(small_encoder, steps=20, warmup_fraction=0.2, schedule=schedule, learning_rate=0.5)
    model = encoders.load(str(small_encoder))
    trainer = PlanTrainer(model=model, args=arguments(parameters, tmp_path), loss=make_loss(model, parameters))
    trainer.create_optimizer_and_scheduler(20)
    rates = []
    for _ in range(20):
        rates.append(trainer.lr_scheduler.get_last_lr()[0] / 0.5)
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    wanted = [step / 4 if step < 4 else expected((step - 4) / 16) for step in range(20)]
    assert rates == pytest.approx(wanted)


VALIDATED = {"validation_data": "museum", "validate_every": 2}


def test_model_of_the_lowest_validation_loss_is_kept(data, tmp_path, small_encoder):
    record = run(data, tmp_path / "run", small_encoder, learning_rate=2e-2, checkpoint_every=0, **VALIDATED)
    found = dict(record["validation"])
    assert list(found) == [2, 4, 6, 8, 10, 12] and found[record["kept_step"]] == min(found.values())
    with pytest.raises(KeyboardInterrupt):
        stop = stop_at(min(record["kept_step"] + 1, 12))
        last = {"learning_rate": 2e-2, "checkpoint_every": record["kept_step"] if record["kept_step"] < 12 else 11}
        run(data, tmp_path / "cut", small_encoder, on_step=stop, **VALIDATED, **last)
    if record["kept_step"] < 12:
        there = load_file(tmp_path / "cut" / "checkpoints" / f"checkpoint-{record['kept_step']}" / "model.safetensors")
        assert same(there, weights(tmp_path / "run"))


def test_validation_loss_is_that_of_mono_batches_without_dropout(data, tmp_path, small_encoder):
    """Computed here once more, from the model that was kept, over the batches of the stream of validation."""
    record = run(data, tmp_path / "run", small_encoder, steps=2, **VALIDATED)
    parameters = settings(small_encoder, mono=1.0, cross=0.0, seed=Stream("validation").integer(2**32))
    plan = BatchPlan.from_parameters(parameters, [data])
    model = encoders.load(str(tmp_path / "run" / "model")).eval()
    loss, found = make_loss(model, parameters), []
    for batch in range(32):
        columns = render(plan, range(batch * 8, batch * 8 + 8), "Query: ", "Passage: ")
        with torch.no_grad():
            found.append(loss([model.preprocess(texts) for texts in columns.values()], None).item())
    assert record["validation"] == [[2, pytest.approx(np.mean(found), rel=1e-4)]]


def test_training_stops_when_validation_gains_nothing(data, tmp_path, small_encoder):
    """With steps too small to change a weight no validation is better than the first."""
    hopeless = {"steps": 20, "learning_rate": 1e-30, "weight_decay": 0.0, "patience": 2, **VALIDATED}
    record = run(data, tmp_path / "run", small_encoder, **hopeless)
    assert record["steps"] == 6 and record["kept_step"] == 2 and len(record["validation"]) == 3


def test_training_that_had_stopped_is_not_gone_on_with(data, tmp_path, small_encoder, monkeypatch):
    """Killed after the last checkpoint and before the model was written: nothing is left to train."""
    hopeless = {"steps": 20, "learning_rate": 1e-30, "weight_decay": 0.0, "patience": 2, "checkpoint_every": 6}
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(training, "_save_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run(data, tmp_path / "run", small_encoder, **hopeless, **VALIDATED)
    record = run(data, tmp_path / "run", small_encoder, **hopeless, **VALIDATED)
    assert record["resumed_from"] == "checkpoint-6" and record["steps"] == 6 and record["kept_step"] == 2


@pytest.mark.parametrize("changes", [{}, pytest.param({"cached_texts": 3}, marks=pytest.mark.slow), VALIDATED])
def test_interrupted_run_with_dropout_ends_with_the_same_weights(data, tmp_path, small_encoder, changes):
    """Of the random states too: the small encoder has dropout. Resumed from the checkpoint before the damaged one."""
    whole = run(data, tmp_path / "whole", small_encoder, checkpoint_every=3, **changes)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "cut", small_encoder, on_step=stop_at(8), checkpoint_every=3, **changes)
    (tmp_path / "cut" / "checkpoints" / "checkpoint-6" / "optimizer.pt").write_bytes(b"")
    record = run(data, tmp_path / "cut", small_encoder, checkpoint_every=3, **changes)
    assert record["resumed_from"] == "checkpoint-3" and record["kept_step"] == whole["kept_step"]
    assert record["validation"] == whole["validation"]
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_validation_data_that_cannot_be_used_is_told(data, tmp_path, small_encoder):
    with pytest.raises(KitError, match="validation_data museum cannot be used: batch_size is 601, but mono"):
        training.validation_plan(settings(small_encoder, batch_size=601, **VALIDATED))
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"id": "a", "query": {"en": "a"}, "positive": {"en": "A"}}\n')
    one = {"validation_data": str(pairs), "validate_every": 2, "batch_size": 1}
    plan, _ = training.validation_plan(settings(small_encoder, **one))
    assert plan.explicit_negatives == 0 and plan.languages == ["en"]
    with pytest.raises(KitError, match="pairs.jsonl cannot be used: .*explicit negatives"):
        training.validation_plan(settings(small_encoder, loss="equation-1", **one))


@pytest.mark.parametrize(
    "changes, advice",
    [
        ({"batch_size": 100}, "set cached_texts to 50 .it is 0., which gives the same loss"),
        ({"cached_texts": 20, "batch_size": 100}, "set cached_texts to 10 .it is 20."),
        ({"cached_texts": 1}, "set gradient_checkpointing to true, which gives the same results"),
        ({"loss": "equation-1"}, "set gradient_checkpointing to true"),
        ({"cached_texts": 1, "gradient_checkpointing": True}, "lower batch_size from 8 to 4, which makes it another"),
        ({"batch_size": 1, "gradient_checkpointing": True}, "lower max_length from 24 to 12, which makes it another"),
    ],
)
def test_memory_that_runs_out_is_told_with_what_to_lower(data, tmp_path, small_encoder, monkeypatch, changes, advice):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(PlanTrainer, "training_step", full)
    with pytest.raises(KitError, match=f"memory of the GPU ran out in training: {advice}"):
        run(data, tmp_path / "run", small_encoder, steps=2, **changes)


def test_checkpoint_of_another_plan_is_left_out(data, tmp_path, small_encoder):
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "run", small_encoder, on_step=stop_at(6))
    record = run(data, tmp_path / "run", small_encoder, seed=1)
    told = "checkpoint-4 was made with another plan and another settings and was left out; training goes on from before it."
    assert record["resumed_from"] is None and record["left_out"] == [told]
    run(data, tmp_path / "clean", small_encoder, seed=1)
    assert same(weights(tmp_path / "clean"), weights(tmp_path / "run"))


def test_checkpoint_of_another_encoder_is_left_out(data, tmp_path, small_encoder):
    own = tmp_path / "encoder"
    shutil.copytree(small_encoder, own)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "run", own, on_step=stop_at(6))
    (own / "config.json").write_text((own / "config.json").read_text().replace('"gelu"', '"relu"'))
    record = run(data, tmp_path / "run", own)
    assert record["resumed_from"] is None and "was made with another encoder and was left out" in record["left_out"][0]


def test_disk_that_fills_up_is_told_and_the_checkpoint_before_stays(data, tmp_path, small_encoder, monkeypatch):
    """Once by a real limit of the size of files, once by the error of a full disk."""
    run(data, tmp_path / "whole", small_encoder)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(step, steps):
        if step == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, unlimited[1]))

    try:
        with pytest.raises(KitError, match="reached at step 8 cannot be written to .*checkpoints .*free some space"):
            run(data, tmp_path / "cut", small_encoder, on_step=limited)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

    def full(*_):
        raise OSError(errno.ENOSPC, "whatever the system says")

    with monkeypatch.context() as disk, pytest.raises(KitError, match="step 8 .*No space left on device"):
        disk.setattr(PlanTrainer, "_save_optimizer_and_scheduler", full)
        run(data, tmp_path / "cut", small_encoder)
    assert [p.name for p in (tmp_path / "cut" / "checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    record = run(data, tmp_path / "cut", small_encoder)
    assert record["resumed_from"] == "checkpoint-4" and same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))

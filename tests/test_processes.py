"""Training in several processes: the same plan, the same weights, one clear error, and nobody left hanging."""

import json
import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import processes_worker
import psutil
import pytest
import torch
from safetensors.torch import load_file

from hybridkit import launch, processes
from hybridkit.errors import KitError, KitWarning
from hybridkit.params import Parameters, to_yaml
from hybridkit.runs import Run

HERE = Path(__file__).parent
#: The step in which the training is killed: drawn once for each version of this file.
KILLED_AT = random.Random("kill").randint(4, 11)


def torchrun(*arguments):
    """Run the worker script in two gloo processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(HERE / "processes_worker.py"), *map(str, arguments)]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
    return subprocess.Popen(command, env=surroundings, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_encoder):
    """Every variant trained by one process and by two; the two are then killed in a training of their own."""
    folder = tmp_path_factory.mktemp("processes")
    old = os.environ.get("HYBRIDKIT_CACHE")
    os.environ["HYBRIDKIT_CACHE"] = str(folder / "cache")
    (folder / "pair").mkdir()
    started = torchrun("train", folder / "pair", small_encoder, KILLED_AT)
    try:
        one = processes_worker.train_variants(folder / "one", str(small_encoder))
        told = started.communicate(timeout=300)[1]
        assert all((folder / "pair" / f"records-{rank}.json").exists() for rank in (0, 1)), told[-3000:]
        pair = [json.loads((folder / "pair" / f"records-{rank}.json").read_text()) for rank in (0, 1)]
        yield folder, one, pair
    finally:
        started.kill()
        os.environ.pop("HYBRIDKIT_CACHE") if old is None else os.environ.update(HYBRIDKIT_CACHE=old)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def close(one, other):
    return torch.allclose(torch.as_tensor(one, dtype=torch.double), torch.as_tensor(other, dtype=torch.double), 1e-6, 0)


def assert_close_weights(one, other):
    assert one.keys() == other.keys() and next(iter(one.values())).dtype == torch.double
    for name in one:
        # The gradient of a key's bias is zero but for rounding (a softmax ignores what all its scores share).
        scale = one[name].abs().max().clamp(min=1e-8)
        assert (one[name] - other[name]).abs().max() <= 1e-6 * scale, name


@pytest.mark.parametrize("variant", processes_worker.VARIANTS)
def test_two_processes_equal_one(trained, variant):
    """Losses of all steps and final weights to 1e-6 relative; the plan shared out in equal slices, nothing twice."""
    folder, one, pair = trained
    assert pair[0][variant]["loss"] == pair[1][variant]["loss"]
    assert pair[0][variant]["processes"] == 2 and one[variant]["processes"] == 1
    for name in ("loss", "validation"):
        assert close(one[variant][name], pair[0][variant][name])
    assert len(one[variant]["validation"]) == (2 if variant == "validated" else 0)
    assert one[variant]["kept_step"] == pair[0][variant]["kept_step"]
    slots = one[variant]["slots"]
    assert sorted(pair[0][variant]["slots"] + pair[1][variant]["slots"]) == sorted(slots)
    assert pair[0][variant]["slots"][:4] == slots[:4] and pair[1][variant]["slots"][:4] == slots[4:8]
    assert_close_weights(weights(folder / "one" / variant), weights(folder / "pair" / variant))


def test_cached_loss_equals_the_plain_one(trained):
    folder, one, _ = trained
    assert close(one["in-batch"]["loss"], one["cached"]["loss"])
    assert_close_weights(weights(folder / "one" / "in-batch"), weights(folder / "one" / "cached"))


def test_two_killed_processes_end_with_the_same_weights(trained, small_encoder):
    """With dropout, the cached loss and validation: the random states of both come back, and the best model too.

    Then one process runs out of memory, and the other is not left hanging.
    """
    folder = trained[0] / "pair"
    assert not (folder / "cut" / "model").exists() and (folder / "cut" / "checkpoints" / "checkpoint-3").exists()
    started = torchrun("resume", folder, small_encoder)
    told = started.communicate(timeout=300)[1]
    records = [json.loads((folder / f"resumed-{rank}.json").read_text()) for rank in (0, 1)]
    whole = json.loads((folder / "whole" / "training.json").read_text())
    assert records[0] == records[1]
    assert records[0]["resumed_from"] == f"checkpoint-{(KILLED_AT - 1) // 3 * 3}"
    for name in ("steps", "validation", "kept_step"):
        assert records[0][name] == whole[name]
    one, other = weights(folder / "whole"), weights(folder / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert started.returncode and "The memory of the GPU ran out in training: set cached_texts to 2 (it is 0)" in told


def test_a_number_that_does_not_divide_the_batch_is_told():
    processes.check(12, 4)
    with pytest.raises(KitError, match="batch_size is 12, which 5 processes cannot share.*1, 2, 3, 4, 6, 12"):
        processes.check(12, 5)


def test_processes_that_cannot_be_found_are_told(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KitError, match="WORLD_SIZE is 2, but RANK, .* are not set.*start them with torchrun"):
        with processes.group():
            pass
    monkeypatch.setenv("WORLD_SIZE", "1")
    with processes.group():
        assert processes.told_by_first(True) and processes.rank() == 0


def test_surroundings_that_ask_for_the_same_training_are_let_be(monkeypatch):
    for name in ("USE_FSDP", "USE_DEEPSPEED"):
        monkeypatch.setenv(f"ACCELERATE_{name}", "false")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("ACCELERATE_DYNAMO_MODE", "default")  # `accelerate launch` always sets it
    for precision, given in (("float32", "no"), ("bfloat16", "no"), ("bfloat16", "bf16")):
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", given)
        processes.check_surroundings(precision)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(KitError, match="ACCELERATE_MIXED_PRECISION=fp16.*precision is bfloat16"):
        processes.check_surroundings("bfloat16")


def test_processes_wait_long_for_the_first(monkeypatch):
    """It may audit, or wait for a lock, for longer than the library's ten minutes."""
    waits = []
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.PartialState", lambda cpu, timeout: waits.append(timeout))
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: None)
    with processes.group():
        assert waits == [timedelta(days=1)]


def test_how_many_processes(monkeypatch):
    monkeypatch.delenv(launch.PROCESSES, raising=False)
    for there, found in ((0, 1), (1, 1), (4, 4)):
        monkeypatch.setattr(launch, "gpus", lambda there=there: there)
        assert launch.chosen(64) == found
    with pytest.warns(KitWarning, match="4 GPUs cannot share a batch of 6 equally, so training uses one; 3 could"):
        assert launch.chosen(6) == 1
    monkeypatch.setenv(launch.PROCESSES, "2")
    assert launch.chosen(64) == 2
    for given, sentence in (("8", "8 processes need as many GPUs, but 4"), ("many", "is 'many'; write a whole number")):
        monkeypatch.setenv(launch.PROCESSES, given)
        with pytest.raises(KitError, match=sentence):
            launch.chosen(64)
    monkeypatch.setenv(launch.PROCESSES, "3")
    with pytest.raises(KitError, match="batch_size is 64, which 3 processes cannot share"):
        launch.chosen(64)


@pytest.fixture
def small_run(tmp_path, monkeypatch, small_encoder):
    """A function from settings to a run that two processes shall train."""
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(launch.PROCESSES, "2")
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent))
    settings = processes_worker.SETTINGS | {"encoder": str(small_encoder), "museum_evaluation_exhibits": 20}
    return lambda **changes: Run(Parameters(**settings | changes))


def test_a_run_launches_its_processes_and_follows_them(small_run):
    steps = []
    run = small_run(steps=30)
    record = run.train(on_step=lambda step, of: steps.append((step, of)))
    assert steps == [(step, 30) for step in range(1, 31)]
    assert record["processes"] == 2 and (run.folder / "model").exists() and not (run.staging / "processes.log").exists()
    assert run.train() == record


@pytest.mark.slow
def test_what_went_wrong_in_the_processes_is_one_sentence(small_run):
    run = small_run(learning_rate=1e30)
    with pytest.raises(KitError, match="^Training diverged: the loss is nan at step [0-9]+; lower learning_rate"):
        run.train()
    assert not (run.folder / "model").exists()


@pytest.mark.slow
def test_processes_end_when_their_launcher_is_killed(small_run, tmp_path):
    """Else they would train on, unseen, beside the next try."""
    run = small_run(steps=5000)
    (tmp_path / "params.yaml").write_text(to_yaml(run.parameters))
    code = "import sys; from pathlib import Path; from hybridkit import params; from hybridkit.runs import Run; "
    code += "Run(params.load([Path(sys.argv[1])])).train()"
    launcher = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "params.yaml")])
    progress = run.staging / "progress.json"
    for _ in range(600):
        if progress.exists() and "step" in progress.read_text():
            break
        time.sleep(0.2)
    below = psutil.Process(launcher.pid).children(recursive=True)
    assert len(below) == 3  # torchrun and its two
    launcher.kill()
    launcher.wait()
    assert not psutil.wait_procs(below, timeout=60)[1]


def test_first_fault_is_that_of_the_process_that_knew(tmp_path):
    def left(rank, **fault):
        (tmp_path / f"{rank}.json").write_text(json.dumps(fault))

    log = tmp_path / "log"
    assert "Training in 2 processes broke off; see the end of" in launch._first_fault(tmp_path, 2, log)
    left(0, told=False, message="RuntimeError: Connection closed by peer", time=1.0)
    assert "broke off (RuntimeError: Connection closed by peer)" in launch._first_fault(tmp_path, 2, log)
    left(1, told=True, message="The memory ran out.", time=2.0)
    assert launch._first_fault(tmp_path, 2, log) == "The memory ran out."

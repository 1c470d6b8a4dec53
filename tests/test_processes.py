"""Training in several processes: the same plan, the same weights, one clear error, and nobody left hanging."""

import json
import os
import subprocess
import sys
from pathlib import Path

import processes_worker
import pytest
import torch
from safetensors.torch import load_file

from hybridkit.errors import KitError

HERE = Path(__file__).parent


def torchrun(count, arguments, **environment):
    """Run a script or module in several gloo processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *arguments]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent), **environment}
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def pair_and_one(tmp_path_factory, small_encoder):
    """Every variant trained by two processes and by one: folders and records."""
    folder = tmp_path_factory.mktemp("processes")
    old = os.environ.get("HYBRIDKIT_CACHE")
    os.environ["HYBRIDKIT_CACHE"] = str(folder / "cache")
    try:
        one = processes_worker.train_variants(folder / "one", str(small_encoder))
        (folder / "pair").mkdir()
        told = torchrun(2, [str(HERE / "processes_worker.py"), str(folder / "pair"), str(small_encoder)])
    finally:
        os.environ.pop("HYBRIDKIT_CACHE") if old is None else os.environ.update(HYBRIDKIT_CACHE=old)
    assert told.returncode == 0, told.stderr[-3000:]
    pair = [json.loads((folder / "pair" / f"records-{rank}.json").read_text()) for rank in (0, 1)]
    return folder, one, pair


def close(one, other):
    return torch.allclose(torch.as_tensor(one, dtype=torch.double), torch.as_tensor(other, dtype=torch.double), 1e-6, 0)


@pytest.mark.parametrize("variant", processes_worker.VARIANTS)
def test_two_processes_equal_one(pair_and_one, variant):
    """Losses of all steps and final weights to 1e-6 relative; the plan shared out in equal slices, nothing twice."""
    folder, one, pair = pair_and_one
    assert pair[0][variant]["loss"] == pair[1][variant]["loss"]
    assert pair[0][variant]["processes"] == 2 and one[variant]["processes"] == 1
    for name in ("loss", "validation"):
        assert close(one[variant][name], pair[0][variant][name])
    assert one[variant]["kept_step"] == pair[0][variant]["kept_step"]
    slots = one[variant]["slots"]
    assert sorted(pair[0][variant]["slots"] + pair[1][variant]["slots"]) == sorted(slots)
    assert pair[0][variant]["slots"][:4] == slots[:4] and pair[1][variant]["slots"][:4] == slots[4:8]
    weights = [load_file(folder / side / variant / "model" / "model.safetensors") for side in ("one", "pair")]
    assert weights[0].keys() == weights[1].keys() and next(iter(weights[0].values())).dtype == torch.double
    for name in weights[0]:
        # The gradient of a key's bias is zero but for rounding (a softmax ignores what all its scores share).
        scale = weights[0][name].abs().max().clamp(min=1e-8)
        assert (weights[0][name] - weights[1][name]).abs().max() <= 1e-6 * scale, name

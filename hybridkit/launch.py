"""Start the processes that train a run on this machine, and be one of them: `python -m hybridkit.launch`."""

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hybridkit import params, processes
from hybridkit.errors import KitError, KitWarning, in_a_line
from hybridkit.files import remove, write_text

if TYPE_CHECKING:
    from hybridkit.runs import Run

#: How many processes train, as `--processes` sets it and workers inherit it; it changes no result.
PROCESSES = "HYBRIDKIT_PROCESSES"


def train(run: "Run", on_step: Callable[[int, int], None]) -> dict:
    """Train a run in as many processes as are chosen, here where that is one; the record of `training.train`.

    Where torchrun or `accelerate launch` has started several already, this is one of them.
    """
    count = 1 if processes.count() > 1 else chosen(run.parameters.batch_size)
    from hybridkit import training

    if count == 1 or training.finished(run.folder):
        return training.train(run.parameters, run.plan, run.folder, on_step)
    return _launch(run, count, on_step)


def chosen(batch_size: int) -> int:
    """How many processes train: HYBRIDKIT_PROCESSES; else one for each visible GPU where they can share a batch; else 1.

    Raises KitError for a number that is none, that does not divide the batch, or that is larger than that of the GPUs.
    """
    given, there = os.environ.get(PROCESSES, ""), gpus()
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise KitError(f"{PROCESSES} is {given!r}; write a whole number of at least 1, or leave it unset.")
        if 0 < there < int(given):
            raise KitError(f"{given} processes need as many GPUs, but {there} can be seen; set --processes to {there}.")
        processes.check(batch_size, int(given))
        return int(given)
    if there > 1 and batch_size % there:
        most = max(n for n in range(1, there) if batch_size % n == 0)
        told = f"{there} GPUs cannot share a batch of {batch_size} equally, so training uses one; {most} could."
        warnings.warn(told, KitWarning, stacklevel=2)
    return there if there > 1 and batch_size % there == 0 else 1


def gpus() -> int:
    """How many GPUs this process can see."""
    import torch

    return torch.cuda.device_count()


def _launch(run: "Run", count: int, on_step: Callable[[int, int], None]) -> dict:
    """Train in `count` new processes and follow what they tell through files in the run's staging folder."""
    from hybridkit import training

    write_text(run.staging / "params.yaml", params.to_yaml(run.parameters))
    write_text(run.staging / "progress.json", json.dumps({"notebook": "03_training"}))  # the steps of an earlier try go
    log = run.staging / "processes.log"
    with TemporaryDirectory() as told, log.open("w") as output:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        command += ["-m", "hybridkit.launch", str(run.staging / "params.yaml"), told, str(os.getpid())]
        started = subprocess.Popen(command, env=_surroundings(count), stdout=output, stderr=output)
        try:
            step = _follow(started, run.staging / "progress.json", on_step)
        finally:
            _stop(started)
        if started.returncode:
            raise KitError(_first_fault(Path(told), count, log))
    remove(log)
    record = training.finished(run.folder)
    for last in range(step + 1, record["steps"] + 1):
        on_step(last, run.parameters.steps)
    return record


def _surroundings(count: int) -> dict[str, str]:
    """The environment of the processes, which share the threads of this one."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or processes.processors())
    return os.environ | {"OMP_NUM_THREADS": str(max(1, threads // count))}


def _follow(started: subprocess.Popen, progress: Path, on_step: Callable[[int, int], None]) -> int:
    """Call `on_step` for every step that the processes tell of, until they end; the last step told."""
    last = 0
    while started.poll() is None:
        time.sleep(0.2)
        with suppress(FileNotFoundError, ValueError, KeyError):
            told = json.loads(progress.read_text())
            for step in range(last + 1, told["step"] + 1):
                on_step(step, told["steps"])
            last = max(last, told["step"])
    return last


def _stop(started: subprocess.Popen) -> None:
    """End the processes, if they run: torchrun passes a polite request on to its workers."""
    if started.poll() is None:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _first_fault(folder: Path, count: int, log: Path) -> str:
    """What went wrong, in a sentence: that of the process that knew, and not of those that lost it."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    found.sort(key=lambda fault: (not fault["told"], fault["time"]))
    if found and found[0]["told"]:
        return found[0]["message"]
    what = f" ({found[0]['message']})" if found else ""
    return f"Training in {count} processes broke off{what}; see the end of {log}, and run the same command to go on."


def main(file: str, told: str, launcher: str) -> None:
    """One of the processes: train the run of a parameter file; a fault is left as a file in the folder `told`."""
    from hybridkit.runs import Run

    threading.Thread(target=_end_with, args=[int(launcher)], daemon=True).start()
    try:
        run = Run(params.load([Path(file)]))
        train(run, run.telling())
    except Exception as fault:
        what = {"told": isinstance(fault, KitError), "message": in_a_line(fault), "time": time.time()}
        write_text(Path(told) / f"{processes.rank()}.json", json.dumps(what))
        raise


def _end_with(launcher: int) -> None:
    """End this process when the one that launched it has been killed: else it would train on, unseen."""
    import psutil

    while psutil.pid_exists(launcher):
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])

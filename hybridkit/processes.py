"""Several processes that train one model: how many there are, which one this is, and how they agree.

They are started by torchrun, `accelerate launch` or `hybridkit.launch`, which tell each of them by the environment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from hybridkit.errors import KitError

#: How long processes wait for another: process 0 may audit, or wait for a lock, for hours before it trains.
PATIENCE = timedelta(days=1)
_PRECISIONS = {"float32": "no", "bfloat16": "bf16"}
_OTHER_TRAININGS = ("USE_FSDP", "USE_DEEPSPEED", "USE_MEGATRON_LM", "USE_PARALLELISM_CONFIG")


def count() -> int:
    """How many processes train together; 1 where nothing has started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0. Process 0 alone writes."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(batch_size: int, processes: int) -> None:
    """Raise KitError unless so many processes can take equal slices of a batch."""
    if batch_size % processes:
        fitting = ", ".join(str(n) for n in range(1, batch_size + 1) if batch_size % n == 0)
        raise KitError(
            f"batch_size is {batch_size}, which {processes} processes cannot share equally; start as many processes as "
            f"divide it ({fitting}), or change batch_size, which makes it another experiment."
        )


def check_surroundings(precision: str) -> None:
    """Raise KitError where accelerate's part of the environment asks for another training than the parameters do.

    `accelerate launch` sets it from the user's configuration, and the libraries read it past the parameters.
    """
    given = {name: os.environ.get(f"ACCELERATE_{name}", "").lower() for name in _OTHER_TRAININGS}
    asked = [name for name, value in given.items() if value in ("true", "1", "yes", "on", "y", "t")]
    mixed = os.environ.get("ACCELERATE_MIXED_PRECISION", "").lower()
    asked += ["MIXED_PRECISION"] if mixed not in ("", "no", _PRECISIONS[precision]) else []
    backend = os.environ.get("ACCELERATE_DYNAMO_BACKEND", "").lower()
    asked += ["DYNAMO_BACKEND"] if backend not in ("", "no") else []
    if asked:
        told = ", ".join(f"ACCELERATE_{name}={os.environ[f'ACCELERATE_{name}']}" for name in asked)
        raise KitError(
            f"The environment has {told}, which would train otherwise than the parameters say (precision is {precision}): "
            "unset it, or start with torchrun or `accelerate launch` with a configuration that leaves it out."
        )


@contextmanager
def group() -> Iterator[None]:
    """Join the other processes for the block; nothing is to be done where there is only one.

    Raises KitError where the environment tells of several, but not how to find them.
    """
    if count() == 1:
        yield
        return
    if missing := [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise KitError(
            f"WORLD_SIZE is {count()}, but {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set, so the other "
            "processes cannot be found; start them with torchrun, or unset WORLD_SIZE to train in one."
        )
    import torch
    from accelerate import PartialState

    ours = not torch.distributed.is_initialized()
    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)  # joins them, and takes this process's own GPU
    yield
    if ours:
        torch.distributed.destroy_process_group()


def barrier() -> None:
    """Wait until every process is here."""
    if count() > 1:
        import torch

        torch.distributed.barrier()


def told_by_first(answer: bool) -> bool:
    """What process 0 answers, in every process."""
    if count() == 1:
        return answer
    import torch

    from hybridkit import encoders

    told = torch.tensor([int(answer)], device=encoders.device())
    torch.distributed.broadcast(told, 0)
    return bool(told.item())

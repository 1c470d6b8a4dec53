"""Several processes that train one model: how many there are, which one this is, and how they agree.

They are started by torchrun, `accelerate launch` or `hybridkit.launch`, which tell each of them by the environment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hybridkit.errors import KitError


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
    PartialState(cpu=not torch.cuda.is_available())  # joins them, and takes this process's own GPU
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

"""Checkpoints of a training: sealed with their checksums and their origin, and found again only where both hold."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hybridkit import files
from hybridkit.errors import KitError
from hybridkit.files import digests, write_text

_CHECKED = "checksums.json"
_ORIGIN = "origin.json"
#: The best model so far by validation, beside the checkpoints and inside each.
BEST = "best"


def seal(checkpoint: Path, origin: dict[str, str]) -> None:
    """Write into a checkpoint what it was made from, the best model so far, and the checksums of all its files."""
    best = checkpoint.parent / BEST
    if best.exists():
        copy_model(best, checkpoint / BEST)
    write_text(checkpoint / _ORIGIN, json.dumps(origin))
    (checkpoint / _CHECKED).unlink(missing_ok=True)
    write_text(checkpoint / _CHECKED, json.dumps(digests(checkpoint)))


def copy_model(source: Path, target: Path) -> None:
    """Copy a model folder whole or not at all; the files are shared with the source where the disk can do that."""
    with files.written_whole(target) as stage:
        shutil.copytree(source, stage, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def usable(folder: Path, origin: dict[str, str]) -> tuple[Path | None, list[str]]:
    """The newest checkpoint of this origin whose files are all as they were written, and a sentence for each other one."""
    found = [p for p in folder.glob("checkpoint-*") if p.name.rsplit("-", 1)[1].isdigit()]
    found.sort(key=lambda p: int(p.name.rsplit("-", 1)[1]), reverse=True)
    left_out = []
    for checkpoint in found:
        fault = _fault(checkpoint, origin)
        if not fault:
            return checkpoint, left_out
        left_out.append(f"{checkpoint.name} {fault} and was left out; training goes on from before it.")
    return None, left_out


def _fault(checkpoint: Path, origin: dict[str, str]) -> str:
    try:
        held = digests(checkpoint)
        del held[_CHECKED]
        if json.loads((checkpoint / _CHECKED).read_text()) != held:
            return "is cut short or altered"
        made_of = json.loads((checkpoint / _ORIGIN).read_text())
        others = [part for part, key in origin.items() if made_of.get(part) != key]
    except (KeyError, ValueError, FileNotFoundError, AttributeError):
        return "is cut short or altered"
    return f"was made with {' and '.join(f'another {part}' for part in others)}" if others else ""


def take_up(checkpoint: Path | None, folder: Path) -> None:
    """Make the best model beside the checkpoints the one that was best when `checkpoint` was made; none where it has none."""
    files.remove(folder / BEST)
    if checkpoint and (checkpoint / BEST).exists():
        copy_model(checkpoint / BEST, folder / BEST)


@contextmanager
def room_on_disk(path: Path, step: int) -> Iterator[None]:
    """Turn the faults of a full disk, while `path` is written at a step, into one KitError; what is half there goes.

    The libraries raise three kinds: OSError, PyTorch a RuntimeError, safetensors one of its own.
    """
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (OSError, RuntimeError, SafetensorError) as fault:
        number = getattr(fault, "errno", None)
        reason = os.strerror(number) if number in errno.errorcode else (str(fault).splitlines() or [""])[0]
        with suppress(OSError):
            files.remove(path)
        raise KitError(
            f"What training has reached at step {step} cannot be written to {path.parent} ({reason}): free some space, or set "
            "HYBRIDKIT_OUTPUTS to a folder with more; the same command then goes on from the checkpoint before."
        ) from fault

"""Check the environment: each check says what was found and, if it is a fault, how to mend it."""

import shutil
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from hybridkit import paths
from hybridkit.errors import KitError

Check = tuple[bool, str, str]
_SPACE = 2 * 2**30
_INSTALL = "pip install -c constraints.txt -e ."


def checks() -> Iterator[Check]:
    """Every check as (sound, what was found, mend)."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield (
        sys.version_info >= (3, 11),
        f"Python {version}",
        "install Python 3.11 or newer and make the environment again",
    )
    for group in (_packages, _torch, _kernel, _folders, _downloads):
        try:
            yield from group()
        except ImportError as fault:
            yield False, f"{fault.name} cannot be imported ({fault})", _INSTALL


def _packages() -> Iterator[Check]:
    every = [Requirement(line) for line in metadata.requires("hybridkit") or []]
    wanted = [one for one in every if not one.marker or one.marker.evaluate({"extra": ""})]
    faults = []
    for requirement in wanted:
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            faults.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            faults.append(f"{requirement.name} is {found}, wanted {requirement.specifier}")
    yield not faults, "packages: " + ("; ".join(faults) or f"all {len(wanted)} in their ranges"), _INSTALL


def _torch() -> Iterator[Check]:
    try:
        import torch
    except Exception as fault:
        yield False, f"torch cannot be imported ({fault})", "see 'torch on your system' in README.md"
        return
    where = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    yield True, f"torch {torch.__version__} on {where}", ""


def _kernel() -> Iterator[Check]:
    from jupyter_client.kernelspec import KernelSpecManager

    found = "python3" in KernelSpecManager().find_kernel_specs()
    yield found, "Jupyter kernel python3", "python -m ipykernel install --sys-prefix"


def _folders() -> Iterator[Check]:
    from hybridkit.sweep import check_writable

    for what, folder in (("outputs", paths.outputs()), ("cache", paths.cache())):
        try:
            check_writable(folder)
        except KitError as fault:
            yield False, f"{what} folder: {fault}", f"set HYBRIDKIT_{what.upper()} to a folder that can be written"
            continue
        free = shutil.disk_usage(folder).free
        yield free > _SPACE, f"{what} folder {folder}, {free / 2**30:.0f} GiB free", "free 2 GiB or move the folder"
    there = (paths.notebooks() / "01_data.ipynb").exists() and (paths.params() / "profiles").is_dir()
    yield there, f"notebooks and params in {paths.home()}", "set HYBRIDKIT_HOME to a clone of the repository"


def _downloads() -> Iterator[Check]:
    from hybridkit.corpora import downloads
    from hybridkit.corpora.catalogue import CATALOGUE

    for source in CATALOGUE.values():
        if not source.files:
            continue
        try:
            there = downloads.is_there(source)
        except KitError as fault:
            yield False, str(fault), f"delete the file and run `hybridkit data fetch {source.name}`"
            continue
        told = "downloaded, as pinned or locked" if there else "not downloaded (only needed where you use it)"
        yield True, f"{source.name}: {told}", ""

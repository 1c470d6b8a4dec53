"""Execute the committed notebooks in place, at their defaults (the tiny profile), and write what they cost.

    python tools/execute_notebooks.py [01_data ...]

Runs in a fresh outputs folder, so that a notebook shows what a newcomer sees. The line of the first cell that
begins with "**Measured**" is rewritten from the run. Nothing that differs between machines is kept but that.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

from hybridkit import paths


class Measured(NotebookClient):
    """A client that watches the memory of its kernel after every cell."""

    peak = 0

    def watch(self, **_) -> None:
        """Note the kernel's memory if it is the highest so far."""
        for child in psutil.Process().children(recursive=True):
            try:
                self.peak = max(self.peak, child.memory_info().rss)
            except psutil.Error:
                continue


def execute(path: Path) -> None:
    """Execute one notebook and write it back."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = Measured(notebook, timeout=1800, kernel_name="python3", record_timing=False)
    client.resources = {"metadata": {"path": str(path.parent)}}
    client.on_cell_executed = client.watch
    started = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - started
    cost = f"**Measured** at the tiny profile on {os.cpu_count()} processors: {seconds:.0f} s, {client.peak / 2**30:.1f} GB of memory."
    first = notebook.cells[0]
    if not re.search(r"^\*\*Measured\*\*", first.source, re.M):
        raise SystemExit(f"{path.name}: the first cell has no line that begins with **Measured**")
    first.source = re.sub(r"^\*\*Measured\*\*.*$", cost, first.source, flags=re.M)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.write(notebook, path)
    print(f"{path.name}: {seconds:.0f} s, {client.peak / 2**20:.0f} MB", flush=True)


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(p.stem for p in paths.notebooks().glob("[0-9]*.ipynb"))
    cache = paths.cache()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HYBRIDKIT_OUTPUTS": folder, "HYBRIDKIT_CACHE": str(cache), "OMP_NUM_THREADS": "2"}
        for name in names:
            execute(paths.notebooks() / f"{name}.ipynb")

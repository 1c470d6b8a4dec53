"""The notebooks as files: what a reader, papermill and the web need of them. nbval executes them."""

import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from hybridkit import sweep
from hybridkit.params import notebook_cell

HOME = Path(__file__).parents[1]
NAMES = [sweep.DATA_NOTEBOOK, *sweep.RUN_NOTEBOOKS, *sweep.LAST_NOTEBOOKS]
NAMES += ["09_code_switching", "10_image_text", "11_transfer"]  # read by themselves, not executed in a sweep
HEAVY = re.compile(r"^\s*(?:import|from)\s+(?:torch|sentence_transformers|transformers)\b", re.M)


def read(name):
    return json.loads((HOME / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))


def code_of(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def prose_of(notebook):
    return "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def html_of(notebook):
    outputs = [output for cell in code_of(notebook) for output in cell["outputs"]]
    return ["".join(output["data"]["text/html"]) for output in outputs if "text/html" in output.get("data", {})]


def test_the_series_is_there():
    assert [path.stem for path in sorted((HOME / "notebooks").glob("*.ipynb"))] == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_tiny_profile(name):
    tagged = [cell for cell in code_of(read(name)) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1 and "".join(tagged[0]["source"]) == notebook_cell()


@pytest.mark.parametrize("name", NAMES)
def test_committed_as_executed(name):
    """In order, without an error, a warning, a progress bar, widget state or a path of some machine."""
    notebook = read(name)
    counts = [cell["execution_count"] for cell in code_of(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3" and "widgets" not in notebook["metadata"]
    for cell in code_of(notebook):
        for output in cell["outputs"]:
            assert output["output_type"] != "error" and output.get("name") != "stderr"
            text = json.dumps(output)
            assert not re.search(r"/(?:home|root|tmp|work|Users)/|it/s\]|%\|", text), text[:300]


@pytest.mark.parametrize("name", NAMES)
def test_every_image_has_alternative_text(name):
    pictures = [tag for shown in html_of(read(name)) for tag in re.findall(r"<img[^>]*>", shown)]
    assert all(re.search(r'alt="[^"]{40,}"', tag) for tag in pictures)
    assert pictures or name == "03_training" or NAMES.index(name) == 0
    for cell in code_of(read(name)):
        for output in cell["outputs"]:
            assert "image/png" not in output.get("data", {}), "a picture without alternative text"


@pytest.mark.parametrize("name", NAMES)
def test_reads_well(name):
    notebook = read(name)
    lines = [len("".join(cell["source"]).strip().splitlines()) for cell in code_of(notebook)]
    parameters = notebook_cell().count("\n") + 1
    assert parameters <= 30 and statistics.median(lines) <= 8
    assert max(line for line in lines if line != parameters) <= 25
    prose = prose_of(notebook)
    first = "".join(notebook["cells"][0]["source"])
    for part in ("**Goal**", "**You need**", "**Measured** at the tiny profile on"):
        assert part in first
    assert re.search(r"\*\*Measured\*\*.* \d+ s, [\d.]+ GB", first)
    assert "## What you learned" in prose and "## Try it yourself" in prose
    levels = [len(mark) for mark in re.findall(r"^(#+) ", prose, re.M)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))


@pytest.mark.parametrize("name", NAMES)
def test_outputs_that_nbval_compares_are_there(name):
    checked = [c for c in code_of(read(name)) if "nbval-check-output" in c["metadata"].get("tags", [])]
    assert len(checked) >= 3 and all(cell["outputs"] for cell in checked)


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith(("03", "04", "10"))])
def test_only_training_and_evaluation_import_torch(name):
    assert not any(HEAVY.search("".join(cell["source"])) for cell in code_of(read(name)))


def papermill(output, *options, mixture="cross"):
    """Plain papermill, as in the README, from a folder of its own."""
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", HOME / "notebooks" / "02_sampling.ipynb", output]
    files = ["-f", HOME / "params" / "profiles" / "tiny.yaml", "-f", HOME / "params" / "mixtures" / f"{mixture}.yaml"]
    return subprocess.run([*command, *files, *options], capture_output=True, text=True, cwd=output.parent)


@pytest.mark.parametrize(
    "mixture, kept", [("cross", "cross: 1.0"), ("variants", "variants: 1.0"), ("cross-to-mono", "end_mono: 1.0")]
)
def test_parameter_files_work_with_plain_papermill(tmp_path, monkeypatch, mixture, kept):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / "cache"))
    answer = papermill(tmp_path / "out.ipynb", "-y", "{museum_exhibits: 100, steps: 20}", mixture=mixture)
    assert answer.returncode == 0, answer.stderr[-2000:]
    # papermill warns of names that the cell of the tiny profile does not show, and passes them on all the same.
    assert mixture != "cross" or "unknown parameter" not in answer.stderr.lower()
    assert sweep.is_complete(tmp_path / "out.ipynb")
    plans = list((tmp_path / "outputs").rglob("plan.yaml"))
    assert len(plans) == 1 and kept in plans[0].read_text()


@pytest.mark.parametrize(
    "given, told",
    [
        ("{mono: 1:3}", "63"),
        ("{learning_rate: 1e-5}", "learning_rate"),
        ("{languages: [en, no]}", "False"),
        ("{learning_rat: 0.1}", "learning_rate"),
    ],
)
def test_what_papermill_misreads_is_told_by_the_first_cell(given, told, tmp_path):
    answer = papermill(tmp_path / "out.ipynb", "-y", given)
    assert answer.returncode != 0 and "KitError" in answer.stderr and told in answer.stderr

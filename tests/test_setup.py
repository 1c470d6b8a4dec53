"""The files that set the kit up agree with each other."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version
from ruamel.yaml import YAML

HOME = Path(__file__).parents[1]
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
#: What conda-forge calls a package of PyPI, where the names differ.
CONDA = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}


def wanted():
    texts = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    return {Requirement(text).name: Requirement(text) for text in texts}


def test_constraints_hold_every_dependency_in_range_and_no_cuda():
    lines = [line for line in (HOME / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {r.name.lower().replace("_", "-"): r for r in map(Requirement, lines)}
    assert all(str(pin.specifier).startswith("==") for pin in pins.values())
    for name, requirement in wanted().items():
        version = str(pins[name.lower()].specifier)[2:]
        assert requirement.specifier.contains(Version(version), prereleases=True), name
    assert not [name for name in pins if name.startswith(("nvidia", "triton", "cuda"))]


def test_environment_is_in_step_with_pyproject():
    from rattler import MatchSpec

    listed = YAML(typ="safe", pure=True).load((HOME / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    specs = [MatchSpec(entry, strict=True) for entry in listed if isinstance(entry, str)]
    found = {spec.name.normalized if hasattr(spec.name, "normalized") else str(spec.name): spec for spec in specs}
    by_pip = {Requirement(text).name: Requirement(text) for text in pip}
    for name, requirement in wanted().items():
        if name in by_pip:
            assert by_pip[name].specifier == requirement.specifier, name
        else:
            spec = found[CONDA.get(name, name)]
            parts = sorted(str(spec.version).split(","))
            assert parts == sorted(str(requirement.specifier).split(",")), name
    extra = set(found) - {CONDA.get(name, name) for name in wanted()} - {"python", "pip"}
    assert not extra and not set(by_pip) - set(wanted())


def test_ci_runs_the_readme_test_command_alone():
    commands = [
        line
        for line in (HOME / ".ci" / "run").read_text().splitlines()
        if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert commands == ["make test"]
    assert "make test" in (HOME / "README.md").read_text()


def test_modules_say_their_purpose_in_the_first_line():
    import ast

    for path in (HOME / "hybridkit").rglob("*.py"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, path
        first = text.splitlines()[0]
        # A sentence of one line, or the beginning of a longer one that says what stands in the lines below.
        assert first.endswith(".") or (first.endswith((":", ",")) and len(first) > 40), path

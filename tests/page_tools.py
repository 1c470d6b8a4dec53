"""The scripts of tools/ that make the pages of findings, as modules; and the figures of such a page."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).parents[1] / "tools"


def load(name: str) -> ModuleType:
    """A script as a module; what it imports of its neighbours does not stay loaded."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    before = {*sys.modules}
    sys.path.insert(0, str(TOOLS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
        for neighbour in {path.stem for path in TOOLS.glob("*.py")} - before:
            sys.modules.pop(neighbour, None)
    return module


def figures(text: str) -> set[str]:
    """What looks like a measured figure: with three decimals, or with a comma in the thousands."""
    return set(re.findall(r"(?<![\w.])\d*\.\d{3}\b|\b\d{1,3},\d{3}\b", text))

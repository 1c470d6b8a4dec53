"""The page of findings: its tables are those of the shipped studies, and every figure of its prose stands in one."""

import re

import page_tools
import pandas as pd
import pytest
from page_tools import figures

pytestmark = pytest.mark.filterwarnings("ignore::hybridkit.errors.KitWarning")  # mixtures with fewer seeds


@pytest.fixture(scope="module")
def tool():
    return page_tools.load("make_findings")


@pytest.fixture(scope="module")
def page(tool):
    return tool.PAGE.read_text(encoding="utf-8")


def test_tables_are_those_of_the_shipped_studies(tool, page):
    found = tool.tables()
    assert tool.with_tables(page, found) == page, "run python tools/make_findings.py"
    assert set(re.findall(r"<!-- table: (.+?) -->", page)) == set(found)


#: Sizes of the data, which docs/data.md and docs/measurements.md tell too, and chance levels.
SIZES = {"10,800", "8,641", "1,200", "2,721", "2,568", "1,593"}


def test_figures_of_the_prose_stand_in_the_tables(page):
    prose = re.sub(r"<!-- table: .+?<!-- end -->", "", page, flags=re.DOTALL)
    tables = figures("\n".join(line for line in page.splitlines() if line.startswith("|")))
    assert len(tables) > 200
    assert figures(prose) - SIZES <= tables


def test_another_study_gives_other_tables(tool, page):
    text = "before\n<!-- table: one -->\nold\n<!-- end -->\nafter\n"
    table = pd.DataFrame({"a": [1.5]})
    assert tool.with_tables(text, {"one": table}) == (
        "before\n<!-- table: one -->\n| a |\n| --- |\n| 1.5 |\n<!-- end -->\nafter\n"
    )
    with pytest.raises(KeyError, match="one"):
        tool.with_tables(text, {})

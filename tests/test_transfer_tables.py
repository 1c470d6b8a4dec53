"""The tables of transfer that ship: whole, told by their runs, and those of docs/transfer.md."""

import re

import numpy as np
import page_tools
import pandas as pd
import pytest

from hybridkit.languages import XQUAD_R
from hybridkit.transfer import figures, heads, shipped


@pytest.fixture(scope="module")
def tool():
    return page_tools.load("make_transfer")


@pytest.fixture(scope="module")
def page(tool):
    return tool.PAGE.read_text(encoding="utf-8")


def test_every_measurement_has_all_languages_and_an_encoder_that_is_told():
    rows = shipped.accuracies()
    assert not rows.duplicated([*shipped.SYSTEM, "task", "head", "language"]).any()
    for place, its in rows.groupby([*shipped.SYSTEM, "task", "head"]):
        assert set(its["language"]) == set(XQUAD_R) and place[-1] in ("en", heads.EACH), place
    named = {
        " ".join(map(str, one)) for table in (rows, shipped.parallel()) for one in table[shipped.SYSTEM].to_numpy()
    }
    assert named == set(shipped.about()["encoders"])


def test_figures_are_those_that_an_accuracy_can_be():
    rows = shipped.accuracies()
    assert ((rows["low"] < rows["accuracy"]) & (rows["accuracy"] < rows["high"] + 1e-9)).all()
    right = rows["accuracy"] * rows["n"]
    assert np.allclose(right, right.round(), atol=0.06)  # four digits of at most 1,200 answers
    assert rows["hypothesis only"].notna().eq(rows["task"] == "museum-inference").all()
    trained = rows.loc[rows["training"] != "none", ["language", "in training"]]
    assert trained["in training"].eq(trained["language"].isin(["el", "vi"]).map({True: "no", False: "yes"})).all()


def test_groups_are_means_over_their_languages():
    rows = pd.DataFrame(
        [("tiny-mlm", "text", "mono", 0, "t", head, code, number / 10)
         for head, numbers in {"en": (1, 2, 3, 5), "each": (6, 7, 8, 9)}.items()
         for code, number in zip(("en", "de", "zh", "el"), numbers, strict=True)],
        columns=[*shipped.SYSTEM, "task", "head", "language", "accuracy"],
    )  # fmt: skip
    [row] = shipped.by_group(rows)[list(shipped.GROUPS)].to_numpy()
    assert row == pytest.approx([0.1, 0.25, 0.5, 0.7, 0.9])


def test_topics_of_real_sentences_are_above_the_majority_in_every_language():
    real = shipped.accuracies().query("task == 'sib-200' and head == 'each'")
    assert len(real) == len(XQUAD_R) and (real["low"] > real["majority"]).all()


def test_tables_of_the_page_are_those_that_ship(tool, page):
    found = tool.tables()
    assert tool.with_tables(page, found) == page, "run python tools/make_transfer.py page"
    assert set(re.findall(r"<!-- table: (.+?) -->", page)) == set(found)


def test_figures_of_the_prose_stand_in_the_tables(page):
    part = page.partition("## What came out")[2].partition("\n## ")[0]
    prose = re.sub(r"<!-- table: .+?<!-- end -->", "", part, flags=re.DOTALL)
    tables = set(re.findall(r"\.\d{3}\b", "\n".join(line for line in part.splitlines() if line.startswith("|"))))
    assert len(tables) > 50
    assert set(re.findall(r"\.\d{3}\b", prose)) <= tables


def test_a_mean_over_seeds_with_its_least_and_most(tool):
    assert tool.spread(pd.Series([0.5])) == "0.500"
    assert tool.spread(pd.Series([0.5, 0.25, 0.3])) == "0.350 (0.250 to 0.500)"
    assert tool.spread(pd.Series([1000.4, 2000.4]), 0) == "1,500 (1,000 to 2,000)"
    assert tool.spread(pd.Series([], dtype=float)) == "–"


def test_figures_tell_in_words_what_they_show():
    rows = shipped.accuracies().query("task == 'museum-topics' and head == 'en' and mixture == 'none'")
    shown = figures.accuracies(dict(tuple(rows.groupby("encoder"))), "Topics", ["el", "vi"])
    assert (
        shown.alt.startswith("Topics: accuracy by language")
        and "tiny-mlm from" in shown.alt
        and "el and vi" in shown.alt
    )
    table = pd.DataFrame(
        {
            "encoder": "a",
            "training": "text",
            "mixture": ["cross", "mono", "none", "mono"],
            "seed": [0, 0, -1, 1],
            "x": [9, 1, 3, 2],
        }
    )
    assert "x, a: from 1.50 (mono) to 9.00 (cross)" in figures.by_mixture(table, ["x"], "X", log=["x"]).alt
    cosines = {"same": np.linspace(0, 1, 11), "other": np.linspace(-1, 0, 11)}
    assert "same median 0.50, other median -0.50" in figures.similarities(cosines, "Pairs").alt


def test_museum_sentences_find_themselves_and_are_parallel():
    from hybridkit.ranks import gold_ranks
    from hybridkit.transfer import museum_tasks, parallel

    benchmark = museum_tasks.sentences(3, ("de", "en", "zh"))
    assert len(set(benchmark.questions)) == 18 and len(benchmark.gold_query) == 3 * len(benchmark.query_ids) == 162
    same = np.eye(18, dtype=np.float32)[[benchmark.questions.index(one) % 18 for one in benchmark.questions]]
    found = parallel.figures(gold_ranks(same, same, benchmark))
    assert found["cross-lingual mAP"] == found["monolingual mAP"] == 1
    assert found["chance distance"] == pytest.approx((54 + 1) * 2 / 4)

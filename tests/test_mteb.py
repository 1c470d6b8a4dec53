"""MTEB finds the kit's own nDCG@10 with its own encoding, search and metric; skipped where MTEB is not installed."""

import importlib.util
import json
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from hybridkit import encoders, mteb_adapter
from hybridkit.cli import main
from hybridkit.corpora.benchmark import make_benchmark
from hybridkit.errors import KitError
from hybridkit.evaluation import evaluate_model

needs_mteb = pytest.mark.skipif(not importlib.util.find_spec("mteb"), reason='needs pip install "hybridkit[mteb]"')


@pytest.fixture
def model(small_encoder, tmp_path):
    """A random encoder with prompts, as training would save it."""
    made = encoders.base_encoder(str(small_encoder), 48, "Query: ", "Passage: ")
    made.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    return tmp_path / "model"


#: MTEB rounds its figures to five digits.
ROUNDED = 6e-6


@pytest.fixture
def untied():
    """80 passages and 30 questions in two languages, of words that the random encoder knows: no two texts are one to it.

    Every fifth question has no answer in its own language, as in MLQA-R.
    """
    words = {
        "en": ["Where", "does", "the", "clock", "stand", "The", "in"],
        "ru": ["Где", "стоят", "часы", "?", ".", "clock"],
    }
    random = np.random.default_rng(0)
    texts = {code: sorted({" ".join(random.permutation(some)[:5]) for _ in range(400)}) for code, some in words.items()}
    texts = {code: random.permutation(found)[:55].tolist() for code, found in texts.items()}
    passages = [(f"{code}{i}", texts[code][i], code) for code in words for i in range(40)]
    asked = [(f"q-{code}{i}", texts[code][40 + i], code) for code in words for i in range(15)]
    golds = [
        (one[0], f"{code}{i}")
        for one in asked
        for code in words
        for i in (1, 7)
        if int(one[0][4:]) % 5 or code != one[2]
    ]
    return make_benchmark("untied", "CC0", *map(list, zip(*asked)), *map(list, zip(*passages)), golds)


@needs_mteb
@pytest.mark.parametrize("language", ["en", "ru"])
def test_mteb_finds_the_same_number(model, untied, language):
    assert evaluate_model(str(model), untied).tied_share == 0
    found = mteb_adapter.check(model, untied, language)
    assert found["mteb"] == pytest.approx(found["hybridkit"], abs=ROUNDED) and 0 < found["mteb"] < 1
    split = mteb_adapter._split(untied, language)
    assert len(split["queries"]) == len(split["relevant_docs"]) == 12 and len(split["corpus"]) == 40
    # The prompts count: the number of a model without them is another.
    bare = encoders.load(str(model))
    bare.prompts = {"query": "", "document": ""}
    assert abs(mteb_adapter.ndcg(bare, mteb_adapter.task(untied, language)) - found["mteb"]) > 1e-3


@needs_mteb
def test_a_task_of_several_figures_is_refused(model, untied):
    both, split = mteb_adapter.task(untied, "en"), mteb_adapter._split(untied, "en")

    def load_two(*arguments, **options):
        both.dataset = {"default": {"test": split, "dev": split}}
        both.data_loaded = True

    both.load_data = load_two
    both.metadata.eval_splits.append("dev")
    with pytest.raises(KitError, match="gave 2 figures .*; narrow it to one language"):
        mteb_adapter.ndcg(encoders.load(str(model)), both)


def test_a_language_that_is_not_there_and_a_missing_extra(untied, monkeypatch):
    with pytest.raises(KitError, match="has no questions and candidates in 'fr'; give one of en ru"):
        mteb_adapter.task(untied, "fr")
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(KitError, match=r'pip install "hybridkit\[mteb\]"'):
        mteb_adapter.task(untied, "en")


@needs_mteb
def test_the_command_prints_both_numbers(model, untied, tmp_path):
    folder = tmp_path / "benchmark"
    folder.mkdir()
    sides = {
        "queries": [
            {"id": i, "language": str(c), "text": t}
            for i, c, t in zip(untied.query_ids, untied.query_languages, untied.query_texts)
        ],
        "candidates": [
            {"id": i, "language": str(c), "text": t}
            for i, c, t in zip(untied.candidate_ids, untied.candidate_languages, untied.candidate_texts)
        ],
        "relevance": [
            {"query": untied.query_ids[q], "candidate": untied.candidate_ids[c]}
            for q, c in zip(untied.gold_query, untied.gold_candidate)
        ],
    }
    for name, rows in sides.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = ["--model", str(model), "--benchmark", str(folder), "--language", "en"]
    answer = CliRunner().invoke(main, ["mteb", *options])
    assert answer.exit_code == 0, answer.output
    here, theirs = re.search(r"within en: ([\d.]+) here, ([\d.]+) by MTEB", answer.output).groups()
    assert here == theirs

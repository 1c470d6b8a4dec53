"""The AfriQA loader: small files in the layout of the source, and the facts of the real ones."""

import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from hybridkit.corpora import afriqa, catalogue
from hybridkit.corpora.similar import normal
from hybridkit.errors import KitError, KitWarning
from hybridkit.params import for_run
from hybridkit.runs import Run
from hybridkit.sampling import BatchPlan

ROWS = {
    "hau.en.train": [
        ("Ina hasumiya?", "Where is the tower?", "The tower is in Pisa."),
        ("Wa ya gina?", "Who built it?", None),
        ("Yaushe?", "When was it?", "This passage is in  the TEST too."),
        ("Wanene?", "who is it?", "It is Bola."),
        ("LINI?", "At what time is it?", "It is at noon."),
    ],
    "hau.en.test": [("Me ya sa?", "Why is it?", "This passage is in the test too.")],
    "swa.en.test": [("Nani?", "Who is it?", "It is Amina."), ("Lini?", "When is it?", "It is Amina.")],
}


def line(row) -> str:
    spoken, english, passage = row
    return json.dumps({"id": "0", "context": passage, "question_lang": spoken, "question_translated": english})


@pytest.fixture
def small(own_cache, monkeypatch):
    """A few rows in files of the real layout, with their checksums as pins."""
    pins = {}
    for name, rows in ROWS.items():
        file = f"gold_passages/{name[:3]}/gold_span_passages.afriqa.{name}.json"
        content = "".join(line(row) + "\n" for row in rows).encode()
        path = own_cache / "downloads" / "afriqa" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        pins[file] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    monkeypatch.setattr(afriqa, "SOURCE", catalogue.Source(**vars(afriqa.SOURCE) | {"files": pins}))
    return own_cache / "downloads" / "afriqa"


def test_rows_with_nothing_in_a_field_or_a_text_of_the_test_are_left_out_and_counted(small):
    told = "1 rows; left out: 1 with an empty field, 1 whose passage is in the test, 2 whose question is in the test"
    with pytest.warns(KitWarning, match=told):
        pairs = afriqa.training_pairs()
    assert len(pairs) == 1 and pairs.languages == ("en", "ha")
    assert pairs.queries.texts("ha", [0]) == ["Ina hasumiya?"]
    assert pairs.queries.texts("en", [0]) == ["Where is the tower?"]
    assert pairs.passages.texts("en", [0]) == ["The tower is in Pisa."]


def test_each_test_question_is_asked_in_both_languages(small):
    found = afriqa.benchmark()
    assert list(zip(found.query_languages, found.query_texts, strict=True)) == [
        ("ha", "Me ya sa?"), ("sw", "Nani?"), ("sw", "Lini?"),
        ("en", "Why is it?"), ("en", "Who is it?"), ("en", "When is it?"),
    ]  # fmt: skip
    assert Counter(found.questions) == {"ha:test:0": 2, "sw:test:0": 2, "sw:test:1": 2}
    assert found.candidate_texts == ["This passage is in the test too.", "It is Amina."]
    assert found.gold_candidate.tolist() == [0, 1, 1, 0, 1, 1]


def test_a_damaged_file_is_told(small):
    path = small / "gold_passages/hau/gold_span_passages.afriqa.hau.en.test.json"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(KitError, match="cut short or altered.*hybridkit data fetch afriqa"):
        afriqa.benchmark()


@pytest.fixture
def real(shared_data, own_cache, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
    return shared_data


def test_facts_of_the_real_files(real):
    pairs, found = afriqa.training_pairs(), afriqa.benchmark()
    assert (len(pairs), len(found.query_ids), len(found.candidate_ids)) == (1_593, 2 * 2_721, 2_568)
    assert set(found.query_languages) == set(afriqa.SOURCE.languages) and found.languages == ("en",)
    assert set(pairs.languages) == set(afriqa.SOURCE.languages) - {"sw"}
    tested = {normal(text) for text in found.candidate_texts}
    assert not {normal(text) for text in pairs.passages.texts("en", range(len(pairs.passages)))} & tested
    asked = {normal(text) for text, code in zip(found.query_texts, found.query_languages, strict=True) if code == "en"}
    assert not {normal(text) for text in pairs.queries.texts("en", range(len(pairs.queries)))} & asked
    assert np.bincount(found.gold_query).tolist() == [1] * 5_442


def test_pins_are_those_of_the_pinned_revision(shared_data):
    pins = json.loads((shared_data / "PINS.json").read_text(encoding="utf-8"))["afriqa"]
    assert (afriqa.SOURCE.commit, afriqa.SOURCE.licence) == (pins["commit"], pins["licence"])
    named = {f"data/{name}": dict(pin) for name, pin in afriqa.SOURCE.files.items()}
    assert len(named) == 15 and named == {name: pins["files"][name] for name in named}


def test_mono_batches_ask_in_english_and_cross_batches_in_the_other_language(real):
    parameters = for_run("laptop", "hybrid-0.50")
    plan = BatchPlan.from_parameters(parameters, Run(parameters).datasets)
    table = plan.table(range(40))
    assert set(table["passage_language"]) == {"en"} and set(table["kind"]) == {"mono", "cross"}
    assert set(table.query("kind == 'mono'")["query_language"]) == {"en"}
    assert set(table.query("kind == 'cross'")["query_language"]) == set(parameters.languages) - {"en"}

"""The tiny encoder that has read real sentences: its words, its vectors, the same weights again, and topics."""

import hashlib

import numpy as np
import pytest

from hybridkit import encoders
from hybridkit.corpora import sib_200
from hybridkit.languages import XQUAD_R
from hybridkit.streams import Stream
from hybridkit.transfer import heads, tiny_flores


@pytest.fixture
def short(own_cache, monkeypatch):
    """A few steps of everything, on a few sentences that the museum has not a character of."""
    for name, value in {"exhibits": 100, "steps": 2, "batch_size": 8}.items():
        monkeypatch.setitem(encoders.WARM_UP, name, value)
    for name, value in {"ranking_steps": 2, "batch_size": 8}.items():
        monkeypatch.setitem(tiny_flores.RECIPE, name, value)
    monkeypatch.setattr(sib_200, "sentences", lambda code, split: {n: ("travel", text(code, n)) for n in range(150)})


def text(code: str, number: int) -> str:
    """Five words out of forty, the same in every language, each language in letters of its own."""
    first = ord("\u5b00") + 16 * XQUAD_R.index(code)
    words = Stream("sentence", number).permutation(40)[:5]
    return " ".join("".join(chr(first + int(digit)) for digit in f"{word:02}") for word in words)


def found_translations(model) -> float:
    """The share of German sentences whose nearest English one is their translation."""
    de, en = (model.encode([text(code, n) for n in range(150)], normalize_embeddings=True) for code in ("de", "en"))
    return float(((de @ en.T).argmax(axis=1) == np.arange(150)).mean())


def test_every_word_is_known_and_translations_are_near(short):
    before, model = encoders.load("tiny-mlm"), encoders.load("tiny-flores")
    assert before.tokenizer.unk_token_id in before.tokenizer(text("zh", 1))["input_ids"]
    for code in XQUAD_R:
        assert model.tokenizer.unk_token_id not in model.tokenizer(text(code, 1))["input_ids"], code
    assert len(model.tokenizer) == model[0].model.get_input_embeddings().weight.shape[0] > len(before.tokenizer)
    assert model.max_seq_length == tiny_flores.RECIPE["max_length"]
    assert found_translations(before) < 0.1 and found_translations(model) > 0.9


def test_the_weights_are_the_same_again(short, tmp_path):
    digests = []
    for again in (1, 2):
        place = tiny_flores.folder()
        digests.append(hashlib.sha256((place / "model.safetensors").read_bytes()).hexdigest())
        place.rename(tmp_path / str(again))
    assert digests[0] == digests[1] and tiny_flores.content_key()[:16] in place.name


def test_its_name_stands_for_it(monkeypatch):
    assert encoders.content_key("tiny-flores") == tiny_flores.content_key() and not encoders.is_id("tiny-flores")
    assert tiny_flores.content_key() != encoders.content_key("tiny-mlm")
    before = tiny_flores.content_key()
    monkeypatch.setitem(tiny_flores.RECIPE, "ranking_steps", 1)
    assert encoders.content_key("tiny-flores") != before
    monkeypatch.setattr(tiny_flores, "folder", lambda: "here")
    assert encoders.folder("tiny-flores") == "here"


@pytest.mark.slow
def test_topics_of_real_sentences_above_the_majority_in_every_language_that_it_read(shared_data, monkeypatch):
    """The encoder is made here where the cache does not have it: some minutes on one core."""
    monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
    model = encoders.load("tiny-flores")
    found = heads.transfer(model, sib_200.labelled(XQUAD_R), heads.EACH, trained=XQUAD_R).set_index("language")
    assert set(found.index) == set(XQUAD_R) and (found["n"] == 204).all()
    assert (found["low"] > found["majority"]).all(), found

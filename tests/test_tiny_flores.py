"""The tiny encoder that has read real sentences: no unknown words, the same weights again, and topics above majority."""

import hashlib

import pytest

from hybridkit import encoders
from hybridkit.corpora import sib_200
from hybridkit.languages import XQUAD_R
from hybridkit.transfer import heads, tiny_flores

SENTENCES = {"zh": "左右两侧有三座 {} 桥", "th": "ฝั่งซ้ายและขวา {} สะพาน", "en": "Quizzical wharf № {} left"}


@pytest.fixture
def short(own_cache, monkeypatch):
    """A few steps of everything, on a few sentences with characters that the museum lacks."""
    for recipe, values in (
        (encoders.WARM_UP, {"exhibits": 100, "steps": 2}),
        (tiny_flores.RECIPE, {"masked_steps": 3}),
    ):
        for name, value in {**values, "batch_size": 8}.items():
            monkeypatch.setitem(recipe, name, value)
    monkeypatch.setitem(tiny_flores.RECIPE, "ranking_steps", 2)
    monkeypatch.setattr(sib_200, "sentences", lambda code, split: {n: ("travel", text(code, n)) for n in range(20)})


def text(code: str, number: int) -> str:
    return SENTENCES.get(code, SENTENCES["en"]).format(number)


def test_every_word_is_known_and_the_weights_are_the_same_again(short, monkeypatch, tmp_path):
    before = encoders.load("tiny-mlm").tokenizer
    assert before.unk_token_id in before(text("zh", 1))["input_ids"]
    digests = []
    for again in (1, 2):
        model = encoders.load("tiny-flores")
        for code in XQUAD_R:
            assert model.tokenizer.unk_token_id not in model.tokenizer(text(code, 1))["input_ids"], code
        assert len(model.tokenizer) == model[0].model.get_input_embeddings().weight.shape[0] > len(before)
        assert model.max_seq_length == tiny_flores.RECIPE["max_length"]
        place = tiny_flores.folder()
        digests.append(hashlib.sha256((place / "model.safetensors").read_bytes()).hexdigest())
        place.rename(tmp_path / str(again))
    assert digests[0] == digests[1] and tiny_flores.content_key()[:16] in place.name


def test_its_name_stands_for_it(monkeypatch):
    assert encoders.content_key("tiny-flores") == tiny_flores.content_key() and not encoders.is_id("tiny-flores")
    assert tiny_flores.content_key() != encoders.content_key("tiny-mlm")
    before = tiny_flores.content_key()
    monkeypatch.setitem(tiny_flores.RECIPE, "masked_steps", 1)
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

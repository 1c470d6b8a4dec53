"""The tiny encoders: the same weights in every process and with every number of threads, and what warm-up teaches."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from hybridkit import encoders
from hybridkit.corpora import museum
from hybridkit.errors import KitError


@pytest.fixture
def short_warm_up(own_cache, monkeypatch):
    """Warm-up of a few steps on a hundred exhibits."""
    monkeypatch.setitem(encoders.WARM_UP, "exhibits", 100)
    monkeypatch.setitem(encoders.WARM_UP, "steps", 100)


def digest(folder) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_the_same_texts_give_the_same_vocabulary_in_every_process():
    """The library's trainer alone gives another one in every process: its hash tables are randomly seeded."""
    code = (
        "from hybridkit import encoders, museum\n"
        "from importlib.resources import files\n"
        "encoders.TINY_SHAPE['vocab_size'] = 2500\n"
        "lexicons = sorted((files(museum) / 'lexicons').iterdir())\n"
        "texts = [line for file in lexicons for line in file.read_text('utf-8').splitlines()]\n"
        "print(sorted(encoders._vocabulary(texts).items()))"
    )
    answers = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(answers) == 1


def test_vocabulary_is_plain(short_warm_up):
    """Characters given to the trainer beforehand are entries like any other, not tokens cut out of every text."""
    tokenizer = encoders._tokenizer(["the clock ##e stands", "Die Uhr steht"])
    assert set(tokenizer.all_special_tokens) == set(encoders._SPECIAL) == set(map(str, tokenizer.added_tokens_encoder))
    assert "##e" not in tokenizer.tokenize("the ##e")
    assert tokenizer("uhr")["input_ids"][0] == tokenizer.cls_token_id


def test_number_of_threads_changes_no_weight(short_warm_up, monkeypatch, tmp_path):
    monkeypatch.setitem(encoders.WARM_UP, "steps", 5)
    found = []
    for threads in (1, 2):
        monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / str(threads)))
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            found.append(digest(encoders.tiny_folder("tiny-mlm")))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert found[0] == found[1]


def test_aligned_warm_up_brings_translations_together(short_warm_up):
    """On sentences of exhibits that warm-up did not see, the translation ranks higher than after masked modelling."""
    data = museum.benchmark(20)
    rank = {}
    for name in encoders.TINY:
        model = encoders.load(name)
        of = {}
        for code in ("de", "en"):
            rows = np.flatnonzero(data.candidate_languages == code)
            of[code] = model.encode([data.candidate_texts[i] for i in rows], normalize_embeddings=True)
        scores = of["de"] @ of["en"].T
        rank[name] = (scores >= np.diag(scores)[:, None]).sum(axis=1).mean()
    assert len(scores) == 120
    assert rank["tiny-aligned"] < rank["tiny-mlm"] / 2


def test_unknown_tiny_encoder_is_told():
    with pytest.raises(KitError, match="'tiny-big' is no tiny encoder; there are tiny-mlm and tiny-aligned"):
        encoders.tiny_folder("tiny-big")

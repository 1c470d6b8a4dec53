"""The tiny encoders: the same weights in every process and with every number of threads, and what warm-up teaches."""

import hashlib
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hybridkit import encoders, hub, lock
from hybridkit.corpora import museum
from hybridkit.errors import KitError, KitWarning


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
        "print(sorted(encoders.vocabulary(texts).items()))"
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


def test_pooling_of_a_model_that_has_none(small_encoder, tmp_path):
    """Mean of the tokens or the first token, for a plain folder; a model with a pooling layer keeps it."""
    vectors = {}
    for pooling in ("mean", "cls"):
        model = encoders.load(str(small_encoder), pooling)
        features = model.preprocess(["The clock stands in the tower."])
        with torch.no_grad():
            hidden = model[0].model(**{k: features[k] for k in ("input_ids", "attention_mask")}).last_hidden_state[0]
            vectors[pooling] = model.eval()(features)["sentence_embedding"][0]
        expected = hidden[0] if pooling == "cls" else hidden.mean(dim=0)
        assert torch.allclose(vectors[pooling], expected, atol=1e-6)
    model.save_pretrained(str(tmp_path / "saved"))
    again = encoders.load(str(tmp_path / "saved"), "mean")
    assert torch.allclose(torch.tensor(again.encode("The clock stands in the tower.")), vectors["cls"], atol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "sentence-transformers"])
def test_missing_tensors_are_told(small_encoder, tmp_path, kind):
    """The library alone fills them at random; without the pooler, which no vector is made with, all is well."""
    folder = tmp_path / "model"
    if kind == "plain":
        shutil.copytree(small_encoder, folder)
    else:
        encoders.load(str(small_encoder)).save_pretrained(str(folder))
    path = folder / "model.safetensors"
    held = {name: tensor for name, tensor in load_file(path).items() if "pooler" not in name}
    save_file(held, path, metadata={"format": "pt"})
    encoders.load(str(folder))
    held.pop("encoder.layer.0.output.dense.weight")
    save_file(held, path, metadata={"format": "pt"})
    with pytest.raises(KitError, match=r"lack 1 of the model's tensors.*encoder.layer.0.output.dense.weight"):
        encoders.load(str(folder))
    held["encoder.layer.0.output.dense.weight"] = torch.zeros(3, 3)
    save_file(held, path, metadata={"format": "pt"})
    with pytest.raises(KitError, match="tensors, or have them in another shape|cannot be loaded"):
        encoders.load(str(folder))


OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


@pytest.fixture
def hub_of_one(tmp_path, monkeypatch, small_encoder):
    """A stand-in for the model hub that has one model; the folder of what was asked of it, and its own cache."""
    cache = tmp_path / "hub"
    asked = []
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(cache))

    def snapshot(commit):
        return cache / "models--ours--clock" / "snapshots" / commit

    def download(repo, revision, allow_patterns):
        asked.append(("download", revision, sorted(allow_patterns)))
        shutil.copytree(small_encoder, snapshot(revision), dirs_exist_ok=True)
        for name in allow_patterns:
            path = snapshot(revision) / name
            path.parent.mkdir(exist_ok=True)
            path.touch()
        return str(snapshot(revision))

    there = [*(path.name for path in small_encoder.iterdir()), "pytorch_model.bin", "onnx/model.onnx", "code.py"]
    there += ["onnx/config.json", "openvino/openvino_model.bin", "2_Dense/pytorch_model.bin", "2_Dense/config.json"]

    def about(self, name, timeout, revision=NEW):
        asked.append(("about", revision, timeout))
        return SimpleNamespace(sha=revision, siblings=[SimpleNamespace(rfilename=file) for file in there])

    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", about)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    hub._checked.cache_clear()
    yield snapshot, asked
    hub._checked.cache_clear()


def no_hub(monkeypatch):
    import httpx2

    def unreachable(*_, **__):
        raise httpx2.ConnectError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", unreachable)


def test_id_is_locked_at_its_newest_revision_and_asked_for_once(hub_of_one, monkeypatch, small_encoder):
    _, asked = hub_of_one
    assert encoders.content_key("ours/clock") == NEW
    vectors = encoders.load("ours/clock").encode("The clock")
    assert np.array_equal(vectors, encoders.load(str(small_encoder)).encode("The clock"))
    wanted = sorted([*(p.name for p in small_encoder.iterdir()), "2_Dense/config.json", "2_Dense/pytorch_model.bin"])
    assert asked == [("about", NEW, 10), ("about", NEW, 10), ("download", NEW, wanted)]
    held = lock.read()["models"]["ours/clock"]
    assert held["contents"] == {NEW: wanted}
    assert held["revision"] == NEW and held["files"]["model.safetensors"]["sha256"] == digest(small_encoder)
    no_hub(monkeypatch)
    hub._checked.cache_clear()
    assert encoders.content_key("ours/clock") == NEW and encoders.load("ours/clock") and len(asked) == 3


def test_without_network_the_cached_commit_is_locked(hub_of_one, monkeypatch, small_encoder):
    snapshot, asked = hub_of_one
    no_hub(monkeypatch)
    with pytest.raises(
        KitError, match="The model ours/clock could not be reached: connect .*give a folder with a copy"
    ):
        encoders.load("ours/clock")
    shutil.copytree(small_encoder, snapshot(OLD))
    refs = snapshot(OLD).parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text(OLD)
    with pytest.warns(KitWarning, match="whether its copy in .* is complete could not be checked; connect"):
        assert encoders.load("ours/clock")
    assert encoders.content_key("ours/clock") == OLD and asked == []


def test_cached_copy_that_lacks_files_is_completed_or_told(hub_of_one, monkeypatch, small_encoder):
    """As transformers' AutoModel or a killed download leaves it: a configuration and weights, and no more."""
    snapshot, asked = hub_of_one
    lock.revision("models", "ours/clock", lambda: OLD)
    shutil.copytree(small_encoder, snapshot(OLD))
    encoders.load("ours/clock")
    assert [what for what, *_ in asked] == ["about", "download"] and (snapshot(OLD) / "2_Dense/config.json").exists()
    hub._checked.cache_clear()
    encoders.load("ours/clock")
    assert len(asked) == 2  # the list is locked, and nothing is missing
    (snapshot(OLD) / "2_Dense/config.json").unlink()
    hub._checked.cache_clear()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot(OLD)))
    with pytest.raises(KitError, match="copy of the model ours/clock in .* lacks 2_Dense/config.json, which could not"):
        encoders.load("ours/clock")


def test_without_network_a_sentence_transformer_without_its_modules_is_refused(hub_of_one, monkeypatch, small_encoder):
    snapshot, _ = hub_of_one
    no_hub(monkeypatch)
    lock.revision("models", "sentence-transformers/clock", lambda: OLD)
    folder = snapshot(OLD).parents[2] / "models--sentence-transformers--clock" / "snapshots" / OLD
    shutil.copytree(small_encoder, folder)
    with pytest.raises(KitError, match="sentence-transformers/clock in .* lacks modules.json, so it would be"):
        encoders.load("clock")
    shutil.rmtree(folder)
    encoders.load(str(small_encoder)).save_pretrained(str(folder))
    with pytest.warns(KitWarning, match="could not be checked"):
        assert encoders.load("clock")


def test_weights_that_differ_from_the_lock_are_told(hub_of_one):
    snapshot, _ = hub_of_one
    encoders.load("ours/clock")
    path = snapshot(NEW) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    hub._checked.cache_clear()
    with pytest.raises(KitError, match="SHA-256 .* says .* for model.safetensors of ours/clock"):
        encoders.load("ours/clock")


def test_locked_revision_is_loaded_and_not_a_newer_one(hub_of_one, small_encoder, monkeypatch):
    snapshot, asked = hub_of_one
    lock.revision("models", "ours/clock", lambda: OLD)
    encoders.load("ours/clock")
    assert [what for what, *_ in asked] == ["about", "download"] and asked[0][1] == OLD
    assert snapshot(OLD).is_dir() and not snapshot(NEW).exists()
    assert json.loads((snapshot(OLD) / "config.json").read_text())["model_type"] == "bert"


def test_offline_an_unknown_id_is_told_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(KitError, match="The model nobody/nothing could not be reached: .*give a folder"):
        encoders.load("nobody/nothing")


def test_pickled_weights_run_no_code(small_encoder, tmp_path):
    """A model that has only pickled weights is read with weights_only=True: what a pickle would call is refused."""

    class Evil:
        def __reduce__(self):
            return (print, ("the pickle ran",))

    folder = tmp_path / "model"
    shutil.copytree(small_encoder, folder)
    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(held, folder / "pytorch_model.bin")
    assert np.allclose(encoders.load(str(folder)).encode("clock"), encoders.load(str(small_encoder)).encode("clock"))
    torch.save(held | {"evil": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(KitError, match="cannot be loaded"):
        encoders.load(str(folder))

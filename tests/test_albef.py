"""ALBEF: what it makes of images and texts, what each loss moves, that it is saved, trained and resumed exactly."""

import json
import shutil
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hybridkit import encoders
from hybridkit.corpora.pairs import make_pairs
from hybridkit.errors import KitError
from hybridkit.imagetext import losses, rendering, tiny_vit, training, vision
from hybridkit.imagetext.albef import Albef, Design
from hybridkit.imagetext.fusion import Fusion
from hybridkit.imagetext.texts import complete_vocabulary, tokenised, two_captions, whole_words
from hybridkit.params import Parameters
from hybridkit.sampling import BatchPlan

WORDS = {
    "en": ["red clock", "blue vase", "old drum", "gold cup", "tin lamp", "jade ring", "oak chair", "wool rug"],
    "de": ["rote Uhr", "blaue Vase", "alte Trommel", "goldener Becher", "Lampe", "Ring", "Stuhl", "Teppich"],
    "zh": ["红色的钟", "蓝色花瓶", "旧鼓", "金杯", "锡灯", "玉戒指", "橡木椅", "羊毛毯"],
}


class Pictures:
    """Eight pictures, each of a colour of its own, with noise."""

    key = state = "eight pictures"

    def __len__(self):
        return 8

    def pixels(self, rows, size):
        noise = np.random.default_rng(0).integers(0, 60, (8, size, size, 3))
        colours = np.array([[c & 1, c >> 1 & 1, c >> 2] for c in range(8)]) * 190
        return (colours[:, None, None] + noise).astype(np.uint8)[np.asarray(rows)]


@dataclass
class Data:
    """As much of a set of captioned images as the training needs."""

    ids: list = field(default_factory=lambda: [f"p{n}" for n in range(8)])
    captions: dict = field(default_factory=lambda: {c: [(t, f"{t}.") for t in found] for c, found in WORDS.items()})
    images: Pictures = field(default_factory=Pictures)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A random, very small encoder of the kit's own kind that has never seen Chinese, 16 numbers wide."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = encoders._tokenizer([*WORDS["en"], *WORDS["de"], ". ,"])
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertModel(shape).save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    part = Transformer(str(folder / "plain"), max_seq_length=24)
    modules = [part, Pooling(part.get_embedding_dimension(), pooling_mode="mean")]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "whole"), create_model_card=False)
    return folder / "whole"


@pytest.fixture(scope="module", autouse=True)
def tiny_pictures(tmp_path_factory):
    """A vision transformer of one layer, 16 numbers wide, and a cache for the pixels."""
    changed = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_vit, "SHAPE", tiny_vit.SHAPE | changed)
        patch.setenv("HYBRIDKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    ids = Data().ids
    texts = {code: ["\n".join(both) for both in found] for code, found in Data().captions.items()}
    foils = {code: [*found, *(f"no {text.splitlines()[0]}" for text in found)] for code, found in texts.items()}
    passages = [*ids, *(f"{one}~foil" for one in ids)]
    negatives = [[row + 8] for row in range(8)]
    folder = tmp_path_factory.mktemp("pairs") / "pictures"
    return make_pairs(folder, "pictures", "none", ids, texts, passages, foils, range(8), range(8), negatives)


def settings(encoder, **changes):
    small = {
        "track": "image-text", "encoder": str(encoder), "languages": ["en", "de"], "batch_size": 4, "steps": 12,
        "max_length": 16, "image_encoder": "tiny-vit-random", "image_size": 32, "patch_size": 16, "projection": 8, "fusion_layers": 1, "queue": 8,
        "momentum": 0.5, "explicit_negatives": 0, "checkpoint_every": 4, "query_prefix": "", "passage_prefix": "",
        "temperature": 0.07, "learning_rate": 5e-3,
    }  # fmt: skip
    return Parameters(**small | changes)


def made(encoder, **changes):
    torch.manual_seed(0)
    return Albef.from_parameters(settings(encoder, **changes), training.every_caption([Data()])).eval()


@pytest.fixture(scope="module")
def model(encoder):
    return made(encoder)


def batches(pairs, model, **changes):
    """A function from a step to its batch."""
    plan = BatchPlan.from_parameters(settings("x", **changes), [pairs])
    collator = training.Collator(plan, [Data()], model.tokenizer, 32, 16)
    return lambda step: collator([{"slot": 4 * step + place} for place in range(4)])


def pixels():
    return torch.as_tensor(training.images.normalised(Pictures().pixels(range(8), 32)))


# Images and texts


def test_padding_and_company_change_nothing(model):
    """A text alone is what it is in a batch with a longer one, also when it reads a picture; so is a picture."""
    short, long = WORDS["en"][0], " ".join(WORDS["en"])
    states, vectors = model.images(pixels())
    texts, mask, found = model.texts([short, long])
    alone, own_mask, vector = model.texts([short])
    length = alone.shape[1]
    assert mask[0].sum() == length < mask.shape[1]
    assert torch.allclose(found[:1], vector, atol=1e-6) and torch.allclose(texts[:1, :length], alone, atol=1e-6)
    together = model.match(states[[3, 3]], texts, mask)
    assert torch.allclose(together[:1], model.match(states[3:4], alone, own_mask), atol=1e-6)
    own_states, own = model.images(pixels()[3:4])
    assert torch.allclose(own_states, states[3:4], atol=1e-6) and torch.allclose(own, vectors[3:4], atol=1e-6)
    assert states.shape == (8, 5, 16) and torch.allclose(vectors.norm(dim=1), torch.ones(8))


def test_attention_is_a_share_of_the_patches(model):
    tokens, maps = model.attend(pixels()[0], "red clock")
    assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]" and maps.shape == (len(tokens), 2, 2)
    sums = maps.sum((1, 2))
    assert (maps >= 0).all() and (sums < 1).all() and (sums > 0.5).all()  # the rest goes to the picture as a whole


def test_fusion_reads_a_picture_of_another_width():
    fusion = Fusion(2, 16, 24, 2, 16).eval()
    text, mask, image = torch.randn(2, 5, 16), torch.tensor([[1] * 5, [1] * 3 + [0] * 2]), torch.randn(2, 7, 24)
    states, maps = fusion(text, mask, image, maps=True)
    assert states.shape == (2, 5, 16) and maps.shape == (2, 5, 7)
    plain, none = fusion(text, mask, image)
    assert none is None and torch.allclose(plain, states, atol=1e-6)
    assert not torch.allclose(fusion(text, mask, image.flip(0))[0], states, atol=1e-3)


def test_unknown_words_become_known_and_nothing_else_changes(encoder):
    text = encoders.load(str(encoder))
    known, unknown = WORDS["en"][0], WORDS["zh"][0]
    before = text.tokenizer(known)["input_ids"], text.encode(known)
    assert text.tokenizer.unk_token_id in text.tokenizer(unknown)["input_ids"]
    added = complete_vocabulary(text.tokenizer, text[0].model, [known, unknown])
    assert added == sorted(set(unknown))
    assert text.tokenizer.unk_token_id not in text.tokenizer(unknown)["input_ids"]
    assert text.tokenizer(known)["input_ids"] == before[0] and np.array_equal(text.encode(known), before[1])
    again = encoders.load(str(encoder))
    torch.manual_seed(5)  # what else was drawn decides nothing
    complete_vocabulary(again.tokenizer, again[0].model, [unknown, known])
    assert np.array_equal(again.encode(unknown), text.encode(unknown))
    assert complete_vocabulary(again.tokenizer, again[0].model, [unknown]) == []


def test_frequent_words_become_whole(encoder):
    text = encoders.load(str(encoder))
    known, frequent, rare = "clock", "redclock", "clockred"
    captions = [f"{known} {frequent.title()}."] * 4 + [known] * 795 + [rare]
    pieces = {word: text.tokenizer.tokenize(word) for word in (known, frequent, rare)}
    assert len(pieces[known]) == 1 and len(pieces[frequent]) > 1 and len(pieces[rare]) > 1
    before, inside = text.encode([known, rare]), text.tokenizer.tokenize(f"{frequent}{known}")
    assert whole_words(text.tokenizer, text[0].model, [captions]) == [frequent]  # 4 of 800 are just enough, 1 is not
    assert text.tokenizer.tokenize(f"{frequent.upper()}, {rare}") == [frequent, ",", *pieces[rare]]
    assert text.tokenizer.tokenize(f"{frequent}{known}") == inside  # a part of another word is none
    assert np.array_equal(text.encode([known, rare]), before)
    assert whole_words(text.tokenizer, text[0].model, [captions]) == []
    again = encoders.load(str(encoder))
    torch.manual_seed(5)  # what else was drawn decides nothing
    assert whole_words(again.tokenizer, again[0].model, [[known], captions]) == [frequent]
    assert np.array_equal(again.encode(frequent), text.encode(frequent))


def test_frequent_words_hide_no_character_that_was_added(encoder):
    """Chinese: 左边 alone, and within what has no spaces, where the tokenizer takes no single word."""
    text, captions = encoders.load(str(encoder)), ["左边。", "画面左边有红钟。"]
    complete_vocabulary(text.tokenizer, text[0].model, captions)
    before = [text.tokenizer.tokenize(caption) for caption in captions]
    whole_words(text.tokenizer, text[0].model, [captions])
    assert [text.tokenizer.tokenize(caption) for caption in captions] == before
    assert not any(text.tokenizer.unk_token in tokens for tokens in before)


def test_only_tiny_encoders_get_words_and_only_of_their_languages(encoder, monkeypatch):
    captions = {"en": ["Clockclock."], "de": ["Redclock."], "es": ["Clockred Wxyz."]}
    asked = settings(encoder, languages=["en", "de"])
    plain = Albef.from_parameters(asked, captions).tokenizer
    monkeypatch.setattr(encoders, "OWN", {str(encoder)})
    found = Albef.from_parameters(asked, captions).tokenizer
    assert {*found.get_vocab()} - {*plain.get_vocab()} == {"clockclock", "redclock"}
    assert plain.unk_token_id not in found("Clockred Wxyz.")["input_ids"]


def test_characters_and_words_begin_apart(encoder):
    text = encoders.load(str(encoder))
    old = len(text.tokenizer)
    complete_vocabulary(text.tokenizer, text[0].model, ["左右"])
    whole_words(text.tokenizer, text[0].model, [["redclock", "clockred"]])
    rows = text[0].model.get_input_embeddings().weight[old:].tolist()
    assert len(rows) == 4 == len({tuple(row) for row in rows})


@pytest.mark.parametrize(
    ("changes", "batches"),
    [
        ({"contrast_first": 0.25, "steps": 8}, 2),
        ({"contrast_first": 0.5, "steps": 3, "gradient_accumulation": 2}, 4),
        ({"contrast_first": 0.9, "steps": 4}, 3),
        ({"contrast_first": 0.5, "steps": 8, "image_losses": ["matching"]}, 0),
    ],
)
def test_contrast_comes_first_for_whole_steps_and_not_for_all(changes, batches):
    assert training._alone(settings("x", **changes)) == batches


def test_two_captions_of_an_image():
    one, other = "a\nb\nc", "d\ne"
    for place in range(20):
        first, second = two_captions(one, one, 0, 1, place)
        assert first != second and {first, second} <= {"a", "b", "c"}
        first, second = two_captions(one, other, 0, 1, place)
        assert first in "abc" and second in "de"
        assert two_captions(one, other, 0, 1, place) == (first, second)
    assert len({two_captions(one, other, 0, 1, place) for place in range(60)}) == 6
    assert two_captions("a", "a", 0) == ("a", "a")


# What a step shows


@pytest.mark.parametrize("kind", ["mono", "cross", "multi"])
def test_a_step_shows_what_the_plan_drew(pairs, kind):
    weights = {name: float(name == kind) for name in ("mono", "cross", "multi")}
    plan = BatchPlan.from_parameters(settings("x", explicit_negatives=1, **weights), [pairs])
    for step in range(5):
        seen, batch = rendering.shown(plan, step), plan.step(step)
        assert seen.kind == kind and seen.row.tolist() == batch.row.tolist() and len(seen.texts) == len(seen.languages)
        codes = [plan.languages[number] for number in seen.languages]
        for place, row in enumerate(seen.row.tolist() * 2):
            assert seen.texts[place] in Data().captions[codes[place]][row]
        for text, code, row in zip(seen.foils, codes[8:], seen.row, strict=True):
            assert text in {f"no {Data().captions[code][row][0]}", *Data().captions[code][row]} and text.startswith(
                "no"
            )
        pairwise = list(zip(codes[:4], codes[4:8], strict=True))
        assert all((a != b) == (kind == "cross") for a, b in pairwise)
        assert len(set(codes)) == 1 or kind != "mono"
        assert all(a != b for a, b in zip(seen.first, seen.second, strict=True))


def test_a_batch_holds_the_pictures_of_its_rows(pairs, model):
    batch = batches(pairs, model, explicit_negatives=1)(3)
    assert torch.equal(batch["pixels"], pixels()[batch["ids"]]) and batch["pixels"].dtype == torch.float32
    assert batch["text_ids"].tolist() == [*batch["ids"].tolist() * 2, -2, -2, -2, -2]
    assert batch["tokens"].shape == batch["mask"].shape and len(batch["tokens"]) == 12 == len(batch["languages"])
    assert batch["step"] == 3 and batch["differ"].all()


# Losses of a batch


def test_contrast_of_a_batch_is_the_pure_function_of_its_vectors(pairs, encoder):
    """With an empty queue and slow copies that equal the model, in both directions, from vectors made one at a time."""
    model = made(encoder, image_losses=["contrast"], momentum=0.0, mono=1.0, cross=0.0)
    batch = batches(pairs, model, mono=1.0, cross=0.0)(0)
    v = torch.cat([model.encoders.images(one[None])[1] for one in batch["pixels"]])
    t = torch.cat([model.encoders.texts(a[None], m[None])[1] for a, m in zip(batch["tokens"], batch["mask"])])
    ids, every = batch["ids"], batch["text_ids"]
    forth = losses.contrast(v @ t.T / 0.07, losses.targets(ids, every, torch.ones(8, dtype=torch.bool)))
    back = losses.contrast(t @ v.T / 0.07, losses.targets(every, ids, torch.ones(4, dtype=torch.bool)))
    found = model(batch)
    assert list(found) == ["contrast"]
    assert found["contrast"].item() == pytest.approx(((forth + back) / 2).item(), abs=1e-5)
    assert model.queue.ids[:4].tolist() == ids.tolist() and (model.queue.ids[4:] == -1).all()


def test_the_queue_counts_in_mono_batches_only_in_their_language(pairs, encoder):
    """The same batch and queue: captions of other languages move the loss of a cross batch and not that of a mono one."""
    outcomes = {}
    for kind in ("mono", "multi"):
        for language in (0, 1):
            model = made(encoder, image_losses=["contrast"], momentum=0.0)
            batch = batches(pairs, model, mono=1.0, cross=0.0)(0) | {"kind": kind}
            unit = torch.nn.functional.normalize(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)), dim=1)
            model.queue.add(unit[:4], unit, torch.tensor([90, 91, 92, 93]), torch.full((8,), language))
            outcomes[kind, language] = model(batch)["contrast"].item()
            own = batch["languages"][0].item()
    assert outcomes["multi", 0] == outcomes["multi", 1] == outcomes["mono", own]
    assert abs(outcomes["mono", 1 - own] - outcomes["mono", own]) > 1e-3


@pytest.mark.parametrize(
    "asked, kind, there",
    [("cross", "cross", True), ("cross", "mono", False), ("all", "mono", True), ("none", "cross", False)],
)
def test_captions_are_contrasted_where_that_is_asked_for(pairs, encoder, asked, kind, there):
    model = made(encoder, image_losses=["contrast"], caption_contrast=asked)
    weights = {"mono": float(kind == "mono"), "cross": float(kind == "cross")}
    batch = batches(pairs, model, **weights)(0)
    assert ("caption-contrast" in model(batch)) == there
    # An image whose two captions are one text says nothing about telling captions apart.
    assert "caption-contrast" not in model(batch | {"differ": torch.zeros(4, dtype=torch.bool)})


@pytest.mark.parametrize("switched_on", [["contrast"], ["matching"], ["masked-words"]])
def test_a_loss_that_is_off_moves_nothing(pairs, encoder, switched_on):
    model = made(encoder, image_losses=switched_on).train()
    found = model(batches(pairs, model)(1), alpha=0.4)
    sum(found.values()).backward()
    touched = {name.split(".")[0] for name, p in model.reader.named_parameters() if p.grad is not None and p.grad.any()}
    touched |= {"projections"} if model.encoders.image_projection.weight.grad is not None else set()
    assert (
        touched
        == {
            "contrast": {"projections"},
            "matching": {"fusion", "match"},
            "masked-words": {"fusion", "word", "word_bias"},
        }[switched_on[0]]
    )
    assert all(p.grad is None for name, p in model.named_parameters() if name.startswith("slow"))


def test_hard_negatives_of_a_batch_fit_another_image(pairs, model, monkeypatch):
    seen = []
    kept = losses.hard_negatives

    def drawn(similarities, same, generator):
        found = kept(similarities, same, generator)
        seen.append((same, found))
        return found

    monkeypatch.setattr(losses, "hard_negatives", drawn)
    batch = batches(pairs, model, explicit_negatives=1)(2)
    model(batch)
    (same_images, images), (same_texts, texts) = seen
    ids, every = batch["ids"], batch["text_ids"]
    assert (ids[images] != ids).all() and (every[texts] != ids).all()
    assert torch.equal(same_texts, ids[:, None] == every) and same_images.shape == (4, 4)


def test_one_image_in_a_batch_has_no_negative(pairs, model):
    batch = batches(pairs, model)(0)
    batch["ids"], batch["text_ids"] = torch.zeros(4, dtype=torch.long), torch.zeros(8, dtype=torch.long)
    with pytest.raises(KitError, match="raise batch_size"):
        model(batch)


# Saved, trained, resumed


def test_saved_and_opened_it_is_the_same(model, tmp_path, pairs):
    model(batches(pairs, model)(0))  # something in the queue
    model.save_pretrained(tmp_path / "model")
    opened = Albef.open(tmp_path / "model")
    assert opened.design == model.design and isinstance(opened.design, Design)
    states, wanted = opened.state_dict(), model.state_dict()
    assert states.keys() == wanted.keys() and all(torch.equal(states[name], wanted[name]) for name in states)
    assert torch.equal(opened.texts(WORDS["zh"])[2], model.texts(WORDS["zh"])[2])
    assert torch.equal(opened.images(pixels())[1], model.images(pixels())[1])
    text = encoders.load(str(tmp_path / "model" / "text"))  # as any tool of the kit opens it
    pooled = model.encoders.text.encode(WORDS["zh"])
    assert np.allclose(text.encode(WORDS["zh"]), pooled, atol=1e-6)


def test_a_folder_without_a_whole_model_is_refused(model, tmp_path):
    with pytest.raises(KitError, match="holds no whole image-text model"):
        Albef.open(tmp_path)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(KitError, match="holds no whole image-text model"):
        Albef.open(tmp_path / "model")


def train(pairs, folder, encoder, on_step=None, **changes):
    parameters = settings(encoder, **changes)
    return training.train(parameters, BatchPlan.from_parameters(parameters, [pairs]), [Data()], folder, on_step)


def stop_at(last):
    def on_step(step, steps):
        if step == last:
            raise KeyboardInterrupt

    return on_step


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def weights_of(pairs, encoder, folder, **changes):
    train(pairs, folder, encoder, **changes)
    return weights(folder)


def test_contrast_first_and_then_all(pairs, encoder, tmp_path):
    """The heads of the fusion are as drawn until their losses count, also where training is taken up before that."""
    half, often = (
        {"contrast_first": 0.5, "steps": 12, "image_losses": ["contrast", "matching"]},
        {"checkpoint_every": 3},
    )
    train(pairs, tmp_path / "whole", encoder, **half | often)
    told = json.loads((tmp_path / "whole" / training.LOSSES).read_text())
    assert min(step for step, _ in told["matching"]) > 6 >= min(step for step, _ in told["contrast"])
    with pytest.raises(KeyboardInterrupt):
        train(pairs, tmp_path / "halves", encoder, stop_at(5), **half | often)
    train(pairs, tmp_path / "halves", encoder, **half | often)
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    alone = weights_of(pairs, encoder, tmp_path / "alone", **half | {"image_losses": ["matching"]})
    drawn = made(encoder, **half).state_dict()
    assert not torch.equal(
        alone["reader.match.weight"], drawn["reader.match.weight"]
    )  # with no contrast none comes first


def test_training_lowers_the_losses_and_is_resumed_exactly(pairs, encoder, tmp_path):
    """Interrupted and taken up again it ends with the same weights, slow copies and queue, bit for bit."""
    record = train(pairs, tmp_path / "whole", encoder, steps=24)
    with pytest.raises(KeyboardInterrupt):
        train(pairs, tmp_path / "cut", encoder, stop_at(10), steps=24)
    resumed = train(pairs, tmp_path / "cut", encoder, steps=24)
    assert resumed["resumed_from"] == "checkpoint-8" and resumed["steps"] == 24
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert any(name.startswith("slow_reader") for name in one) and one["queue.next"].item() == 24 * 4 % 8
    values = [loss for _, loss in record["loss"]]
    assert np.mean(values[-5:]) < np.mean(values[:5]) - 0.3
    parts = json.loads((tmp_path / "whole" / "losses.json").read_text())
    assert set(parts) == {"contrast", "caption-contrast", "matching", "masked-words"}
    assert train(pairs, tmp_path / "whole", encoder, steps=24) == record


def test_gradient_checkpointing_changes_no_loss(pairs, encoder, tmp_path):
    plain, saving = (
        train(pairs, tmp_path / str(on), encoder, steps=3, gradient_checkpointing=on)["loss"] for on in (False, True)
    )
    assert [loss for _, loss in plain] == pytest.approx([loss for _, loss in saving], abs=1e-4)


def test_several_processes_are_refused(pairs, encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KitError, match="trained in one process"):
        train(pairs, tmp_path, encoder)


def test_the_tiny_transformer_is_warmed_up_once_on_what_pictures_show(own_cache, monkeypatch):
    monkeypatch.setattr(tiny_vit, "WARM_UP", tiny_vit.WARM_UP | {"pictures": 64, "steps": 60, "batch_size": 16})
    seen, optimise = [], encoders.optimise

    def watched(model, loss, *settings):
        optimise(model, lambda step: seen.append(loss(step)) or seen[-1], *settings)

    monkeypatch.setattr(encoders, "optimise", watched)
    place = tiny_vit.folder(16, 8)
    weights = (place / "model.safetensors").read_bytes()
    made = place.stat().st_mtime_ns
    assert tiny_vit.folder(16, 8) == place and place.stat().st_mtime_ns == made
    assert len(seen) == 60 and seen[-1].item() < 0.9 * seen[0].item()
    assert torch.equal(*(vision.base("tiny-vit", 16, 8).embeddings.position_embeddings for _ in range(2)))
    shutil.rmtree(place)
    assert (tiny_vit.folder(16, 8) / "model.safetensors").read_bytes() == weights
    keys = [tiny_vit.content_key("tiny-vit", *sizes) for sizes in ((16, 8), (16, 4), (32, 8))]
    assert len({*keys, tiny_vit.content_key("tiny-vit-random", 16, 8)}) == 4
    monkeypatch.setattr(tiny_vit, "WARM_UP", tiny_vit.WARM_UP | {"steps": 61})
    assert tiny_vit.content_key("tiny-vit", 16, 8) not in keys


def test_pictures_of_another_size_than_a_ready_encoder_takes_are_refused(tmp_path):
    vision.base("tiny-vit-random", 32, 16).save_pretrained(tmp_path)
    found = vision.base(str(tmp_path), 32, 16)
    assert found.config.image_size == 32
    with pytest.raises(KitError, match="takes pictures of 32 pixels in patches of 16"):
        vision.base(str(tmp_path), 48, 16)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(KitError, match="cannot be loaded"):
        vision.base(str(tmp_path), 32, 16)


def test_texts_are_cut_at_the_length_that_is_given(model):
    tokens, mask = tokenised(model.tokenizer, ["red clock " * 20, "Uhr"], 16)
    assert tokens.shape == mask.shape == (2, 16) and mask[1].sum() < 16

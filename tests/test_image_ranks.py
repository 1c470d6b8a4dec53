"""Figures of image-text retrieval against naive loops, re-ranking against brute force, foils by hand."""

from itertools import product

import numpy as np
import pytest
from fake_images import FakeModel, captioned
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkit.errors import KitError
from hybridkit.imagetext import evaluation
from hybridkit.imagetext.evaluation import Ranks
from hybridkit.ranks import count, pool_order


@pytest.fixture(autouse=True)
def _cache(own_cache):
    """Pixels are kept in a cache of the test's own."""


def rank_in(scores, gold: int, pool) -> float:
    """The middle rank of a candidate among those of a pool, by one comparison at a time."""
    above = sum(scores[one] > scores[gold] for one in pool)
    tied = sum(scores[one] == scores[gold] for one in pool if one != gold)
    return 1 + above + tied / 2


@st.composite
def scored(draw):
    """A few images with captions in three languages, of which every image has one or more, and scores with many ties."""
    images = draw(st.integers(2, 5))
    extra = draw(st.lists(st.tuples(st.integers(0, images - 1), st.sampled_from(["de", "en", "th"])), max_size=6))
    captions = draw(st.permutations([(row, draw(st.sampled_from(["de", "en"]))) for row in range(images)] + extra))
    scores = st.lists(st.integers(-2, 2), min_size=len(captions), max_size=len(captions))
    both = [draw(st.lists(scores, min_size=images, max_size=images)) for _ in range(2)]
    return captioned(images, captions), captions, np.array(both, np.float32)


def from_scores(data, scores) -> Ranks:
    sides = (data.image_to_text, scores[0]), (data.text_to_image, scores[1].T)
    return Ranks(*(count([(0, some[:, pool_order(one)])], one) for one, some in sides))


@settings(max_examples=30)
@given(scored())
def test_figures_of_a_language_agree_with_naive_loops(example):
    data, captions, scores = example
    rows = evaluation.by_language(from_scores(data, scores)).set_index("language")
    assert set(rows.index) == {code for _, code in captions}
    for code in rows.index:
        pool = [number for number, (_, said) in enumerate(captions) if said == code]
        forth = [
            min(rank_in(scores[0][row], one, pool) for one in pool if captions[one][0] == row)
            for row in sorted({captions[one][0] for one in pool})
        ]
        back = [rank_in(scores[1][:, one], captions[one][0], range(len(data.ids))) for one in pool]
        assert (rows.at[code, "images"], rows.at[code, "captions"]) == (len(forth), len(back))
        for direction, ranks in (("image-to-text", forth), ("text-to-image", back)):
            assert rows.at[code, f"{direction} median rank"] == np.median(ranks)
            for k in (1, 5, 10):
                assert rows.at[code, f"{direction} R@{k}"] == np.mean([rank <= k for rank in ranks])


@settings(max_examples=30)
@given(scored(), st.sets(st.sampled_from(["de", "en", "th"])))
def test_figures_of_a_scope_agree_with_naive_loops(example, trained):
    data, captions, scores = example
    found = from_scores(data, scores)
    measured = evaluation.measure(found, sorted(trained))
    there = {code for _, code in captions}
    expected = {"training languages": there & trained, "all languages": there, "unseen languages": there - trained}
    assert set(measured) == {scope for scope, codes in expected.items() if codes}
    rows = evaluation.by_language(found).set_index("language")
    for scope, figures in measured.items():
        codes = expected[scope]
        six = [f"{direction} R@{k}" for direction in ("image-to-text", "text-to-image") for k in (1, 5, 10)]
        assert figures["rSum"] == pytest.approx(100 * sum(rows.loc[sorted(codes), name].mean() for name in six))
        pool = [number for number, (_, said) in enumerate(captions) if said in codes]
        best, distance, spread = [], [], []
        for row in sorted({captions[one][0] for one in pool}):
            own = [one for one in pool if captions[one][0] == row]
            said = {captions[one][1] for one in own}
            pooled = [
                min(rank_in(scores[0][row], one, pool) for one in own if captions[one][1] == code) for code in said
            ]
            asked = [
                min(rank_in(scores[1][:, one], row, range(len(data.ids))) for one in own if captions[one][1] == code)
                for code in said
            ]
            best.append(min(pooled))
            if len(said) > 1:
                distance.append(max(pooled) - min(pooled))
                spread.append(max(asked) - min(asked))
        assert figures["pooled image-to-text R@1"] == np.mean([rank <= 1 for rank in best])
        for name, values in (("rank distance", distance), ("image rank spread", spread)):
            assert figures[name] == (pytest.approx(np.mean(values)) if values else pytest.approx(np.nan, nan_ok=True))


def test_chance_of_the_rank_distance():
    """Simulated for one caption a language; not told where an image has several."""
    random = np.random.default_rng(1)
    data = captioned(400, list(product(range(400), ["de", "en", "th"])))
    data = data.image_to_text, data.text_to_image
    found = Ranks(*(count([(0, random.random((len(one.query_ids), len(one.candidate_ids))))], one) for one in data))
    figures = evaluation.measure(found, [])["all languages"]
    assert figures["rank distance"] == pytest.approx(figures["rank distance chance"], rel=0.03)
    assert figures["rank distance chance"] == 1201 * 2 / 4
    several = captioned(2, [(0, "de"), (0, "de"), (1, "de"), (1, "en")])
    figures = evaluation.measure(from_scores(several, random.standard_normal((2, 2, 4))), [])["all languages"]
    assert np.isnan(figures["rank distance chance"])


@pytest.fixture
def example():
    """Nine images with captions in three languages, not one for each, and a model with scores at random, some equal."""
    random = np.random.default_rng(7)
    captions = [one for one in product(range(9), ["de", "en", "th"]) if one not in {(2, "de"), (5, "th")}]
    captions += [(4, "en"), (4, "en"), (8, "th")]
    random.shuffle(captions)
    captions = [(int(row), str(code)) for row, code in captions]
    data = captioned(9, captions)
    vectors = random.integers(-1, 2, (9 + len(captions), 4)).astype(np.float32)
    vectors[:, 3] = random.choice([0.25, 0.5], len(vectors))
    texts = dict(zip(data.image_to_text.candidate_ids, vectors[9:]))
    logits = {pair: float(random.integers(-9, 10)) for pair in product(range(9), texts)}
    model = FakeModel(vectors[:9], texts, lambda image, text: logits[image, text])
    matched = np.array([[logits[row, text] for text in texts] for row in range(9)])
    return data, captions, model, vectors[:9] @ vectors[9:].T, matched


def brute_force(contrast, matched, pools, k: int) -> list:
    """Keys by which the candidates of one list stand, the largest first: of each pool the best k by logit, others below."""
    best = set()
    for pool in pools:
        best |= set(sorted(pool, key=lambda one: (-contrast[one], one))[:k])
    return [(1, matched[one]) if one in best else (0, contrast[one]) for one in range(len(contrast))]


@pytest.mark.parametrize("k", [1, 2, 5, 100])
def test_reranked_order_is_that_of_brute_force(example, k, monkeypatch):
    data, captions, model, contrast, matched = example
    for name, size in (("BATCH", 4), ("PAIRS", 3), ("_ROWS", 4)):  # so that there are several of each
        monkeypatch.setattr(evaluation, name, size)
    _, found = evaluation.evaluate(model, data, data.image_to_text, data.text_to_image, rerank=k)
    pools = {code: [n for n, (_, said) in enumerate(captions) if said == code] for code in ("de", "en", "th")}
    gold = found.image_to_text
    asked = [["de"], ["en"], ["th"], ["de", "th"], ["de", "en", "th"]]
    for row, text, code in zip(gold.gold_query.tolist(), gold.gold_candidate.tolist(), gold.gold_language.tolist()):
        keys = brute_force(contrast[row], matched[row], pools.values(), k)
        caption = int(text.removeprefix("caption-"))
        for codes in asked:
            if code in codes:
                pool = [one for each in codes for one in pools[each]]
                mine = (gold.gold_query == row) & (gold.gold_candidate == text)
                assert gold.ranks(codes)[mine] == rank_in(keys, caption, pool)
    gold = found.text_to_image
    for caption, image, rank in zip(gold.gold_query.tolist(), gold.gold_candidate.tolist(), gold.own_ranks()):
        keys = brute_force(contrast[:, caption], matched[:, caption], [range(9)], k)
        assert rank == rank_in(keys, int(image.removeprefix("image-")), range(9))


def test_one_reranked_candidate_stays_first(example):
    data, _, model, _, _ = example
    model._texts = {name: vector + np.arange(4) * 1e-3 * n for n, (name, vector) in enumerate(model._texts.items())}
    model._images += np.arange(9)[:, None] * 1e-3  # no equal scores
    before, after = evaluation.evaluate(model, data, data.image_to_text, data.text_to_image, rerank=1)
    for one, other in zip(before, after):
        assert (one.own_ranks() == other.own_ranks()).all()
        assert one.system == other.system == ""


def test_without_reranking_nothing_is_matched(example):
    data, _, model, _, _ = example
    model.match = None
    found, again = evaluation.evaluate(model, data, data.image_to_text, data.text_to_image, rerank=0, system="a run")
    assert again is None and found.text_to_image.system == "a run"


def test_figures_of_both(example):
    data, _, model, _, _ = example
    found, again = evaluation.evaluate(model, data, data.image_to_text, data.text_to_image, rerank=5)
    both = evaluation.measure(found, ["de", "en"], again)
    alone, other = evaluation.measure(found, ["de", "en"]), evaluation.measure(again, ["de", "en"])
    for scope, figures in both.items():
        np.testing.assert_equal({n: v for n, v in figures.items() if not n.startswith("re-ranked ")}, alone[scope])
        np.testing.assert_equal(
            {n.removeprefix("re-ranked "): v for n, v in figures.items() if n.startswith("re-ranked ")}, other[scope]
        )


def test_benchmarks_of_other_images_are_refused(example):
    data, _, model, _, _ = example
    other = captioned(9, [(row, "de") for row in range(9)])
    with pytest.raises(KitError, match="not two directions of the same images"):
        evaluation.evaluate(model, data, data.image_to_text, other.text_to_image)
    with pytest.raises(KitError, match="1 or more"):
        evaluation.evaluate(model, data, data.image_to_text, data.text_to_image, rerank=-1)


def test_foil_accuracy_by_hand():
    data = captioned(2, [(0, "de"), (1, "de")])
    data.captions = {"de": [("caption-0",), ("caption-1",)]}
    data.foils = {"de": [{"room": ("a",), "number": ("b",)}, {"room": ("c",), "number": ("caption-1",)}]}
    texts = {"caption-0": [1, 0], "caption-1": [0, 1], "a": [0, 1], "b": [2, 0], "c": [0, 0.5]}
    logits = {"caption-0": 1.0, "caption-1": 2.0, "a": 1.5, "b": -3.0, "c": 1.0}
    model = FakeModel([[1, 0], [0, 1]], texts, lambda image, text: logits[text])
    found = evaluation.foil_accuracy(model, data).set_index(["language", "attribute"])
    # Image 0: caption 1 and 1.0, foils 0 and 1.5 (room), 2 and -3 (number). Image 1: 1 and 2.0, foils .5 and 1, the same.
    assert found.loc[("de", "room")].tolist() == [2, 1.0, 0.5]
    assert found.loc[("de", "number")].tolist() == [2, 0.25, 0.75]
    data.foils = None
    with pytest.raises(KitError, match="museum-pictures"):
        evaluation.foil_accuracy(model, data)

"""FiCo-ITR's metrics against naive loops, binary codes against NumPy, two stages against a full sort, the tables."""

import numpy as np
import pytest
from fake_images import FakeModel, captioned
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkit.errors import KitError
from hybridkit.imagetext import fico


@pytest.fixture(autouse=True)
def _cache(own_cache):
    """Pixels are kept in a cache of the test's own."""


@st.composite
def ranked(draw):
    """Lists of all candidates in any order, and what is relevant."""
    queries, candidates = draw(st.integers(1, 4)), draw(st.integers(1, 13))
    lists = [draw(st.permutations(range(candidates))) for _ in range(queries)]
    row = st.lists(st.booleans(), min_size=candidates, max_size=candidates)
    return np.array(lists), np.array(draw(st.lists(row, min_size=queries, max_size=queries)))


@settings(max_examples=60)
@given(ranked(), st.integers(1, 15))
def test_hits_and_mean_average_precision_agree_with_naive_loops(example, k):
    lists, relevant = example
    hits, precisions = [], []
    for places, wanted in zip(lists, relevant):
        found = [place for place, candidate in enumerate(places[:k], 1) if wanted[candidate]]
        hits.append(bool(found))
        each = [sum(1 for one in found if one <= place) / place for place in found]
        precisions.append(sum(each) / len(each) if each else 0)
    found = fico.judged(lists, relevant)
    assert fico.hit_rate(found, k) == pytest.approx(np.mean(hits))
    assert fico.mean_average_precision(found, k) == pytest.approx(np.mean(precisions))


def test_average_precision_divides_by_what_was_found():
    """Relevant at 1 and 3 and at 5, cut off at 3: (1 + 2/3) / 2, and not / 3."""
    found = np.array([[True, False, True, False, True]])
    assert fico.mean_average_precision(found, 3) == pytest.approx((1 + 2 / 3) / 2)


@settings(max_examples=60)
@given(ranked())
def test_interpolated_precision_agrees_with_a_naive_loop(example):
    lists, relevant = example
    relevant[:, 0] = True
    curves = []
    for places, wanted in zip(lists, relevant):
        points, found = [], 0
        for place, candidate in enumerate(places, 1):
            found += wanted[candidate]
            points.append((found / wanted.sum(), found / place))
        curves.append([max(p for recall, p in points if recall >= level / 10 - 1e-12) for level in range(11)])
    assert fico.interpolated_precision(fico.judged(lists, relevant)) == pytest.approx(np.mean(curves, axis=0))


def test_labels_that_are_shared():
    one, other = [frozenset("ab"), frozenset(), frozenset("c")], [frozenset("bc"), frozenset("d")]
    assert fico.share_a_label(one, other).tolist() == [[True, False], [False, False], [True, False]]


@settings(max_examples=60)
@given(ranked(), st.integers(1, 13), st.integers(0, 99))
def test_two_stages_agree_with_naive_sorting(example, k, seed):
    lists, _ = example
    scores = np.random.default_rng(seed).integers(0, 4, lists.shape).astype(float)
    for places, of_query, found in zip(lists.tolist(), scores, fico.two_stages(lists, scores, k).tolist()):
        head = sorted(places[:k], key=lambda one: (-of_query[one], places.index(one)))
        assert found == head + places[k:]


def vectors(count: int, seed: int, width: int = 80) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_codes_are_searched_by_differing_bits():
    import faiss

    encode = fico.codes(vectors(200, 0))
    candidates, queries = vectors(50, 1), vectors(7, 2)
    index = fico.Index.filled(faiss.IndexBinaryFlat(fico.BITS), encode, candidates)
    lists = index.search(queries, 50)
    bits = [np.unpackbits(encode(some), axis=1).astype(int) for some in (queries, candidates)]
    assert bits[0].shape == (7, 64)
    assert 0.3 < bits[1].mean() < 0.7  # bits that are always the same tell nothing
    distances = np.abs(bits[0][:, None] - bits[1]).sum(axis=2)
    assert (np.sort(lists, axis=1) == np.arange(50)).all()
    assert (np.diff(np.take_along_axis(distances, lists, axis=1)) >= 0).all()
    # What is near stays near: a code has about a fifth of the bits that differ of two unrelated vectors.
    moved = candidates + 0.02 * vectors(50, 3)
    assert (index.search(moved, 1)[:, 0] == np.arange(50)).mean() > 0.9


def test_sizes_of_indexes():
    import faiss

    encode, many, few = fico.codes(vectors(200, 0)), vectors(50, 1), vectors(10, 1)
    sizes = {}
    for name, make, prepare in (
        ("codes", lambda: faiss.IndexBinaryFlat(64), encode),
        ("dual", lambda: faiss.IndexFlatIP(80), np.ascontiguousarray),
    ):
        sizes[name] = [fico.Index.filled(make(), prepare, some).bytes for some in (many, few)]
    assert sizes["codes"][0] - sizes["codes"][1] == 40 * 8
    assert sizes["dual"][0] - sizes["dual"][1] == 40 * 80 * 4


@pytest.mark.parametrize("shape", [(63, 80), (200, 63)])
def test_too_little_to_fit_codes_to(shape):
    with pytest.raises(KitError, match=f"{shape[0]} of {shape[1]}"):
        fico.codes(vectors(*shape[:1], 0, shape[1]))


@pytest.fixture
def comparison(monkeypatch):
    """Twelve images of which one has no English caption, and one has two; matching knows the right ones, contrast not."""
    monkeypatch.setattr(fico, "TIMED", 3)
    captions = [(row, "en") for row in range(11)] + [(4, "en")] + [(row, "de") for row in range(12)]
    data = captioned(12, captions)
    data.labels = [frozenset({"even" if row % 2 == 0 else "odd"}) for row in range(12)]
    texts = dict(zip(data.image_to_text.candidate_ids, vectors(24, 5)))
    wanted = {(row, f"caption-{number}"): 1.0 for number, (row, _) in enumerate(captions)}
    model = FakeModel(vectors(12, 6), texts, lambda image, text: wanted.get((image, text), -image / 100))
    return fico.Comparison(model, data, data.image_to_text, vectors(200, 0))


def test_table_of_scorers(comparison):
    table = comparison.table().set_index(["direction", "scorer"])
    assert table.index.tolist() == [
        (way, scorer)
        for way in ("image-to-text", "text-to-image")
        for scorer in ("codes", "dual encoder", "matching head")
    ]
    assert table.xs("matching head", level="scorer")["R@1"].tolist() == [1.0, 1.0]
    scores = comparison.seen.images @ comparison.seen.texts.T
    assert comparison.relevant.shape == scores.shape == (11, 12)
    assert comparison.relevant.sum() == 12 and comparison.relevant[4].sum() == 2
    first = comparison.relevant[np.arange(11), scores.argmax(axis=1)].mean()
    assert table.at[("image-to-text", "dual encoder"), "R@1"] == first
    first = comparison.relevant[scores.argmax(axis=0), np.arange(12)].mean()
    assert table.at[("text-to-image", "dual encoder"), "R@1"] == first
    assert (table["query ms"] > 0).all() and table["R@10"].between(0.5, 1).all()
    assert table.at[("image-to-text", "matching head"), "state bytes"] == 12 * 2 * 4
    assert table.at[("text-to-image", "matching head"), "state bytes"] == 11 * 4
    # By category half of all is relevant, and the matching head puts one relevant candidate first.
    even = np.arange(11) % 2 == 0
    assert (comparison.category == (even[:, None] == np.append(even, True))).all()
    assert table["mAP@100"].between(0.3, 1).all()


def test_without_labels_there_is_no_mean_average_precision(comparison):
    comparison._labels = [frozenset()] * 11, [frozenset()] * 12
    figures = comparison.quality(comparison.lists("dual encoder", "text-to-image"), "text-to-image")
    assert np.isnan(figures["mAP@10"]) and figures["R@10"] > 0


def test_two_stages_with_all_passed_on_are_the_second_alone(comparison):
    table = comparison.pipelines((1, 5, 0))
    alone = comparison.table().set_index(["direction", "scorer"])
    for row in table.itertuples():
        if row._4 in (11, 12):
            assert row._5 == 1.0
            single = alone.loc[(row.direction, row.second)]
            assert (row._7, row._8) == (single["R@1"], single["R@5"])
    assert len(table) == 2 * 3 * 3
    by_first = table[(table["direction"] == "text-to-image") & (table["second"] == "matching head")]
    for _, some in by_first.groupby("first"):
        assert (some["R@1"] == some["first-stage recall"]).all()  # this matching head finds whatever is passed on
        assert some["first-stage recall"].is_monotonic_increasing
    one = table[table["passed on"] == 1].set_index(["direction", "first"])["R@1"]
    assert (one == alone.loc[one.index, "R@1"].to_numpy()).all()
    with pytest.raises(KitError, match="-1 candidates"):
        comparison.pipelines((-1,))


def test_kept_states_give_the_same_scores(comparison):
    for direction, matrix in (("image-to-text", comparison.matched), ("text-to-image", comparison.matched.T)):
        for query in (0, 4):
            found = comparison.states.scores(direction, query, np.arange(matrix.shape[1]))
            assert found.tolist() == matrix[query].tolist()


def test_a_language_without_captions(comparison):
    with pytest.raises(KitError, match="choose of de en"):
        data = captioned(2, [(0, "de"), (1, "en")])
        fico.Comparison(comparison.seen.model, data, data.image_to_text, vectors(200, 0), "fr")


def test_vectors_to_fit_codes_to():
    data = captioned(3, [(0, "en"), (2, "en"), (1, "de")])
    data.captions = {"en": [("caption-0", "caption-1"), (), ("caption-1",)]}
    model = FakeModel(np.eye(3), {"caption-0": [1, 2, 3], "caption-1": [4, 5, 6]}, None)
    found = fico.training_vectors(model, data)
    assert found.tolist() == [[1, 0, 0], [0, 0, 1], [1, 2, 3], [4, 5, 6]]
    assert len(fico.training_vectors(model, data, most=1)) == 2

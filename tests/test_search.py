"""Search with FAISS: exact order with ties, negatives that answer nothing, and approximate against exact ranks."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from hybridkit import search
from hybridkit.corpora import catalogue
from hybridkit.corpora.benchmark import make_benchmark
from hybridkit.corpora.pairs import make_pairs
from hybridkit.errors import KitError, KitWarning
from hybridkit.params import Parameters


@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 60),
    candidates=st.integers(1, 50),
    levels=st.integers(1, 3),
    dimensions=st.integers(1, 4),
)
def test_nearest_are_in_order_of_score_and_row(seed, k, candidates, levels, dimensions):
    """Whole numbers have exact products, and few of them many ties, beyond the k-th too."""
    random = np.random.default_rng(seed)
    left = random.integers(-levels, levels + 1, (4, dimensions))
    right = random.integers(-levels, levels + 1, (candidates, dimensions))
    rows, scores = search.nearest(left.astype(np.float16), right.astype(np.float32), k)
    product = left @ right.T
    expected = np.argsort(-product, axis=1, kind="stable")[:, :k]
    assert np.array_equal(rows, expected)
    assert np.array_equal(scores, np.take_along_axis(product, expected, axis=1))


def test_nearest_of_copies_at_any_k():
    random = np.random.default_rng(0)
    right = random.standard_normal((3000, 64), dtype=np.float32)
    copies = np.sort(random.choice(3000, 40, replace=False))
    right[copies] = right[copies[0]]
    left = right[copies[:1]] + 0.01 * random.standard_normal((25, 64), dtype=np.float32)
    for k in (1, 5, 39, 40, 100):
        rows, _ = search.nearest(left, right, k)
        assert (rows[:, :40] == copies[:k]).all()


class Words:
    """Stands in for a model: a text is a list of numbers, which are its vector."""

    def encode_query(self, texts, **_):
        return np.array([list(map(float, text.split()))[:3] for text in texts], np.float32)

    encode_document = encode_query


NUMBERS = st.integers(0, 2).map(str)
TEXTS = st.lists(NUMBERS, min_size=3, max_size=3).map(" ".join)


@st.composite
def multilingual(draw):
    """Rows of text by language, some missing, some shared."""
    rows = draw(st.lists(st.tuples(TEXTS, st.none() | TEXTS, st.none() | TEXTS), min_size=2, max_size=12))
    return {code: [row[i] for row in rows] for i, code in enumerate(("de", "en", "zh"))}


@settings(max_examples=40)
@given(data=st.data(), count=st.integers(1, 3), first=st.integers(1, 2), margin=st.sampled_from([0.0, 1.0]))
def test_negatives_are_never_an_answer_in_any_language(tmp_path_factory, data, count, first, margin):
    queries, passages = data.draw(multilingual()), data.draw(multilingual())
    row = st.tuples(st.integers(0, len(queries["de"]) - 1), st.integers(0, len(passages["de"]) - 1))
    query, positive = zip(*data.draw(st.lists(row, min_size=1, max_size=8)))
    folder = tmp_path_factory.mktemp("pairs")
    pairs = make_pairs(
        folder / "given", "given", "none", [f"q{i}" for i in range(len(queries["de"]))], queries,
        [f"p{i}" for i in range(len(passages["de"]))], passages, query, positive, [[]] * len(query),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KitWarning)
        try:
            mined = search.mine_negatives(
                pairs,
                Words(),
                folder / "mined",
                count=count,
                first=first,
                last=6,
                margin=margin,
                languages=["en", "de"],
            )
        except KitError as fault:
            assert "No row has a negative" in str(fault) and not (folder / "mined").exists()
            reject()
    texts = [
        {(code, passages[code][i]) for code in passages} - {(c, None) for c in passages}
        for i in range(len(passages["de"]))
    ]
    answers = {q: set().union(*(texts[p] for other, p in zip(query, positive) if other == q)) for q in query}
    for i, q in enumerate(query):
        negatives = mined.negatives[mined.negative_offsets[i] : mined.negative_offsets[i + 1]].tolist()
        assert len(negatives) <= count
        code = "en" if queries["en"][q] and passages["en"][positive[i]] else "de"
        asked = np.array(queries[code][q].split(), float)
        score = {p: asked @ np.array(passages[code][p].split(), float) for p in [*negatives, positive[i]]}
        for p in negatives:
            assert not texts[p] & answers[q], "shares a text with an answer"
            assert score[p] <= score[positive[i]] - margin
    assert (mined.query.tolist(), mined.positive.tolist()) == (list(query), list(positive))


@pytest.fixture
def small_pairs(tmp_path):
    """Question 0 is answered by passage 0 and, in another row, by passage 1; passage 2 is 0's twin in German."""
    passages = {
        "en": ["3 0 0", "2.9 0 0", "2.8 0 0", "2 0 0", "1.5 0 0", "0 1 0"],
        "de": ["1 1 1", None, "1 1 1"] + [None] * 3,
    }
    return make_pairs(
        tmp_path / "given", "given", "none", ["a", "b"], {"en": ["1 0 0", "0 1 0"]}, [f"p{i}" for i in range(6)], passages,
        [0, 0, 1], [0, 1, 5], [[3], [], []],
    )  # fmt: skip


def of_rows(pairs) -> list:
    ends = pairs.negative_offsets.tolist()
    return [pairs.negatives[a:b].tolist() for a, b in zip(ends, ends[1:])]


def test_mined_negatives_by_hand(small_pairs, tmp_path):
    def mined(**given):
        return of_rows(search.mine_negatives(small_pairs, Words(), tmp_path / "mined", **given))

    assert mined(count=2)[:2] == [[3, 4], [3, 4]]
    assert mined(count=2, margin=1.2)[:2] == [[4, 5], [4, 5]]
    assert mined(count=1, first=5)[:2] == [[4], [4]]
    with pytest.warns(KitWarning, match="2 of 3 rows have fewer than 2 negatives, 0 have none"):
        assert mined(count=2, last=4)[:2] == [[3], [3]]
    for settings_, said in (
        ({"first": 5, "last": 4}, "from ranks 5 to 4"),
        ({"count": 50, "last": 3}, "50 negatives a row from ranks 1 to 3"),
        ({"margin": float("nan")}, "at least nan below"),
        ({"first": 90, "last": 99}, "No row has a negative there"),
    ):
        with pytest.raises(KitError, match=said):
            mined(**settings_)
    with pytest.raises(KitError, match="no row with question and positive in one of zh"):
        mined(languages=["zh"])


def test_a_folder_of_mined_pairs_is_training_data(small_pairs, tmp_path):
    mined = search.mine_negatives(small_pairs, Words(), tmp_path / "mined", count=2)
    again = catalogue.training_pairs(str(tmp_path / "mined"), Parameters())
    assert again.fingerprint == mined.fingerprint != small_pairs.fingerprint and again.name == "mined"
    keys = [catalogue.content_key(str(tmp_path / name), Parameters()) for name in ("mined", "given")]
    assert len(set(keys)) == 2 and all(keys)


def test_the_command_line_mines(tmp_path, small_encoder, own_cache):
    from click.testing import CliRunner

    from hybridkit.cli import main

    lines = [{"id": f"q{i}", "query": {"en": f"where is {i}"}, "positive": {"en": f"it is in {i}"}} for i in range(9)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    given = [
        "--pairs",
        str(tmp_path / "pairs.jsonl"),
        "--model",
        str(small_encoder),
        "--output",
        str(tmp_path / "mined"),
    ]
    answer = CliRunner().invoke(
        main, ["data", "mine", *given, "--margin", "-2", "--count", "2"], catch_exceptions=False
    )
    assert answer.exit_code == 0 and "9 rows with 18 negatives" in answer.stdout
    pairs = catalogue.training_pairs(str(tmp_path / "mined"), Parameters())
    assert not (pairs.negatives.reshape(9, 2) == pairs.positive[:, None]).any()


def test_approximate_indexes_lose_golds():
    random = np.random.default_rng(0)
    right = random.standard_normal((2000, 16), dtype=np.float32)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    golds = random.choice(2000, (40, 2), replace=False)
    left = (right[golds[:, 0]] + right[golds[:, 1]]) / 2 + 0.1 * random.standard_normal((40, 16), dtype=np.float32)
    benchmark = make_benchmark(
        "pool", "none", [f"q{i}" for i in range(40)], ["question"] * 40, ["en"] * 40, [f"c{i}" for i in range(2000)],
        ["text"] * 2000, ["de", "en"] * 1000, [(f"q{i}", f"c{c}") for i in range(40) for c in golds[i]],
    )  # fmt: skip
    table = search.approximate_ranks(left, right, benchmark, k=50)
    assert table["index"].tolist() == [
        "exact gold ranks", "IVF, 1 of 44 lists", "IVF, 8 of 44 lists", "HNSW, 32 neighbours",
    ]  # fmt: skip
    exact, one, eight, graph = table["golds_found"]
    assert exact == 1 and one < eight <= 1 and graph > one
    order = np.argsort(-(left @ right.T), axis=1)
    place = [sorted(1 + int(np.flatnonzero(order[i] == c)[0]) for c in golds[i]) for i in range(40)]
    precision = [sum((j + 1) / r for j, r in enumerate(ranks) if r <= 50) / 2 for ranks in place]
    assert table["mAP"][0] == pytest.approx(np.mean(precision))
    assert (table["difference"][1:] <= table["difference"][0]).all() and table["difference"][0] == 0
    assert (
        search.approximate_ranks(left, right, benchmark, k=50)
        .drop(columns="seconds")
        .equals(table.drop(columns="seconds"))
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_average_precision_within_a_rank(seed, k):
    """Against the sum over each query's golds; infinite ranks and queries without golds count nothing."""
    random = np.random.default_rng(seed)
    ranks, query = [], []
    for number in random.permutation(6)[:4].tolist():
        some = random.choice([*range(1, 15), np.inf, np.inf], random.integers(1, 6), replace=False)
        ranks, query = [*ranks, *some], [*query, *[number] * len(some)]
    expected = []
    for number in set(query):
        mine = sorted(r for r, q in zip(ranks, query) if q == number)
        expected.append(sum((i + 1) / r for i, r in enumerate(mine) if r <= k) / len(mine))
    found = search._mean_average_precision(np.array(ranks), query, k)
    assert found == pytest.approx(np.mean(expected), abs=1e-12)

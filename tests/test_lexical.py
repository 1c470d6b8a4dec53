"""The lexical baseline: terms in several scripts, BM25 against its formula, and real questions."""

from collections import Counter
from math import log

import numpy as np
import pytest
from test_ranks import stand_in

from hybridkit import metrics
from hybridkit.corpora import xquad_r
from hybridkit.lexical import bm25_gold_ranks, tokens


@pytest.mark.parametrize(
    "code, text, expected",
    [
        ("en", "Who restored the Glass-Clock in 1921?", ["who", "restored", "the", "glass", "clock", "in", "1921"]),
        ("de", "Größe: 12,5 m", ["größe", "12", "5", "m"]),
        ("hi", "हिन्दी की घड़ी।", ["हिन्दी", "की", "घड़ी"]),
        ("ar", "مَن رمّم الساعة؟", ["مَن", "رمّم", "الساعة"]),
        ("vi", "Ai đã phục chế?", ["ai", "đã", "phục", "chế"]),
        ("zh", "玻璃钟，里斯本", ["玻璃", "璃钟", "里斯", "斯本"]),
        ("zh", "在 2021年NFL赛 胜", ["在", "2021", "nfl", "年", "赛", "胜"]),
        ("ja", "ＮＨＫの時計", ["nhk", "の時", "時計"]),
        ("th", "ที่ใด", ["ที", "ี่", "่ใ", "ใด"]),
        ("en", "?! …", []),
    ],
)
def test_terms(code, text, expected):
    assert sorted(tokens(text, code)) == sorted(expected)


def test_terms_are_the_same_in_any_normal_form():
    assert tokens("Cafe\u0301 ﬁne", "en") == tokens("Café fine", "en") == ["café", "fine"]


def with_texts(queries, candidates, golds):
    """A benchmark of (language, text) pairs."""
    benchmark = stand_in([code for code, _ in queries], [code for code, _ in candidates], golds)
    benchmark.query_texts = [text for _, text in queries]
    benchmark.candidate_texts = [text for _, text in candidates]
    return benchmark


def formula(queries, candidates, k1=1.5, b=0.75) -> np.ndarray:
    """BM25 as Lucene has it, without its constant factor: idf = ln(1 + (N - n + 1/2) / (n + 1/2))."""
    passages = [Counter(text.split()) for _, text in candidates]
    average = np.mean([passage.total() for passage in passages])
    scores = np.zeros((len(queries), len(candidates)))
    for q, (_, query) in enumerate(queries):
        for term in query.split():
            having = sum(term in passage for passage in passages)
            idf = log(1 + (len(passages) - having + 0.5) / (having + 0.5))
            for c, passage in enumerate(passages):
                length = k1 * (1 - b + b * passage.total() / average)
                scores[q, c] += idf * passage[term] / (passage[term] + length)
    return scores


def test_ranks_agree_with_the_formula():
    """Queries repeat words; candidates differ in length; languages are mixed up in the file."""
    random = np.random.default_rng(0)
    words = [f"w{i}" for i in range(40)]
    chance = 1 / np.arange(1, 41)
    chance /= chance.sum()

    def texts(number: int, longest: int):
        codes = random.choice(["de", "en", "es"], number)
        return [(str(code), " ".join(random.choice(words, random.integers(1, longest), p=chance))) for code in codes]

    queries, candidates = texts(300, 6), texts(700, 30)
    golds = {(q, int(c)) for q in range(300) for c in random.integers(0, 700, 3)}
    benchmark = with_texts(queries, candidates, golds)
    found = bm25_gold_ranks(benchmark)
    assert found.system == "BM25"
    scores = formula(queries, candidates)
    gold = scores[benchmark.gold_query, benchmark.gold_candidate][:, None]
    every = scores[benchmark.gold_query]
    # Scores nearer to a gold's than this are equal to it: passages as long that hold the query's words as often.
    near = 1e-6
    for i, code in enumerate(found.pools):
        pool = every[:, benchmark.candidate_languages == code]
        assert np.array_equal(found.above[:, i], (pool > gold + near).sum(1))
        assert np.array_equal(found.tied[:, i], (abs(pool - gold) <= near).sum(1) - (code == found.gold_language))
    assert (found.tied.any(axis=1) & (gold[:, 0] > 0)).any(), "the example has ties of passages that match"


def test_a_query_that_matches_nothing_ranks_in_the_middle():
    candidates = [("en", "red clock"), ("en", "blue jar"), ("zh", "玻璃钟"), ("en", "blue"), ("de", "!")]
    queries = [("en", "unheard words"), ("en", "?"), ("zh", "玻璃")]
    benchmark = with_texts(queries, candidates, {(0, 0), (1, 1), (2, 2)})
    assert bm25_gold_ranks(benchmark).ranks(["de", "en", "zh"]).tolist() == [3, 3, 1]


def test_real_questions_match_within_a_language_and_hardly_across(shared_data, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
    gold = bm25_gold_ranks(xquad_r.load())
    rows = metrics.table(gold)
    assert rows.groupby("setting").size().to_dict() == {"monolingual": 11, "cross-lingual": 110, "multilingual": 11}
    assert (rows["queries"] == 1190).all() and gold.pool_sizes.sum() == 13_014
    within = rows[rows["setting"] == "monolingual"].set_index("query_language")["mAP"]
    across = rows[rows["setting"] == "cross-lingual"].groupby("query_language")["mAP"].mean()
    assert (within > 0.6).all() and (across < 0.2).all()

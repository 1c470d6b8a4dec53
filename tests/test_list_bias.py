"""Ranked lists against a sort of all candidates, their files, and the measures that are made from them."""

import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from test_bias import LANGUAGES, parallel

from hybridkit import bias_table
from hybridkit.errors import KitError
from hybridkit.list_bias import language_share, own_language_share, rank_correlation, share_divergence
from hybridkit.ranked_lists import RankedLists, drawn, ranked_lists
from hybridkit.ranks import gold_ranks


def lists_of(scores, benchmark, depth=20, questions=None) -> RankedLists:
    """Lists from a matrix of scores: the candidates are the axes, so a query's vector is its scores."""
    return ranked_lists(np.array(scores, np.float64), np.eye(len(scores[0])), benchmark, "system", depth, questions)


def handmade(*lists, questions=None) -> RankedLists:
    """Lists given as (query language, candidates), a candidate by its language and a number, such as "en1"."""
    ids = np.array(sorted({one for _, found in lists for one in found}))
    rows = {one: row for row, one in enumerate(ids.tolist())}
    depth = max(len(found) for _, found in lists)
    places = np.array([[rows[one] for one in found] + [-1] * (depth - len(found)) for _, found in lists])
    asked = np.array([code for code, _ in lists])
    said = np.array([one[:2] for one in ids])
    pools = ("de", "en", "zh")
    return RankedLists(
        "hand", "system", pools, np.array([5, 10, 5]), np.array([f"q{i}" for i in range(len(lists))]), asked,
        np.array(questions or ["one"] * len(lists)), ids, said, places, "f" * 64,
    )  # fmt: skip


def in_words(lists: RankedLists) -> list[list[str]]:
    return [[str(lists.candidate_ids[row]) for row in one if row >= 0] for one in lists.places]


@given(st.integers(1, 4), st.integers(0, 4), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_lists_agree_with_a_sort_of_all_candidates(questions, others, depth, seed):
    benchmark = parallel(questions, others)
    count = len(benchmark.candidate_ids)
    scores = np.random.default_rng(seed).permuted(np.tile(np.arange(count), (len(benchmark.query_ids), 1)), axis=1)
    lists = lists_of(scores, benchmark, depth)
    expected = [[benchmark.candidate_ids[row] for row in np.argsort(-one)[:depth]] for one in scores]
    assert in_words(lists) == expected
    said = dict(zip(benchmark.candidate_ids, benchmark.candidate_languages.tolist(), strict=True))
    assert lists.candidate_languages.tolist() == [said[one] for one in lists.candidate_ids]
    assert lists.pool_sizes.tolist() == [questions + others] * 4 and lists.fingerprint == benchmark.fingerprint


def test_the_first_places_are_those_of_the_gold_ranks():
    random = np.random.default_rng(9)
    benchmark = parallel(30, 20)
    queries, candidates = random.standard_normal((120, 16)), random.standard_normal((200, 16))
    lists = ranked_lists(queries, candidates, benchmark, depth=200, questions=None)
    gold = gold_ranks(queries, candidates, benchmark)
    place = {(q, one): rank for q, found in enumerate(in_words(lists)) for rank, one in enumerate(found, start=1)}
    found = [place[query, one] for query, one in zip(gold.gold_query.tolist(), gold.gold_candidate.tolist())]
    assert found == gold.ranks(gold.pools).tolist()


def test_equal_scores_stand_in_one_order_that_favours_no_language():
    benchmark = parallel(2, 60)
    lists = lists_of(np.zeros((8, 248)), benchmark, 60)
    assert len(set(map(tuple, in_words(lists)))) == 1
    assert in_words(lists_of(np.zeros((8, 248)), benchmark, 10)) == [one[:10] for one in in_words(lists)]
    shares = language_share(lists, 60)
    assert shares["share"].between(0.1, 0.45).all(), "in the order of the rows the first language would have all"


def test_a_draw_of_questions_keeps_all_their_translations():
    benchmark = parallel(20, 0)
    lists = lists_of(np.random.default_rng(0).random((80, 80)), benchmark, 5, questions=6)
    assert sorted(set(lists.questions)) == sorted(drawn(benchmark.questions, 6)) and len(lists.questions) == 24
    assert set(drawn(benchmark.questions, 6)) < set(drawn(benchmark.questions, 9)) < set(benchmark.questions)
    assert sorted(drawn(benchmark.questions, None)) == sorted(set(benchmark.questions))


def test_lists_are_refused_where_they_would_say_nothing_or_do_not_fit():
    benchmark = parallel(2, 1)
    with pytest.raises(KitError, match="11 rows"):
        ranked_lists(np.ones((8, 3)), np.ones((11, 3)), benchmark)
    benchmark.own_language_only = True
    with pytest.raises(KitError, match="own language alone"):
        ranked_lists(np.ones((8, 3)), np.ones((12, 3)), benchmark)


def test_lists_are_written_and_read_again(tmp_path):
    lists = lists_of(np.random.default_rng(2).random((12, 20)), parallel(3, 2), 7).restricted(["de", "en"])
    assert (lists.places == -1).any()
    again = RankedLists.open(lists.save(tmp_path / "lists"))
    for name in (
        "places",
        "pool_sizes",
        "query_ids",
        "query_languages",
        "questions",
        "candidate_ids",
        "candidate_languages",
    ):
        assert np.array_equal(getattr(lists, name), getattr(again, name)), name
    assert (again.benchmark, again.system, again.pools, again.fingerprint) == (
        "stand-in", "system", ("de", "en"), "0" * 64,
    )  # fmt: skip
    lists.save(tmp_path / "lists")  # over its own kind
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(KitError, match="something else"):
        lists.save(tmp_path / "other")


@pytest.mark.parametrize("name", ["queries.parquet", "candidates.parquet", "about.json"])
def test_damaged_lists_are_an_error_in_one_sentence(tmp_path, name):
    folder = lists_of(np.random.default_rng(2).random((12, 20)), parallel(3, 2), 7).save(tmp_path / "lists")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(KitError, match="no readable ranked lists"):
        RankedLists.open(folder)
    (folder / name).unlink()
    with pytest.raises(KitError, match="no readable ranked lists"):
        RankedLists.open(folder)


@given(st.integers(0, 2**32 - 1), st.sets(st.sampled_from(LANGUAGES), min_size=1))
def test_restricted_lists_are_the_top_of_the_smaller_pool(seed, languages):
    benchmark = parallel(3, 2)
    scores = np.random.default_rng(seed).random((12, 20))
    part = lists_of(scores, benchmark, 9).restricted(sorted(languages))
    kept = np.isin(benchmark.candidate_languages, list(languages))
    for query, found in zip(part.query_ids, in_words(part), strict=True):
        row = benchmark.query_ids.index(query)
        order = [c for c in np.argsort(-scores[row]) if kept[c]]
        assert found == [benchmark.candidate_ids[c] for c in order][: len(found)]
    assert set(part.query_languages) == languages and part.pools == tuple(sorted(languages))
    with pytest.raises(KitError, match="ar, de, en, zh"):
        part.restricted(["xx"]) if len(languages) == 4 else lists_of(scores, benchmark, 9).restricted(["xx"])


def test_shares_and_divergences_by_hand():
    """Pool shares 1/4, 1/2, 1/4. German queries see de de en, then de zh en: shares 3/6, 2/6, 1/6."""
    lists = handmade(("de", ["de1", "de2", "en1"]), ("de", ["de1", "zh1", "en1"]), ("en", ["en1", "en2", "en3"]))
    rows = language_share(lists, 3).set_index(["query_language", "language"])
    assert rows.loc["de", "share"].tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 6])
    assert rows.loc["en", "share"].tolist() == [0, 1, 0]
    assert rows.loc["de", "pool"].tolist() == [0.25, 0.5, 0.25]
    found = share_divergence(lists, 3).set_index("query_language")
    # KL in bits: 1/2 log2(2) + 1/3 log2(2/3) + 1/6 log2(2/3) = 1/2 - 1/2 (log2(3) - 1).
    assert found.at["de", "kl"] == pytest.approx(0.5 - 0.5 * (np.log2(3) - 1))
    # English: all in one language with half of the pool, 1 log2(1 / (1/2)) = 1 bit; the absent languages add 0.
    assert found.at["en", "kl"] == pytest.approx(1)
    # JS: m = (1/8, 3/4, 1/8); (log2(4/3) + 2 * 1/4 log2(2) + 1/2 log2(2/3)) / 2.
    expected = (np.log2(4 / 3) + 0.5 + 0.5 * np.log2(2 / 3)) / 2
    assert found.at["en", "js"] == pytest.approx(expected)
    # The first place alone: German first twice.
    assert language_share(lists, 1).set_index(["query_language", "language"]).at[("de", "de"), "share"] == 1


def test_own_language_share_by_hand():
    lists = handmade(
        ("de", ["de1", "de2", "en1"]), ("de", ["de1", "zh1", "en1"]), ("en", ["en1"]), ("sw", ["en1", "zh1", "de1"])
    )
    rows = own_language_share(lists, 3).set_index("query_language")
    # German: 2/3 and 1/3; English: its list ends after one place; Swahili has no candidates.
    assert rows["share"].to_dict() == {"de": pytest.approx(0.5), "en": 1}
    assert rows["chance"].to_dict() == {"de": 0.25, "en": 0.5} and rows["queries"].to_dict() == {"de": 2, "en": 1}
    assert own_language_share(lists, 3, ["de", "zh"]).set_index("query_language").at["de", "share"] == 0.75


def test_rank_correlation_by_hand():
    """Whole rankings of three: 1 2 3, 1 3 2 and 3 2 1, so 1 - 6 sum d^2 / 24: 1/2, -1 and -1/2."""
    a, b, c = "de1", "en1", "zh1"
    lists = handmade(("de", [a, b, c]), ("en", [a, c, b]), ("zh", [c, b, a]))
    rows = rank_correlation(lists, 3).set_index("query_language")["mean"]
    assert rows.to_dict() == pytest.approx({"de": (0.5 - 1) / 2, "en": (0.5 - 0.5) / 2, "zh": (-1 - 0.5) / 2})
    alone = handmade(("de", [a, b]), ("en", [a, b]), questions=["one", "two"])
    assert rank_correlation(alone, 2).empty, "no question is asked in two languages"
    with pytest.raises(KitError, match="at least 2"):
        rank_correlation(lists, 1)
    with pytest.raises(KitError, match="hold 3: give a k from 1 to 3"):
        rank_correlation(lists, 4)
    with pytest.raises(KitError, match="from 1 to 3"):
        language_share(lists, 0)


def test_lists_of_a_pool_that_is_smaller_than_k_hold_all_that_there_is():
    lists = lists_of(np.random.default_rng(3).random((8, 8)), parallel(2, 0))
    assert lists.places.shape == (8, 8)
    assert measures(lists, 10) == measures(lists, 8)
    assert own_language_share(lists)["share"].tolist() == [1 / 4] * 4


def test_rank_correlation_of_cut_lists_by_hand():
    """Tops de1 de2 and de2 en1: over de1 de2 en1 the ranks are 1 2 3 and 3 1 2; d = -2, 1, 1, so 1 - 6 * 6 / 24."""
    lists = handmade(("de", ["de1", "de2"]), ("en", ["de2", "en1"]))
    assert rank_correlation(lists, 2)["mean"].tolist() == pytest.approx([-0.5, -0.5])
    k = 7
    apart = handmade(("de", [f"de{i}" for i in range(k)]), ("en", [f"en{i}" for i in range(k)]))
    assert rank_correlation(apart, k)["mean"].tolist() == pytest.approx([-6 * k**2 / (7 * k**2 - 1)] * 2)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(0, 3), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_rank_correlation_agrees_with_scipy(questions, others, k, seed):
    """Spearman's correlation of the candidates in either top, all places after the tops being equal."""
    benchmark = parallel(questions, others)
    scores = np.random.default_rng(seed).random((4 * questions, 4 * (questions + others)))
    k = min(k, scores.shape[1])
    rows = rank_correlation(lists_of(scores, benchmark, k), k).set_index("query_language")["mean"]
    values = {code: [] for code in LANGUAGES}
    for question in range(questions):
        for one, other in permutations(range(4), 2):
            pair = -scores[[one * questions + question, other * questions + question]]
            ranks = np.minimum(rankdata(pair, axis=1), k + 1)
            ranks = ranks[:, (ranks <= k).any(axis=0)]
            values[LANGUAGES[one]].append(spearmanr(*ranks).statistic)
    assert rows.to_dict() == pytest.approx({code: np.mean(found) for code, found in values.items()})


def measures(lists, k=3) -> dict:
    """Every measure of lists, by name and query language."""
    tables = {
        "share": language_share(lists, k).set_index(["query_language", "language"])["share"],
        "kl": share_divergence(lists, k).set_index("query_language")["kl"],
        "js": share_divergence(lists, k).set_index("query_language")["js"],
        "own": own_language_share(lists, k).set_index("query_language")["share"],
        "mrc": rank_correlation(lists, k).set_index("query_language")["mean"],
    }
    return {(name, code): value for name, rows in tables.items() for code, value in rows.items()}


def restated(benchmark, new=None, more=()):
    """The benchmark with its languages renamed, or with more candidates."""
    found = parallel(len(benchmark.query_ids) // 4, 0)
    new = new or {code: code for code in LANGUAGES}
    found.query_languages = np.array([new[code] for code in benchmark.query_languages.tolist()])
    found.candidate_languages = np.array([*(new[code] for code in benchmark.candidate_languages.tolist()), *more])
    found.candidate_ids = [f"c{i}" for i in range(len(found.candidate_languages))]
    return found


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.permutations(LANGUAGES))
def test_relabelling_of_languages_changes_nothing_but_names(seed, names):
    benchmark = parallel(2, 2)
    scores = np.random.default_rng(seed).random((8, 16))
    new = dict(zip(LANGUAGES, names, strict=True))
    before = measures(lists_of(scores, benchmark))
    after = measures(lists_of(scores, restated(benchmark, new)))
    named = {
        (name, tuple(new[c] for c in code) if isinstance(code, tuple) else new[code]): value
        for (name, code), value in before.items()
    }
    assert named == pytest.approx(after)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_candidates_below_the_top_change_nothing_where_the_pool_keeps_its_shares(seed, more):
    benchmark = parallel(2, 2)
    scores = np.random.default_rng(seed).random((8, 16))
    wide = np.hstack([scores, np.full((8, 4 * more), -1.0)])
    before, after = (
        measures(lists_of(scores, benchmark)),
        measures(lists_of(wide, restated(benchmark, more=LANGUAGES * more))),
    )
    assert before == pytest.approx(after)
    # In one language alone they change the yardstick of the shares, and nothing else.
    after = measures(lists_of(wide, restated(benchmark, more=["zh"] * 4 * more)))
    kept = {key for key in before if key[0] in ("share", "own", "mrc")}
    assert {key: before[key] for key in kept} == pytest.approx({key: after[key] for key in kept})
    assert {key: before[key] for key in before if key[0] == "kl"} != pytest.approx(
        {key: after[key] for key in after if key[0] == "kl"}
    )


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_a_bonus_for_the_language_of_the_query_shows_in_every_measure(seed):
    benchmark = parallel(3, 5)
    meaning = np.tile(np.random.default_rng(seed).random((3, 32)), (4, 1))
    same = benchmark.query_languages[:, None] == benchmark.candidate_languages
    blind, biased = (measures(lists_of(meaning + bonus * same, benchmark), 4) for bonus in (0, 2))
    for code in LANGUAGES:
        # Whoever asks, a system that is blind to the asker's language gives one list.
        assert blind["mrc", code] == pytest.approx(1) and biased["mrc", code] == pytest.approx(-6 * 16 / (7 * 16 - 1))
        assert biased["own", code] == 1 and biased["kl", code] == pytest.approx(2), "log2 of 1 / (1/4)"
        assert blind["own", code] < 1 and blind["kl", code] < 2 and blind["js", code] < biased["js", code] < 1


def test_random_order_is_at_the_chance_levels():
    benchmark = parallel(150, 50)
    lists = lists_of(np.random.default_rng(4).random((600, 800)), benchmark, 10)
    own = own_language_share(lists, 10)
    assert own["chance"].tolist() == [0.25] * 4 and own["queries"].tolist() == [150] * 4
    assert own["share"].mean() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 6000) ** 0.5)
    expected = 3 / (2 * 1500 * np.log(2))
    assert 0 < share_divergence(lists, 10)["kl"].mean() < 5 * expected
    whole = lists_of(np.random.default_rng(5).random((40, 40)), parallel(10, 0), 40)
    assert rank_correlation(whole, 40)["mean"].mean() == pytest.approx(0, abs=4 / (39 * 60) ** 0.5)


def test_the_table_holds_the_measures_of_lists():
    benchmark = parallel(3, 2)
    vectors = np.random.default_rng(6).random((12, 8)), np.random.default_rng(7).random((20, 8))
    gold = gold_ranks(*vectors, benchmark)
    lists = ranked_lists(*vectors, benchmark)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = bias_table.table(gold, lists, ["ar", "de", "en"], k=4)
    rows = rows.set_index(["measure", "query_language"])["value"]
    expected = own_language_share(lists, 4, ["ar", "de", "en"]).set_index("query_language")["share"]
    assert rows["own language in the top 4"].drop("mean").to_dict() == expected.to_dict()
    assert rows["own language in the top 4", "mean"] == pytest.approx(expected.mean())
    divergence = share_divergence(lists, 4, ["ar", "de", "en"])
    assert rows["JS of the top 4 and the pool, bits", "mean"] == pytest.approx(divergence["js"].mean())
    assert rows["KL of the top 4 from the pool, bits", "mean"] == pytest.approx(divergence["kl"].mean())
    assert rows["MRC@4", "mean"] == pytest.approx(rank_correlation(lists, 4, ["ar", "de", "en"])["mean"].mean())

"""Gold ranks: the counts against a naive loop, both routes of counting, the files, and bad embeddings."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkit import bias, metrics, ranks
from hybridkit.counting import RUN, TILE, room
from hybridkit.errors import KitError
from hybridkit.ranks import GoldRanks, chosen, count, gold_ranks, load_embeddings, pool_order


def stand_in(query_languages, candidate_languages, golds) -> SimpleNamespace:
    """A benchmark without texts; `golds`: pairs of rows (query, candidate)."""
    golds = np.array(sorted(golds), np.int64).reshape(-1, 2)
    return SimpleNamespace(
        name="stand-in",
        fingerprint="0" * 64,
        query_ids=[f"q{i}" for i in range(len(query_languages))],
        query_languages=np.array(query_languages),
        questions=[f"question {i}" for i in range(len(query_languages))],
        candidate_ids=[f"c{i}" for i in range(len(candidate_languages))],
        candidate_languages=np.array(candidate_languages),
        gold_query=golds[:, 0],
        gold_candidate=golds[:, 1],
    )


def from_scores(scores, benchmark) -> GoldRanks:
    """Gold ranks of a matrix of scores whose columns are in the benchmark's order."""
    return count([(0, np.array(scores, np.float32)[:, pool_order(benchmark)])], benchmark)


def naive(scores, benchmark) -> tuple[list, list]:
    """Counts above and tied by one comparison at a time."""
    pools = sorted(set(benchmark.candidate_languages))
    above = np.zeros((len(benchmark.gold_query), len(pools)), int)
    tied = np.zeros_like(above)
    for gold, (query, relevant) in enumerate(zip(benchmark.gold_query, benchmark.gold_candidate)):
        for candidate, language in enumerate(benchmark.candidate_languages):
            above[gold, pools.index(language)] += scores[query][candidate] > scores[query][relevant]
            same = scores[query][candidate] == scores[query][relevant] and candidate != relevant
            tied[gold, pools.index(language)] += same
    return above.tolist(), tied.tolist()


@st.composite
def scored_benchmarks(draw):
    """A small benchmark with ragged relevance in mixed-up languages, and scores with many ties."""
    candidates = draw(st.lists(st.sampled_from(["de", "en", "zh"]), min_size=1, max_size=12))
    queries = draw(st.lists(st.sampled_from(["de", "en", "sw"]), min_size=1, max_size=5))
    pairs = st.tuples(st.integers(0, len(queries) - 1), st.integers(0, len(candidates) - 1))
    golds = draw(st.sets(pairs, min_size=1))
    number = st.integers(-2, 2).map(float) | st.sampled_from([-0.0, np.inf, -np.inf, 1e-30])
    row = st.lists(number, min_size=len(candidates), max_size=len(candidates))
    scores = draw(st.lists(row, min_size=len(queries), max_size=len(queries)))
    return stand_in(queries, candidates, golds), scores


@given(scored_benchmarks())
def test_counts_agree_with_a_naive_loop(example):
    benchmark, scores = example
    found = from_scores(scores, benchmark)
    assert (found.above.tolist(), found.tied.tolist()) == naive(scores, benchmark)
    assert found.pools == tuple(sorted(set(benchmark.candidate_languages)))
    assert found.pool_sizes.sum() == len(benchmark.candidate_ids)


@pytest.mark.parametrize("levels", [3, 40, 10**6])
def test_counts_over_many_runs(levels):
    """Languages longer than a run, of lengths around its multiples, from all tied to hardly tied."""
    random = np.random.default_rng(levels)
    languages = np.repeat(["a", "b", "c", "d", "e"], [RUN - 1, RUN, RUN + 1, 3 * RUN + 7, 1])
    random.shuffle(languages)
    golds = {(q, int(c)) for q in range(9) for c in random.integers(0, len(languages), 6)}
    benchmark = stand_in(["a"] * 9, languages, golds)
    scores = random.integers(0, levels, (9, len(languages))).astype(np.float32)
    found = from_scores(scores, benchmark)
    gold_scores = scores[benchmark.gold_query, benchmark.gold_candidate][:, None]
    for i, language in enumerate(found.pools):
        pool = scores[benchmark.gold_query][:, languages == language]
        own = languages[benchmark.gold_candidate] == language
        assert np.array_equal(found.above[:, i], (pool > gold_scores).sum(1))
        assert np.array_equal(found.tied[:, i], (pool == gold_scores).sum(1) - own)


def random_benchmark(random, queries: int, candidates: int, golds: int = 4) -> SimpleNamespace:
    languages = random.choice(["ar", "de", "en", "zh"], candidates)
    pairs = {(q, int(c)) for q in range(queries) for c in random.choice(candidates, golds, replace=False)}
    return stand_in(random.choice(["ar", "en", "sw"], queries), languages, pairs)


@given(
    queries=st.integers(1, 20),
    candidates=st.integers(4, 60),
    dimensions=st.integers(1, 5),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 25)),
    memory=st.sampled_from([0, 2_000, 2**20]),
    threads=st.integers(1, 3),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_embeddings_give_the_counts_of_their_products(
    queries, candidates, dimensions, tile, memory, threads, dtype, seed
):
    """Small whole numbers have exact products, whatever the tile, the route, the threads and the type."""
    random = np.random.default_rng(seed)
    benchmark = random_benchmark(random, queries, candidates)
    left = random.integers(-3, 4, (queries, dimensions)).astype(dtype)
    right = random.integers(-3, 4, (candidates, dimensions)).astype(dtype)
    found = gold_ranks(left, right, benchmark, "system", tile=tile, memory=memory, threads=threads)
    assert (found.above.tolist(), found.tied.tolist()) == naive(left.astype(int) @ right.astype(int).T, benchmark)
    assert (found.benchmark, found.system) == ("stand-in", "system")


def vectors(random, rows: int, dimensions: int = 48) -> np.ndarray:
    return random.standard_normal((rows, dimensions), dtype=np.float32)


def test_both_routes_and_any_threads_count_alike():
    random = np.random.default_rng(5)
    benchmark = random_benchmark(random, 300, 2500)
    left, right = vectors(random, 300), vectors(random, 2500)
    right[random.integers(0, 2500, 200)] = right[0]
    held = 4 * 256 * 1024
    results = [
        gold_ranks(left, right, benchmark, memory=memory, threads=threads)
        for memory in (held, 2 * held, 2**30)
        for threads in (1, 2)
    ]
    assert results[0].tied.any()
    for other in results[1:]:
        assert np.array_equal(results[0].above, other.above) and np.array_equal(results[0].tied, other.tied)


def test_room_for_scores_keeps_to_the_memory():
    assert room(4, 10, 100, 10_000) == 4
    assert room(4, 10, 100, 2_999) == 2  # fewer threads cost less than computing every tile twice
    assert room(5, 10, 100, 2_999) == 0
    assert room(4, 10, 100, 999) == 0
    assert room(4, 10, 100, 1) == 0


def test_counts_do_not_depend_on_what_follows():
    random = np.random.default_rng(6)
    left, right = vectors(random, 400), vectors(random, 1500)
    languages = ["aa"] * 900 + ["zz"] * 600
    golds = {(q, int(c)) for q in range(400) for c in random.choice(900, 3, replace=False)}
    whole = gold_ranks(left, right, stand_in(["aa"] * 400, languages, golds))
    fewer = stand_in(["aa"] * 150, languages[:900], {pair for pair in golds if pair[0] < 150})
    part = gold_ranks(left[:150], right[:900], fewer)
    assert np.array_equal(part.above[:, 0], whole.above[: len(part.above), 0])
    assert np.array_equal(part.tied[:, 0], whole.tied[: len(part.tied), 0])


@pytest.mark.parametrize("dimensions", [7, 64, 384])
def test_equal_vectors_tie_exactly(dimensions):
    """The passages that occur more than once in a pool stand anywhere in the tiles, and still share their rank."""
    random = np.random.default_rng(dimensions)
    right = vectors(random, 2 * TILE[1] + 300, dimensions)
    copies = random.choice(len(right), 200, replace=False)
    right[copies] = right[copies[0]]
    left = vectors(random, TILE[0] + 50, dimensions)
    benchmark = stand_in(["en"] * len(left), ["en"] * len(right), {(q, int(copies[q % 200])) for q in range(len(left))})
    assert (gold_ranks(left, right, benchmark).tied[:, 0] == 199).all()


def test_memory_is_bounded_by_the_tile():
    random = np.random.default_rng(7)
    candidates = 60_000
    benchmark = random_benchmark(random, 256, candidates, golds=1)
    left, right = vectors(random, 256, 4), vectors(random, candidates, 4)
    tracemalloc.start()
    gold_ranks(left, right, benchmark, tile=(256, 512), memory=2**20, threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256 * candidates * 4 / 3, "the table of scores, of 61 MB, must never be there whole"


def test_ranks_of_a_pool_by_hand():
    benchmark = stand_in(["en"], ["de", "en", "en", "zh", "zh"], {(0, 1), (0, 3)})
    found = from_scores([[0.9, 0.5, 0.5, 0.5, 0.7]], benchmark)
    assert found.ranks(["en"]).tolist()[0] == 1.5
    assert found.ranks(["zh"]).tolist()[1] == 2
    assert found.ranks(["de", "en", "zh"]).tolist() == [4, 4]  # two above, three share the ranks 3 to 5
    assert found.ranks(["de", "en", "en"]).tolist()[0] == 2.5
    assert found.own_ranks().tolist() == [1.5, 2]
    assert found.tied_share == 1
    for wrong in (["en", "fr"], "en"):
        with pytest.raises(KitError, match="de, en, zh"):
            found.ranks(wrong)


def test_choice_of_languages():
    benchmark = stand_in(["en", "sw", "de"], ["de", "en", "zh"], {(q, c) for q in range(3) for c in range(3)})
    found = from_scores(np.eye(3), benchmark)
    part = chosen(found, ["zh", "en", "sw"])
    assert part.pools == ("en", "zh") and part.candidates == 2
    assert [(int(found.gold_query[g]), str(found.gold_language[g])) for g in part.golds] == [
        (0, "en"), (0, "zh"), (1, "en"), (1, "zh"),
    ]  # fmt: skip
    for wrong in (["fr"], "en"):
        with pytest.raises(KitError, match="de, en, sw, zh"):
            chosen(found, wrong)


def same(left: GoldRanks, right: GoldRanks) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in left.__dataclass_fields__)


@given(scored_benchmarks())
def test_saved_and_opened_again(tmp_path_factory, example):
    benchmark, scores = example
    found = from_scores(scores, benchmark)
    opened = GoldRanks.open(found.save(tmp_path_factory.mktemp("ranks") / "museum"))
    assert same(found, opened)
    assert {name: getattr(opened, name).dtype for name in ("above", "tied", "gold_query")} == {
        name: getattr(found, name).dtype for name in ("above", "tied", "gold_query")
    }


@pytest.fixture
def small() -> GoldRanks:
    benchmark = stand_in(["en"], ["en"] * 300 + ["zh"] * 10, {(0, 0), (0, 305)})
    return from_scores([np.arange(310)], benchmark)


def test_files_hold_small_numbers(small, tmp_path):
    schema = pq.read_schema(small.save(tmp_path / "ranks") / "golds.parquet")
    assert {name: str(schema.field(name).type) for name in ("query", "above_en", "above_zh", "tied_zh")} == {
        "query": "uint8", "above_en": "uint16", "above_zh": "uint8", "tied_zh": "uint8",
    }  # fmt: skip


def test_a_failed_save_leaves_what_was_there(small, tmp_path, monkeypatch):
    folder = small.save(tmp_path / "ranks")

    def write(columns, path):
        path.write_bytes(b"half")
        if path.name == "golds.parquet":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(KitError, match="No space left"):
        patch.setattr(ranks, "write_table", write)
        small.save(folder)
    assert same(GoldRanks.open(folder), small)
    assert [path.name for path in tmp_path.iterdir()] == ["ranks"]
    small.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["ranks"]


@pytest.mark.parametrize("name", ["about.json", "queries.parquet", "golds.parquet"])
def test_damaged_files_are_reported(small, tmp_path, name):
    path = small.save(tmp_path / "ranks") / name
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b""):
        path.write_bytes(damaged)
        with pytest.raises(KitError, match="no readable gold ranks"):
            GoldRanks.open(tmp_path / "ranks")
    path.unlink()
    with pytest.raises(KitError, match=name):
        GoldRanks.open(tmp_path / "ranks")


def test_an_altered_byte_is_noticed(small, tmp_path):
    path = small.save(tmp_path / "ranks") / "golds.parquet"
    content = path.read_bytes()
    noticed = 0
    for place in range(4, len(content), 29):
        path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        try:
            assert same(GoldRanks.open(tmp_path / "ranks"), small), f"byte {place}"
        except KitError:
            noticed += 1
    assert noticed


def test_bad_scores_are_refused():
    benchmark = stand_in(["en", "en"], ["en", "zh"], {(0, 0), (1, 1)})
    for blocks, said in (
        ([(0, np.zeros((1, 2)))], "Query 1 was scored 0 times"),
        ([(0, np.zeros((2, 2))), (0, np.zeros((1, 2)))], "Query 0 was scored 2 times"),
        ([(0, np.zeros((2, 3)))], "2 candidates"),
        ([(0, np.array([[0, np.nan], [0, 0]]))], "NaN"),
    ):
        with pytest.raises(KitError, match=said):
            count(blocks, benchmark)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what, row", [("query", 2), ("candidate", 3)])
def test_embeddings_that_are_not_numbers_are_named(what, row, bad):
    benchmark = random_benchmark(np.random.default_rng(0), 3, 5)
    tables = {"query": np.ones((3, 8), np.float16), "candidate": np.ones((5, 8), np.float64)}
    tables[what][row, 4] = bad
    with pytest.raises(KitError, match=f'{what} "{what[0]}{row}" .row {row},'):
        gold_ranks(tables["query"], tables["candidate"], benchmark)


def test_embeddings_too_large_for_the_score_are_named():
    benchmark = random_benchmark(np.random.default_rng(0), 3, 5)
    with pytest.raises(KitError, match='query "q0".*too large'):
        gold_ranks(np.full((3, 2), 1e30), np.full((5, 2), 1e30), benchmark)


@pytest.mark.parametrize(
    "queries, candidates, said",
    [
        (np.ones((2, 4)), np.ones((5, 4)), "queries have 2 rows, but stand-in has 3 queries"),
        (np.ones((3, 4)), np.ones((6, 4)), "candidates have 6 rows, but stand-in has 5 candidates"),
        (np.ones((3, 4)), np.ones((5, 8)), "4 dimensions and those of the candidates 8"),
        (np.ones(3), np.ones((5, 4)), r"shape \(3,\)"),
        (np.ones((3, 4), int), np.ones((5, 4)), "int64"),
    ],
)
def test_embeddings_of_the_wrong_shape_are_refused(queries, candidates, said, tmp_path):
    benchmark = random_benchmark(np.random.default_rng(0), 3, 5)
    with pytest.raises(KitError, match=said):
        gold_ranks(queries, candidates, benchmark)
    np.save(tmp_path / "queries.npy", queries)
    np.save(tmp_path / "candidates.npy", candidates)
    with pytest.raises(KitError, match=said):
        load_embeddings(tmp_path, benchmark)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ready_embeddings_are_read(dtype, tmp_path):
    random = np.random.default_rng(1)
    benchmark = random_benchmark(random, 3, 5)
    left, right = vectors(random, 3).astype(dtype), vectors(random, 5).astype(dtype)
    np.save(tmp_path / "queries.npy", left)
    np.save(tmp_path / "candidates.npy", right)
    queries, candidates = load_embeddings(tmp_path, benchmark)
    assert isinstance(queries, np.memmap) and np.array_equal(queries, left) and np.array_equal(candidates, right)
    assert same(gold_ranks(queries, candidates, benchmark), gold_ranks(left, right, benchmark))


def test_unreadable_embeddings_are_refused(tmp_path):
    benchmark = random_benchmark(np.random.default_rng(0), 3, 5)
    with pytest.raises(KitError, match="queries.npy"):
        load_embeddings(tmp_path, benchmark)
    np.save(tmp_path / "queries.npy", np.array([{"a": 1}] * 3), allow_pickle=True)
    with pytest.raises(KitError, match="queries.npy"):
        load_embeddings(tmp_path, benchmark)
    np.save(tmp_path / "queries.npy", np.ones((3, 4)))
    whole = (tmp_path / "queries.npy").read_bytes()
    for part in (b"", whole[:-9]):
        (tmp_path / "queries.npy").write_bytes(part)
        with pytest.raises(KitError, match="queries.npy"):
            load_embeddings(tmp_path, benchmark)


@settings(max_examples=40)
@given(scored_benchmarks())
def test_pools_that_are_not_ranked_are_no_numbers(tmp_path_factory, example):
    """Where a query is ranked in its own language alone, the counts of the others are nowhere taken for ranks."""
    benchmark, scores = example
    whole = from_scores(scores, benchmark)
    benchmark.own_language_only = True
    found = from_scores(scores, benchmark)
    own = benchmark.query_languages[benchmark.gold_query][:, None] == np.array(found.pools)
    assert np.array_equal(found.above[own], whole.above[own]) and np.array_equal(found.tied[own], whole.tied[own])
    assert (found.above[~own] == -1).all() and (found.tied[~own] == -1).all()
    assert same(GoldRanks.open(found.save(tmp_path_factory.mktemp("ranks") / "own")), found)
    for pool in ([code] for code in found.pools):
        assert np.array_equal(np.isnan(found.ranks(pool)), found.query_languages[found.gold_query] != pool[0])
    rows, shown = metrics.table(found), metrics.summary(found)
    monolingual = metrics.table(whole).query("setting == 'monolingual'").reset_index(drop=True)
    if len(found.pools) > 1:
        assert rows.equals(monolingual)
        assert all(np.isnan(value) for name, value in shown.items() if not name.startswith("monolingual"))
        assert not len(bias.rank_distance(found)) and not len(bias.same_language_first(found))
        assert not len(bias.language_pair_ranks(found))


@pytest.mark.parametrize("memory", [0, 2**26])
def test_only_products_that_are_ranked_are_computed(memory, monkeypatch):
    random = np.random.default_rng(8)
    languages = np.repeat(["aa", "bb"], 300)
    golds = {(q, q) for q in range(0, 600, 7)}
    left, right = vectors(random, 600), vectors(random, 600)
    benchmark, products = stand_in(languages, languages, golds), []
    benchmark.own_language_only = True
    multiply = np.matmul
    monkeypatch.setattr(np, "matmul", lambda *given, **kept: products.append(1) or multiply(*given, **kept))
    found = gold_ranks(left, right, benchmark, tile=(100, 100), memory=memory)
    # Half of the 36; where none is kept, one a block more: the golds stand in the first tile of their language.
    assert len(products) == (18 if memory else 18 + 6)
    benchmark.own_language_only = False
    whole = gold_ranks(left, right, benchmark, tile=(100, 100))
    assert np.array_equal(found.own_ranks(), whole.own_ranks())

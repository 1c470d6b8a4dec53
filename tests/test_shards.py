"""Shards: counts that do not depend on them, and what is done again after a kill, a lost worker or a damaged file."""

import functools
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkit import encoders, encoding, evaluation, shards
from hybridkit.corpora import xquad_r
from hybridkit.corpora.benchmark import make_benchmark
from hybridkit.errors import KitError
from hybridkit.ranks import GoldRanks, Layout, gold_ranks

TILE = (32, 64)


def counts(gold: GoldRanks) -> tuple[list, list]:
    return gold.above.tolist(), gold.tied.tolist()


def small_benchmark(texts, languages, golds, queries=3):
    """A benchmark of given candidates; `golds`: pairs of rows (query, candidate)."""
    golds = {*golds, *((q, 0) for q in range(queries))}
    return make_benchmark(
        "small", "none", [f"q{q}" for q in range(queries)], [f"question {q}" for q in range(queries)], ["en"] * queries,
        [f"c{c}" for c in range(len(texts))], texts, languages, [(f"q{q}", f"c{c}") for q, c in golds],
    )  # fmt: skip


class Letters:
    """Stands in for a model: a text's vector is made of whole numbers and of where it stood in the call, so that a text
    that is encoded twice, or in another block, is found out. `calls` are the texts of each call."""

    def __init__(self, batches: bool = True):
        self.calls, self._batches = [], batches

    def encode_query(self, texts, **_):
        return np.array([[hash_of(text, 7), hash_of(text, 5), 1] for text in texts], np.float32)

    def encode_document(self, texts, **_):
        self.calls.append(list(texts))
        place = np.arange(len(texts)) / 64 if self._batches else np.zeros(len(texts))
        return np.array([[hash_of(t, 3), hash_of(t, 4), p] for t, p in zip(texts, place)], np.float32)


def hash_of(text: str, modulus: int) -> int:
    return sum(map(ord, text)) % modulus


@pytest.fixture
def letters(monkeypatch, own_cache) -> Letters:
    """The model "letters", known by its name."""
    return known(monkeypatch, Letters())


def known(patch, model: Letters) -> Letters:
    """Let every load of a model give this one."""
    patch.setattr(shards, "_model", functools.lru_cache(lambda name, content: model))
    patch.setattr(encoders, "folder", Path)
    patch.setattr(encoders, "content_key", str)
    return model


@st.composite
def benchmarks(draw):
    texts = draw(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=40))
    languages = draw(st.lists(st.sampled_from(["de", "en", "zh"]), min_size=len(texts), max_size=len(texts)))
    pairs = st.tuples(st.integers(0, 2), st.integers(0, len(texts) - 1))
    return small_benchmark(texts, languages, draw(st.sets(pairs)))


def naive(scores, benchmark) -> tuple[list, list]:
    """Counts by comparing whole rows of scores (queries, candidates)."""
    scores, gold = np.asarray(scores), benchmark.gold_candidate
    rows, own = scores[benchmark.gold_query], scores[benchmark.gold_query, gold][:, None]
    other = np.arange(rows.shape[1]) != gold[:, None]
    pools = [benchmark.candidate_languages == code for code in benchmark.languages]
    found = [((rows > own)[:, pool].sum(1), (other & (rows == own))[:, pool].sum(1)) for pool in pools]
    return tuple(np.stack(part, axis=1).tolist() for part in zip(*found))


@settings(max_examples=40)
@given(benchmarks(), st.sampled_from([1, 3, 50]), st.booleans())
def test_a_corpus_in_shards_gives_the_counts_of_a_naive_loop(tmp_path_factory, benchmark, parts, keep):
    """Copies have one vector, each distinct text of a language is encoded once, and the tiles are as small as can be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        model = known(patch, Letters(batches=False))
        found = shards.evaluate_model("letters", benchmark, shards=parts, keep=keep, tile=(2, 1))
    encoded = [text for call in model.calls for text in call]
    distinct = set(zip(benchmark.candidate_texts, benchmark.candidate_languages.tolist()))
    assert sorted(encoded) == sorted(text for text, _ in distinct)
    left, right = model.encode_query(benchmark.query_texts), model.encode_document(benchmark.candidate_texts)
    assert counts(found) == naive(left @ right.T, benchmark)


def test_any_number_of_shards_encodes_the_same_blocks(letters):
    """The stand-in's vectors depend on the call they were made in, so that other blocks would be other counts."""
    random = np.random.default_rng(0)
    texts = [f"{'abcdefgh'[i % 8]} {random.integers(0, 400)}" for i in range(900)]
    golds = {(q, int(c)) for q in range(40) for c in random.integers(0, 900, 3)}
    benchmark = small_benchmark(texts, random.choice(["de", "en", "zh"], 900), golds, queries=40)
    results, calls = [], []
    for parts in (1, 3, 50):
        letters.calls.clear()
        results.append(counts(shards.evaluate_model("letters", benchmark, shards=parts, tile=(16, 8))))
        calls.append([tuple(call) for call in letters.calls])
    assert sorted(calls[0]) == sorted(calls[1]) == sorted(calls[2]) and len(calls[0]) > 15
    assert results[0] == results[1] == results[2]


@pytest.fixture(scope="module")
def xquad(shared_data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
        benchmark = xquad_r.load()
    return replace(benchmark, **some_queries(benchmark, 97))


def some_queries(benchmark, every: int) -> dict:
    """Every n-th query of a benchmark, with its golds."""
    golds = benchmark.gold_query % every == 0
    rows = np.arange(0, len(benchmark.query_ids), every)
    return {
        "query_ids": [benchmark.query_ids[i] for i in rows],
        "query_texts": [benchmark.query_texts[i] for i in rows],
        "query_languages": benchmark.query_languages[rows],
        "questions": [benchmark.questions[i] for i in rows],
        "gold_query": benchmark.gold_query[golds] // every,
        "gold_candidate": benchmark.gold_candidate[golds],
    }


def unit(random, rows: int, dimensions: int = 32) -> np.ndarray:
    vectors = random.standard_normal((rows, dimensions), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def save(folder, queries, candidates, files: int = 1) -> None:
    np.save(folder / "queries.npy", queries)
    if files == 1:
        np.save(folder / "candidates.npy", candidates)
    else:
        for number, part in enumerate(np.array_split(candidates, files)):
            np.save(folder / f"candidates-{number}.npy", part)


@pytest.mark.parametrize("dtype, files", [(np.float16, 1), (np.float32, 12)])
def test_counts_on_xquad_r_do_not_depend_on_the_shards(xquad, own_cache, tmp_path, dtype, files):
    """Random vectors for the real texts, in memory and over shards; the relevant passages have copies anywhere."""
    random = np.random.default_rng(3)
    queries, candidates = unit(random, len(xquad.query_ids)), unit(random, len(xquad.candidate_ids))
    candidates[random.integers(0, len(candidates), 2000)] = candidates[random.choice(xquad.gold_candidate, 2000)]
    candidates = candidates[encoding.same_text(xquad)].astype(dtype)
    save(tmp_path, queries, candidates, files)
    whole = gold_ranks(queries, candidates, xquad, tile=TILE)
    assert whole.tied_share > 0.5
    for parts in (1, 3, 50):
        assert counts(shards.evaluate_embeddings(tmp_path, xquad, shards=parts, tile=TILE)) == counts(whole)
    assert len(shards.cut(len(candidates), 50, TILE[1], np.arange(len(candidates)))) == 50
    with_default_tiles = shards.evaluate_embeddings(tmp_path, xquad, shards=3)
    assert counts(with_default_tiles) == counts(gold_ranks(queries, candidates, xquad))


def test_a_model_in_memory_and_over_shards(small_encoder, own_cache):
    """The real path: one definition of the vectors and of the counts, whichever way is taken."""
    random = np.random.default_rng(1)
    texts = [f"the clock {'in the tower ' * int(random.integers(0, 4))}{i % 130}" for i in range(200)]
    golds = {(q, int(c)) for q in range(9) for c in random.integers(0, 200, 4)}
    benchmark = small_benchmark(texts, random.choice(["de", "en"], 200), golds, queries=9)
    whole = evaluation.evaluate_model(str(small_encoder), benchmark, batch_size=16)
    parts = shards.evaluate_model(str(small_encoder), benchmark, batch_size=16, shards=3)
    assert counts(parts) == counts(whole) and whole.tied.any()
    assert not list((own_cache / "evaluations").rglob("*.npz")), "what was only for this evaluation is gone"


def test_kept_embeddings_are_used_again_and_never_mixed(letters, own_cache):
    benchmark = small_benchmark([f"text {i}" for i in range(100)], ["en"] * 100, {(1, 50), (2, 99)})
    first = shards.evaluate_model("letters", benchmark, shards=3, keep=True, tile=(2, 4))
    encoded = sum(map(len, letters.calls))
    blocks = sorted(own_cache.rglob("blocks/*.npz"))
    assert encoded == 100 and len(blocks) == 7
    assert encoding.read(blocks[0])["vectors"].dtype == np.float16
    for path in own_cache.rglob("counts/*.npz"):
        path.unlink()
    again = shards.evaluate_model("letters", benchmark, shards=2, keep=True, tile=(2, 4))
    assert sum(map(len, letters.calls)) == encoded and counts(again) == counts(first)
    shards.evaluate_model("letters", benchmark, shards=2, tile=(2, 4))
    assert sum(map(len, letters.calls)) == 2 * encoded, "float32 is another evaluation"


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-150] + b"\x55" + b[-149:]])
def test_damaged_embeddings_and_counts_are_computed_again(letters, own_cache, damage):
    benchmark = small_benchmark([f"text {i}" for i in range(100)], ["en"] * 100, {(1, 50), (2, 99)})
    first = shards.evaluate_model("letters", benchmark, shards=3, keep=True, tile=(2, 4))
    letters.calls.clear()
    told = []
    damaged = sorted(own_cache.rglob("blocks/*.npz"))[5], next(own_cache.rglob("counts/16-25.npz"))
    for path in damaged:
        path.write_bytes(damage(path.read_bytes()))
    again = shards.evaluate_model("letters", benchmark, shards=3, keep=True, tile=(2, 4), report=recorder(told))
    assert counts(again) == counts(first)
    assert [o.state for n, o in told if n.startswith("shard")] == ["skipped", "skipped", "finished"]
    assert letters.calls == [[f"text {i}" for i in encoded_in(benchmark, 5, 16)]]
    assert encoding.read(damaged[0]) is not None


def encoded_in(benchmark, block: int, width: int) -> list[int]:
    """Rows of the candidates of a block, where no two texts are the same."""
    return Layout(benchmark).order[block * width : (block + 1) * width].tolist()


def recorder(told: list):
    return lambda name, outcome: told.append((name, outcome)) if outcome else None


def test_ready_embeddings_cut_short_are_named(own_cache, tmp_path):
    random = np.random.default_rng(0)
    benchmark = small_benchmark([f"text {i}" for i in range(90)], ["en"] * 90, {(1, 50)})
    save(tmp_path, unit(random, 3), unit(random, 90), files=3)
    path = tmp_path / "candidates-1.npy"
    whole = path.read_bytes()
    for short in (whole[:-9], b""):
        path.write_bytes(short)
        with pytest.raises(KitError, match="candidates-1.npy"):
            shards.evaluate_embeddings(tmp_path, benchmark)
    path.unlink()
    with pytest.raises(KitError, match="60 rows, but small has 90 candidates"):
        shards.evaluate_embeddings(tmp_path, benchmark)
    np.save(path, unit(random, 30, 16))
    with pytest.raises(KitError, match="one number of dimensions"):
        shards.evaluate_embeddings(tmp_path, benchmark)
    bad = unit(random, 30)
    bad[7, 3] = np.nan
    np.save(path, bad)
    with pytest.raises(KitError, match=r"candidate .row 37, counted from 0. holds NaN"):
        shards.evaluate_embeddings(tmp_path, benchmark)


#: A process that evaluates in 7 shards and is killed hard, by itself, as soon as 3 of them are done.
KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    import test_shards
    from hybridkit import shards
    done = []

    def report(name, outcome):
        if outcome and name.startswith("shard"):
            done.append(name)
            if len(done) == 3:
                os.kill(os.getpid(), signal.SIGKILL)

    shards.evaluate_embeddings({folder!r}, test_shards.stored(), shards=7, tile=test_shards.TILE, report=report)
"""


def stored(rows: int = 1900):
    """The same benchmark in every process, with copies of texts."""
    random = np.random.default_rng(11)
    texts = [f"text {i % 1500}" for i in range(rows)]
    golds = {(q, int(c)) for q in range(50) for c in random.integers(0, rows, 2)}
    return small_benchmark(texts, random.choice(["de", "en", "zh"], rows), golds, queries=50)


@pytest.fixture
def on_disk(own_cache, tmp_path):
    """Embeddings of `stored` on disk, with equal ones for copies; and the counts in memory."""
    random, benchmark = np.random.default_rng(12), stored()
    queries, candidates = unit(random, 50), unit(random, 1900)[encoding.same_text(benchmark)]
    save(tmp_path, queries, candidates)
    whole = gold_ranks(queries, candidates, benchmark, tile=TILE)
    assert whole.tied.any()
    return tmp_path, benchmark, counts(whole)


def test_a_killed_evaluation_goes_on_at_the_next_shard(on_disk, own_cache):
    folder, benchmark, expected = on_disk
    script = textwrap.dedent(KILLED).format(tests=os.path.dirname(__file__), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"HYBRIDKIT_CACHE": str(own_cache)})
    assert done.returncode == -signal.SIGKILL
    made = {path: path.stat().st_mtime_ns for path in own_cache.rglob("counts/*.npz")}
    assert len(made) == 3
    states, seen = [], {}

    def report(name, outcome):
        if outcome:
            states.append(outcome.state)
            seen.update({path: path.stat().st_mtime_ns for path in own_cache.rglob("counts/*.npz")})

    found = shards.evaluate_embeddings(folder, benchmark, shards=7, tile=TILE, report=report)
    assert counts(found) == expected
    assert states == ["skipped"] * 3 + ["finished"] * 4
    assert {path: seen[path] for path in made} == made, "what was done was written again"


def die_once(name, work, source, first, last):
    """A shard whose worker dies the first time."""
    mark = work.folder / f"died-{first}"
    if first and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return _count_shard(name, work, source, first, last)


_count_shard = shards.count_shard


def test_a_lost_worker_loses_only_its_shard(on_disk, monkeypatch, capsys):
    from hybridkit.sweep import local_executor

    folder, benchmark, expected = on_disk
    monkeypatch.setattr(shards, "count_shard", die_once)
    told = []
    found = shards.evaluate_embeddings(
        folder, benchmark, shards=3, tile=TILE, make_executor=lambda: local_executor(1), report=recorder(told)
    )
    assert counts(found) == expected
    assert "A worker was lost; starting 2 unfinished tasks again" in capsys.readouterr().out
    assert sorted((name, outcome.state) for name, outcome in told) == [
        (f"shard {i} of 3", "finished") for i in (1, 2, 3)
    ]


@pytest.mark.slow
def test_on_a_cluster_of_two_processes(small_encoder, on_disk, own_cache, monkeypatch):
    from distributed import LocalCluster

    from hybridkit.sweep import cluster_executor

    folder, benchmark, expected = on_disk
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        kept = {"make_executor": lambda: cluster_executor(cluster.scheduler_address), "shards": 5}
        assert counts(shards.evaluate_embeddings(folder, benchmark, tile=TILE, **kept)) == expected
        monkeypatch.setattr(shards, "count_shard", die_once)
        assert counts(shards.evaluate_embeddings(folder, benchmark, tile=TILE, **kept)) == expected
        monkeypatch.undo()
        monkeypatch.setenv("HYBRIDKIT_CACHE", str(own_cache))
        model = {"model": str(small_encoder), "benchmark": benchmark, "tile": TILE}
        assert counts(shards.evaluate_model(**model, **kept)) == counts(shards.evaluate_model(**model, shards=2))


def test_a_failed_shard_is_told_and_the_rest_is_kept(on_disk, own_cache, monkeypatch):
    folder, benchmark, expected = on_disk
    real, left = encoding.write, [3]

    def write(path, **arrays):
        left[0] -= path.parent.name == "counts"
        if left[0] < 0:
            raise KitError(f"{path} cannot be written (No space left on device)")
        real(path, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(encoding, "write", write)
        with pytest.raises(KitError, match="shard 4 of 7 failed: .*No space left.*the same command goes on"):
            shards.evaluate_embeddings(folder, benchmark, shards=7, tile=TILE)
    assert len(list(own_cache.rglob("counts/*.npz"))) == 3
    assert counts(shards.evaluate_embeddings(folder, benchmark, shards=7, tile=TILE)) == expected


def test_changed_embeddings_are_another_evaluation(on_disk, own_cache):
    folder, benchmark, expected = on_disk
    with pytest.raises(KeyboardInterrupt):
        shards.evaluate_embeddings(folder, benchmark, shards=2, tile=TILE, report=interrupt_after_first)
    random = np.random.default_rng(5)
    queries, candidates = unit(random, 50), unit(random, 1900)
    save(folder, queries, candidates)
    found = shards.evaluate_embeddings(folder, benchmark, shards=2, tile=TILE)
    assert counts(found) == counts(gold_ranks(queries, candidates, benchmark, tile=TILE)) != expected


def interrupt_after_first(name, outcome):
    if outcome:
        raise KeyboardInterrupt


def test_cutting_into_whole_blocks():
    def cut(columns, parts, starts=None):
        return shards.cut(columns, parts, 1024, np.arange(columns) if starts is None else np.array(starts))

    assert cut(1, None) == [(0, 1)]
    assert cut(13_014, 3) == [(0, 4), (4, 8), (8, 13)]
    assert cut(13_014, 50) == [(0, 4), (4, 8), (8, 12), (12, 13)]
    assert len(cut(10**6, None)) == 4
    assert cut(13_014, 50, [0, 5, 4096, 8191, 12_288]) == [(0, 4), (4, 12), (12, 13)], "no copies are parted"
    assert cut(13_014, 2, [0]) == [(0, 13)]


@pytest.fixture
def folder_of_jsonl(tmp_path):
    """A user's benchmark of 40 passages, and embeddings for it."""
    folder = tmp_path / "own"
    folder.mkdir()
    rows = {
        "queries": [{"id": f"q{i}", "language": "en" if i % 2 else "de", "text": f"question {i}"} for i in range(20)],
        "candidates": [{"id": f"c{i}", "language": "de" if i % 2 else "en", "text": f"text {i}"} for i in range(40)],
        "relevance": [{"query": f"q{i}", "candidate": f"c{i + 3}"} for i in range(20)],
    }
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    random = np.random.default_rng(0)
    save(tmp_path, unit(random, 20), unit(random, 40))
    return folder


def test_the_command_line_evaluates_over_shards(folder_of_jsonl, small_encoder, own_cache):
    from click.testing import CliRunner

    from hybridkit.cli import main

    def told(*arguments) -> tuple[str, str]:
        given = ["evaluate", "--benchmark", str(folder_of_jsonl), "--no-lexical", *map(str, arguments)]
        answer = CliRunner().invoke(main, given, catch_exceptions=False)
        return answer.stdout, answer.stderr

    for source in (("--embeddings", folder_of_jsonl.parent), ("--model", small_encoder)):
        whole, _ = told(*source)
        parts, progress = told(*source, "--shards", "2")
        assert "| all languages |" in parts and parts.splitlines()[1:] == whole.splitlines()[1:]
        assert "shard 1 of 1: finished" in progress
    assert not list(own_cache.rglob("blocks/*.npz"))
    told("--model", small_encoder, "--keep-embeddings")
    assert len(list(own_cache.rglob("blocks/*.npz"))) == 1
    assert "--keep-embeddings goes with --model" in told("--embeddings", "x", "--keep-embeddings")[1]
    assert "No dask scheduler answers" in told(*source, "--scheduler", "tcp://127.0.0.1:9")[1]


def test_tasks_are_sent_without_the_columns(on_disk):
    folder, benchmark, _ = on_disk
    work = shards._Work(folder / "work", TILE)
    work.prepare(Layout(benchmark), np.zeros((50, 32), np.float32))
    small = pickle.dumps(work)
    golds = work.gold_blocks()
    assert pickle.dumps(work) == small and len(small) < 500
    assert pickle.loads(small).gold_blocks() == golds

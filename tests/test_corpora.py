"""Text stores, training pairs, benchmarks, a user's own JSONL, and the catalogue."""

import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridkit.corpora import catalogue
from hybridkit.corpora.benchmark import make_benchmark
from hybridkit.corpora.groups import shared_groups
from hybridkit.corpora.jsonl import read_benchmark, read_pairs
from hybridkit.corpora.pairs import TrainingPairs, make_pairs
from hybridkit.corpora.stores import TextStore
from hybridkit.errors import KitError, KitWarning
from hybridkit.files import written_whole

# "id" is Indonesian: its column must not be taken for the ids.
LANGUAGES = ("ar", "de", "en", "id", "zh")
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
columns = st.integers(1, 8).flatmap(
    lambda rows: st.dictionaries(
        st.sampled_from(LANGUAGES), st.lists(st.none() | texts, min_size=rows, max_size=rows), min_size=1
    )
)


def small_pairs(folder, **changes):
    given = {
        "name": "small",
        "licence": "CC0",
        "query_ids": ["q0", "q1"],
        "query_texts": {"en": ["first?", "second?"], "de": [None, "zweite?"]},
        "passage_ids": ["p0", "p1", "p2"],
        "passage_texts": {"en": ["first.", "second.", None], "id": ["pertama.", None, "ketiga."]},
        "query": [0, 1],
        "positive": [0, 1],
        "negatives": [[1, 2], []],
        "names": {"en": frozenset({"Mira"})},
    }
    return make_pairs(folder, **given | changes)


def small_benchmark(**changes):
    given = {
        "name": "small",
        "licence": "CC0",
        "query_ids": ["q0", "q1"],
        "query_texts": ["first?", "zweite?"],
        "query_languages": ["en", "de"],
        "candidate_ids": ["c0", "c1", "c2"],
        "candidate_texts": ["first.", "zweitens.", "second."],
        "candidate_languages": ["en", "de", "en"],
        "relevance": [("q1", "c2"), ("q0", "c0"), ("q1", "c1")],
    }
    return make_benchmark(**given | changes)


class TestTextStore:
    @given(columns)
    def test_what_is_written_is_read(self, tmp_path_factory, columns):
        rows = len(next(iter(columns.values())))
        ids = [f"row {i}" for i in range(rows)]
        store = TextStore.write(tmp_path_factory.mktemp("store") / "texts", ids, columns)
        assert store.ids == ids and len(store) == rows
        backwards = np.arange(rows)[::-1]
        for code in LANGUAGES:
            expected = columns.get(code, [None] * rows)
            assert store.texts(code, backwards) == expected[::-1]
            assert store.has(code).tolist() == [text is not None for text in expected]
        assert store.languages == tuple(sorted(c for c in columns if any(columns[c])))

    def test_a_language_may_be_missing(self, tmp_path):
        store = TextStore.write(tmp_path / "texts", ["a", "b"], {"en": ["one", None], "de": [None, None]})
        assert store.languages == ("en",)
        assert store.texts("de", [1, 0]) == store.texts("fi", [0, 0]) == [None, None]
        assert not store.has("de").any() and store.has("de").shape == (2,)
        assert store.texts("en", np.array([], dtype=np.int64)) == []

    def test_each_text_is_on_disk_once_and_mapped_into_memory(self, tmp_path):
        rows = 2_000
        columns = {code: [f"{code} {i} ".ljust(500, "x") for i in range(rows)] for code in ("de", "en")}
        store = TextStore.write(tmp_path / "texts", [str(i) for i in range(rows)], columns)
        payload = 2 * 500 * rows
        sizes = {path.name: path.stat().st_size for path in (tmp_path / "texts").iterdir()}
        assert sizes.keys() == {"row_id.arrow", "de.arrow", "en.arrow"}
        assert payload < sum(sizes.values()) < 1.05 * payload
        before = pa.total_allocated_bytes()
        opened = TextStore.open(tmp_path / "texts")
        assert opened.texts("de", [7]) == [columns["de"][7]]
        # The texts stay in the file's pages: Arrow allocates next to nothing for them.
        assert pa.total_allocated_bytes() - before < 0.01 * payload
        assert len(store) == len(opened)

    def test_a_worker_gets_the_path_and_not_the_texts(self, tmp_path):
        store = TextStore.write(tmp_path / "texts", ["a"], {"en": ["x" * 100_000]})
        sent = pickle.dumps(store)
        assert len(sent) < 1_000
        assert pickle.loads(sent).texts("en", [0]) == ["x" * 100_000]

    @pytest.mark.parametrize(
        ("ids", "columns", "message"),
        [
            (["a", "a"], {"en": ["x", "y"]}, "'a' occurs more than once"),
            (["a", ""], {"en": ["x", "y"]}, "'' is no id"),
            (["a", 5], {"en": ["x", "y"]}, "5 is no id"),
            (["a", "b"], {"en": ["x"]}, "1 texts in 'en' were given for 2 ids"),
            (["a", "b"], {"de": ["x", "y"], "en": ["x"]}, "'en' has 1 texts and 'de' has 2, for 2 ids"),
            (["a", "b"], {"de": ["x"], "en": ["x", "y", "z"]}, "'de' has 1 texts and 'en' has 3, for 2 ids"),
            (["a"], {"en": ["x", 7]}, "text of 'row 1' in 'en' is 7"),
            (["a", "b"], {"en": ["x", " "]}, "text of 'b' in 'en' is ' '"),
            (["a", "b"], {"en": ["x", 3]}, "text of 'b' in 'en' is 3"),
            (["a", "b"], {"en": ["x", "\ud800"]}, "text of 'b' in 'en'"),
            (["a", "\ud800"], {"en": ["x", "y"]}, "is no id"),
            (["a", "b"], {"English": ["x", "y"]}, 'perhaps "en"'),
            (["a", "b"], {False: ["x", "y"]}, "False is not a language code"),
        ],
    )
    def test_bad_input(self, tmp_path, ids, columns, message):
        with pytest.raises(KitError, match=re.escape(message)):
            TextStore.write(tmp_path / "texts", ids, columns)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["row_id", "en"])
    def test_a_file_cut_short_or_missing_or_another(self, tmp_path, name):
        with pytest.raises(KitError, match="does not exist"):
            TextStore.open(tmp_path / "texts")
        TextStore.write(tmp_path / "texts", ["a"], {"en": ["x" * 5_000], "de": ["y"]})
        path = tmp_path / "texts" / f"{name}.arrow"
        content = path.read_bytes()
        for cut in (0, 3, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:cut])
            with pytest.raises(KitError, match="no complete Arrow file"):
                TextStore.open(tmp_path / "texts")
        for columns, message in (({"text": ["x"]}, "no text store"), ({name: [1]}, "no text store")):
            self.write(path, pa.RecordBatch.from_pydict(columns))
            with pytest.raises(KitError, match=message):
                TextStore.open(tmp_path / "texts")
        texts = pa.array(["x", "y"], pa.large_string())
        self.write(path, pa.RecordBatch.from_arrays([texts], names=[name]))
        with pytest.raises(KitError, match="holds [12] texts, but there are [12] ids"):
            TextStore.open(tmp_path / "texts")
        self.write(path, *(pa.RecordBatch.from_arrays([part], names=[name]) for part in (texts[:1], texts[1:])))
        with pytest.raises(KitError, match="batches of other sizes"):
            TextStore.open(tmp_path / "texts")

    @staticmethod
    def write(path, *batches):
        with pa.ipc.new_file(str(path), batches[0].schema) as file:
            for batch in batches:
                file.write_batch(batch)

    def test_what_is_there_is_not_replaced(self, tmp_path):
        (tmp_path / "texts").mkdir()
        with pytest.raises(KitError, match="exists"):
            TextStore.write(tmp_path / "texts", ["a"], {"en": ["x"]})

    def test_a_source_that_cannot_be_read_is_no_full_disk(self, tmp_path):
        def broken():
            yield "x"
            raise OSError("Not a gzipped file")

        with pytest.raises(KitError, match="source of texts or pairs cannot be read .Not a gzipped file"):
            TextStore.write(tmp_path / "texts", ["a", "b"], {"en": broken()})
        assert not list(tmp_path.iterdir())

    def test_a_write_that_fails_leaves_what_was_there(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("old")
        with pytest.raises(RuntimeError), written_whole(path) as stage:
            stage.write_text("half")
            raise RuntimeError
        assert [p.name for p in tmp_path.iterdir()] == ["file"] and path.read_text() == "old"

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(KitError, match="cannot be written"):
            TextStore.write(tmp_path / "file" / "texts", ["a"], {"en": ["x"]})


@st.composite
def pair_tables(draw):
    """Arguments of make_pairs; every text is distinct, so that no negative shares one with a positive."""
    queries, passages, rows = draw(st.integers(1, 4)), draw(st.integers(2, 5)), draw(st.integers(1, 6))

    def side(name, count):
        codes = draw(st.lists(st.sampled_from(LANGUAGES), min_size=1, unique=True))
        missing = draw(st.sets(st.tuples(st.sampled_from(codes[1:] or [""]), st.integers(0, count - 1))))
        return {code: [None if (code, i) in missing else f"{name} {code} {i}" for i in range(count)] for code in codes}

    positive = draw(st.lists(st.integers(0, passages - 1), min_size=rows, max_size=rows))
    others = [[p for p in range(passages) if p != own] for own in positive]
    return {
        "query_ids": [f"q{i}" for i in range(queries)],
        "query_texts": side("query", queries),
        "passage_ids": [f"p{i}" for i in range(passages)],
        "passage_texts": side("passage", passages),
        "query": draw(st.lists(st.integers(0, queries - 1), min_size=rows, max_size=rows)),
        "positive": positive,
        "negatives": [draw(st.lists(st.sampled_from(rest), max_size=3)) for rest in others],
    }


class TestTrainingPairs:
    @given(pair_tables())
    def test_what_is_made_is_opened(self, tmp_path_factory, table):
        folder = tmp_path_factory.mktemp("pairs")
        made = make_pairs(folder / "a", "name", "licence", **table, names={"en": frozenset({"Ada", "Bo"})})
        for pairs in (made, TrainingPairs.open(folder / "a"), pickle.loads(pickle.dumps(made))):
            assert pairs.query.tolist() == table["query"] and pairs.positive.tolist() == table["positive"]
            split = np.split(pairs.negatives, pairs.negative_offsets[1:-1])
            assert [row.tolist() for row in split] == table["negatives"]
            assert (pairs.queries.ids, pairs.passages.ids) == (table["query_ids"], table["passage_ids"])
            for store, given_texts in ((pairs.queries, table["query_texts"]), (pairs.passages, table["passage_texts"])):
                for code, column in given_texts.items():
                    assert store.texts(code, range(len(store))) == column
            assert (pairs.name, pairs.licence, pairs.fingerprint) == ("name", "licence", made.fingerprint)
            assert pairs.names == {"en": {"Ada", "Bo"}}
            sides = (*table["query_texts"].items(), *table["passage_texts"].items())
            assert set(pairs.languages) == {code for code, column in sides if any(column)}

    def test_the_fingerprint_tells_contents_apart_and_nothing_else(self, tmp_path):
        first = small_pairs(tmp_path / "0").fingerprint
        swapped = {"id": ["pertama.", None, "ketiga."], "en": ["first.", "second.", None], "fi": [None] * 3}
        same = [{}, {"name": "other", "licence": "other", "names": None}, {"passage_texts": swapped}]
        other = [
            {"query_ids": ["q0", "q2"]},
            {"query_texts": {"en": ["first?", "second!"], "de": [None, "zweite?"]}},
            {"query_texts": {"en": ["first?", "second?"], "da": [None, "zweite?"]}},
            {"query_texts": {"en": ["first?s", "econd?"], "de": [None, "zweite?"]}},
            {"query_texts": {"en": ["first?", "second?"], "de": ["zweite?", None]}},
            {"query": [1, 0]},
            {"positive": [0, 0]},
            {"negatives": [[2, 1], []]},
            {"negatives": [[1], [2]]},
        ]
        for number, change in enumerate(same, 1):
            assert small_pairs(tmp_path / f"same {number}", **change).fingerprint == first
        found = {small_pairs(tmp_path / f"other {number}", **change).fingerprint for number, change in enumerate(other)}
        assert len(found) == len(other) and first not in found

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"query": [0, 2]}, "query 2 is no row number of the 2 texts"),
            ({"positive": [-1, 0]}, "positive -1 is no row number of the 3 texts"),
            ({"negatives": [[], [3]]}, "negative 3 is no row number"),
            ({"negatives": [[1]]}, "2 queries, 2 positives and 1 lists"),
            ({"query": [], "positive": [], "negatives": []}, "there must be a row"),
            ({"negatives": [[1], [2, 1]]}, "row 1 (query 'q1') has the negative 'p1', which is its own positive"),
            ({"query_texts": {"en": ["first?", None]}}, "query 'q1' has no text in any language"),
            ({"passage_texts": {"en": [None, "second.", "third."]}}, "positive 'p0' has no text in any language"),
            ({"passage_texts": {"en": ["first.", "second.", None]}}, "negative 'p2' has no text in any language"),
            ({"passage_ids": ["p0", "p0", "p2"]}, "'p0' occurs more than once"),
            (
                {"passage_texts": {"en": ["first.", "second.", "other."], "id": ["pertama.", None, "first."]}},
                "shares a text with it (1 such in all)",
            ),
        ],
    )
    def test_bad_input(self, tmp_path, change, message):
        with pytest.raises(KitError, match=re.escape(message)):
            small_pairs(tmp_path / "pairs", **change)
        assert not list(tmp_path.iterdir())

    def test_a_folder_of_other_pairs_is_replaced_and_any_other_is_not(self, tmp_path):
        small_pairs(tmp_path / "pairs", name="old")
        assert small_pairs(tmp_path / "pairs", name="new").name == "new"
        assert [p.name for p in tmp_path.iterdir()] == ["pairs"]
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "about.json").write_text("{}")
        (tmp_path / "mine" / "thesis.txt").write_text("precious")
        for place in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
            with pytest.raises(KitError, match="holds no training pairs"):
                small_pairs(place)
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"

    def test_saving_the_same_again_leaves_the_files_alone(self, tmp_path):
        small_pairs(tmp_path / "pairs")
        before = (tmp_path / "pairs").stat()
        small_pairs(tmp_path / "pairs")
        after = (tmp_path / "pairs").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    def test_another_process_was_faster(self, tmp_path, monkeypatch):
        """The folder appears, filled, between the look and the rename: the same pairs there are taken."""
        folder = tmp_path / "pairs"
        replace = os.replace

        def slow_replace(source, target):
            if str(target) == str(folder):
                monkeypatch.setattr(os, "replace", replace)
                small_pairs(folder)
            replace(source, target)

        monkeypatch.setattr(os, "replace", slow_replace)
        pairs = small_pairs(folder)
        assert TrainingPairs.open(folder).fingerprint == pairs.fingerprint
        assert [p.name for p in tmp_path.iterdir()] == ["pairs"]

    def test_a_folder_of_the_old_format_is_told_and_may_be_replaced(self, tmp_path):
        (tmp_path / "pairs").mkdir()
        (tmp_path / "pairs" / "pairs.arrow").write_bytes(b"")
        (tmp_path / "pairs" / "about.json").write_text('{"format": 1}')
        with pytest.raises(KitError, match="format 1 where 2 was expected"):
            TrainingPairs.open(tmp_path / "pairs")
        assert len(small_pairs(tmp_path / "pairs")) == 2

    @pytest.mark.parametrize(
        "name", ["queries/row_id.arrow", "passages/id.arrow", "positive.npy", "negatives.npy", "about.json"]
    )
    def test_a_file_missing_or_cut_short(self, tmp_path, name):
        small_pairs(tmp_path / "pairs")
        path = tmp_path / "pairs" / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(KitError, match="run the same command again"):
            TrainingPairs.open(tmp_path / "pairs")
        path.unlink()
        with pytest.raises(KitError, match="run the same command again"):
            TrainingPairs.open(tmp_path / "pairs")

    def test_an_altered_text_is_found(self, tmp_path):
        small_pairs(tmp_path / "pairs")
        path = tmp_path / "pairs" / "passages" / "en.arrow"
        content = path.read_bytes()
        path.write_bytes(content.replace(b"second.", b"Second."))
        assert path.read_bytes() != content
        with pytest.raises(KitError, match="was altered"):
            TrainingPairs.open(tmp_path / "pairs")


def groups_by_hand(rows):
    """Groups of rows (sets of texts) by joining until nothing changes: the slow way, as an oracle."""
    group = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for a in range(len(rows)):
            for b in range(len(rows)):
                if rows[a] & rows[b] and group[a] != group[b]:
                    group[a] = group[b] = min(group[a], group[b])
                    changed = True
    return group


class TestGroups:
    cell = st.none() | st.sampled_from("uvwxyz")
    table = st.lists(st.fixed_dictionaries({"en": cell, "de": cell}), min_size=1, max_size=7)

    @given(st.lists(table, min_size=1, max_size=3))
    def test_rows_that_share_a_text_share_a_group(self, tmp_path_factory, tables):
        folder = tmp_path_factory.mktemp("stores")
        stores = [
            TextStore.write(
                folder / str(number),
                [str(i) for i in range(len(rows))],
                {c: [row[c] for row in rows] for c in ("en", "de")},
            )
            for number, rows in enumerate(tables)
        ]
        sets = [{text for text in row.values() if text} for rows in tables for row in rows]
        assert np.concatenate(shared_groups(stores)).tolist() == groups_by_hand(sets)
        assert [len(group) for group in shared_groups(stores)] == [len(rows) for rows in tables]

    def test_of_pairs(self, tmp_path):
        pairs = small_pairs(
            tmp_path / "pairs",
            query_texts={"en": ["same?", "same?"], "de": [None, "zweite?"]},
            passage_texts={"en": ["first.", "second.", None], "de": ["a", "b", "c"], "id": [None, "c", None]},
        )
        assert pairs.query_group.tolist() == [0, 0]
        assert pairs.passage_group.tolist() == [0, 1, 1]
        assert pairs.groups is pairs.groups


class TestBenchmark:
    def test_relevance_is_joined_and_sorted(self):
        benchmark = small_benchmark()
        assert benchmark.gold_query.tolist() == [0, 1, 1]
        assert benchmark.gold_candidate.tolist() == [0, 1, 2]
        assert benchmark.languages == ("de", "en")
        assert benchmark.questions == ["q0", "q1"]
        assert benchmark.query_languages.tolist() == ["en", "de"]

    def test_a_pair_given_twice_counts_once(self):
        twice = small_benchmark(relevance=[("q0", "c0"), ("q1", "c1"), ("q0", "c0")])
        assert twice.gold_query.tolist() == [0, 1]

    def test_equal_texts_stay_separate_candidates(self):
        benchmark = small_benchmark(candidate_texts=["same.", "same.", "same."])
        assert len(benchmark.candidate_texts) == 3

    @given(st.integers(1, 6), st.integers(1, 6), st.data())
    def test_relevance_round_trip(self, queries, candidates, data):
        golds = st.sets(st.integers(0, candidates - 1), min_size=1)
        relevant = data.draw(st.lists(golds, min_size=queries, max_size=queries))
        pairs = [(f"q{q}", f"c{c}") for q, found in enumerate(relevant) for c in found]
        benchmark = make_benchmark(
            "random", "CC0",
            [f"q{i}" for i in range(queries)], ["text"] * queries, ["en"] * queries,
            [f"c{i}" for i in range(candidates)], ["text"] * candidates, ["de"] * candidates,
            data.draw(st.permutations(pairs)),
        )  # fmt: skip
        expected = [(q, c) for q, found in enumerate(relevant) for c in sorted(found)]
        assert list(zip(benchmark.gold_query.tolist(), benchmark.gold_candidate.tolist(), strict=True)) == expected

    def test_the_fingerprint_tells_contents_apart(self):
        changes = [
            {
                "query_ids": ["q9", "q1"],
                "questions": ["q0", "q1"],
                "relevance": [("q1", "c2"), ("q9", "c0"), ("q1", "c1")],
            },
            {"query_texts": ["First?", "zweite?"]},
            {"query_languages": ["en", "en"]},
            {"questions": ["q0", "q0"]},
            {"candidate_texts": ["first.", "zweitens.", "Second."]},
            {"candidate_languages": ["de", "de", "en"]},
            {"relevance": [("q1", "c2"), ("q0", "c0")]},
        ]
        found = {small_benchmark(**change).fingerprint for change in changes}
        first = small_benchmark(name="other", licence="other", relevance=[("q0", "c0"), ("q1", "c1"), ("q1", "c2")])
        assert first.fingerprint == small_benchmark().fingerprint
        assert len(found) == len(changes) and first.fingerprint not in found

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"relevance": [("q0", "c0"), ("q1", "c7"), ("q1", "c8")]},
                "query 'q1' and candidate 'c7' names an unknown candidate (2 such in all)",
            ),
            (
                {"relevance": [("q0", "c0"), ("q1", "c1"), ("q5", "c1")]},
                "query 'q5' and candidate 'c1' names an unknown query (1 such in all)",
            ),
            ({"relevance": [("q0", "c0")]}, "the query 'q1' has no relevant candidate (1 such in all)"),
            ({"relevance": []}, "the query 'q0' has no relevant candidate (2 such in all)"),
            ({"query_ids": ["q0", "q0"]}, "query of small id 'q0' occurs more than once"),
            ({"candidate_ids": ["c0", "c1", "c1"]}, "candidate of small id 'c1' occurs more than once"),
            ({"query_texts": ["first?", ""]}, "text of 'q1' in 'de' is ''"),
            ({"candidate_texts": ["first.", None, "second."]}, "candidate 'c1' has no text"),
            ({"candidate_languages": ["en", "German", "en"]}, 'perhaps "de"'),
            ({"candidate_languages": ["en", False, "en"]}, "'False' is not a language code"),
            ({"query_texts": ["first?"]}, "2 query ids, 1 texts"),
            ({"questions": ["q0"]}, "one question id"),
        ],
    )
    def test_bad_input(self, change, message):
        with pytest.raises(KitError, match=re.escape(message)):
            small_benchmark(**change)


def write_lines(path, lines):
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


GOOD = {"id": "q1", "query": {"en": "Who?"}, "positive": {"en": "Ada."}}


class TestJsonlPairs:
    def test_lines_are_joined(self, tmp_path, own_cache):
        lines = [
            {"id": "q1", "query": {"en": "Who?", "de": "Wer?"}, "positive": {"en": "Ada."}, "positive_id": "p1",
             "negatives": [{"en": "Bo."}, {"sw": "Cid."}]},
            "\n",
            {"id": "q2", "query": {"en": "Where?"}, "positive": {"de": "Ada, auf Deutsch."}, "positive_id": "p1"},
            {"id": "q3", "query": {"en": "Who?", "de": "Wer?"}, "positive": {"en": "Bo."}},
            {"id": "q1", "query": {"sw": "Nani?"}, "positive": {"sw": "Cid.", "en": None},
             "negatives": [{"en": "Dee."}]},
        ]  # fmt: skip
        pairs = read_pairs(write_lines(tmp_path / "mine.jsonl", lines))
        assert pairs.name == "mine"
        assert pairs.queries.ids == ["q1", "q2"]
        assert pairs.passages.ids == ["p1", "negative 1.1", "negative 1.2", "negative 4.1"]
        assert pairs.query.tolist() == [0, 1, 0, 0]
        assert pairs.positive.tolist() == [0, 0, 1, 2]
        split = np.split(pairs.negatives, pairs.negative_offsets[1:-1])
        assert [row.tolist() for row in split] == [[1, 2], [], [], [3]]
        assert pairs.queries.texts("sw", [0, 1]) == ["Nani?", None]
        assert pairs.passages.texts("de", [0, 1]) == ["Ada, auf Deutsch.", None]
        assert pairs.languages == ("de", "en", "sw")

    def test_kept_by_content_under_any_name(self, tmp_path, own_cache):
        first = read_pairs(write_lines(tmp_path / "one.jsonl", [GOOD]))
        second = read_pairs(write_lines(tmp_path / "two.jsonl", [GOOD]))
        assert first.queries.path == second.queries.path
        assert (first.name, second.name) == ("one", "two")
        changed = read_pairs(write_lines(tmp_path / "one.jsonl", [GOOD | {"positive": {"en": "Bo."}}]))
        assert changed.queries.path != first.queries.path
        assert changed.passages.texts("en", [0]) == ["Bo."]

    def test_a_damaged_cache_is_built_again(self, tmp_path, own_cache):
        path = write_lines(tmp_path / "one.jsonl", [GOOD])
        stored = read_pairs(path).passages.path / "en.arrow"
        stored.write_bytes(stored.read_bytes()[:100])
        assert read_pairs(path).passages.texts("en", [0]) == ["Ada."]

    def test_a_byte_order_mark_and_windows_line_ends(self, tmp_path, own_cache):
        path = tmp_path / "windows.jsonl"
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n\r\n")
        assert len(read_pairs(path)) == 1

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"id": "q1", "query": \n', "is no JSON"),
            ("[1, 2]\n", "is [1, 2]: write an object"),
            ('{"id": "q1", "id": "q2"}\n', "a key occurs twice"),
            ({"id": "q2", "query": {"en": "Who?"}}, 'the key "positive" is missing'),
            (GOOD | {"negativs": []}, 'the key "negativs" is unknown; perhaps "negatives"'),
            (GOOD | {"id": 7}, '"id" is 7'),
            (GOOD | {"query": "Who?"}, '"query" is "Who?": write the texts by language'),
            (GOOD | {"query": {"en": None}}, '"query" is {"en": null}'),
            (GOOD | {"query": {"en": "a", "de": "  "}}, '"de" is "  "'),
            (GOOD | {"query": {"Deutsch": "Wer?"}}, "'Deutsch' is not a language code"),
            (GOOD | {"positive": {"en": 1}}, '"en" is 1'),
            (GOOD | {"positive_id": ""}, '"positive_id" is ""'),
            (GOOD | {"negatives": {"en": "Bo."}}, '"negatives" is {"en": "Bo."}: write a list'),
            (GOOD | {"negatives": [{"en": "Bo."}, {"en": "Ada."}]}, "negative 2 is the line's own positive"),
            (GOOD | {"query": {"en": "Else?"}}, "'q1' has the text \"Else?\" in 'en', but an earlier line gave"),
        ],
    )
    def test_malformed_lines_are_named(self, tmp_path, own_cache, line, message):
        path = write_lines(tmp_path / "mine.jsonl", [GOOD, "\n", line])
        with pytest.raises(KitError, match=re.escape(message)) as error:
            read_pairs(path)
        assert f"{path}, line 3" in str(error.value) and "\n" not in str(error.value)
        assert not own_cache.exists()

    def test_bytes_that_are_no_utf8(self, tmp_path, own_cache):
        path = tmp_path / "latin.jsonl"
        path.write_bytes(json.dumps(GOOD | {"id": "é"}, ensure_ascii=False).encode("latin-1"))
        with pytest.raises(KitError, match="line 1 is no JSON .* in UTF-8"):
            read_pairs(path)

    def test_a_file_that_is_empty_or_missing(self, tmp_path, own_cache):
        with pytest.raises(KitError, match="holds no pairs"):
            read_pairs(write_lines(tmp_path / "empty.jsonl", []))
        with pytest.raises(KitError, match="cannot be read"):
            read_pairs(tmp_path / "nowhere.jsonl")

    def test_a_negative_that_shares_one_text_with_the_positive(self, tmp_path, own_cache):
        line = GOOD | {"negatives": [{"en": "Ada.", "de": "Etwas anderes."}]}
        with pytest.raises(KitError, match=r"query 'q1'.*shares a text"):
            read_pairs(write_lines(tmp_path / "mine.jsonl", [line]))


class TestJsonlBenchmark:
    queries = [
        {"id": "q1", "language": "en", "text": "Who?", "question": "1"},
        {"id": "q2", "language": "sw", "text": "Nani?"},
    ]
    candidates = [{"id": "c1", "language": "en", "text": "Ada."}, {"id": "c2", "language": "en", "text": "Bo."}]
    relevance = [{"query": "q2", "candidate": "c1"}, {"query": "q1", "candidate": "c2"}]

    def folder(self, tmp_path, **files):
        for name in ("queries", "candidates", "relevance"):
            write_lines(tmp_path / f"{name}.jsonl", files.get(name, getattr(self, name)))
        return tmp_path

    def test_reads(self, tmp_path):
        with pytest.warns(KitWarning, match="every one of its 2 candidates is relevant to some query"):
            benchmark = read_benchmark(self.folder(tmp_path))
        assert benchmark.name == tmp_path.name
        assert benchmark.questions == ["1", "q2"]
        assert benchmark.gold_candidate.tolist() == [1, 0]
        assert (benchmark.query_texts, benchmark.candidate_texts) == (["Who?", "Nani?"], ["Ada.", "Bo."])

    def test_one_candidate_that_answers_nothing_makes_a_pool(self, tmp_path):
        candidates = [*self.candidates, {"id": "c3", "language": "sw", "text": "Cy."}]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_benchmark(self.folder(tmp_path, candidates=candidates))

    @pytest.mark.parametrize(
        ("name", "line", "message"),
        [
            ("queries", {"id": "q3", "language": "Swahili", "text": "x"}, "queries.jsonl, line 3: 'Swahili' is not a"),
            ("queries", {"id": "q3", "language": "sw"}, 'queries.jsonl, line 3: the key "text" is missing'),
            ("candidates", {"id": "c3", "language": "sw", "text": 5}, 'candidates.jsonl, line 3: "text" is 5'),
            ("candidates", '{"id"', "candidates.jsonl, line 3 is no JSON"),
            ("candidates", {"id": "c1", "language": "sw", "text": "x"}, "'c1' occurs more than once"),
            ("relevance", {"query": "q1"}, 'relevance.jsonl, line 3: the key "candidate" is missing'),
            ("relevance", {"query": "q1", "candidate": "c9"}, "candidate 'c9' names an unknown candidate"),
            ("queries", {"id": "q3", "language": "sw", "text": "x"}, "'q3' has no relevant candidate"),
        ],
    )  # fmt: skip
    def test_bad_input(self, tmp_path, name, line, message):
        folder = self.folder(tmp_path, **{name: [*getattr(self, name), line]})
        with pytest.raises(KitError, match=re.escape(message)):
            read_benchmark(folder)

    def test_a_file_missing(self, tmp_path):
        (self.folder(tmp_path) / "relevance.jsonl").unlink()
        with pytest.raises(KitError, match=r"relevance\.jsonl cannot be read"):
            read_benchmark(tmp_path)


class TestCatalogue:
    parameters = SimpleNamespace(museum_exhibits=100, museum_evaluation_exhibits=20)

    def test_every_entry_says_all(self):
        names = {"museum", "xquad-r", "afriqa", "mlqa-r", "miracl", "miracl-hard-negatives"}
        assert names <= set(catalogue.CATALOGUE)
        for name, source in catalogue.CATALOGUE.items():
            assert source.name == name
            for key in ("what", "kind", "languages", "size", "licence", "revision", "checksum", "loader"):
                assert getattr(source, key), key
            loader = import_module(source.loader)
            assert callable(loader.load_pairs) if "pairs" in source.kind else not hasattr(loader, "load_pairs")
            assert (
                callable(loader.load_benchmark) if "benchmark" in source.kind else not hasattr(loader, "load_benchmark")
            )

    def test_a_users_own_files(self, tmp_path, own_cache):
        path = write_lines(tmp_path / "mine.jsonl", [GOOD])
        assert catalogue.training_pairs(str(path), self.parameters).name == "mine"
        folder = TestJsonlBenchmark().folder(tmp_path)
        assert catalogue.benchmark(str(folder), self.parameters).name == tmp_path.name

    def test_a_test_set_is_refused_as_training_data(self):
        with pytest.raises(KitError, match='"xquad-r" cannot be trained on, it is a test set .*SQuAD'):
            catalogue.training_pairs("xquad-r", self.parameters)

    @pytest.mark.parametrize("look_up", [catalogue.training_pairs, catalogue.benchmark])
    def test_unknown_names(self, look_up):
        with pytest.raises(KitError, match='"musuem" is no .*"museum".*; perhaps "museum"'):
            look_up("musuem", self.parameters)
        with pytest.raises(KitError, match="is no "):
            look_up("/nowhere/at/all", self.parameters)

    def test_listing_needs_no_heavy_import(self):
        code = (
            "import sys; import hybridkit.corpora.catalogue, hybridkit.corpora.pairs, hybridkit.corpora.audit, "
            "hybridkit.corpora.xquad_r, hybridkit.corpora.jsonl; "
            "print(*{'torch', 'pandas', 'sklearn', 'scipy', 'pooch', 'requests'} & set(sys.modules))"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.split() == []

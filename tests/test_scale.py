"""Training data of any size: columns in batches, groups in ranges, rows in blocks, and memory that does not grow."""

import hashlib
import pickle
import subprocess
import sys
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkit import pools
from hybridkit.corpora import groups, pairs, stores
from hybridkit.corpora.pairs import TrainingPairs, build_pairs, make_pairs
from hybridkit.corpora.stores import TextStore
from hybridkit.errors import KitError
from hybridkit.pools import Eligible, Rows, with_text
from hybridkit.sampling import BatchPlan

CODES = ("de", "en")


@contextmanager
def small_pieces():
    """Batches, blocks and ranges so small that data of a few rows have several of each."""
    with (
        patch.object(stores, "ROWS", 3),
        patch.object(groups, "_BLOCK", 4),
        patch.object(groups, "_TOGETHER", 2),
        patch.object(groups, "_IN_MEMORY", 64),
        patch.object(pairs, "_ROWS", 2),
        patch.object(pools, "_BLOCK", 2),
    ):
        yield


cells = st.none() | st.sampled_from(["u", "v", "ώ", "xyz", "longer than the others"])
tables = st.lists(st.fixed_dictionaries({code: cells for code in CODES}), min_size=1, max_size=11)


def columns_of(table):
    return {code: [row[code] for row in table] for code in CODES}


class TestStore:
    @given(tables)
    def test_a_store_in_many_batches_is_as_one_in_memory(self, tmp_path_factory, table):
        folder, ids = tmp_path_factory.mktemp("store"), [f"id {row}" for row in range(len(table))]
        with small_pieces():
            streamed = {code: iter(column) for code, column in columns_of(table).items()}
            store = TextStore.write(folder / "store", iter(ids), streamed)
            assert store.ids == ids and len(store) == len(ids)
            assert [store.id_of(row) for row in range(len(ids))] == ids
            order = np.arange(len(ids))[::-1]
            for code, column in columns_of(table).items():
                assert store.texts(code, order) == column[::-1]
                assert store.has(code).tolist() == [text is not None for text in column]
                assert store.complete(code) == all(column)
                if code in store.languages:
                    parts = [batch.to_pylist() for batch in store.batches(code)]
                    assert [text for part in parts for text in part] == column and max(map(len, parts)) <= 3
            digest = hashlib.sha256()
            store.update_hash(digest)
        assert digest.hexdigest() == self.hash_by_hand(ids, columns_of(table))

    @staticmethod
    def hash_by_hand(ids, columns):
        """Name and number of rows, then all lengths in bytes (-1 for none), then all texts: as it was in version 0.1."""
        digest = hashlib.sha256()
        there = {code: column for code, column in sorted(columns.items()) if any(column)}
        for name, column in {"row_id": ids, **there}.items():
            texts = [None if text is None else text.encode() for text in column]
            digest.update(f"{name} {len(column)}\n".encode())
            digest.update(np.array([-1 if t is None else len(t) for t in texts], "<i8").tobytes())
            digest.update(b"".join(t or b"" for t in texts))
        return digest.hexdigest()

    def test_a_row_that_is_not_there(self, tmp_path):
        with small_pieces():
            store = TextStore.write(tmp_path / "store", "abcd", {"en": "wxyz"})
            for rows in ([-1], [4], [0, 5]):
                with pytest.raises(IndexError):
                    store.texts("en", rows)

    def test_an_id_twice_in_different_batches(self, tmp_path):
        with small_pieces(), pytest.raises(KitError, match="id 'b' occurs more than once .1 repeated"):
            TextStore.write(tmp_path / "store", "abcdb", {"en": "vwxyz"})

    def test_a_bad_text_in_a_later_batch_is_named_by_its_id(self, tmp_path):
        with small_pieces(), pytest.raises(KitError, match="text of 'e' in 'en' is ' '"):
            TextStore.write(tmp_path / "store", "abcde", {"en": "vwxy "})

    def test_a_complete_language_takes_no_memory(self, tmp_path):
        store = TextStore.write(tmp_path / "store", "abc", {"en": "xyz", "de": ["x", None, "z"]})
        assert store.has("en").base.nbytes == store.has("fi").base.nbytes == 1
        assert store.has("en").all() and not store.has("fi").any() and not store.complete("fi")
        assert not store.complete("de") and len(store.has("fi")) == 3
        with pytest.raises(ValueError, match="read-only"):
            store.has("en")[0] = False


def some_pairs(folder, table, rows, **changes):
    """Pairs over a table of passages; `rows`: (query, positive, negatives); every question is of its own."""
    queries = 1 + max(query for query, _, _ in rows)
    query_texts = {code: [f"{code} {query}?" for query in range(queries)] for code in CODES}
    given_ = {
        "name": "some",
        "licence": "none",
        "query_ids": (f"q{query}" for query in range(queries)),
        "query_texts": query_texts,
        "passage_ids": (f"p{passage}" for passage in range(len(table))),
        "passage_texts": columns_of(table),
        "joins": iter([tuple(map(list, zip(*rows, strict=True)))]),
    }
    return build_pairs(folder, **given_ | changes)


def distinct(count):
    return [{code: f"{code} {row}" for code in CODES} for row in range(count)]


SOME_ROWS = [(0, 0, [1]), (1, 1, [2, 3]), (0, 3, []), (2, 2, [0, 1, 3]), (1, 4, [5])]


class TestPairs:
    def test_blocks_of_rows_are_joined(self, tmp_path):
        """Lists, tables and an empty block, from generators, give what one call with lists gives."""
        rows = [*SOME_ROWS, (2, 5, [0]), (2, 4, [1])]
        query, positive, negatives = (list(part) for part in zip(*rows, strict=True))
        blocks = [
            (np.array(query[:2]), positive[:2], negatives[:2]),
            ([], [], []),
            (query[2:5], np.array(positive[2:5]), [tuple(row) for row in negatives[2:5]]),
            (np.array(query[5:]), np.array(positive[5:]), np.array(negatives[5:])),
        ]
        with small_pieces():
            streamed = some_pairs(tmp_path / "streamed", distinct(6), rows, joins=iter(blocks))
        whole = make_pairs(
            tmp_path / "whole", "some", "none", [f"q{i}" for i in range(3)],
            {code: [f"{code} {i}?" for i in range(3)] for code in CODES}, [f"p{i}" for i in range(6)],
            columns_of(distinct(6)), query, positive, negatives,
        )  # fmt: skip
        assert streamed.fingerprint == whole.fingerprint
        for made in (streamed, whole):
            assert made.query.tolist() == query and made.positive.tolist() == positive
            assert [part.tolist() for part in np.split(made.negatives, made.negative_offsets[1:-1])] == negatives

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ((0, 9, []), "positive 9 is no row number of the 6 texts there are .1 such in all"),
            ((0, 5, [4, -2]), "negative -2 is no row number"),
            ((1, 5, [4, 5]), "row 5 .query 'q1'. has the negative 'p5', which is its own positive 'p5' .* .1 such"),
        ],
    )
    def test_a_fault_in_a_later_block_is_found(self, tmp_path, row, message):
        with small_pieces(), pytest.raises(KitError, match=message):
            some_pairs(tmp_path / "pairs", distinct(6), [*SOME_ROWS, row])
        assert not list(tmp_path.iterdir())

    def test_no_rows_at_all(self, tmp_path):
        with pytest.raises(KitError, match="there must be a row"):
            some_pairs(tmp_path / "pairs", distinct(6), SOME_ROWS, joins=iter([]))

    def test_joins_that_cannot_be_read(self, tmp_path):
        def broken():
            yield [0], [0], [[1]]
            raise OSError("cut short")

        with pytest.raises(KitError, match="source of texts or pairs cannot be read .cut short"):
            some_pairs(tmp_path / "pairs", distinct(6), SOME_ROWS, joins=broken())
        assert not list(tmp_path.iterdir())

    def test_pairs_go_to_workers_as_a_path(self, tmp_path):
        made = some_pairs(tmp_path / "pairs", distinct(2_000), SOME_ROWS)
        plan = BatchPlan([made], mono=1, cross=0, multi=0, languages=["en"], batch_size=2)
        sent = pickle.dumps(plan)
        assert len(sent) < 2_000
        assert pickle.loads(sent).fingerprint(range(5)) == plan.fingerprint(range(5))

    def test_large_pairs_are_verified_when_asked(self, tmp_path):
        """A text altered in place is found at once in small pairs, and in large ones by `verify`."""
        made = some_pairs(tmp_path / "pairs", distinct(6), SOME_ROWS)
        path = tmp_path / "pairs" / "passages" / "en.arrow"
        content = path.read_bytes()
        assert content.count(b"en 3") == 1
        with patch.object(pairs, "VERIFIED_SIZE", 0):
            TrainingPairs.open(tmp_path / "pairs").verify()
            path.write_bytes(content.replace(b"en 3", b"en 7"))
            opened = TrainingPairs.open(tmp_path / "pairs")
            with pytest.raises(KitError, match="was altered: its contents have the fingerprint"):
                opened.verify()
            assert opened.fingerprint == made.fingerprint
        with pytest.raises(KitError, match="was altered"):
            TrainingPairs.open(tmp_path / "pairs")

    @pytest.mark.parametrize("name", ["passages/en.arrow", "negatives.npy", "queries/de.arrow"])
    def test_large_pairs_cut_short_missing_or_added(self, tmp_path, name):
        some_pairs(tmp_path / "pairs", distinct(6), SOME_ROWS)
        path = tmp_path / "pairs" / name
        content = path.read_bytes()
        with patch.object(pairs, "VERIFIED_SIZE", 0):
            for altered in (content[:-8], content + b"\0" * 8, None):
                path.unlink()
                if altered:
                    path.write_bytes(altered)
                with pytest.raises(KitError, match=f"was altered: {name} is missing, cut short or not of these"):
                    TrainingPairs.open(tmp_path / "pairs")


def shared_by_hand(tables):
    """Groups by giving rows that share a text the smaller name until nothing changes."""
    rows = [{text for text in row.values() if text} for table in tables for row in table]
    group = list(range(len(rows)))
    for _ in rows:
        for one in range(len(rows)):
            group[one] = min(group[other] for other in range(len(rows)) if other == one or rows[one] & rows[other])
            for other in range(len(rows)):
                if group[other] == one:
                    group[other] = group[one]
    return group


class TestGroups:
    @given(st.lists(tables, min_size=1, max_size=3))
    @settings(max_examples=60)
    def test_groups_found_in_ranges_are_those_found_by_hand(self, tmp_path_factory, tables):
        folder = tmp_path_factory.mktemp("stores")
        with small_pieces(), patch.dict("os.environ", HYBRIDKIT_CACHE=str(folder / "cache")):
            stores_ = [
                TextStore.write(folder / str(number), map(str, range(len(table))), columns_of(table))
                for number, table in enumerate(tables)
            ]
            found = groups.shared_groups(stores_)
        assert [len(part) for part in found] == [len(table) for table in tables]
        assert np.concatenate(found).tolist() == shared_by_hand(tables)

    @given(st.data())
    @settings(max_examples=40)
    def test_relevant_passages_by_hand(self, tmp_path_factory, data):
        folder = tmp_path_factory.mktemp("pairs")
        made = []
        for number in range(data.draw(st.integers(1, 2))):
            rows = data.draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=8))
            table = data.draw(st.lists(st.sampled_from([{"de": "a", "en": "b"}, *distinct(6)]), min_size=5, max_size=5))
            asked = {"en": data.draw(st.lists(st.sampled_from("uvwx"), min_size=4, max_size=4))}
            joins = [([q for q, _ in rows], [p for _, p in rows], [[] for _ in rows])]
            changes = {"query_ids": "abcd", "query_texts": asked, "joins": joins}
            made.append(some_pairs(folder / str(number), table, [(3, 0, [])], **changes))
        with small_pieces():
            found = groups.groups_of(made)
        questions = [(one, row) for one in range(len(made)) for row in range(len(made[one]))]
        for one, row in questions:
            group = found.queries[one][made[one].query[row]]
            expected = {
                int(found.passages[other][made[other].positive[r]])
                for other, r in questions
                if found.queries[other][made[other].query[r]] == group
            }
            assert found.relevant_to(group) == sorted(expected)

    def test_large_groups_are_computed_once(self, tmp_path, own_cache, monkeypatch):
        one = some_pairs(tmp_path / "one", distinct(6), SOME_ROWS)
        other = some_pairs(tmp_path / "other", distinct(7), SOME_ROWS)
        expected = groups.groups_of([one, other])
        assert not (own_cache / "groups").exists()
        monkeypatch.setattr(groups, "LARGE", 1)
        computed = []
        monkeypatch.setattr(groups, "_computed", lambda d, real=groups._computed: computed.append(len(d)) or real(d))
        for again in (False, True, True):
            found = groups.groups_of([one, other])
            for name in ("queries", "passages"):
                for a, b in zip(getattr(found, name), getattr(expected, name), strict=True):
                    assert a.tolist() == b.tolist()
            assert found.relevant.tolist() == expected.relevant.tolist()
            assert found.starts.tolist() == expected.starts.tolist()
            assert not found.relevant.flags.owndata, "read into memory"
            assert computed == [2], again
        groups.groups_of([other, one])
        assert computed == [2, 2], "another order of the data has groups of its own"
        path = next(own_cache.glob("groups/*/passages.npy"))
        path.write_bytes(path.read_bytes()[:-8])
        for order in ([one, other], [other, one]):
            assert groups.groups_of(order).relevant.tolist()
        assert computed == [2, 2, 2]


class TestRows:
    @given(st.lists(st.booleans(), max_size=40))
    def test_rows_are_those_of_the_mask(self, mask):
        expected = [row for row, chosen in enumerate(mask) if chosen]
        rows = Rows(len(mask), np.array(mask, dtype=bool))
        assert len(rows) == len(expected)
        assert [rows[index] for index in range(len(rows))] == expected == [int(row) for row in rows]
        assert [row for block in rows.blocks(3) for row in block.tolist()] == expected
        for index in (-1 - len(mask), len(rows)):
            with pytest.raises(IndexError):
                rows[index]

    def test_all_rows_are_a_range(self):
        rows = Rows(5)
        assert list(rows) == [0, 1, 2, 3, 4] and rows[np.array([3, 1])].tolist() == [3, 1]
        assert list(Rows(0)) == []

    @given(st.data())
    @settings(max_examples=60)
    def test_eligible_rows_by_hand(self, tmp_path_factory, data):
        table = data.draw(
            st.lists(st.fixed_dictionaries({c: st.none() | st.just(c) for c in CODES}), min_size=4, max_size=4)
        )
        table = [{c: text and f"{c} {row}" for c, text in cells.items()} for row, cells in enumerate(table)]
        table = [cells if any(cells.values()) else {"de": f"de {row}", "en": None} for row, cells in enumerate(table)]
        rows = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=7))
        rows = [
            (q, p, data.draw(st.lists(st.sampled_from([n for n in range(4) if n != p]), max_size=3))) for q, p in rows
        ]
        asked = {"en": ["a", None, "c"], "de": [None, "b", "c"]}
        changes = {"query_ids": "abc", "query_texts": asked}
        wanted = data.draw(st.integers(0, 3))
        with small_pieces():
            made = some_pairs(tmp_path_factory.mktemp("pairs") / "a", table, rows, **changes)
            eligible = Eligible(made, wanted)
            for query, passage, others in [
                ("en", "en", ["en"]), ("en", "de", ["de"]), ("de", "de", ["de", "en"]), ("fi", "en", ["en"]), ("en", "fi", ["fi"]),
            ]:  # fmt: skip
                expected = [
                    row
                    for row, (q, p, negatives) in enumerate(rows)
                    if asked.get(query, [None] * 3)[q]
                    and table[p].get(passage)
                    and sum(any(table[n].get(code) for code in others) for n in negatives) >= wanted
                ]
                assert list(eligible.rows(query, passage, others)) == expected

    def test_complete_languages_share_their_rows(self, tmp_path):
        made = some_pairs(tmp_path / "pairs", distinct(6), SOME_ROWS)
        eligible = Eligible(made, 1)
        assert eligible.rows("de", "en", ["en"]) is eligible.rows("en", "de", ["de"])
        assert list(eligible.rows("de", "en", ["en"])) == [0, 1, 3, 4]
        assert list(with_text(made.passages, ["en"])) == list(range(6))


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    """40 rows; passages are in English, every second one also in German; half of the rows state negatives."""
    table = [{"en": f"en {row}", "de": f"de {row}" if row % 2 == 0 else None} for row in range(60)]
    # Two passages that share a text with others, and questions with two answers.
    table[50] = {"en": "en 4", "de": "de 50"}
    table[52] = {"en": "en 52", "de": "de 6"}
    rows = [(row % 30, row, [row + 1, 2 * (row // 2) + 2][: row % 3]) for row in range(40)]
    return some_pairs(tmp_path_factory.mktemp("pairs") / "holes", table, rows)


def plan_of(*data, mono=0.4, cross=0.3, multi=0.3, batch_size=6, **settings_):
    return BatchPlan(
        data, mono=mono, cross=cross, multi=multi, languages=["de", "en"], batch_size=batch_size, **settings_
    )


def faults(plan, batch):
    """False negatives and passages that stand twice in a batch, told by texts of all languages."""

    def texts(data, passage):
        return {data.passages.texts(code, [passage])[0] for code in data.passages.languages} - {None}

    answers, brought = [], []
    for dataset, row, negatives in zip(batch.dataset, batch.row, batch.negatives, strict=True):
        data = plan.datasets[dataset]
        relevant = data.positive[data.query[:] == data.query[row]]
        answers.append(set().union(*(texts(data, passage) for passage in relevant)))
        brought.append([texts(data, passage) for passage in [data.positive[row], *negatives]])
    found = []
    for example, passages in enumerate(brought):
        for place, passage in enumerate(passages):
            wrong = [other for other, right in enumerate(answers) if passage & right and (other != example or place)]
            found += [("relevant", example, place, other) for other in wrong]
    everything = [passage for passages in brought for passage in passages]
    twice = [1 for one in range(len(everything)) for other in range(one) if everything[one] & everything[other]]
    return found + twice


class TestNegatives:
    @given(
        seed=st.integers(0, 10_000),
        negatives=st.integers(1, 3),
        missing=st.sampled_from(["leave-out", "random"]),
        language=st.sampled_from(["positive", "any"]),
    )
    @settings(max_examples=40)
    def test_negatives_keep_their_promises(self, holes, seed, negatives, missing, language):
        if missing == "leave-out":
            negatives = 1  # of two there are too few to fill a batch
        options = dict(
            seed=seed, explicit_negatives=negatives, missing_negatives=missing, negative_language=language, batch_size=4
        )
        plan, again = plan_of(holes, **options), plan_of(holes, **options)
        for step in range(3):
            batch = plan.step(step)
            assert batch.negatives.shape == batch.negative_language.shape == (4, negatives)
            assert not faults(plan, batch)
            for example in range(4):
                row = batch.row[example]
                own = holes.negatives[holes.negative_offsets[row] : holes.negative_offsets[row + 1]].tolist()
                for passage, code in zip(batch.negatives[example], batch.negative_language[example], strict=True):
                    assert holes.passages.texts(plan.languages[code], [passage]) != [None]
                    assert passage in own or missing == "random"
                    if language == "positive" or batch.kind == "mono":
                        assert code == batch.passage_language[example]
        assert plan.fingerprint([5]) == again.fingerprint([5])

    def test_what_a_row_states_comes_before_what_is_drawn(self, tmp_path):
        data = some_pairs(tmp_path / "pairs", distinct(40), [(row, row, [row + 20]) for row in range(20)])
        plan = plan_of(data, explicit_negatives=3, missing_negatives="random", batch_size=2)
        drawn = set()
        for step in range(60):
            batch = plan.step(step)
            for row, negatives in zip(batch.row, batch.negatives, strict=True):
                # Two of a batch never share a passage, so a stated one may have been taken before.
                assert negatives[0] == row + 20 or row + 20 in batch.negatives
                drawn.update(negatives[1:].tolist())
        assert len(drawn) == 40, "all passages are drawn as negatives"

    def test_random_negatives_make_rows_eligible(self, tmp_path):
        data = some_pairs(tmp_path / "pairs", distinct(20), [(row, row, []) for row in range(20)])
        with pytest.raises(KitError, match="missing_negatives to random"):
            plan_of(data, explicit_negatives=1)
        plan = plan_of(data, explicit_negatives=1, missing_negatives="random", batch_size=10)
        batch = plan.step(0)
        assert sorted([*batch.row, *batch.negatives[:, 0]]) == list(range(20)), "the last ones are looked for"
        with pytest.raises(KitError, match="cannot be filled"):
            plan_of(data, explicit_negatives=1, missing_negatives="random", batch_size=11).step(0)

    def test_the_last_passage_that_fits_is_found(self, tmp_path):
        """All other passages as negatives: 50 draws hardly ever find them."""
        data = some_pairs(tmp_path / "pairs", distinct(40), [(0, 0, [])])
        batch = plan_of(data, explicit_negatives=39, missing_negatives="random", batch_size=1).step(0)
        assert sorted(batch.negatives[0]) == list(range(1, 40))

    def test_a_negative_in_any_language(self, holes):
        """The table tells each language; in cross and multi batches both come, as often as they are there."""
        plan = plan_of(holes, explicit_negatives=1, missing_negatives="random", negative_language="any", batch_size=4)
        table = plan.table(range(120))
        mixed = table[table["kind"] != "mono"]
        codes = [codes[0] for codes in mixed["negative_language"]]
        german = [holes.passages.has("de")[negatives[0]] for negatives in mixed["negatives"]]
        assert not any(code == "de" and not there for code, there in zip(codes, german, strict=True))
        share = np.mean([code == "de" for code, there in zip(codes, german, strict=True) if there])
        assert abs(share - 0.5) < 4.4 * 0.5 / np.sqrt(sum(german)) and 0 < sum(german) < len(german)
        mono = table[table["kind"] == "mono"]
        assert [codes[0] for codes in mono["negative_language"]] == mono["passage_language"].tolist()
        assert "negative_language" not in plan_of(holes, explicit_negatives=1, batch_size=4).table([0])

    def test_a_negative_without_a_text_in_the_positive_s_language_serves_in_another(self, tmp_path):
        table = [*distinct(4), *({"en": f"en {row}", "de": None} for row in range(4, 8))]
        data = some_pairs(tmp_path / "pairs", table, [(row, row, [row + 4]) for row in range(4)])
        settings_ = dict(mono=0, cross=1, multi=0, explicit_negatives=1, batch_size=4, cross_pairs="batch")
        found = [plan_of(data, negative_language="any", **settings_).step(step) for step in range(10)]
        assert {int(code) for batch in found for code in batch.passage_language} == {0, 1}
        assert {int(code) for batch in found for code in batch.negative_language.ravel()} == {1}
        plan = plan_of(data, **settings_)
        assert {int(code) for step in range(10) for code in plan.step(step).passage_language} == {1}


FULL = """
import resource, sys
from hybridkit.corpora.pairs import make_pairs

size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
texts = {"en": [f"{row} " * 20 for row in range(2_000)]}
ids = [str(row) for row in range(2_000)]
make_pairs(sys.argv[1], "full", "none", ids, texts, ids, texts, range(2_000), range(2_000), [[]] * 2_000)
"""


@pytest.mark.parametrize("size", [1_000, 20_000, 100_000])
def test_a_disk_that_fills_up(tmp_path, size):
    """A limit on the size of files stands for it: in the middle of texts, or of ids, nothing half-made is left."""
    command = [sys.executable, "-c", FULL, str(tmp_path / "pairs"), str(size)]
    told = subprocess.run(command, check=False, capture_output=True, text=True).stderr
    assert "KitError" in told.splitlines()[-1] and "cannot be written (" in told and "name another place" in told
    assert not list(tmp_path.iterdir())


MEASURED = """
import os, resource, sys
import numpy as np, pandas, pyarrow.compute, scipy.sparse.csgraph
from hybridkit.corpora.pairs import build_pairs
from hybridkit.sampling import BatchPlan

folder, passages = sys.argv[1], int(sys.argv[2])
queries, block = passages // 10, 10_000

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def texts(code, what, count):
    return (f"{code} {what} {row} some more words that make it long enough" for row in range(count))

def joins():
    for start in range(0, 2 * passages, block):
        query = np.random.default_rng(start).integers(0, queries, block)
        yield query, query * 10, (query * 10 + 1)[:, None]

before = peak()
pairs = build_pairs(
    folder, name="measured", licence="none", joins=joins(),
    query_ids=(f"q{row}" for row in range(queries)), query_texts={c: texts(c, "q", queries) for c in ("de", "en")},
    passage_ids=(f"p{row}" for row in range(passages)), passage_texts={c: texts(c, "p", passages) for c in ("de", "en")},
)
plan = BatchPlan([pairs], mono=0.5, cross=0.5, multi=0, languages=["de", "en"], batch_size=16, explicit_negatives=1)
for step in range(5):
    plan.step(step)
print(peak() - before)
"""


def test_ten_times_the_data_need_not_ten_times_the_memory(tmp_path, own_cache):
    """Peak memory of building and planning above that of the imports, pages of mapped files included.

    With every text a Python object it grew 7-fold, and grows some 2.5-fold now: by the pages of the files, and by pieces
    that the smaller data do not fill.
    """
    grown = []
    for passages in (30_000, 300_000):
        # Through a shell, since a process takes the peak of the one that starts it for its own first.
        python = [sys.executable, "-c", MEASURED, str(tmp_path / str(passages)), str(passages)]
        command = ["sh", "-c", '"$@"; exit $?', "sh", *python]
        grown.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert 0 < grown[1] < 4 * grown[0], f"{grown[0]:,} and {grown[1]:,}, in the units of getrusage"

"""MLQA-R and MIRACL from made-up folders in the layout of the public ones, each with odd rows; parts; large columns."""

import json
import pickle
import warnings
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hybridkit import comparison, lexical, lock, metrics, paths, shards
from hybridkit.cli import main
from hybridkit.corpora import catalogue, large, miracl, mlqa_r
from hybridkit.corpora.audit import audit
from hybridkit.corpora.jsonl import read_pairs
from hybridkit.display import show_source
from hybridkit.errors import KitError, KitWarning
from hybridkit.evaluation import embed, evaluate_model
from hybridkit.params import Parameters
from hybridkit.ranks import gold_ranks

NOTHING = Parameters()


@pytest.fixture(autouse=True)
def own_folders(own_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))


# MLQA-R: paragraphs by language, each with its sentences and its questions (id, text, number of the sentence).
MLQA = {
    "ar": [(["الساعة في البرج. ", "وجدها ميرا."], [("q1", "أين الساعة؟", 0)])],
    "de": [(["Die\u00a0Uhr steht im Turm. ", "Mira fand sie."], [("q1", "Wo steht die Uhr?", 0)])],
    "en": [
        (["The clock stands in the tower. ", " ", "Mira found it."], [("q1", "Where is the clock?", 0)]),
        (["A vase of glass."], [("q2", "What is of glass?", 0)]),
    ],
    "es": [(["Un jarrón de vidrio."], [("q2", "¿Qué es de vidrio?", 0)])],
    "hi": [(["एक घड़ी।"], [("q3", "क्या?", 0)])],
    "vi": [(["Một cái đồng hồ."], [("q3", "Cái gì?", 0)])],
    "zh": [(["一座钟。"], [("q3", "什么？", 0)])],
}


def mlqa_file(paragraphs):
    found = []
    for sentences, questions in paragraphs:
        starts = np.cumsum([0, *map(len, sentences)]).tolist()
        asked = [
            {"id": i, "question": q, "answers": [{"text": "", "answer_start": starts[s]}]} for i, q, s in questions
        ]
        breaks = [list(pair) for pair in pairwise(starts)]
        found.append({"context": "".join(sentences), "qas": asked, "sentences": sentences, "sentence_breaks": breaks})
    return json.dumps({"data": [{"title": "t", "paragraphs": found}], "version": "1"}, ensure_ascii=False)


@pytest.fixture
def mlqa(monkeypatch):
    """MLQA-R's folder with seven small files, their checksums pinned, the licence not accepted."""
    folder = paths.downloads() / "mlqa-r"
    folder.mkdir(parents=True)
    for code, paragraphs in MLQA.items():
        (folder / f"{code}.json").write_text(mlqa_file(paragraphs), encoding="utf-8")
    pins = {p.name: {"sha256": catalogue.content_hash(p), "bytes": p.stat().st_size} for p in folder.iterdir()}
    monkeypatch.setattr(mlqa_r, "SOURCE", replace(mlqa_r.SOURCE, files=pins))
    return folder


class TestMlqaR:
    def test_only_once_the_licence_is_accepted(self, mlqa):
        with pytest.raises(KitError, match="CC BY-NC 4.0.*hybridkit data fetch mlqa-r --accept-licence"):
            catalogue.benchmark("mlqa-r", NOTHING)
        lock.accept("mlqa-r", "CC BY-NC 4.0")
        with pytest.warns(KitWarning, match="MLQA-R: 1 sentences without text are left out"):
            assert catalogue.benchmark("mlqa-r", NOTHING).name == "mlqa-r"

    @pytest.mark.filterwarnings("ignore::hybridkit.errors.KitWarning")
    def test_a_pool_without_a_relevant_sentence_does_not_count(self, mlqa):
        lock.accept("mlqa-r", "CC BY-NC 4.0")
        found = mlqa_r.load()
        assert Counter(found.questions) == {"q1": 3, "q2": 2, "q3": 3}
        golds = [found.candidate_ids[c] for c in found.gold_candidate[found.gold_query == 1]]
        assert found.query_ids[1] == "de:q1" and golds == ["ar:0:0:0", "de:0:0:0", "en:0:0:0"]
        assert "en:0:0:1" not in found.candidate_ids and "en:0:0:2" in found.candidate_ids
        assert "Die\u00a0Uhr steht im Turm. " in found.candidate_texts and "وجدها ميرا." in found.candidate_texts
        vectors = np.random.default_rng(0).normal(size=(30, 4))
        gold = gold_ranks(vectors[: len(found.query_ids)], vectors[: len(found.candidate_ids)], found)
        rows = metrics.table(gold).set_index(["setting", "query_language", "pool"])["queries"]
        assert rows["monolingual", "en", "en"] == 2 and rows["cross-lingual", "en", "es"] == 1
        assert ("cross-lingual", "en", "hi") not in rows and ("cross-lingual", "de", "es") not in rows

    @pytest.mark.filterwarnings("ignore::hybridkit.errors.KitWarning")
    def test_some_languages(self, mlqa):
        lock.accept("mlqa-r", "CC BY-NC 4.0")
        found = catalogue.benchmark("mlqa-r:es+en", NOTHING)
        assert (found.name, found.languages) == ("mlqa-r:en+es", ("en", "es"))
        assert np.bincount(found.gold_query).tolist() == [1, 2, 2]

    def test_an_answer_outside_of_all_sentences(self, mlqa, monkeypatch):
        lock.accept("mlqa-r", "CC BY-NC 4.0")
        path = mlqa / "zh.json"
        path.write_text(path.read_text(encoding="utf-8").replace('"answer_start": 0', '"answer_start": 99'))
        pin = {"zh.json": {"sha256": catalogue.content_hash(path), "bytes": path.stat().st_size}}
        monkeypatch.setattr(mlqa_r, "SOURCE", replace(mlqa_r.SOURCE, files=pin))
        with pytest.raises(KitError, match="the answer to 'q3' stands in no sentence"):
            mlqa_r.load(["zh"])

    def test_pins_and_address(self, shared_data):
        pins = json.loads((shared_data / "PINS.json").read_text(encoding="utf-8"))["mlqa-r"]
        assert {f"mlqa-r/{name}": dict(pin) for name, pin in mlqa_r.SOURCE.files.items()} == pins["files"]
        url = mlqa_r.SOURCE.url.format(commit=mlqa_r.SOURCE.commit, file="de.json")
        repository = "https://raw.githubusercontent.com/google-research-datasets/lareqa"
        assert url == f"{repository}/{pins['commit']}/mlqa-r/de.json" and mlqa_r.SOURCE.must_accept

    def test_counts_of_the_real_files(self, shared_data, monkeypatch):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
        if not (shared_data / "mlqa-r").is_dir():
            pytest.skip("needs the real files of MLQA-R in shared/data/mlqa-r, which are not here")
        lock.accept("mlqa-r", "CC BY-NC 4.0")
        found = mlqa_r.load()
        queries = {"ar": 517, "de": 512, "en": 1148, "es": 500, "hi": 507, "vi": 511, "zh": 504}
        candidates = {"ar": 2545, "de": 2362, "en": 6264, "es": 1787, "hi": 2426, "vi": 2828, "zh": 2322}
        assert Counter(found.query_languages.tolist()) == queries
        assert Counter(found.candidate_languages.tolist()) == candidates
        assert Counter(Counter(found.questions).values()) == {4: 820, 3: 263, 2: 65}
        golds = dict(zip(found.questions, np.bincount(found.gold_query).tolist(), strict=True))
        assert Counter(golds.values()) == {4: 820, 3: 263, 2: 65}


SW = {
    "corpus": [
        ("10#0", "Mji mkuu wa Kenya.", "Nairobi"), ("10#1", "Ni\u00a0mji mkubwa. ", "Nairobi"), ("11#0", "", ""),
        ("12#0", "Mlima mrefu zaidi Afrika.", "Kilimanjaro"), ("13#0", "", "Mombasa"), ("14#0", "Ziwa kubwa.", None),
    ],
    "queries": [("0", "Mji mkuu wa Kenya ni upi?"), ("1", "Mlima upi?"), ("2", "Hakuna jibu?"), ("3", "Ziwa lipi?")],
    "qrels": [("0", "10#0", 1), ("0", "10#1", 1), ("0", "12#0", 0), ("1", "12#0", 1), ("2", "10#0", 0), ("3", "14#0", 1)],
}  # fmt: skip
AR = {
    "corpus": [("7#0", "عاصمة مصر.", "القاهرة"), ("7#1", "مدينة كبيرة.", "القاهرة"), ("8#0", "نهر طويل.", "النيل")],
    "queries": [("0", "ما عاصمة مصر؟")],
    "qrels": [("0", "7#0", 1), ("0", "8#0", 0)],
}
COLUMNS = {
    "corpus": ("_id", "text", "title"),
    "queries": ("_id", "text"),
    "qrels": ("query-id", "corpus-id", "score"),
}


def write_language(folder, code, content, shards=2):
    """The Parquet files of one language as MTEB's repository has them: a folder a part, shards of the split dev."""
    for what, rows in content.items():
        part = folder / f"{code}-{what}"
        part.mkdir(parents=True, exist_ok=True)
        count = shards if what == "corpus" else 1
        for number in range(count):
            here = rows[number * len(rows) // count : (number + 1) * len(rows) // count]
            table = pa.table({name: [row[i] for row in here] for i, name in enumerate(COLUMNS[what])})
            pq.write_table(table, part / f"dev-{number:05}-of-{count:05}.parquet")


@pytest.fixture
def sw_and_ar(monkeypatch):
    folder = paths.downloads() / "miracl"
    write_language(folder, "sw", SW)
    write_language(folder, "ar", AR)
    counts = {code: (0, 0) for code in catalogue.CATALOGUE["miracl"].languages}
    monkeypatch.setitem(miracl.COUNTS, "miracl", counts | {"sw": (3, 5), "ar": (1, 3)})
    return folder


def loaded(name="miracl:sw+ar"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KitWarning)
        return catalogue.benchmark(name, NOTHING)


class TestMiracl:
    def test_rows(self, sw_and_ar):
        with pytest.warns(KitWarning) as told:
            found = catalogue.benchmark("miracl:sw+ar", NOTHING)
        assert [str(one.message) for one in told] == [
            "miracl:sw leaves out 1 passages without a text, 1 queries without a relevant passage."
        ]
        assert (found.name, found.languages, found.own_language_only) == ("miracl:ar+sw", ("ar", "sw"), True)
        assert found.query_ids == ["ar:0", "sw:0", "sw:1", "sw:3"] == found.questions
        assert found.query_languages.tolist() == ["ar", "sw", "sw", "sw"]
        assert found.query_texts[0] == "ما عاصمة مصر؟"
        assert found.candidate_ids == [
            "ar:7#0",
            "ar:7#1",
            "ar:8#0",
            "sw:10#0",
            "sw:10#1",
            "sw:12#0",
            "sw:13#0",
            "sw:14#0",
        ]
        assert found.candidate_languages.tolist() == ["ar"] * 3 + ["sw"] * 5
        assert found.candidate_texts[3:] == [
            "Nairobi Mji mkuu wa Kenya.", "Nairobi Ni\u00a0mji mkubwa.", "Kilimanjaro Mlima mrefu zaidi Afrika.", "Mombasa",
            "Ziwa kubwa.",
        ]  # fmt: skip
        assert (found.gold_query.tolist(), found.gold_candidate.tolist()) == ([0, 1, 1, 2, 3], [0, 3, 4, 5, 7])

    def test_the_text_of_a_passage_is_that_of_mteb(self, sw_and_ar):
        def as_mteb(text, title):
            return f"{title} {text}".strip() if title else text.strip()

        texts = [as_mteb(text, title) for _, text, title in SW["corpus"]]
        assert list(loaded("miracl:sw").candidate_texts) == [text for text in texts if text]

    def test_built_once_and_without_the_downloads_from_then_on(self, sw_and_ar):
        first = loaded()
        for path in sw_and_ar.rglob("*.parquet"):
            path.unlink()
        again = loaded()
        assert again.fingerprint == first.fingerprint and again.candidate_texts == list(first.candidate_texts)
        assert loaded("miracl:sw").fingerprint != first.fingerprint

    def test_shards_and_cuts_do_not_matter(self, sw_and_ar, own_cache, monkeypatch):
        first = loaded("miracl:sw").fingerprint
        for number, (pieces, batch) in enumerate([(1, 2), (5, 1), (3, 4)]):
            monkeypatch.setenv("HYBRIDKIT_CACHE", str(own_cache / str(number)))
            monkeypatch.setenv("HYBRIDKIT_LOCK", str(own_cache / f"{number}.json"))
            monkeypatch.setattr(miracl, "_BATCH", batch)
            write_language(paths.downloads() / "miracl", "sw", SW, pieces)
            assert loaded("miracl:sw").fingerprint == first

    def test_another_text_is_another_fingerprint(self, sw_and_ar, own_cache, monkeypatch):
        first = loaded("miracl:sw").fingerprint
        changes = [
            SW | {"corpus": [*SW["corpus"][:-1], ("14#0", "Ziwa dogo.", None)]},
            SW | {"queries": [("0", "Mji?"), *SW["queries"][1:]]},
            SW | {"qrels": [*SW["qrels"], ("3", "13#0", 1)]},
        ]
        for number, content in enumerate(changes):
            monkeypatch.setenv("HYBRIDKIT_CACHE", str(own_cache / str(number)))
            monkeypatch.setenv("HYBRIDKIT_LOCK", str(own_cache / f"{number}.json"))
            write_language(paths.downloads() / "miracl", "sw", content)
            assert loaded("miracl:sw").fingerprint != first

    def test_a_damaged_cache_is_built_again(self, sw_and_ar):
        first = loaded("miracl:sw")
        (path,) = paths.cache().glob("benchmarks/*/sw/candidates.arrow")
        path.write_bytes(path.read_bytes()[:-10])
        assert loaded("miracl:sw").candidate_texts == list(first.candidate_texts)

    def test_other_counts_than_mtebs_are_told(self, sw_and_ar, monkeypatch):
        monkeypatch.setitem(miracl.COUNTS["miracl"], "ar", (2_896, 2_061_414))
        with pytest.warns(
            KitWarning, match="miracl:ar has 1 queries and 3 passages, but MTEB counted 2,896 .*2,061,414"
        ):
            catalogue.benchmark("miracl:ar", NOTHING)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"qrels": [*SW["qrels"], ("1", "99#9", 1)]},
                "the relevant passage 'sw:99#9' is not among the passages in 'sw'",
            ),
            ({"corpus": [*SW["corpus"], ("10#0", "x", "y")]}, "'sw:10#0' occurs more than once among the passages"),
        ],
    )
    def test_golds_that_name_no_one_passage(self, sw_and_ar, change, message):
        write_language(sw_and_ar, "sw", SW | change)
        with pytest.raises(KitError, match=message):
            loaded("miracl:sw")
        assert not list(paths.cache().glob("benchmarks/*/sw/*"))

    def test_judgements_of_0_may_name_any_passage_and_relevance_of_no_query_is_counted(self, sw_and_ar):
        write_language(sw_and_ar, "sw", SW | {"qrels": [*SW["qrels"], ("1", "99#9", 0), ("77", "10#0", 1)]})
        with pytest.warns(KitWarning, match="1 queries that have relevance and no text"):
            found = catalogue.benchmark("miracl:sw", NOTHING)
        assert len(found.gold_query) == 4

    def test_numbers_as_ids_and_no_title(self, sw_and_ar):
        part = sw_and_ar / "ar-corpus"
        for path in part.iterdir():
            path.unlink()
        pq.write_table(
            pa.table({"id": [7, 8], "text": ["a", "b"]}), part / "dev-00000-of-00001-0123456789abcdef.parquet"
        )
        pq.write_table(
            pa.table({"query-id": [0], "corpus-id": [8], "score": [1.0]}),
            sw_and_ar / "ar-qrels/dev-00000-of-00001.parquet",
        )
        assert list(loaded("miracl:ar").candidate_ids) == ["ar:7", "ar:8"]

    def test_a_file_cut_short(self, sw_and_ar):
        path = sw_and_ar / "sw-corpus" / "dev-00001-of-00002.parquet"
        path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(KitError, match=r"dev-00001-of-00002\.parquet is cut short.*data fetch miracl:sw") as fault:
            loaded("miracl:sw")
        assert "\n" not in str(fault.value)

    def test_another_file_than_the_locked_one(self, sw_and_ar):
        loaded("miracl:ar")
        path = sw_and_ar / "ar-queries" / "dev-00000-of-00001.parquet"
        was = lock.read()["datasets"]["miracl"]["files"]["ar-queries/dev-00000-of-00001.parquet"]["sha256"]
        path.write_bytes(b"another")
        with pytest.raises(KitError, match=was):
            miracl.fetch("miracl", ["ar"])

    def test_a_wrong_table(self, sw_and_ar):
        pq.write_table(pa.table({"a": [1]}), sw_and_ar / "ar-qrels" / "dev-00000-of-00001.parquet")
        with pytest.raises(KitError, match="has no column 'query-id'"):
            loaded("miracl:ar")


class TestHub:
    """Which files are asked for, with a hub of the test's own."""

    @pytest.fixture
    def hub(self, monkeypatch, tmp_path):
        import huggingface_hub

        write_language(tmp_path / "hub", "sw", SW)
        write_language(tmp_path / "hub", "ar", AR)
        (tmp_path / "hub" / "README.md").write_text("MIRACL")
        asked = []

        class Api:
            def list_repo_files(self, name, repo_type, revision):
                asked.append((name, revision))
                return [
                    p.relative_to(tmp_path / "hub").as_posix() for p in (tmp_path / "hub").rglob("*") if p.is_file()
                ]

        def download(repository, name, repo_type, revision, local_dir):
            asked.append((name, revision))
            (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
            (local_dir / name).write_bytes((tmp_path / "hub" / name).read_bytes())

        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        return asked

    def test_one_language_is_downloaded_once_and_locked(self, hub):
        pinned = "9c09abc13478308c27598f350e31d8f06b9b5481"
        files = [
            *(f"sw-corpus/dev-0000{i}-of-00002.parquet" for i in (0, 1)),
            *(f"sw-{what}/dev-00000-of-00001.parquet" for what in ("queries", "qrels")),
        ]
        assert (
            catalogue.fetch("miracl:sw")
            == f"miracl:sw: 4 files with the right checksums in {paths.downloads() / 'miracl'}"
        )
        assert [one for one in hub if "/dev-" in one[0]] == [(name, pinned) for name in files]
        assert {one for one in hub if "/dev-" not in one[0]} == {("mteb/MIRACLRetrieval", pinned)}
        assert sorted(files) == list(lock.read()["datasets"]["miracl"]["files"])
        hub.clear()
        assert list(loaded("miracl:sw").query_ids) == ["sw:0", "sw:1", "sw:3"] and not hub

    def test_a_revision_that_the_user_locks_takes_the_place_of_the_catalogues(self, hub):
        miracl.fetch("miracl", ["ar"])
        first = catalogue.content_key("miracl:ar", NOTHING)
        paths.lock_file().write_text(json.dumps({"datasets": {"miracl": {"revision": "c0ffee", "locked": "today"}}}))
        for path in (paths.downloads() / "miracl").rglob("*.parquet"):
            path.unlink()
        hub.clear()
        miracl.fetch("miracl", ["ar"])
        assert {revision for _, revision in hub} == {"c0ffee"}
        assert first != catalogue.content_key("miracl:ar", NOTHING) == "c0ffee:ar"

    def test_a_revision_that_is_gone(self, hub, monkeypatch):
        import huggingface_hub
        from httpx2 import Request, Response

        def gone(*arguments, **named):
            answer = Response(404, request=Request("GET", "https://hub"))
            raise huggingface_hub.errors.RevisionNotFoundError("no", response=answer)

        monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", gone)
        with pytest.raises(
            KitError, match="names no longer exists; write one that does as the revision of miracl there"
        ):
            loaded("miracl:sw")

    def test_a_shard_that_is_missing_is_fetched(self, hub):
        miracl.fetch("miracl", ["sw"])
        hub.clear()
        (paths.downloads() / "miracl" / "sw-corpus" / "dev-00000-of-00002.parquet").unlink()
        assert len(miracl.fetch("miracl", ["sw"])) == 4
        assert [name for name, _ in hub] == ["mteb/MIRACLRetrieval", "sw-corpus/dev-00000-of-00002.parquet"]

    def test_a_language_that_the_repository_lacks(self, hub):
        with pytest.raises(KitError, match="mteb/MIRACLRetrieval has no complete yo-corpus"):
            miracl.fetch("miracl", ["yo"])

    def test_no_network(self, monkeypatch):
        import huggingface_hub

        class Api:
            def list_repo_files(self, *arguments, **named):
                raise ConnectionError("no route")

        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        with pytest.raises(KitError, match="list of files of mteb/MIRACLRetrievalHardNegatives could not be reached"):
            loaded("miracl-hard-negatives:sw")


class TestParts:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("miracl:yo+sw", ("miracl", ("sw", "yo"))),
            ("miracl", ("miracl", ())),
            ("xquad-r:ar+de+el+en+es+hi+ru+th+tr+vi+zh", ("xquad-r", ())),
            ("C:/mine", ("C:/mine", ())),
        ],
    )
    def test_names(self, name, expected):
        assert catalogue.split_part(name) == expected

    def test_of_xquad_r(self, shared_data, monkeypatch):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
        part = catalogue.benchmark("xquad-r:th+en", NOTHING)
        assert (part.name, part.languages, len(part.candidate_ids)) == ("xquad-r:en+th", ("en", "th"), 1180 + 852)
        assert catalogue.content_key("xquad-r:th+en", NOTHING) == f"{catalogue.content_key('xquad-r', NOTHING)}:en:th"
        assert catalogue.fetch("xquad-r:en+th").startswith("xquad-r:en+th: 2 files")

    def test_the_kits_own_raise_no_alarm_of_judged_passages(self, shared_data, monkeypatch):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for name in ("museum", "xquad-r", "afriqa"):
                catalogue.benchmark(name, SimpleNamespace(museum_evaluation_exhibits=3))

    @pytest.mark.parametrize("name", ["miracl:xx", "miracl:", "museum:en", "miracl:sw,yo"])
    def test_wrong_ones(self, name):
        with pytest.raises(KitError, match=f'"{name}"'):
            catalogue.benchmark(name, NOTHING)

    def test_none_is_training_data(self):
        for name in ("miracl:sw", "mlqa-r", "miracl-hard-negatives"):
            with pytest.raises(KitError, match="cannot be trained on, it is a test set"):
                catalogue.training_pairs(name, NOTHING)


class TestUses:
    """What reads a benchmark works with one whose columns stay on disk."""

    def test_ranks_in_the_own_language(self, sw_and_ar):
        found = loaded()
        vectors = np.random.default_rng(1).normal(size=(12, 8)).astype(np.float32)
        queries, candidates = vectors[:4], vectors[4:]
        gold = gold_ranks(queries, candidates, found)
        scores = queries @ candidates.T
        for gold_row, (query, candidate) in enumerate(zip(found.gold_query, found.gold_candidate, strict=True)):
            own = found.candidate_languages == found.query_languages[query]
            assert gold.own_ranks()[gold_row] == 1 + (scores[query, own] > scores[query, candidate]).sum()
        assert metrics.table(gold)[["setting", "pool", "queries"]].values.tolist() == [
            ["monolingual", "ar", 1],
            ["monolingual", "sw", 3],
        ]

    def test_a_model_over_shards(self, sw_and_ar, small_encoder):
        found = loaded()
        whole = evaluate_model(str(small_encoder), found)
        part = shards.evaluate_model(str(small_encoder), found, shards=3)
        assert (part.above == whole.above).all() and (part.tied == whole.tied).all()
        assert part.gold_candidate.tolist() == ["ar:7#0", "sw:10#0", "sw:10#1", "sw:12#0", "sw:14#0"]

    def test_encoding_and_words(self, sw_and_ar):
        found = loaded()

        class Lengths:
            def encode_query(self, texts, **settings):
                return np.array([[len(text), text.count(" ")] for text in texts], np.float32)

            encode_document = encode_query

        _, vectors = embed(Lengths(), found, 2)
        assert vectors.tolist() == [[len(t), t.count(" ")] for t in found.candidate_texts]
        gold = lexical.bm25_gold_ranks(found)
        assert gold.own_ranks()[found.gold_query == 1].min() == 1

    def test_bm25_leaves_out_what_is_too_large(self, sw_and_ar, monkeypatch):
        monkeypatch.setattr(lexical, "MOST", 7)
        found = loaded()
        with pytest.raises(KitError, match="BM25 is left out of miracl:ar.sw: its 8 candidates are more than the 7"):
            lexical.bm25_gold_ranks(found)
        with pytest.warns(KitWarning, match="BM25 is left out"):
            assert comparison.lexical_baseline(found) is None
        run = SimpleNamespace(parameters=Parameters(), benchmarks={"large": found, "small": loaded("miracl:sw")})
        with pytest.warns(KitWarning, match="BM25 is left out"):
            assert {row["benchmark"] for row in comparison.baseline_rows(run)} == {"small"}

    def test_the_command_line_goes_on_without_bm25(self, sw_and_ar, tmp_path, monkeypatch):
        monkeypatch.setattr(lexical, "MOST", 7)
        found = loaded()
        for what, rows in (("queries", found.query_ids), ("candidates", found.candidate_ids)):
            np.save(tmp_path / f"{what}.npy", np.random.default_rng(2).normal(size=(len(rows), 4)))
        answer = CliRunner().invoke(main, ["evaluate", "--embeddings", str(tmp_path), "--benchmark", "miracl:sw+ar"])
        assert answer.exit_code == 0 and "note: BM25 is left out" in answer.output
        assert "on miracl:ar+sw (4 queries, 8 candidates)" in answer.output and "**BM25**" not in answer.output

    def test_audit_and_display(self, sw_and_ar, tmp_path):
        line = {"id": "1", "query": {"sw": "Mji mkuu wa Kenya ni upi?"}, "positive": {"sw": "Mombasa"}}
        (tmp_path / "mine.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
        report = audit(read_pairs(tmp_path / "mine.jsonl"), loaded("miracl:sw"))
        assert report.rows[0].exact_questions == 1 and report.rows[0].passages == 4
        with pytest.warns(KitWarning):
            assert "answer    Nairobi Mji mkuu wa Kenya." in show_source("miracl:sw", "sw", False)


texts = st.lists(st.text(min_size=1).filter(lambda text: text.isprintable()), min_size=1, max_size=12)


class TestColumns:
    @given(texts, st.lists(st.integers(1, 5), min_size=1), st.data())
    def test_stored_strings_are_as_a_list(self, tmp_path_factory, rows, cuts, data):
        folder = tmp_path_factory.mktemp("column")
        ids = [str(i) for i in range(len(rows))]
        starts = [*range(0, len(rows), cuts[0]), len(rows)]
        batches = [(pa.array(ids[a:b]), pa.array(rows[a:b])) for a, b in pairwise(starts)]
        digest = large.write(folder / "first.arrow", batches)
        assert large.write(folder / "second.arrow", [(pa.array(ids), pa.array(rows))]) == digest
        stored = large.StoredStrings([folder / "first.arrow", folder / "second.arrow"], "text")
        rows = rows * 2
        assert stored == rows and list(stored) == rows and len(stored) == len(rows) and stored == tuple(rows)
        assert [stored[i] for i in range(-len(rows), len(rows))] == rows * 2
        chosen = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1)))
        assert stored[np.array(chosen, int)] == [rows[i] for i in chosen]
        assert stored[1:-1] == rows[1:-1] and stored[::-2] == rows[::-2]
        assert pickle.loads(pickle.dumps(stored)) == rows
        places = stored.find(sorted(set(rows[:2])))
        assert places == {text: [i for i, other in enumerate(rows) if other == text] for text in rows[:2]}

    @given(st.dictionaries(st.sampled_from(["ar", "bem", "sw", "yo"]), st.integers(0, 4), min_size=1), st.data())
    def test_language_ranges_are_as_an_array(self, sizes, data):
        ranges, array = large.LanguageRanges(sizes), np.repeat(list(sizes), list(sizes.values()))
        assert len(ranges) == len(array) and ranges.tolist() == array.tolist() == np.asarray(ranges, np.str_).tolist()
        assert (ranges == "sw").tolist() == (array == "sw").tolist()
        mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(array), max_size=len(array))), bool)
        assert ranges[mask].tolist() == array[mask].tolist() and ranges[1:3].tolist() == array[1:3].tolist()
        if len(array):
            row = data.draw(st.integers(-len(array), len(array) - 1))
            assert ranges[row] == array[row] and ranges[np.array([row])].tolist() == [array[row]]

    def test_the_digest_is_of_the_rows_alone(self, tmp_path):
        def digest(ids, texts):
            return large.write(tmp_path / "any.arrow", [(ids, texts)])

        ids, texts = pa.array(["0", "1"], pa.large_string()), pa.array(["ab", "c"], pa.large_string())
        more = pa.array(["x", "ab", "c", "y"], pa.large_string()).slice(1, 2)
        assert digest(ids, texts) == digest(ids, more)
        assert len({digest(ids, pa.array(rows)) for rows in (["ab", "c"], ["a", "bc"], ["abc", ""])}) == 3

    def test_rows_that_are_not_there(self, tmp_path):
        large.write(tmp_path / "a.arrow", [(pa.array(["1"]), pa.array(["one"]))])
        stored = large.StoredStrings([tmp_path / "a.arrow"], "text")
        for row in (1, -2, np.array([0, 1])):
            with pytest.raises(IndexError):
                stored[row]
            with pytest.raises(IndexError):
                large.LanguageRanges({"sw": 1})[row]

    def test_a_file_cut_short(self, tmp_path):
        large.write(tmp_path / "a.arrow", [(pa.array(["1"]), pa.array(["one"]))])
        (tmp_path / "a.arrow").write_bytes((tmp_path / "a.arrow").read_bytes()[:-9])
        with pytest.raises(KitError, match=r"a\.arrow is missing or no complete Arrow file"):
            large.StoredStrings([tmp_path / "a.arrow"], "text")

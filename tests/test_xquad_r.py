"""The XQuAD-R loader: its facts, its checks, and what it says where there is nothing to load."""

import hashlib
import json
import shutil
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import numpy as np
import pytest

from hybridkit.corpora import catalogue, xquad_r
from hybridkit.errors import KitError
from hybridkit.languages import XQUAD_R

CANDIDATES = {"ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244, "ru": 1219, "th": 852, "tr": 1167,
              "vi": 1209, "zh": 1196}  # fmt: skip


@pytest.fixture
def offline(own_cache, monkeypatch):
    """Downloads go to a port of this machine where nobody listens; returns the folder for the files."""
    monkeypatch.setenv("NO_PROXY", "*")
    use_source(monkeypatch, url="http://127.0.0.1:9/{commit}/{file}")
    return (own_cache / "downloads" / "xquad-r").resolve()


def use_source(monkeypatch, **changes):
    monkeypatch.setattr(xquad_r, "SOURCE", catalogue.Source(**vars(xquad_r.SOURCE) | changes))


@pytest.fixture
def local_copy(shared_data, monkeypatch, offline):
    """The real files, by the variable of the environment, with no way to the network."""
    monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
    return (shared_data / "xquad-r").resolve()


@pytest.fixture(scope="module")
def benchmark(shared_data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
        return xquad_r.load()


class TestFacts:
    def test_counts(self, benchmark):
        assert (len(benchmark.query_ids), len(benchmark.candidate_ids)) == (13_090, 13_014)
        assert Counter(benchmark.candidate_languages.tolist()) == CANDIDATES
        assert set(Counter(benchmark.query_languages.tolist()).values()) == {1_190}
        assert benchmark.languages == XQUAD_R
        assert (benchmark.name, benchmark.licence) == ("xquad-r", "CC BY-SA 4.0")

    def test_every_question_has_one_relevant_sentence_a_language(self, benchmark):
        assert np.bincount(benchmark.gold_query).tolist() == [11] * 13_090
        languages = benchmark.candidate_languages[benchmark.gold_candidate].reshape(-1, 11)
        assert (np.sort(languages, axis=1) == np.array(XQUAD_R)).all()

    def test_translations_of_a_question_have_the_same_golds(self, benchmark):
        golds, asked = {}, Counter(benchmark.questions)
        for question, row in zip(benchmark.questions, benchmark.gold_candidate.reshape(-1, 11).tolist(), strict=True):
            assert golds.setdefault(question, row) == row
        assert len(golds) == 1_190 and set(asked.values()) == {11}

    def test_nine_texts_occur_more_than_once_and_stay_separate(self, benchmark):
        assert sum(count > 1 for count in Counter(benchmark.candidate_texts).values()) == 9
        assert len(set(benchmark.candidate_ids)) == 13_014

    def test_ids(self, benchmark):
        query = benchmark.query_ids.index("de:56beb4343aeaaa14008c925b")
        assert benchmark.questions[query] == "56beb4343aeaaa14008c925b"
        assert benchmark.candidate_ids[0] == "ar:0:0:0"
        golds = {benchmark.candidate_ids[c] for c in benchmark.gold_candidate[benchmark.gold_query == query]}
        # The first question about the first paragraph: its answer "308" stands in the first sentence everywhere.
        assert golds == {f"{code}:0:0:0" for code in XQUAD_R}

    def test_the_relevant_sentence_holds_the_answer(self, benchmark, shared_data):
        """Straight from the files, where an answer lies within one sentence."""
        text = dict(zip(benchmark.candidate_ids, benchmark.candidate_texts, strict=True))
        row = {one: i for i, one in enumerate(benchmark.query_ids)}
        golds = benchmark.gold_candidate.reshape(-1, 11)
        held = 0
        for code in ("en", "tr", "zh"):
            content = json.loads((shared_data / "xquad-r" / f"{code}.json").read_text(encoding="utf-8"))
            paragraphs = [p for article in content["data"] for p in article["paragraphs"]]
            for asked in (asked for p in paragraphs for asked in p["qas"]):
                ids = [benchmark.candidate_ids[c] for c in golds[row[f"{code}:{asked['id']}"]]]
                (own,) = (one for one in ids if one.startswith(f"{code}:"))
                held += asked["answers"][0]["text"] in text[own]
        assert held / (3 * 1_190) > 0.99

    def test_golden_fingerprint(self, benchmark, local_copy):
        assert benchmark.fingerprint == "551c6f697757977df4b8cf12eae82b555a89336d5e05b33f1954647f7a1fe98d"
        assert xquad_r.load(("de", "en")).fingerprint != benchmark.fingerprint

    def test_some_languages_only(self, local_copy):
        benchmark = xquad_r.load(("th", "en"))
        assert len(benchmark.candidate_ids) == 852 + 1180
        assert np.bincount(benchmark.gold_query).tolist() == [2] * 2_380


class TestPins:
    def test_they_are_those_of_the_pinned_revision(self, shared_data):
        pins = json.loads((shared_data / "PINS.json").read_text(encoding="utf-8"))["xquad-r"]
        source = catalogue.CATALOGUE["xquad-r"]
        assert source.commit == pins["commit"]
        assert {f"xquad-r/{name}": dict(pin) for name, pin in source.files.items()} == pins["files"]
        assert source.licence == pins["licence"]

    def test_every_language_has_one(self):
        assert list(xquad_r.SOURCE.files) == [f"{code}.json" for code in XQUAD_R]


class TestFiles:
    def test_a_copy_needs_no_network_and_is_left_as_it_is(self, local_copy):
        before = {p.name: p.stat().st_mtime_ns for p in local_copy.iterdir()}
        found = xquad_r.fetch()
        assert found == {code: local_copy / f"{code}.json" for code in XQUAD_R}
        assert {p.name: p.stat().st_mtime_ns for p in local_copy.iterdir()} == before

    @pytest.mark.parametrize("damage", ["cut short", "altered"])
    def test_a_damaged_file_is_told_and_kept(self, shared_data, offline, damage):
        content = (shared_data / "xquad-r" / "de.json").read_bytes()
        content = content[:-1000] if damage == "cut short" else content.replace(b"308", b"803", 1)
        offline.mkdir(parents=True)
        (offline / "de.json").write_bytes(content)
        with pytest.raises(KitError) as error:
            xquad_r.load(["de"])
        message = str(error.value)
        assert str(offline / "de.json") in message and "cut short or altered" in message
        assert hashlib.sha256(content).hexdigest() in message
        assert "16fb0f4bf4916154b585a20c24c66074591c9718a1affe764ff4697572328949" in message
        assert "delete it and run `hybridkit data fetch xquad-r`" in message
        assert (offline / "de.json").read_bytes() == content

    def test_no_network_and_nothing_there(self, offline):
        with pytest.raises(KitError) as error:
            xquad_r.load()
        message = str(error.value)
        for part in ("127.0.0.1 could not be reached", str(offline), "HYBRIDKIT_DOWNLOADS"):
            assert part in message
        assert "\n" not in message and not list(offline.glob("*"))

    def test_no_network_and_one_language_missing(self, shared_data, offline):
        offline.mkdir(parents=True)
        shutil.copy(shared_data / "xquad-r" / "de.json", offline)
        assert xquad_r.fetch(["de"]) == {"de": offline / "de.json"}
        with pytest.raises(KitError, match=r"en\.json is not there"):
            xquad_r.fetch(["de", "en"])

    def test_the_real_host_is_named(self):
        url = xquad_r.SOURCE.url.format(commit=xquad_r.SOURCE.commit, file="de.json")
        commit = "9bc8c7fb6dd8d01d72a05a93c2cb96882b0d299c"
        assert url == f"https://raw.githubusercontent.com/google-research-datasets/lareqa/{commit}/xquad-r/de.json"

    @pytest.mark.parametrize("languages", [["de", "fr"], []])
    def test_an_unknown_language(self, languages):
        with pytest.raises(KitError, match="XQuAD-R has no language"):
            xquad_r.fetch(languages)


class TestDownload:
    """Against a server of the test's own."""

    content = b'{"data": []}'

    @pytest.fixture
    def server(self, own_cache, monkeypatch):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(404 if "fr" in self.path else 200)
                self.end_headers()
                self.wfile.write(TestDownload.content)

            def log_message(self, *_):
                pass

        monkeypatch.setenv("NO_PROXY", "*")
        server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        right, wrong = hashlib.sha256(self.content).hexdigest(), "0" * 64
        files = {"de.json": right, "en.json": wrong, "fr.json": right}
        use_source(
            monkeypatch,
            url=f"http://127.0.0.1:{server.server_port}/{{commit}}/{{file}}",
            languages=("de", "en", "fr"),
            files={name: {"sha256": sha256, "bytes": len(self.content)} for name, sha256 in files.items()},
        )
        yield asked
        server.shutdown()
        server.server_close()

    def test_fetched_once(self, server, own_cache):
        path = own_cache / "downloads" / "xquad-r" / "de.json"
        for _ in range(2):
            assert xquad_r.fetch(["de"]) == {"de": path}
        assert path.read_bytes() == self.content
        assert server == [f"/{xquad_r.SOURCE.commit}/de.json"]

    def test_another_content_is_thrown_away(self, server, own_cache):
        with pytest.raises(KitError, match="127.0.0.1 sent for en.json does not have the SHA-256 0000"):
            xquad_r.fetch(["en"])
        assert not list((own_cache / "downloads" / "xquad-r").iterdir())

    def test_the_server_refuses(self, server):
        with pytest.raises(KitError, match="127.0.0.1 answered 404"):
            xquad_r.fetch(["fr"])

    def test_a_folder_that_cannot_be_written(self, server, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(tmp_path / "file"))
        with pytest.raises(KitError, match="cannot be written .*HYBRIDKIT_DOWNLOADS"):
            xquad_r.fetch(["de"])

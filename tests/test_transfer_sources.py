"""Labelled texts and parallel sentences: small files in the layouts of the sources, and the facts of the real ones."""

import hashlib
import json
import zipfile
from collections import Counter

import numpy as np
import pytest

from hybridkit import lock, paths
from hybridkit.corpora import americasnli, catalogue, mldoc, sib_200, sib_200_held_out, tables, xnli
from hybridkit.errors import KitError, KitWarning
from hybridkit.languages import XQUAD_R
from hybridkit.params import Parameters
from hybridkit.ranks import gold_ranks
from hybridkit.transfer import parallel


@pytest.fixture(autouse=True)
def own_folders(own_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))


@pytest.fixture
def real(shared_data, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
    return shared_data


def pins_of(shared_data, name):
    return json.loads((shared_data / "PINS.json").read_text(encoding="utf-8"))[name]


def put(source, name, content):
    path = paths.downloads() / source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table(*rows):
    return "".join("\t".join(row) + "\n" for row in rows)


def archive(source, name, **files):
    path = put(source, name, b"")
    with zipfile.ZipFile(path, "w") as found:
        for inner, content in files.items():
            found.writestr(f"{name.removesuffix('.zip')}/{inner.replace('_', '.')}.tsv", content)


class TestTables:
    def test_quotation_marks_are_characters(self):
        found = list(tables.rows(["a\tb\n", '"x\ty"\n', "u\tv"], ("b", "a"), "toy"))
        assert found == [{"b": 'y"', "a": '"x'}, {"b": "v", "a": "u"}]

    def test_faults(self):
        with pytest.raises(KitError, match="toy has no column 'c'; it has a, b"):
            list(tables.rows(["a\tb\n"], ("c",), "toy"))
        with pytest.raises(KitError, match="toy has no column 'c'; it has no header"):
            list(tables.rows([], ("c",), "toy"))
        with pytest.raises(KitError, match="toy, line 3: 1 fields, where the header has 2"):
            list(tables.rows(["a\tb\n", "1\t2\n", "3\n"], ("a",), "toy"))


class TestParallel:
    texts = {"de": ["Haus", "Baum", "Meer"], "en": ["house", "tree", "sea"]}

    def test_golds_are_the_translations_and_the_sentence_itself(self):
        found = parallel.benchmark("toy", "none", ["1", "2", "3"], self.texts)
        assert found.query_ids == found.candidate_ids == ["de:1", "de:2", "de:3", "en:1", "en:2", "en:3"]
        assert found.questions == ["1", "2", "3"] * 2 and found.query_texts == found.candidate_texts
        golds = zip(found.gold_query.tolist(), found.gold_candidate.tolist(), strict=True)
        assert set(golds) == {(q, c) for q in range(6) for c in range(6) if q % 3 == c % 3}

    def test_ranks_in_the_three_settings(self):
        """Vectors by sentence and, four times as strong, by language: the translation comes after its whole pool."""
        found = parallel.benchmark("toy", "none", ["1", "2", "3"], self.texts)
        vectors = np.hstack([np.tile(np.eye(3), (2, 1)), 2 * np.repeat(np.eye(2), 3, axis=0)]) / np.sqrt(5)
        gold = gold_ranks(vectors, vectors, found)
        own = gold.gold_language == gold.query_languages[gold.gold_query]
        assert own.sum() == 6 and gold.ranks(["de", "en"])[own].tolist() == [1] * 6
        assert gold.ranks(["de", "en"])[~own].tolist() == [4] * 6
        assert gold.ranks(["en"])[gold.gold_language == "en"].tolist() == [1] * 6

    def test_another_number_of_sentences(self):
        with pytest.raises(KitError, match="toy has 2 sentences in de, but 3 ids"):
            parallel.benchmark("toy", "none", ["1", "2", "3"], self.texts | {"de": ["Haus", "Baum"]})


class TestSib200:
    @pytest.fixture
    def small(self, monkeypatch):
        """One sentence a split in two languages, in files of the real layout with their checksums as pins."""
        pins = {}
        for code, folder in (("de", "deu_Latn"), ("en", "eng_Latn")):
            for number, split in enumerate(("train", "dev", "test")):
                content = table(("index_id", "category", "text"), (str(number), "travel", f'{code} "{split}'))
                put("sib-200", f"{folder}/{split}.tsv", content)
                pin = {"sha256": hashlib.sha256(content.encode()).hexdigest(), "bytes": len(content), "language": code}
                pins[f"{folder}/{split}.tsv"] = pin
        known = {"files": pins, "languages": ("de", "en")}
        source = catalogue.Source(**vars(sib_200.SOURCE) | known)
        monkeypatch.setattr(sib_200, "SOURCE", source)
        held_out = vars(catalogue.CATALOGUE["sib-200-held-out"]) | {"languages": ("de", "en")}
        changed = {"sib-200": source, "sib-200-held-out": catalogue.Source(**held_out)}
        monkeypatch.setattr(catalogue, "CATALOGUE", catalogue.CATALOGUE | changed)

    def test_as_task(self, small):
        task = catalogue.labelled("sib-200", Parameters())
        assert set(task.parts) == {(code, split) for code in ("de", "en") for split in ("train", "dev", "test")}
        assert task.parts["de", "dev"].texts == ['de "dev'] and task.parts["de", "dev"].labels.tolist() == ["travel"]
        assert catalogue.labelled("sib-200:en", Parameters()).languages("test") == ("en",)

    def test_as_benchmark(self, small):
        found = catalogue.benchmark("sib-200", Parameters())
        assert found.name == "sib-200" and len(found.query_ids) == 6
        assert catalogue.benchmark("sib-200:de", Parameters()).query_texts == ['de "train', 'de "dev', 'de "test']
        held_out = catalogue.benchmark("sib-200-held-out", Parameters())
        assert held_out.name == "sib-200-held-out" and not [text for text in held_out.query_texts if "train" in text]

    def test_fetched_under_either_name_it_is_one_folder(self, small):
        for name in ("sib-200", "sib-200-held-out"):
            assert (
                catalogue.fetch(name) == f"{name}: 6 files with the right checksums in {paths.downloads() / 'sib-200'}"
            )
        assert catalogue.fetch("sib-200", languages=["en"]).startswith("sib-200: 3 files")

    def test_other_sentences_in_a_language(self, small, monkeypatch):
        monkeypatch.setattr(sib_200, "sentences", lambda code, split: {f"{code}{split}": ("travel", "x")})
        with pytest.raises(KitError, match="SIB-200 has other sentences in en than in de"):
            catalogue.benchmark("sib-200", Parameters())

    def test_a_damaged_file(self, small):
        put("sib-200", "deu_Latn/dev.tsv", "index_id")
        with pytest.raises(KitError, match="cut short or altered"):
            catalogue.labelled("sib-200", Parameters())

    def test_it_is_no_training_data(self):
        for name in ("sib-200", "sib-200-held-out", "xnli", "xnli-15way", "mldoc", "americasnli"):
            with pytest.raises(KitError, match=f'"{name}" cannot be trained on, it is a test set'):
                catalogue.training_pairs(name, Parameters())

    def test_pins_are_those_of_the_pinned_revision(self, shared_data):
        pins = pins_of(shared_data, "sib-200")
        named = {f"data/annotated/{name}": dict(pin) for name, pin in sib_200.SOURCE.files.items()}
        assert sib_200.SOURCE.commit == pins["commit"] == catalogue.CATALOGUE["sib-200-held-out"].commit
        assert len(named) == 57 and {pin.pop("language") for pin in named.values()} == set(sib_200.SOURCE.languages)
        assert named == pins["files"]

    def test_facts_of_the_real_files(self, real):
        task = sib_200.labelled()
        assert len(task.languages("test")) == 19 and set(XQUAD_R) <= set(task.languages("test"))
        for split, count in (("train", 701), ("dev", 99), ("test", 204)):
            english = sib_200.sentences("en", split)
            for code in task.languages(split):
                found = sib_200.sentences(code, split)
                assert len(found) == count and {one: topic for one, (topic, _) in found.items()} == {
                    one: topic for one, (topic, _) in english.items()
                }
        tested = Counter(task.parts["vi", "test"].labels.tolist())
        assert set(tested) == set(sib_200.TOPICS) and tested["science/technology"] == max(tested.values()) == 51

    def test_the_real_sentences_as_benchmark(self, real):
        found = sib_200.benchmark(("en", "zh"))
        assert len(found.query_ids) == 2 * 1004 and len(found.gold_query) == 4 * 1004
        held_out = sib_200_held_out.load_benchmark(catalogue.CATALOGUE["sib-200-held-out"], Parameters(), ("en", "zh"))
        trained = {text for _, text in sib_200.sentences("zh", "train").values()}
        assert len(held_out.query_ids) == 2 * 303 and not trained & set(held_out.query_texts)


def small_xnli():
    """The two archives of XNLI, with a pair or two a file."""
    lock.accept("xnli", "read")
    judged = [
        ("language", "gold_label", "sentence1_binary_parse", "sentence1", "sentence2", "pairID"),
        ("de", "neutral", "", 'Ein "Haus.', "Es ist rot.", "1"),
        ("en", "entailment", "", "A house.", "A building.", "1"),
        ("en", "-", "", "A house.", "A cat.", "2"),
    ]
    archive("xnli", "XNLI-1.0.zip", xnli_dev=table(*judged[:1], *judged[2:3]), xnli_test=table(*judged))
    trained = [("premise", "hypo", "label"), ("A b .", "C d .", "contradictory"), ("E f .", "G h .", "neutral")]
    archive("xnli", "XNLI-MT-1.0.zip", multinli_train_en=table(*trained))


class TestXnli:
    @pytest.fixture
    def small(self):
        small_xnli()

    def test_small_archives(self, small):
        with pytest.warns(KitWarning, match="1 rows; left out: 1 of xnli.test.tsv, en without a text or a label"):
            task = catalogue.labelled("xnli:de+en", Parameters())
        assert task.languages("train") == ("en",) and task.languages("test") == ("de", "en") and task.pairs
        trained = task.parts["en", "train"]
        assert trained.labels.tolist() == ["contradiction", "neutral"] and trained.texts == ["A b .", "E f ."]
        tested = task.parts["de", "test"]
        assert (tested.texts, tested.seconds, tested.labels.tolist()) == (['Ein "Haus.'], ["Es ist rot."], ["neutral"])

    @pytest.mark.filterwarnings("ignore::hybridkit.errors.KitWarning")
    def test_a_language_that_the_file_lacks(self, small):
        with pytest.raises(KitError, match="xnli.test.tsv has no pairs in 'fr'"):
            catalogue.labelled("xnli:fr", Parameters())

    def test_the_licence_comes_first(self):
        with pytest.raises(KitError, match="licence of xnli .* has not been accepted"):
            catalogue.labelled("xnli", Parameters())

    def test_archives_that_are_none(self, small):
        put("xnli", "XNLI-MT-1.0.zip", "not a zip")
        lock_file = json.loads(paths.lock_file().read_text())
        lock_file["datasets"].pop("xnli", None)
        paths.lock_file().write_text(json.dumps(lock_file))
        with pytest.raises(KitError, match="XNLI-MT-1.0.zip is cut short or no archive"):
            catalogue.labelled("xnli", Parameters())
        archive("xnli", "XNLI-MT-1.0.zip", other="")
        paths.lock_file().write_text(json.dumps(lock_file))
        with pytest.raises(KitError, match="XNLI-MT-1.0.zip holds no multinli.train.en.tsv"):
            catalogue.labelled("xnli", Parameters())

    def test_parallel_sentences(self):
        lock.accept("xnli-15way", "read")
        codes = ("ar", "de", "en")
        lines = [codes, ("بيت", "Haus", "house"), ("شجرة", " ", "tree"), ("بحر", "Meer", "sea")]
        archive("xnli-15way", "XNLI-15way.zip", xnli_15way_orig=table(*lines))
        with pytest.warns(KitWarning, match="2 rows; left out: 1 without a text in some language"):
            found = catalogue.benchmark("xnli-15way:de+en", Parameters())
        assert found.name == "xnli-15way:de+en" and found.query_texts == ["Haus", "Meer", "house", "sea"]
        assert found.query_ids == ["de:1", "de:3", "en:1", "en:3"]
        with pytest.raises(KitError, match="has no column 'bg'"):
            catalogue.benchmark("xnli-15way", Parameters())


class TestAmericasNli:
    def test_pins_are_those_of_the_pinned_revision(self, shared_data):
        pins, named = pins_of(shared_data, "americasnli"), americasnli.SOURCE.files
        assert (americasnli.SOURCE.commit, americasnli.SOURCE.licence) == (pins["commit"], pins["licence"])
        assert len(named) == 20 and {pin["language"] for pin in named.values()} == set(americasnli.SOURCE.languages)
        for name, pin in named.items():
            assert {k: v for k, v in pin.items() if k != "language"} == pins["files"][f"data/anli_final/{name}"]
            assert name.endswith(f"/{pin['language']}.tsv")

    def test_facts_of_the_real_files(self, real):
        with pytest.warns(KitWarning, match="735 rows; left out: 3 of test/nah.tsv without a text"):
            task = americasnli.labelled()
        sizes = {code: len(task.parts[code, "test"]) for code in task.languages("test")}
        assert len(sizes) == 10 and sizes["nah"] == 735 and sizes["oto"] == 748 and sizes["gn"] == 750
        assert "en" not in task.languages("train")
        for code in sizes:
            trained, chosen = task.parts[code, "train"], task.parts[code, "dev"]
            assert set(trained.labels) == set(xnli.RELATIONS) and len(trained) == int(
                0.8 * (len(trained) + len(chosen))
            )
        assert len(task.parts["oto", "train"]) + len(task.parts["oto", "dev"]) == 222

    def test_with_xnli_the_head_is_english(self, real, tmp_path, monkeypatch):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(tmp_path / "both"))
        (tmp_path / "both").mkdir()
        (tmp_path / "both" / "americasnli").symlink_to(real / "americasnli")
        small_xnli()
        with pytest.warns(KitWarning):
            task = americasnli.labelled(["aym"])
        assert task.languages("train") == ("aym", "en") and task.languages("test") == ("aym", "en")


class TestMlDoc:
    rows = [("CCAT", "Shares rose."), ("GCAT", "A vote \x85 was held.")]

    def put_all(self, name, form=str, folder=""):
        for end in mldoc.ENDS.values():
            lines = "".join(f"{topic}\t{form(text)}\n" for topic, text in self.rows)
            put("mldoc", f"{folder}{name}.{end}", lines)

    @pytest.mark.parametrize("form", [str, lambda text: str(text.encode())])
    def test_both_forms_of_built_files_in_both_places(self, form):
        self.put_all("english", form)
        self.put_all("german", form, "german/")
        put("mldoc", "french.test", "CCAT\tpas assez\n")
        task = catalogue.labelled("mldoc", Parameters())
        assert task.languages("test") == ("de", "en") == task.languages("train")
        for found in task.parts.values():
            assert found.texts == [text for _, text in self.rows] and found.labels.tolist() == ["CCAT", "GCAT"]
        assert catalogue.fetch("mldoc").startswith("mldoc: 6 files")

    def test_from_the_corpora(self):
        story = (
            '<?xml version="1.0" encoding="iso-8859-1"?><newsitem><text><p>Die Börse</p><p>stieg.</p></text><metadata>'
            '<codes class="bip:countries:1.0"><code code="GCAT"/></codes>'
            '<codes class="bip:topics:1.0"><code code="M11"/><code code="{}"/></codes></metadata></newsitem>'
        )
        for end in mldoc.ENDS.values():
            put("mldoc", f"mldoc-indices/german.{end}", "FDG46-381033\n")
        place = "RCV2_Multilingual_Corpus/german/FDG46/381033.xml"
        with pytest.raises(KitError, match="381033.xml, which mldoc-indices lists, cannot be read"):
            mldoc.labelled(["de"])
        put("mldoc", place, story.format("MCAT").encode("iso-8859-1"))
        found = mldoc.labelled(["de", "en"]).parts["de", "test"]
        assert (found.texts, found.labels.tolist()) == (["Die Börse stieg."], ["MCAT"])
        put("mldoc", place, story.format("M12").encode("iso-8859-1"))
        with pytest.raises(KitError, match="has 0 of the topics CCAT, ECAT, GCAT, MCAT, expected one"):
            mldoc.labelled(["de"])

    def test_without_the_texts_of_reuters(self):
        for look in (lambda: catalogue.labelled("mldoc", Parameters()), lambda: catalogue.fetch("mldoc")):
            with pytest.raises(KitError, match="mldoc holds no MLDoc in de, en.*must not be passed on.*trec.nist.gov"):
                look()

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("XCAT\tx\n", "line 1 begins 'XCAT.*expected one of CCAT, ECAT, GCAT, MCAT, a tab and a text"),
            ("CCAT x\n", "line 1 begins 'CCAT x'"),
            ("CCAT\tb'cut\n", "line 1: the text is no whole literal of bytes"),
            ("CCAT\tb'\\xff'\n", "line 1: the text is no whole literal of bytes"),
        ],
    )
    def test_damaged_files(self, line, told):
        put("mldoc", "english.train.1000", line)
        with pytest.raises(KitError, match=told):
            mldoc.labelled(["en"])

    def test_an_empty_text_is_told(self):
        self.put_all("english")
        put("mldoc", "english.dev", "CCAT\t \n")
        with pytest.raises(KitError, match="mldoc, en, dev: example 0.*empty text"):
            mldoc.labelled(["en"])

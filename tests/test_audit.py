"""The contamination audit finds what was planted and nothing else."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkit import sweep
from hybridkit.corpora import afriqa, museum, similar, xquad_r
from hybridkit.corpora import audit as module
from hybridkit.corpora import catalogue as module_catalogue
from hybridkit.corpora.audit import audit
from hybridkit.corpora.benchmark import make_benchmark
from hybridkit.corpora.pairs import make_pairs
from hybridkit.errors import KitError, KitWarning
from hybridkit.params import Parameters
from hybridkit.runs import Run


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of these tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDKIT_CACHE", os.fspath(tmp_path_factory.mktemp("cache")))
        yield


PASSAGES = {
    "en": "The lighthouse keeper wrote every storm into a book with a green cover.",
    "de": "Der Leuchtturmwärter schrieb jeden Sturm in ein Buch mit grünem Einband.",
    "th": "คนเฝ้าประภาคารจดพายุทุกลูกลงในสมุดปกสีเขียว",
}
QUESTIONS = {
    "en": "Where did the keeper write down the storms?",
    "de": "Wohin schrieb der Wärter die Stürme?",
    "th": "คนเฝ้าจดพายุไว้ที่ไหน",
}


def training(folder, passages, queries=("Was anything found in the harbour?",), code="en", names=None):
    """Training pairs in one language: the first query asks for every passage, the others for the first."""
    rows = [(0, p) for p in range(len(passages))] + [(q, 0) for q in range(1, len(queries))]
    return make_pairs(
        folder, "training", "CC0",
        [f"q{i}" for i in range(len(queries))], {code: list(queries)},
        [f"p{i}" for i in range(len(passages))], {code: list(passages)},
        [q for q, _ in rows], [p for _, p in rows], [[] for _ in rows], names,
    )  # fmt: skip


def lighthouse(names=None, extra=()):
    """A benchmark of one question in three languages, with an irrelevant candidate and `extra` English passages."""
    codes = list(PASSAGES)
    return make_benchmark(
        "lighthouse", "CC0",
        codes, list(QUESTIONS.values()), codes,
        [*(f"c-{code}" for code in codes), "other", *(f"extra-{i}" for i in range(len(extra)))],
        [*PASSAGES.values(), "An irrelevant sentence about nothing.", *extra], [*codes, "en", *["en"] * len(extra)],
        [(code, f"c-{code}") for code in codes] + [("en", f"extra-{i}") for i in range(len(extra))],
        names=names,
    )  # fmt: skip


def row(report, code):
    return next(row for row in report.rows if row.language == code)


class TestTexts:
    def test_nothing_shared(self, tmp_path):
        report = audit(training(tmp_path / "t", ["A net was drying on the pier at noon."]), lighthouse())
        assert report.clean and [r.language for r in report.rows] == ["de", "en", "th"]
        english = row(report, "en")
        assert (english.training, english.questions, english.passages) == (2, 1, 1)
        assert 0 < english.highest < 0.3
        assert row(report, "th").training == 0 and row(report, "th").highest == 0

    @pytest.mark.parametrize("code", ["en", "de", "th"])
    def test_an_exact_copy_after_normalisation(self, tmp_path, code):
        copy = f"  {PASSAGES[code].upper()}\n".replace(" ", "\u00a0 ")
        report = audit(training(tmp_path / "t", ["x", copy], code=code), lighthouse())
        found = row(report, code)
        assert not report.clean and not found.clean
        assert (found.exact_passages, found.exact_questions, found.near_passages) == (1, 0, 0)
        assert found.highest == 1 and found.example == (PASSAGES[code], copy)
        assert found.exact_share == 0.5 and found.near_share == 0
        assert all(other.clean for other in report.rows if other is not found)

    def test_a_question_among_the_passages_counts_too(self, tmp_path):
        report = audit(training(tmp_path / "t", [QUESTIONS["en"]]), lighthouse())
        assert row(report, "en").exact_questions == 1

    def test_a_near_copy(self, tmp_path):
        near = PASSAGES["en"].replace("green", "greyish")
        report = audit(training(tmp_path / "t", [near]), lighthouse())
        found = row(report, "en")
        assert (found.exact_passages, found.near_passages) == (0, 1) and not report.clean
        assert found.highest == pytest.approx(likeness_by_hand(PASSAGES["en"], near))
        assert audit(training(tmp_path / "t", [near]), lighthouse(), near=0.97).clean

    def test_the_threshold_itself_counts(self, tmp_path):
        near = PASSAGES["en"].replace("green", "greyish")
        pairs = training(tmp_path / "t", [near])
        exactly = likeness_by_hand(PASSAGES["en"], near)
        assert row(audit(pairs, lighthouse(), near=exactly), "en").near_passages == 1
        assert row(audit(pairs, lighthouse(), near=np.nextafter(exactly, 1)), "en").near_passages == 0

    @pytest.mark.parametrize("code", ["en", "de", "th"])
    def test_a_text_inside_a_long_one(self, tmp_path, code):
        around = " ".join(f"{number} {QUESTIONS[other]}" for number in range(50) for other in PASSAGES if other != code)
        report = audit(training(tmp_path / "t", [f"{around} {PASSAGES[code]} {around}"], code=code), lighthouse())
        found = row(report, code)
        assert (found.exact_passages, found.near_passages, found.near_questions) == (0, 1, 0)
        assert found.highest == 1 and found.example[0] == PASSAGES[code]

    def test_a_very_short_text_inside_a_long_one_is_no_fault(self, tmp_path):
        long = "He said no, never again, and I agree, it is so."
        # Nine grams and ten.
        report = audit(training(tmp_path / "t", [long]), lighthouse(extra=["never again,", "and I agree, it"]))
        found = row(report, "en")
        assert (found.near_passages, found.highest, found.example[0]) == (1, 1, "and I agree, it")

    def test_an_irrelevant_candidate_is_no_fault(self, tmp_path):
        assert audit(training(tmp_path / "t", ["An irrelevant sentence about nothing."]), lighthouse()).clean

    def test_the_same_text_in_another_language_column_is_not_compared(self, tmp_path):
        assert audit(training(tmp_path / "t", [PASSAGES["en"]], code="de"), lighthouse()).clean

    def test_texts_shorter_than_a_gram(self, tmp_path):
        report = audit(training(tmp_path / "t", ["yes", "no"]), lighthouse(extra=["Yes", "maybe"]))
        assert (row(report, "en").exact_passages, row(report, "en").near_passages) == (1, 0)

    @settings(max_examples=40)
    @given(
        st.lists(st.text("abé ", min_size=6, max_size=30).filter(str.strip), min_size=1, max_size=8),
        st.lists(st.text("abé ", min_size=6, max_size=30).filter(str.strip), min_size=1, max_size=8),
        st.integers(1, 3),
    )
    def test_against_all_pairs_by_hand(self, tmp_path_factory, trained, checked, block):
        pairs = training(tmp_path_factory.mktemp("t") / "t", trained)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(similar, "BLOCK", block)
            found = row(audit(pairs, lighthouse(extra=checked), near=0.5), "en")
            quick = row(audit(pairs, lighthouse(extra=checked), near=0.5, full=False), "en")
        trained = {normal(text) for text in [*trained, "Was anything found in the harbour?"]}
        passages = {*checked, PASSAGES["en"]}
        asked = QUESTIONS["en"]
        best = {text: max(likeness_by_hand(text, other) for other in trained) for text in {*passages, asked}}
        exact = {text for text in passages if normal(text) in trained}
        highest = max(1 if text in exact else best[text] for text in best)
        assert found.exact_passages == quick.exact_passages == len(exact)
        assert found.near_passages == quick.near_passages == sum(best[text] >= 0.5 for text in passages - exact)
        assert found.highest == pytest.approx(highest)
        assert quick.highest == pytest.approx(highest if highest >= 0.5 else 0)

    @pytest.mark.parametrize("near", [0, -1, 1.5])
    def test_a_threshold_out_of_range(self, tmp_path, near):
        with pytest.raises(KitError, match="above 0 and up to 1"):
            audit(training(tmp_path / "t", ["x"]), lighthouse(), near=near)


def normal(text):
    return " ".join(text.casefold().split())


def likeness_by_hand(own, trained):
    a, b = ({normal(text)[i : i + 5] for i in range(len(normal(text)) - 4)} for text in (own, trained))
    if len(a) < 10:
        return len(a & b) / len(a | b) if a | b else 0
    return sum(gram in b for gram in a) / len(a)


class TestSearch:
    """The index finds what comparing all pairs finds, whatever the texts and the thresholds."""

    @given(
        st.lists(
            st.lists(st.sampled_from(["mist", "fog", "rain", "wind", "sun"]), max_size=12), min_size=1, max_size=6
        ),
        st.lists(st.lists(st.sampled_from(["mist", "fog", "rain", "wind", "sun", "雨"]), max_size=12), max_size=12),
        st.sampled_from([0.3, 0.6, 0.8, 1.0]),
        st.integers(1, 4),
        st.integers(0, 12),
    )
    def test_against_all_pairs(self, own, trained, near, block, sample):
        own, trained = ([" ".join(words) or "-" for words in texts] for texts in (own, trained))
        search = similar.MostSimilar(own, near, near, trained[:sample])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(similar, "BLOCK", block)
            search.see(trained)
        for number, text in enumerate(own):
            likeness = [1 if text == other else likeness_by_hand(text, other) for other in trained]
            assert search.exact[number] == (text in trained)
            if max(likeness, default=0) >= near:
                assert search.best[number] == max(likeness)
                assert likeness[trained.index(search.partner[number])] == max(likeness)
            else:
                assert search.best[number] < near

    def test_more_characters_than_keys_can_tell_apart(self):
        # 9,000 characters: keys of grams wrap around.
        every = "".join(chr(0x4E00 + i) for i in range(9_000))
        texts = [every[i : i + 60] for i in range(0, 9_000, 60)]
        search = similar.MostSimilar(texts, 0.8, 0.8)
        search.see([text[:-2] + "ab" for text in reversed(texts)] + [every[30:90]])
        expected = likeness_by_hand(texts[0], texts[0][:-2] + "ab")
        assert expected > 0.8 and search.best.tolist() == [expected] * len(texts) and not search.exact.any()

    def test_several_processes_find_the_same(self, tmp_path):
        passages = [f"The {one} was drying on the pier at {hour}." for one in ("net", "sail") for hour in range(1, 13)]
        passages[10:10] = [PASSAGES["en"].replace("green", "greyish"), QUESTIONS["en"], PASSAGES["en"].lower()]
        pairs = training(tmp_path / "t", passages)
        alone = audit(pairs, lighthouse(extra=["The net was drying on the pier at 13."]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HYBRIDKIT_CACHE", os.fspath(tmp_path / "other"))
            patch.setattr(module, "_TASK", 11)
            patch.setattr(module, "processors", lambda: 2)
            patch.setattr(module, "_LONG", 0)
            with pytest.warns(
                KitWarning, match="Auditing 28 training texts in 'en' will take some 0 minutes on 2 proc"
            ):
                shared = audit(pairs, lighthouse(extra=["The net was drying on the pier at 13."]))
        assert shared == alone and row(shared, "en").exact_passages == 1 and row(shared, "en").near_passages == 1


class TestCache:
    def test_the_same_texts_are_compared_once(self, tmp_path, monkeypatch):
        pairs, calls = training(tmp_path / "t", [PASSAGES["en"]]), counted(monkeypatch)
        first = audit(pairs, lighthouse())
        assert sorted(calls) == ["de", "en", "th"]
        assert audit(pairs, lighthouse()) == first and len(calls) == 3
        audit(pairs, lighthouse(), near=0.7)
        assert len(calls) == 6
        audit(training(tmp_path / "u", [PASSAGES["de"]]), lighthouse())
        assert len(calls) == 9
        audit(pairs, lighthouse(extra=["One more."]))
        assert len(calls) == 12

    def test_an_interrupted_audit_goes_on_with_the_next_language(self, tmp_path, monkeypatch, own_cache):
        pairs, calls = training(tmp_path / "t", [PASSAGES["en"]]), counted(monkeypatch, stop_at="en")
        with pytest.raises(KeyboardInterrupt):
            audit(pairs, lighthouse())
        assert [path.name for path in own_cache.rglob("*.json") if "audits" in path.parts] == ["de.json"]
        calls = counted(monkeypatch)
        assert row(audit(pairs, lighthouse()), "en").exact_passages == 1
        assert calls == ["en", "th"]

    def test_a_damaged_file_is_made_again(self, tmp_path, own_cache):
        pairs = training(tmp_path / "t", [PASSAGES["en"]])
        first = audit(pairs, lighthouse())
        for path in own_cache.rglob("en.json"):
            path.write_text(path.read_text()[:-9])
        assert audit(pairs, lighthouse()) == first


def counted(monkeypatch, stop_at=""):
    """The languages whose texts are compared from now on."""
    calls, compare = [], _compare

    def count(texts, pairs, code, *rest):
        if code == stop_at:
            raise KeyboardInterrupt
        calls.append(code)
        return compare(texts, pairs, code, *rest)

    monkeypatch.setattr(module, "_most_similar", count)
    return calls


_compare = module._most_similar


class TestLimit:
    def report(self, tmp_path, passages, **changes):
        extra = [f"The {ship} lay at anchor off the {coast} coast." for ship in SHIPS for coast in COASTS]
        return audit(training(tmp_path / "t", passages, **changes), lighthouse(extra=extra)), extra

    def test_the_share_of_each_kind_counts(self, tmp_path):
        # All questions and a tenth of the passages: of both together it would be a small share.
        report, _ = self.report(tmp_path, ["x"], queries=["y", QUESTIONS["en"]])
        assert report.worst[0] == 1 and report.worst[2] == "questions"
        with pytest.raises(KitError) as refusal:
            report.refuse(0.05)
        sentence = str(refusal.value)
        assert (
            "training (training data) holds 100.0 % of the questions in 'en' of the benchmark lighthouse (1 of 1"
            in sentence
        )
        assert "contamination_limit is 0.05" in sentence and QUESTIONS["en"] in sentence and "\n" not in sentence

    def test_exact_and_near_count_together_up_to_the_limit(self, tmp_path):
        _, extra = self.report(tmp_path, ["x"])
        report, _ = self.report(tmp_path, [extra[0], extra[30].replace("The", "A")])
        english = row(report, "en")
        assert (english.exact_passages, english.passages) == (1, len(extra) + 1) and english.near_passages >= 1
        share = (1 + english.near_passages) / english.passages
        assert report.worst[0] == share
        report.refuse(share)
        with pytest.raises(KitError, match="relevant passages in 'en'"):
            report.refuse(np.nextafter(share, 0))
        assert "of the relevant passages in 'en'" in report.note()

    def test_nothing_shared_is_not_told(self, tmp_path):
        report = audit(training(tmp_path / "t", ["A net was drying on the pier at noon."]), lighthouse())
        report.refuse(0)
        assert report.note() == ""

    def test_shared_names_alone_are_told_and_not_refused(self, tmp_path):
        names = {"de": frozenset({"Mira"})}
        report = audit(training(tmp_path / "t", ["x"], names=names), lighthouse(names=names), full=False)
        report.refuse(0)
        assert report.note() == "training (training data) and the benchmark lighthouse share 1 names."


SHIPS = ["Albatross", "Bittern", "Cormorant", "Dunlin", "Egret", "Fulmar", "Gannet", "Heron"]
COASTS = ["northern", "southern", "eastern", "western", "rocky"]


class TestNames:
    def test_given_by_both_sources(self, tmp_path):
        pairs = training(tmp_path / "t", ["x"], names={"en": frozenset({"mira", "Bo"}), "de": frozenset({"Mira"})})
        report = audit(pairs, lighthouse(names={"en": frozenset({"Mira", "Cid"}), "th": frozenset({"มิรา"})}))
        assert row(report, "en").shared_names == ("Mira",)
        assert (row(report, "en").names, row(report, "en").names_by) == (2, "given by the sources")
        assert row(report, "de").shared_names == ()
        assert not report.clean

    def test_by_capitals(self, tmp_path):
        extra = ["In Porto the painter Mira Tovan lived near Rua Bela. Old Harbour was her first picture."]
        pairs = training(tmp_path / "t", ["He met MIRA Tovan, mira tovan or Mira Tovans.", "We saw Mira Tovan."])
        found = row(audit(pairs, lighthouse(extra=extra)), "en")
        assert found.names_by == "capitalised words"
        assert (found.names, found.shared_names) == (2, ("Mira Tovan",))

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("The Panthers Defence won.", ["Panthers Defence"]),
            ("Mira Tovan won.", []),
            ("He said: New York is far.", []),
            ("from New York, Old York and York", ["New York", "Old York"]),
            ("in New\nYork City Hall", ["City Hall"]),
            ("с Анной Петровной Ивановой", ["Анной Петровной Ивановой"]),
            ("near Saint-Malo Bay", ["Saint-Malo Bay"]),
            ("no names at all", []),
            ("with Ada Bo", ["Ada Bo"]),
            ("", []),
        ],
    )
    def test_runs_of_capitalised_words(self, text, names):
        assert list(module._capitalised(text)) == names

    def test_not_checked_where_there_are_no_capitals(self, tmp_path):
        report = audit(training(tmp_path / "t", ["x"]), lighthouse())
        assert row(report, "th").names_by == "not checked"
        assert "Names were not checked in th" in report.to_markdown()


class TestReport:
    def test_clean(self, tmp_path):
        text = audit(training(tmp_path / "t", ["A net was drying."]), lighthouse()).to_markdown()
        assert "Clean: no exact or near duplicate" in text and "Not clean" not in text
        assert "| th | 0 | 1 | 0 | 0 | 1 | 0 | 0 | 0.00 | not checked |" in text

    def test_not_clean(self, tmp_path):
        pairs = training(tmp_path / "t", [PASSAGES["en"]], names={"de": frozenset({"Mira"})})
        text = audit(pairs, lighthouse(names={"de": frozenset({"Mira"})})).to_markdown()
        assert "**Not clean**: duplicates of texts in en and shared names in de." in text
        assert "1 of 1 (Mira), given by the sources" in text
        assert f"- en, 1.00: benchmark \u2068“{PASSAGES['en']}”\u2069, training \u2068“{PASSAGES['en']}”\u2069" in text

    def test_the_table_has_as_many_cells_in_each_line(self, tmp_path):
        text = audit(training(tmp_path / "t", ["A net was drying."]), lighthouse()).to_markdown()
        assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {11}


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Parameters of runs in folders of their own, which note their training instead of training."""
    from hybridkit import encoders, launch

    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", os.fspath(tmp_path / "outputs"))
    runs = []
    monkeypatch.setattr(launch, "train", lambda run, *rest: runs.append(run.folder) or {})
    monkeypatch.setattr(encoders, "folder", lambda name: name)
    return runs


def write_pairs(path, texts):
    rows = [{"id": str(n), "query": {"en": q}, "positive": {"en": p}} for n, (q, p) in enumerate(texts)]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(path)


def paragraphs(shared_data, folder):
    """Training pairs whose positives are the paragraphs that hold XQuAD-R's English sentences; other questions."""
    articles = json.loads((shared_data / "xquad-r" / "en.json").read_text())["data"]
    texts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    return write_pairs(folder / "squad.jsonl", [(f"Which text has number {n}?", text) for n, text in enumerate(texts)])


class TestRuns:
    SMALL = {
        "museum_exhibits": 100,
        "museum_evaluation_exhibits": 20,
        "explicit_negatives": 0,
        "mono": 1.0,
        "cross": 0.0,
        "batch_size": 2,
    }

    def test_training_on_the_test_set_is_refused(self, shared_data, own_cache, monkeypatch, tmp_path, trained):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", os.fspath(shared_data))
        benchmark = xquad_r.load(["en"])
        asked = [benchmark.query_texts[i] for i in benchmark.gold_query]
        answers = [benchmark.candidate_texts[i] for i in benchmark.gold_candidate]
        path = write_pairs(tmp_path / "mine.jsonl", dict(zip(asked, answers, strict=True)).items())
        parameters = Parameters(**self.SMALL, training_data=[path], benchmarks=["xquad-r"], languages=["en"])
        run = Run(parameters)
        with pytest.raises(
            KitError, match=r"100.0 % of the (questions|relevant passages) in 'en' of the benchmark xquad-r"
        ):
            run.train()
        assert not trained and "**Not clean**" in (run.folder / "audit.md").read_text()
        Run(parameters.model_copy(update={"contamination_limit": 1.0})).audits()[0].refuse(1.0)

    def test_sentences_inside_training_paragraphs_are_refused(
        self, shared_data, own_cache, monkeypatch, tmp_path, trained
    ):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", os.fspath(shared_data))
        run = Run(Parameters(**self.SMALL, training_data=[paragraphs(shared_data, tmp_path)], benchmarks=["xquad-r"]))
        # All but one, which has fewer than ten grams.
        with pytest.raises(KitError, match=r"99.9 % of the relevant passages in 'en' .*xquad-r \(786 of 787"):
            run.train()
        assert not trained

    def test_a_part_is_compared_with_all_languages(self, shared_data, own_cache, monkeypatch, tmp_path, trained):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", os.fspath(shared_data))
        data, part = paragraphs(shared_data, tmp_path), {"benchmarks": ["xquad-r:de", "xquad-r:th"]}
        run = Run(Parameters(**self.SMALL, training_data=[data], **part))
        assert [one.benchmark for one in run.audits()] == ["xquad-r"]
        with pytest.raises(KitError, match="relevant passages in 'en'"):
            run.train()
        run, load = Run(run.parameters), module_catalogue.benchmark
        assert list(run.benchmarks) == part["benchmarks"]
        monkeypatch.setattr(module_catalogue, "benchmark", lambda *_: load("nowhere", run.parameters))
        with pytest.warns(KitWarning) as told:
            assert [one.benchmark for one in run.audits()] == part["benchmarks"]
        assert [
            f"{name} alone and not with all of xquad-r:" in str(one.message)
            for name, one in zip(part["benchmarks"], told, strict=True)
        ] == [True, True]

    def test_validation_data_are_compared_too(self, trained, tmp_path):
        text = museum.benchmark(20, languages=("en",))
        path = write_pairs(tmp_path / "mine.jsonl", zip(text.query_texts, text.candidate_texts, strict=True))
        run = Run(Parameters(**self.SMALL, validation_data=path, validate_every=1, languages=["en"]))
        with pytest.raises(KitError, match=r"mine \(validation data\) holds .* Leave mine out of validation_data or"):
            run.train()
        kept = json.loads((run.folder / "audit.json").read_text())["audits"]
        assert [one["use"] for one in kept] == ["training data", "validation data"] and not trained

    def test_a_clean_run_keeps_its_report_and_says_nothing(self, trained, recwarn):
        run = Run(Parameters(**self.SMALL))
        run.train()
        assert trained == [run.folder] and not [one for one in recwarn if one.category is KitWarning]
        assert "Clean: no exact or near duplicate" in (run.folder / "audit.md").read_text()
        kept = json.loads((run.folder / "audit.json").read_text())
        assert kept["limit"] == 0.05 and len(kept["audits"][0]["rows"]) == 11

    def test_a_little_is_told_in_a_sentence(self, trained, tmp_path):
        museum_text = museum.benchmark(20, languages=("en",)).query_texts[0]
        path = write_pairs(tmp_path / "mine.jsonl", [(museum_text, "Quite another answer."), ("And what else?", "No.")])
        run = Run(Parameters(**self.SMALL, training_data=[path], languages=["en"]))
        with pytest.warns(KitWarning, match=r"0.8 % of the questions in 'en'.*\(1 of 120.*audit.md"):
            run.train()
        assert trained

    def test_a_sweep_does_it_once_before_the_runs(self, trained, tmp_path, monkeypatch):
        text = museum.benchmark(20, languages=("en",))
        path = write_pairs(tmp_path / "mine.jsonl", zip(text.query_texts, text.candidate_texts, strict=True))
        values = Parameters(**self.SMALL, training_data=[path], languages=["en"], encoder="none")
        outcome = sweep.prepare(values.model_dump(), {})
        assert outcome.state == "failed" and "contamination_limit" in outcome.message
        allowed = values.model_copy(update={"contamination_limit": 1.0})
        calls = counted(monkeypatch)
        outcome = sweep.prepare(allowed.model_dump(), {})
        assert (outcome.state, outcome.message) == ("finished", "") and not calls


class TestRealData:
    def test_afriqa_is_within_the_limit(self, shared_data, own_cache, monkeypatch):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", os.fspath(shared_data))
        report = audit(afriqa.training_pairs(), afriqa.benchmark(), full=False)
        english = row(report, "en")
        assert (english.questions, english.exact_questions, english.near_questions) == (2706, 0, 11)
        assert (english.passages, english.exact_passages, english.near_passages) == (2568, 0, 50)
        assert row(report, "sw").training == 0  # a language that training lacks
        assert 0 < report.worst[0] < 0.05
        report.refuse(0.05)
        assert report.note()

    def test_the_museum_splits_share_no_name_and_no_text(self, own_cache):
        report = audit(museum.training_pairs(200), museum.benchmark(30))
        assert len(report.rows) == 11
        for found in report.rows:
            assert (found.training, found.questions, found.passages) == (2_400, 180, 180)
            assert found.names_by == "given by the sources" and found.names > 30
            assert not found.shared_names and not found.exact_share, report.to_markdown()
            assert not found.near_share
            # Its sentences come from templates: alike, and yet not the same.
            assert 0.2 < found.highest < 0.9

    def test_training_on_the_test_set_is_found(self, shared_data, own_cache, monkeypatch):
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", os.fspath(shared_data))
        benchmark = xquad_r.load(["en", "th"])
        for code in ("en", "th"):
            own = np.flatnonzero(benchmark.candidate_languages == code)
            half = [benchmark.candidate_texts[i] for i in own[: len(own) // 2]]
            found = row(audit(training(own_cache / code, half, code=code), benchmark), code)
            relevant = benchmark.gold_candidate[benchmark.candidate_languages[benchmark.gold_candidate] == code]
            expected = {benchmark.candidate_texts[i] for i in relevant} & set(half)
            assert found.exact_passages == len(expected) > 100
            assert found.exact_questions == 0

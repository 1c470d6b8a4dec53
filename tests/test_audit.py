"""The contamination audit finds what was planted and nothing else."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridkit.corpora import audit as module
from hybridkit.corpora import museum, similar, xquad_r
from hybridkit.corpora.audit import audit
from hybridkit.corpora.benchmark import make_benchmark
from hybridkit.corpora.pairs import make_pairs
from hybridkit.errors import KitError

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
        assert found.highest == pytest.approx(jaccard_by_hand(PASSAGES["en"], near))
        assert audit(training(tmp_path / "t", [near]), lighthouse(), near=0.95).clean

    def test_the_threshold_itself_counts(self, tmp_path):
        near = PASSAGES["en"].replace("green", "greyish")
        pairs = training(tmp_path / "t", [near])
        exactly = jaccard_by_hand(PASSAGES["en"], near)
        assert row(audit(pairs, lighthouse(), near=exactly), "en").near_passages == 1
        assert row(audit(pairs, lighthouse(), near=np.nextafter(exactly, 1)), "en").near_passages == 0

    def test_an_irrelevant_candidate_is_no_fault(self, tmp_path):
        assert audit(training(tmp_path / "t", ["An irrelevant sentence about nothing."]), lighthouse()).clean

    def test_the_same_text_in_another_language_column_is_not_compared(self, tmp_path):
        assert audit(training(tmp_path / "t", [PASSAGES["en"]], code="de"), lighthouse()).clean

    def test_texts_shorter_than_a_gram(self, tmp_path):
        report = audit(training(tmp_path / "t", ["yes", "no"]), lighthouse(extra=["Yes", "maybe"]))
        assert (row(report, "en").exact_passages, row(report, "en").near_passages) == (1, 0)

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
        trained = {normal(text) for text in [*trained, "Was anything found in the harbour?"]}
        passages = {*checked, PASSAGES["en"]}
        asked = QUESTIONS["en"]
        best = {text: max(jaccard_by_hand(text, other) for other in trained) for text in {*passages, asked}}
        exact = {text for text in passages if normal(text) in trained}
        assert found.exact_passages == len(exact)
        assert found.near_passages == sum(best[text] >= 0.5 for text in passages - exact)
        assert found.highest == pytest.approx(max(1 if text in exact else best[text] for text in best))

    @pytest.mark.parametrize("near", [0, -1, 1.5])
    def test_a_threshold_out_of_range(self, tmp_path, near):
        with pytest.raises(KitError, match="above 0 and up to 1"):
            audit(training(tmp_path / "t", ["x"]), lighthouse(), near=near)


def normal(text):
    return " ".join(text.casefold().split())


def jaccard_by_hand(a, b):
    a, b = ({normal(text)[i : i + 5] for i in range(len(normal(text)) - 4)} for text in (a, b))
    return len(a & b) / len(a | b) if a | b else 0


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


class TestRealData:
    def test_the_museum_splits_share_no_name_and_no_text(self, own_cache):
        report = audit(museum.training_pairs(200), museum.benchmark(30))
        assert len(report.rows) == 11
        for found in report.rows:
            assert (found.training, found.questions, found.passages) == (2_400, 180, 180)
            assert found.names_by == "given by the sources" and found.names > 30
            assert not found.shared_names and not found.exact_share, report.to_markdown()
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

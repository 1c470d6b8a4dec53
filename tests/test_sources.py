"""Training sources of the paper's size: small folders in the exact layout of the public ones, read row by row."""

import gzip
import json
import warnings

import pyarrow as pa
import pytest
from pyarrow import parquet

from hybridkit import lock, paths
from hybridkit.corpora import catalogue, downloads, mmarco
from hybridkit.corpora.catalogue import CATALOGUE
from hybridkit.display import catalogue_table
from hybridkit.errors import KitError, KitWarning
from hybridkit.params import Parameters
from hybridkit.sampling import BatchPlan

NBSP = "\u00a0"
ARABIC, ARABIC_ANSWER = "أين الساعة؟", "الساعة في البرج."
SOURCES = [
    "mmarco", "natural-questions", "mr-tydi", "mfaq", "wikiqa", "duorc", "newsqa", "yahoo-qa", "entity-questions",
    "squad", "squad-translations", "squadshifts",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_places(own_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))


def put(source, name, content):
    """A file of a source, in the layout of the public one."""
    path = paths.downloads() / source / name
    assert name in CATALOGUE[source].files
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(content), path)
    elif name.endswith(".jsonl.gz"):
        path.write_bytes(gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in content)))
    elif name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")
    elif name.endswith(".json"):
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    else:
        path.write_text("".join("\t".join(row) + "\n" for row in content), encoding="utf-8", newline="")
    return path


def load(source, **changes):
    """The pairs, and the note on what was left out."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", KitWarning)
        pairs = catalogue.training_pairs(source, Parameters(**changes))
    return pairs, " ".join(str(note.message) for note in notes)


def rows(pairs, asked="en", answered="en"):
    """(question, positive, negatives) of every row, as texts."""
    found = []
    for row in range(len(pairs)):
        negatives = pairs.negatives[pairs.negative_offsets[row] : pairs.negative_offsets[row + 1]]
        (question,) = pairs.queries.texts(asked, [pairs.query[row]])
        positive, *others = pairs.passages.texts(answered, [pairs.positive[row], *negatives])
        found.append((question, positive, others))
    return found


class TestTables:
    def test_natural_questions(self):
        put("natural-questions", "pair/train-00000-of-00001.parquet", [
            {"query": "where is the clock", "answer": f"The clock{NBSP}stands in the tower."},
            {"query": "who made it", "answer": f" {NBSP}"},
            {"query": None, "answer": "Nobody asked."},
            {"query": ARABIC, "answer": ARABIC_ANSWER},
        ])  # fmt: skip
        pairs, note = load("natural-questions")
        assert rows(pairs) == [
            ("where is the clock", f"The clock{NBSP}stands in the tower.", []),
            (ARABIC, ARABIC_ANSWER, []),
        ]
        assert pairs.languages == ("en",) and pairs.licence == CATALOGUE["natural-questions"].licence
        assert note == "natural-questions: 2 rows; left out: 1 without a passage, 1 without a question."

    def test_yahoo_answers_in_two_files(self):
        lock.accept("yahoo-qa", "read")
        for number, title in enumerate(["how do i wind a clock", "why"]):
            row = {"title": title, "answer": f"With a key.{number}"}
            put("yahoo-qa", f"title-answer-pair/train-0000{number}-of-00002.parquet", [row])
        assert rows(load("yahoo-qa")[0]) == [
            ("how do i wind a clock", "With a key.0", []),
            ("why", "With a key.1", []),
        ]

    def test_mr_tydi(self):
        def passage(number, text, title="Clock"):
            return {"docid": f"12#{number}", "title": title, "text": text}

        put("mr-tydi", "mrtydi-v1.1-english/train.jsonl.gz", [
            {"query_id": "1", "query": "Where is it?", "positive_passages": [passage(0, "In the tower.")],
             "negative_passages": [passage(1, "It is large."), passage(2, ""), passage(0, "In the tower."),
                                   passage(3, "In the tower.")]},
            {"query_id": "2", "query": "How large?", "positive_passages": [passage(1, "It is large.")],
             "negative_passages": []},
            {"query_id": "3", "query": "Why?", "positive_passages": [], "negative_passages": []},
        ])  # fmt: skip
        pairs, note = load("mr-tydi")
        assert rows(pairs) == [
            ("Where is it?", "Clock In the tower.", ["Clock It is large."]),
            ("How large?", "Clock It is large.", []),
        ]
        assert len(pairs.passages) == 2, "a passage that two rows name is stored once"
        assert note == "mr-tydi: 2 rows; left out: 1 without an answer."

    def test_mfaq(self):
        page = [
            {"question": "Do you sell clocks?", "answer": "Yes.", "language": "en"},
            {"question": "Do you mend them?", "answer": "", "language": "en"},
        ]
        other = [{"question": "Where are you?", "answer": "Yes.", "language": "en"}]
        put("mfaq", "data/en/train.jsonl", [{"domain": "a.example", "qa_pairs": page}, {"qa_pairs": other}])
        pairs, note = load("mfaq")
        assert rows(pairs) == [("Do you sell clocks?", "Yes.", []), ("Where are you?", "Yes.", [])]
        assert "1 without a passage" in note

    def test_wikiqa(self):
        def sentence(question, answer, label):
            return {"question_id": question, "question": f"what is {question}", "document_title": "Clock",
                    "answer": answer, "label": label}  # fmt: skip

        put("wikiqa", "data/train-00000-of-00001.parquet", [
            sentence("Q1", "A clock is large.", 0), sentence("Q1", "A clock tells the time.", 1),
            sentence("Q1", "It tells it well.", 1), sentence("Q1", " ", 0), sentence("Q2", "A bell.", 0),
        ])  # fmt: skip
        pairs, note = load("wikiqa")
        assert rows(pairs) == [
            ("what is Q1", "A clock tells the time.", ["A clock is large."]),
            ("what is Q1", "It tells it well.", ["A clock is large."]),
        ]
        assert len(pairs.passages) == 3 and "1 without an answer" in note

    def test_duorc_gives_the_block_with_the_answer(self):
        words = [f"w{number}" for number in range(250)]
        plot = " ".join(words[:120]) + f"{NBSP}Mira Tovan " + " ".join(words[120:])

        def row(question, answers):
            return {"plot_id": "/m/1", "plot": plot, "title": "The clock", "question_id": "x", "question": question,
                    "answers": answers, "no_answer": not answers}  # fmt: skip

        asked = [row("Who?", ["nobody", "Mira Tovan"]), row("Which?", ["w119"]), row("Why?", []), row("How?", ["zzz"])]
        put("duorc", "SelfRC/train-00000-of-00001.parquet", asked)
        pairs, note = load("duorc")
        (who, block, _), (which, same, _) = rows(pairs)
        assert (who, which) == ("Who?", "Which?") and same == block and len(pairs.passages) == 1
        assert block.split()[0] == "w100" and len(block.split()) == 100 and f"w119{NBSP}Mira Tovan w120" in block
        assert "2 without an answer that stands in the plot" in note

    def test_newsqa_takes_the_training_stories(self):
        lock.accept("newsqa", "read")
        text = "The clock was sold.\n\n\n\nIt cost ten crowns."

        def story(kind, *questions):
            asked = [{"q": question, "consensus": consensus} for question, consensus in questions]
            return {"storyId": f"./cnn/stories/{kind}.story", "type": kind, "text": text, "questions": asked}

        put("newsqa", "combined-newsqa-data-v1.json", {"version": "1", "data": [
            story("train", ("What did it cost?", {"s": 28, "e": 38}), ("Why?", {"noAnswer": True}),
                  ("Hm?", {"badQuestion": True})),
            story("dev", ("What was sold?", {"s": 0, "e": 9})),
        ]})  # fmt: skip
        pairs, note = load("newsqa")
        assert rows(pairs) == [("What did it cost?", text, [])] and "2 without an agreed answer" in note

    def test_entity_questions_take_what_was_retrieved(self):
        def passage(number, text, right):
            return {"id": f"wiki:{number}", "title": "Mira", "text": text, "score": "1.0", "has_answer": right}

        put("entity-questions", "entity-questions.train.jsonl", [
            {"question": "Where was Mira born?", "answers": ["Riga"],
             "ctxs": [passage(1, "She made clocks.", False), passage(2, "Born in Riga.", True),
                      passage(3, "Riga is far.", True)]},
            {"question": "Where did she die?", "answers": ["Rome"], "ctxs": [passage(1, "She made clocks.", False)]},
        ])  # fmt: skip
        pairs, note = load("entity-questions")
        assert rows(pairs) == [("Where was Mira born?", "Mira Born in Riga.", ["Mira She made clocks."])]
        assert "1 without an answer in what was retrieved" in note

    def test_max_rows_takes_the_first_rows_and_their_passages(self):
        table = [{"query": f"q {n}", "answer": f"a {n}" if n != 1 else ""} for n in range(9)]
        put("natural-questions", "pair/train-00000-of-00001.parquet", table)
        pairs, _ = load("natural-questions", max_rows=3)
        assert [question for question, *_ in rows(pairs)] == ["q 0", "q 2", "q 3"] and len(pairs.passages) == 3
        assert len(load("natural-questions")[0]) == 8, "another number of rows is another cache"

    def test_more_rows_than_a_block(self):
        from hybridkit.corpora import qa_tables

        table = [{"query": f"q {n}", "answer": f"a {n}"} for n in range(qa_tables._BLOCK + 5)]
        put("natural-questions", "pair/train-00000-of-00001.parquet", table)
        pairs, note = load("natural-questions")
        assert len(pairs) == len(table) and rows(pairs)[-1] == (table[-1]["query"], table[-1]["answer"], [])
        assert not note

    def test_built_once(self):
        path = put("natural-questions", "pair/train-00000-of-00001.parquet", [{"query": "q", "answer": "a"}])
        first, _ = load("natural-questions")
        path.unlink()
        again, _ = load("natural-questions")
        assert again.fingerprint == first.fingerprint


LANGUAGES = {"en": "english", "de": "german", "ar": "arabic"}


def put_mmarco(passages=None, queries=None, triples=None):
    """Three languages, by language the lines of a file."""
    for code, name in LANGUAGES.items():
        default = [(str(n), f"{code} passage {n}") for n in range(6)]
        put("mmarco", f"data/google/collections/{name}_collection.tsv", (passages or {}).get(code, default))
        default = [("300", f"{code} q 300"), ("20", f"{code} q 20"), ("100", f"{code} q 100")]
        put("mmarco", f"data/google/queries/train/{name}_queries.train.tsv", (queries or {}).get(code, default))
    default = [("20", "1", "3"), ("300", "2", "1"), ("20", "1", "5"), ("100", "4", "0")]
    put("mmarco", mmarco.TRIPLES, triples or default)


class TestMmarco:
    languages = ["ar", "de", "en", "th"]

    def load(self, **changes):
        return load("mmarco", **{"languages": self.languages} | changes)

    def test_every_triple_is_a_row_and_every_text_is_stored_once_a_language(self):
        put_mmarco()
        pairs, note = self.load()
        assert pairs.languages == ("ar", "de", "en") and not note
        assert list(pairs.queries.ids) == ["20", "100", "300"]
        for asked in pairs.languages:
            for answered in pairs.languages:
                assert rows(pairs, asked, answered) == [
                    (f"{asked} q 20", f"{answered} passage 1", [f"{answered} passage 3"]),
                    (f"{asked} q 300", f"{answered} passage 2", [f"{answered} passage 1"]),
                    (f"{asked} q 20", f"{answered} passage 1", [f"{answered} passage 5"]),
                    (f"{asked} q 100", f"{answered} passage 4", [f"{answered} passage 0"]),
                ]

    def test_languages_that_are_not_the_runs_are_not_needed(self):
        put_mmarco()
        pairs, _ = self.load(languages=["en"], cross=0.0, mono=1.0)
        assert pairs.languages == ("en",)
        assert not (paths.downloads() / "mmarco/data/google/collections/spanish_collection.tsv").exists()

    def test_max_rows_keeps_only_the_passages_that_are_needed(self):
        put_mmarco()
        pairs, _ = self.load(max_rows=2)
        assert len(pairs) == 2 and list(pairs.passages.ids) == ["1", "2", "3"]
        assert list(pairs.queries.ids) == ["20", "300"]

    def test_odd_rows(self):
        german = [(str(n), f"de passage {n}") for n in range(6)]
        german[1] = ("1", "")  # missing in one language
        german[3] = ("3", f"{NBSP}Uhr{NBSP}und\tTurm\r")  # a tab and a return inside a text
        german[4] = ("4", "the same in German")
        german[0] = ("0", "the same in German")
        arabic = [(str(n), ARABIC_ANSWER + str(n)) for n in range(6)]
        empty = {code: [(str(n), f"{code} passage {n}" if n != 5 else "") for n in range(6)] for code in LANGUAGES}
        german[5] = arabic[5] = ("5", " ")
        triples = [("20", "1", "3"), ("300", "2", "1"), ("20", "1", "5"), ("100", "4", "0"), ("20", "5", "5")]
        put_mmarco({"de": german, "ar": arabic, "en": empty["en"]}, triples=triples)
        pairs, note = self.load()
        assert rows(pairs, "de", "de") == [
            ("de q 20", None, [f"{NBSP}Uhr{NBSP}und\tTurm"]),
            ("de q 300", "de passage 2", [None]),
        ]
        assert rows(pairs, "ar", "ar")[1] == ("ar q 300", ARABIC_ANSWER + "2", [ARABIC_ANSWER + "1"])
        assert note == ("mmarco: 2 rows; left out: 2 with an empty text, 1 whose negative is the positive again.")

    def test_queries_may_stand_in_any_order(self):
        german = [("100", "de q 100"), ("7", "not needed"), ("300", "de q 300"), ("20", "de q 20")]
        put_mmarco(queries={"de": german})
        assert [question for question, *_ in rows(self.load()[0], "de", "de")] == [
            "de q 20", "de q 300", "de q 20", "de q 100",
        ]  # fmt: skip

    def test_blocks_of_lines(self, monkeypatch):
        monkeypatch.setattr(mmarco, "_BLOCK", 2)
        put_mmarco()
        assert len(self.load()[0]) == 4

    @pytest.mark.parametrize("what", ["passages", "queries"])
    def test_languages_of_unequal_length_or_other_ids(self, what):
        short = {"passages": [(str(n), "kurz") for n in range(4)], "queries": [("20", "kurz"), ("301", "kurz")]}
        put_mmarco(**{what: {"de": short[what]}})
        with pytest.raises(KitError, match="german_.* has no line for the id (4|100), which .*arabic_.* has") as caught:
            self.load()
        assert "\n" not in str(caught.value)
        assert not list((paths.cache() / "pairs").glob("mmarco-*/")), "nothing half built is left"

    @pytest.mark.parametrize("line", [("x", "text"), ("99999999999999999999", "text")])
    def test_a_line_that_is_none(self, line):
        put_mmarco({"de": [line]})
        with pytest.raises(KitError, match=r"german_collection\.tsv, lines 1 to 1: a line is no id, tab and text"):
            self.load()

    @pytest.mark.parametrize("triple", [("20", "1"), ("20", "1", "x"), ("20", "1", "")])
    def test_triples_that_are_none(self, triple):
        put_mmarco(triples=[("20", "1", "3"), triple])
        with pytest.raises(KitError, match=r"triples\.train\.ids\.small\.tsv holds no triples of ids"):
            self.load()

    def test_none_of_the_languages(self):
        with pytest.raises(KitError, match="mmarco has none of the run's languages .th, tr.: add one of ar, de"):
            self.load(languages=["th", "tr"])


def squad(*paragraphs):
    """One article; a paragraph is its text and questions as (id, text)."""
    return {"version": "1.1", "data": [{"title": "Clock", "paragraphs": [
        {"context": context, "qas": [
            {"id": one, "question": text, "answers": [{"answer_start": 0, "text": context[:3]}]} for one, text in asked
        ]} for context, asked in paragraphs
    ]}]}  # fmt: skip


ENGLISH = squad(
    (f"The clock{NBSP}is large.", [("a", "Is it large?"), ("b", "What is it?")]),
    ("", [("c", "Where is it?")]),
    ("It stands in the tower.", [("d", "Where does it stand?")]),
)


class TestSquad:
    def test_english(self):
        put("squad", "train-v1.1.json", ENGLISH)
        pairs, note = load("squad")
        assert rows(pairs) == [
            ("Is it large?", f"The clock{NBSP}is large.", []),
            ("What is it?", f"The clock{NBSP}is large.", []),
            ("Where does it stand?", "It stands in the tower.", []),
        ]
        assert len(pairs.passages) == 2 and list(pairs.queries.ids) == ["a", "b", "d"]
        assert note == "squad: 3 rows; left out: 1 without a question or a paragraph."

    def test_translations_are_joined_by_question(self):
        put("squad-translations", "train-v1.1.json", ENGLISH)
        arabic = squad((ARABIC_ANSWER, [("d", ARABIC)]), ("x", [("b", " ")]), ("told again", [("a", "y")]))
        put("squad-translations", "squad.translate.train.en-ar.json", arabic)
        pairs, note = load("squad-translations", languages=["ar", "en"])
        assert rows(pairs, "ar", "ar") == [("y", "x", []), (None, "x", []), (ARABIC, ARABIC_ANSWER, [])]
        assert rows(pairs, "ar", "en")[2] == (ARABIC, "It stands in the tower.", [])
        assert "1 without a question in 'ar', kept in the other languages" in note
        assert pairs.languages == ("ar", "en")

    def test_max_rows(self):
        put("squad-translations", "train-v1.1.json", ENGLISH)
        put("squad-translations", "squad.translate.train.en-ar.json", squad(("x", [("d", "z"), ("a", "y")])))
        pairs, _ = load("squad-translations", languages=["ar", "en"], max_rows=1)
        assert rows(pairs, "ar", "en") == [("y", f"The clock{NBSP}is large.", [])]

    def test_files_that_are_not_translations_of_each_other(self):
        put("squad-translations", "train-v1.1.json", ENGLISH)
        put("squad-translations", "squad.translate.train.en-de.json", squad(("Uhr", [("e", "Was?")])))
        with pytest.raises(KitError, match=r"en-de\.json has the question 'e', which .*train-v1\.1\.json lacks"):
            load("squad-translations", languages=["de", "en"])
        assert not list((paths.cache() / "pairs").glob("squad-*/"))

    def test_another_format(self):
        put("squad", "train-v1.1.json", {"data": [{"paragraphs": [{"context": "x"}]}]})
        with pytest.raises(KitError, match=r"train-v1\.1\.json is not in the format of SQuAD 1\.1 .KeyError: 'qas'"):
            load("squad")

    def test_squadshifts_validate(self):
        for name in CATALOGUE["squadshifts"].files:
            put("squadshifts", name, squad((f"of {name}", [(f"1 {name}", "Which?")])))
        pairs, _ = load("squadshifts", languages=["th"], cross=0.0, mono=1.0)
        assert [passage for _, passage, _ in rows(pairs)] == [f"of {name}" for name in CATALOGUE["squadshifts"].files]
        assert pairs.languages == ("en",) and CATALOGUE["squadshifts"].kind == "validation pairs"


class TestFaults:
    def test_another_column(self):
        put("natural-questions", "pair/train-00000-of-00001.parquet", [{"question": "q", "answer": "a"}])
        with pytest.raises(KitError, match=r'00001\.parquet has no column "query" but question, answer'):
            load("natural-questions")
        put("mr-tydi", "mrtydi-v1.1-english/train.jsonl.gz", [{"query": "q", "positive": []}])
        with pytest.raises(KitError, match='line 1, has no column "positive_passages" but query, positive'):
            load("mr-tydi")

    def test_another_layout_inside_a_row(self):
        row = {"query": "q", "positive_passages": [{"text": "x"}], "negative_passages": []}
        put("mr-tydi", "mrtydi-v1.1-english/train.jsonl.gz", [row])
        with pytest.raises(KitError, match=r"train\.jsonl\.gz: KeyError 'docid' in a row; its layout is not the one"):
            load("mr-tydi")

    @pytest.mark.parametrize(
        ("source", "name"),
        [
            ("natural-questions", "pair/train-00000-of-00001.parquet"),
            ("mr-tydi", "mrtydi-v1.1-english/train.jsonl.gz"),
            ("mfaq", "data/en/train.jsonl"),
            ("squad", "train-v1.1.json"),
        ],
    )
    def test_a_file_cut_short(self, source, name):
        row = {"query": "q" * 99, "answer": "a", "qa_pairs": [], "positive_passages": [], "negative_passages": []}
        content = ENGLISH if source == "squad" else [row] * 99
        path = put(source, name, content)
        path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(KitError, match="delete it and fetch it again") as caught:
            load(source)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)

    def test_a_checksum_that_differs(self):
        path = put("natural-questions", "pair/train-00000-of-00001.parquet", [{"query": "q", "answer": "a"}])
        load("natural-questions")
        was = lock.read()["datasets"]["natural-questions"]["files"]["pair/train-00000-of-00001.parquet"]["sha256"]
        put("natural-questions", "pair/train-00000-of-00001.parquet", [{"query": "q", "answer": "b"}])
        with pytest.raises(KitError, match=was) as caught:
            load("natural-questions", max_rows=1)
        assert str(path) in str(caught.value)

    def test_no_network(self, monkeypatch):
        import httpx2
        import huggingface_hub
        import pooch
        import requests

        def fail(*_, **__):
            raise httpx2.ConnectError("Name or service not known")

        def fail_by_address(*_, **__):
            raise requests.ConnectionError("Name or service not known")

        monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", fail)
        monkeypatch.setattr(pooch, "retrieve", fail_by_address)
        for name in ("mmarco", "squad"):
            for look_up in (catalogue.training_pairs, catalogue.content_key):
                with pytest.raises(KitError, match="could not be reached: connect to the network, or put a copy"):
                    look_up(name, Parameters())
        assert not paths.lock_file().exists()

    def test_an_address_that_is_gone(self, monkeypatch):
        import pooch
        import requests

        def fail(*_, **__):
            response = requests.Response()
            response.status_code = 404
            raise requests.HTTPError("404", response=response)

        monkeypatch.setattr(pooch, "retrieve", fail)
        with pytest.raises(KitError, match="train-v1.1.json of rajpurkar.github.io does not exist there any more.*404"):
            load("squad")

    def test_files_that_come_by_hand(self):
        with pytest.raises(
            KitError, match=r"entity-questions\.train\.jsonl is not there, and cannot be fetched: fetch"
        ):
            load("entity-questions")
        lock.accept("newsqa", "read")
        with pytest.raises(KitError, match="cannot be fetched: build combined-newsqa-data-v1.json with the tool"):
            load("newsqa")

    @pytest.mark.parametrize("name", ["newsqa", "yahoo-qa"])
    def test_a_licence_that_is_not_accepted(self, name):
        for look_up in (catalogue.training_pairs, catalogue.content_key):
            with pytest.raises(KitError, match=f"hybridkit data fetch {name} --accept-licence"):
                look_up(name, Parameters())

    def test_a_disk_that_fills_up(self, monkeypatch):
        put_mmarco()
        real = pa.ipc.new_file

        def full(sink, *rest, **named):
            if "passages" in str(sink):
                raise OSError(28, "No space left on device")
            return real(sink, *rest, **named)

        monkeypatch.setattr(pa.ipc, "new_file", full)
        with pytest.raises(KitError, match="cannot be written .No space left on device.*HYBRIDKIT_CACHE"):
            load("mmarco", languages=["de", "en"])
        left = [path for path in (paths.cache() / "pairs").iterdir() if path.suffix != ".lock"]
        assert left == []


class TestRefused:
    @pytest.mark.parametrize(
        "name",
        ["xquad-r", "XQuAD-R", "xquad", "squad-dev", "squad_validation", "mlqa", "mlqa-r", "miracl", "miracl:sw"],
    )
    def test_test_sets_as_training_data(self, name):
        with pytest.raises(KitError, match=f'"{name}" cannot be trained on, it is a test set'):
            catalogue.training_pairs(name, Parameters())

    def test_every_benchmark_of_the_catalogue(self):
        tests = [name for name, source in CATALOGUE.items() if source.kind == "benchmark"]
        assert "xquad-r" in tests
        for name in tests:
            with pytest.raises(KitError, match="cannot be trained on"):
                catalogue.training_pairs(name, Parameters())

    def test_training_data_written_otherwise_is_no_test_set(self):
        with pytest.raises(KitError, match='"MMARCO" is no training data.*perhaps "mmarco"'):
            catalogue.training_pairs("MMARCO", Parameters())

    def test_training_data_is_no_benchmark(self):
        with pytest.raises(KitError, match='"mmarco" is no benchmark'):
            catalogue.benchmark("mmarco", Parameters())


class TestKeys:
    def test_of_a_locked_revision(self, monkeypatch):
        import huggingface_hub

        seen = []
        monkeypatch.setattr(
            huggingface_hub.HfApi,
            "repo_info",
            lambda *_, **__: seen.append(1) or type("Info", (), {"sha": "c0ffee"}),
        )
        keys = {catalogue.content_key("mmarco", Parameters()) for _ in range(3)}
        assert keys == {"c0ffee"} and len(seen) == 1, "resolved once, and without a download"

    def test_of_checksums(self):
        path = put("squad", "train-v1.1.json", ENGLISH)
        key = catalogue.content_key("squad", Parameters())
        path.unlink()
        assert catalogue.content_key("squad", Parameters()) == key, "known from the lock file alone"
        paths.lock_file().unlink()
        put("squad", "train-v1.1.json", squad(("x", [("a", "y")])))
        assert catalogue.content_key("squad", Parameters()) != key

    def test_of_the_languages_of_the_run(self):
        put("squad-translations", "train-v1.1.json", ENGLISH)
        put("squad-translations", "squad.translate.train.en-de.json", squad(("x", [("a", "y")])))
        english = catalogue.content_key("squad-translations", Parameters(languages=["en"], cross=0.0, mono=1.0))
        assert english != catalogue.content_key("squad-translations", Parameters(languages=["de", "en"]))

    def test_pinned_sources_keep_theirs(self):
        assert catalogue.content_key("xquad-r", Parameters()) == CATALOGUE["xquad-r"].commit
        # Its rows are left out by rules that have changed once.
        assert catalogue.content_key("afriqa", Parameters()) == f"{CATALOGUE['afriqa'].commit}:2"

    def test_of_max_rows(self):
        assert Parameters().key() != Parameters(max_rows=5).key()


class TestCatalogue:
    def test_names(self):
        assert set(SOURCES) <= set(CATALOGUE)
        for name in SOURCES:
            assert CATALOGUE[name].kind in ("training pairs", "validation pairs")

    def test_nothing_is_pinned_that_nobody_has_seen(self):
        for name in SOURCES:
            source = CATALOGUE[name]
            assert not source.commit and not any({"sha256", "bytes"} & set(pin) for pin in source.files.values())

    def test_what_mmarco_needs_of_its_files(self):
        source = CATALOGUE["mmarco"]
        for code in source.languages:
            assert source.files_of([code]) == [mmarco.TRIPLES, *mmarco.file_names(code)]
        assert len(source.files_of()) == 29

    def test_the_list_says_how_each_pin_is_verified(self):
        def paragraph(name):
            return catalogue_table().partition(f"\n{name}: ")[2].partition("\n  hybridkit")[0]

        assert "every file is checked against a SHA-256 in the kit" in paragraph("xquad-r")
        assert "not locked yet" in paragraph("squad").splitlines()[3]
        put("squad", "train-v1.1.json", ENGLISH)
        catalogue.content_key("squad", Parameters())
        assert "1 files with SHA-256" in paragraph("squad").splitlines()[3]
        assert "hybridkit data fetch yahoo-qa --accept-licence" in paragraph("yahoo-qa").splitlines()[4]
        lock.accept("yahoo-qa", "read")
        assert "you did on 2" in paragraph("yahoo-qa").splitlines()[4]
        assert "combined-newsqa-data-v1.json" in paragraph("newsqa").splitlines()[5]

    def test_fetching_some_languages_of_several_sources(self):
        from click.testing import CliRunner

        from hybridkit.cli import main

        put_mmarco()
        put("squad", "train-v1.1.json", ENGLISH)
        found = CliRunner().invoke(main, ["data", "fetch", "mmarco", "squad", "--languages", "en"])
        assert found.exit_code == 0, found.output
        assert [line.split(" with")[0] for line in found.output.splitlines()] == ["mmarco: 3 files", "squad: 1 files"]
        assert catalogue.fetch("squad", languages=["de", "en"]).startswith("squad: 1 files")
        assert catalogue.fetch("mmarco", languages=["de", "th"]).startswith("mmarco: 3 files"), "mMARCO has no Thai"
        with pytest.raises(KitError, match="squad has none of the languages de, fr: name some of en"):
            catalogue.fetch("squad", languages=["de", "fr"])
        with pytest.raises(KitError, match="mmarco has no language 'dee': name some of ar, de"):
            catalogue.fetch("mmarco", languages=["en", "dee"])

    def test_a_locked_file_that_was_cut_short(self):
        path = put("squad", "train-v1.1.json", ENGLISH)
        assert downloads.is_there(CATALOGUE["squad"])
        catalogue.fetch("squad")
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(KitError, match="bytes, but .* says .*: it was cut short or altered"):
            downloads.is_there(CATALOGUE["squad"])


def test_english_sources_take_part_in_mono_batches_alone():
    put_mmarco(triples=[("20", "1", "3"), ("300", "2", "4"), ("100", "5", "0")])
    put(
        "natural-questions",
        "pair/train-00000-of-00001.parquet",
        [{"query": f"q{n}", "answer": f"a{n}"} for n in range(9)],
    )
    parameters = Parameters(
        languages=["de", "en"], batch_size=2, explicit_negatives=0, training_data=["mmarco", "natural-questions"]
    )
    datasets = [catalogue.training_pairs(name, parameters) for name in parameters.training_data]
    table = BatchPlan.from_parameters(parameters, datasets).table(range(60))
    english = table[table["dataset"] == "natural-questions"]
    assert len(english) and set(english["kind"]) == {"mono"} and set(english["query_language"]) == {"en"}
    assert set(table[table["kind"] == "cross"]["dataset"]) == {"mmarco"}

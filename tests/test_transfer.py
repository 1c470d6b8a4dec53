"""Tasks, features and heads: against hand-made examples, and the facts of the museum's own tasks."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from transformers import AutoTokenizer, pipeline

from hybridkit import params
from hybridkit.cli import main
from hybridkit.corpora import catalogue
from hybridkit.errors import KitError
from hybridkit.languages import XQUAD_R
from hybridkit.museum.lexicon import lexicon
from hybridkit.museum.world import CONCEPTS, generate
from hybridkit.params import Parameters
from hybridkit.transfer import features, fine_tuned, heads, museum_tasks
from hybridkit.transfer.tasks import make_labelled, part


class Colours:
    """Stands in for an encoder: a vector tells which of three colours a text names, in any language."""

    words = ({"red", "rot"}, {"green", "grün"}, {"blue", "blau"})

    def __init__(self):
        self.encoded = []

    def encode_document(self, texts, batch_size, show_progress_bar, normalize_embeddings):
        assert normalize_embeddings and not show_progress_bar
        self.encoded += texts
        return np.array([[float(bool(words & set(text.split()))) for words in self.words] for text in texts])


def colour_task(shuffled=False, **languages):
    """Texts that name a colour, which is their label; or any label at all."""
    parts = {}
    for code, words in (languages or {"en": ("red", "green", "blue"), "de": ("rot", "grün", "blau")}).items():
        for split in ("train", "dev", "test") if code == "en" else ("test",):
            texts = [f"{word} {split} {n}" for n in range(40) for word in words]
            labels = list("rgb") * 40
            if shuffled:
                labels = np.random.default_rng([1, len(split)]).permutation(labels)
            parts[code, split] = part(texts, labels)
    return make_labelled("colours", "none", "rgb", parts)


class TestTasks:
    good = {("en", split): part(["a", "b"], ["x", "y"]) for split in ("train", "dev", "test")}

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({("de", "test"): part(["a"], ["x", "y"])}, "toy, de, test: 1 texts and 2 labels"),
            ({("de", "test"): part(["a"], ["x"], ["b", "c"])}, "1, 2 texts and 1 labels"),
            ({("de", "test"): part([], [])}, "0 texts and 0 labels"),
            ({("de", "test"): part(["a", " "], ["x", "y"])}, "example 1, counted from 0, has an empty text"),
            ({("de", "test"): part(["a"], ["z"])}, "the label 'z' is none of x, y"),
            ({("german", "test"): part(["a"], ["x"])}, "'german' is not a language code"),
            ({("de", "test"): part(["a"], ["x"], ["b"])}, "pairs in some parts and single texts in others"),
            ({("de", "train"): part(["a"], ["x"])}, "training texts in de but not both dev and test"),
        ],
    )
    def test_bad_input(self, changed, told):
        with pytest.raises(KitError, match=told):
            make_labelled("toy", "none", "xy", self.good | changed)

    @pytest.mark.parametrize(("there", "lacking"), [("train", "test"), ("test", "training")])
    def test_without_a_split(self, there, lacking):
        with pytest.raises(KitError, match=f"no {lacking} texts in any language"):
            make_labelled("toy", "none", "xy", {("en", there): self.good["en", there]})

    def test_languages_of_a_split(self):
        task = make_labelled("toy", "none", "xy", self.good | {("de", "test"): part(["a"], ["x"])})
        assert task.languages("test") == ("de", "en") and task.languages("train") == ("en",) and not task.pairs


class TestFeatures:
    def test_of_pairs_by_hand(self):
        u, v = np.array([[1.0, -2.0], [0.5, 0.0]]), np.array([[3.0, 2.0], [0.5, 4.0]])
        by_hand = [[1, -2, 3, 2, 2, 4, 3, -4], [0.5, 0, 0.5, 4, 0, 4, 0.25, 0]]
        assert features.of_pairs(u, v).tolist() == by_hand

    def test_a_text_is_encoded_once_and_stands_in_its_place(self):
        model = Colours()
        found = features.of_texts(model, ["blue", "red", "blue"])
        assert model.encoded == ["blue", "red"] and found.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]

    def test_hypotheses_stand_beside_the_features_of_pairs(self):
        pairs = part(["red", "blue"], ["x", "y"], ["blue", "blue"])
        both, alone = features.of_part(Colours(), pairs)
        assert both[0].tolist() == [1, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0] and alone.tolist() == [[0, 0, 1], [0, 0, 1]]

    def test_the_encoder_of_a_run(self, tmp_path):
        run = tmp_path / "run"
        assert features.encoder_of("some/model") == ("some/model", None)
        (run / "model").mkdir(parents=True)
        (run / "params.yaml").write_text(params.to_yaml(Parameters(languages=["de", "en"])))
        assert features.encoder_of(str(run)) == (str(run / "model"), ("de", "en"))
        (run / "model" / "text").mkdir()
        assert features.encoder_of(str(run)) == (str(run / "model" / "text"), ("de", "en"))


class TestHeads:
    def test_separable_topics_are_told_in_every_language(self):
        found = heads.transfer(Colours(), colour_task(), trained=["en"])
        assert found["accuracy"].tolist() == [1, 1] and found["n"].tolist() == [120, 120]
        assert found[["language", "head", "in training"]].values.tolist() == [["de", "en", "no"], ["en", "en", "yes"]]
        # (p + z^2/2n) / (1 + z^2/n) - half width, with p = 1 and z = 1.96, is 1 / (1 + z^2/n).
        assert found["low"].iloc[0] == pytest.approx(1 / (1 + 1.959964**2 / 120)) and found["high"].iloc[0] == 1

    def test_shuffled_labels_leave_chance(self):
        found = heads.transfer(Colours(), colour_task(shuffled=True))
        assert (found["majority"] == 1 / 3).all() and (found["in training"] == "unknown").all()
        assert found["accuracy"].between(1 / 3 - 0.13, 1 / 3 + 0.13).all()  # three standard deviations of 120

    def test_a_head_of_its_own_for_each_language(self):
        # What "rot" means is learnt in German alone: the words of the second language are those of another colour.
        task = colour_task(en=("red", "green", "blue"), de=("blau", "rot", "grün"))
        assert heads.transfer(Colours(), task).set_index("language")["accuracy"].to_dict() == {"en": 1.0, "de": 0.0}
        parts = dict(task.parts) | {("de", split): task.parts["de", "test"] for split in ("train", "dev")}
        found = heads.transfer(Colours(), make_labelled("colours", "none", "rgb", parts), "each")
        assert found[["language", "head", "accuracy"]].values.tolist() == [["de", "de", 1.0], ["en", "en", 1.0]]

    def test_the_strength_is_chosen_on_the_dev_examples(self):
        x = np.random.default_rng(0).normal(size=(60, 5))
        y = np.where(x[:, 0] + np.random.default_rng(1).normal(size=60) > 0, "a", "b")
        dev_x = np.random.default_rng(2).normal(size=(400, 5))
        dev_y = np.where(dev_x[:, 0] > 0, "a", "b")
        scaled, dev_scaled = (x - x.mean(0)) / x.std(0), (dev_x - x.mean(0)) / x.std(0)
        by_hand = {
            c: (LogisticRegression(C=c, max_iter=2000).fit(scaled, y).predict(dev_scaled) == dev_y).sum()
            for c in heads.STRENGTHS
        }
        best = next(c for c, right in by_hand.items() if right == max(by_hand.values()))
        head = heads.Head.fit(x, y, dev_x, dev_y)
        assert len(set(by_hand.values())) > 1 and head.strength == best
        assert head.right(dev_x, dev_y).sum() == by_hand[best]

    def test_a_hypothesis_alone_is_a_baseline_of_pairs(self):
        relation = {
            ("red", "red"): "same",
            ("red", "blue"): "other",
            ("blue", "blue"): "same",
            ("blue", "red"): "other",
        }
        pairs = [(a, b, label) for (a, b), label in relation.items()] * 20
        parts = {("en", split): part(*zip(*[(a, y, b) for a, b, y in pairs])) for split in ("train", "dev", "test")}
        found = heads.transfer(Colours(), make_labelled("toy", "none", ("same", "other"), parts))
        assert found["accuracy"].tolist() == [1.0] and found["hypothesis only"].tolist() == [0.5]

    def test_at_most_so_many_training_examples(self):
        model = Colours()
        heads.transfer(model, colour_task(), most=30)
        trained = [text for text in model.encoded if "train" in text]
        assert len(trained) == 30 and trained != [f"{w} train {n}" for n in range(10) for w in ("red", "green", "blue")]

    def test_a_language_without_training_texts(self):
        with pytest.raises(KitError, match="no training texts in 'de': write one of en, or \"each\""):
            heads.transfer(Colours(), colour_task(), "de")

    def test_summary_by_hand(self):
        model = Colours()
        found = heads.transfer(model, colour_task(en=("red", "green", "blue"), de=("rot",) * 3, es=("azul",) * 3))
        zero_shot = found.set_index("language").loc[["de", "es"], "accuracy"].mean()
        assert heads.summary(found)[["languages", "number", "accuracy"]].values.tolist() == [
            ["the head's own", 1, 1.0],
            ["zero-shot", 2, zero_shot],
        ]
        found["in training"] = ["yes", "yes", "no"]
        assert heads.summary(found)["languages"].tolist()[2:] == [
            "zero-shot, in the encoder's training",
            "zero-shot, not in it",
        ]


@pytest.fixture(scope="module")
def inference():
    return museum_tasks.inference(train=100, test=40)


class TestMuseum:
    def test_relations_are_balanced_and_stand_by_one_premise(self, inference):
        assert set(inference.parts) == {(code, split) for code in XQUAD_R for split in ("train", "dev", "test")}
        assert [len(inference.parts["de", split]) for split in ("train", "dev", "test")] == [240, 60, 120]
        for found in inference.parts.values():
            assert found.labels.tolist() == list(museum_tasks.RELATIONS) * (len(found) // 3)
            triples = np.array(found.texts).reshape(-1, 3)
            assert (triples == triples[:, :1]).all()
            assert not any(a == b for a, b in zip(found.texts, found.seconds, strict=True))

    def test_a_contradiction_is_the_entailed_sentence_with_another_value(self):
        exhibits, lex, seen = generate("evaluation", 60), lexicon("en"), set()
        for exhibit in exhibits:
            _, stated, other, changed = museum_tasks._drawn(exhibit, exhibits)
            assert stated != other and changed.facts | {stated: exhibit.facts[stated]} == exhibit.facts
            pairs = museum_tasks._pairs(exhibit, stated, other, changed, lex)
            (_, entailed, _), (_, neutral, _), (_, contradicted, _) = pairs
            if stated in ("year", "price", "workshop"):
                old, new = (lex._value(stated, None, one) for one in (exhibit, changed))
                assert old in entailed and new not in entailed
                assert entailed.replace(old, new) == contradicted
                seen.add(stated)
            assert len({entailed, neutral, contradicted}) == 3
        assert len(seen) == 3

    def test_the_same_facts_in_every_language(self):
        exhibit, stated, other, changed = museum_tasks._drawn(generate("train", 1)[0], generate("train", 30))
        for code in XQUAD_R:
            (premise, _, _), (_, neutral, _), _ = museum_tasks._pairs(exhibit, stated, other, changed, lexicon(code))
            assert premise == lexicon(code).sentence(exhibit, stated) and neutral != premise

    def test_no_person_of_the_evaluation_is_named_in_training(self, inference):
        lex = lexicon("en")
        people = {lex.name(e.maker) for e in generate("evaluation", 40)}
        trained = " ".join(inference.parts["en", "train"].texts + inference.parts["en", "train"].seconds)
        tested = " ".join(inference.parts["en", "test"].texts)
        assert not [name for name in people if name in trained] and all(name in tested for name in people)

    def test_every_object_has_one_department(self):
        kept = [thing for things in museum_tasks.DEPARTMENTS.values() for thing in things]
        assert sorted(kept) == sorted(CONCEPTS["object"]) and len(kept) == 30

    def test_a_topic_is_the_department_of_the_object_that_is_named(self):
        task = museum_tasks.topics(train=100, test=50, languages=("en", "de"))
        assert [len(task.parts["de", split]) for split in ("train", "dev", "test")] == [80, 20, 50]
        for text, label in zip(task.parts["en", "test"].texts, task.parts["en", "test"].labels, strict=True):
            named = [t for t in museum_tasks.DEPARTMENTS[label] if t.replace("_", " ") in text.lower()]
            assert named, (text, label)

    def test_by_name(self):
        task = catalogue.labelled("museum-topics:de+en", Parameters())
        assert task.languages("test") == ("de", "en") and len(task.parts["de", "test"]) == 1000
        source = catalogue.CATALOGUE["museum-topics"]
        assert [len(task.parts["en", split]) for split in ("train", "dev", "test")] == [1200, 300, 1000]
        assert "1,200 training, 300 dev and 1,000 test" in source.size


class TestNames:
    def test_unknown(self):
        with pytest.raises(KitError, match='"museum-topic" is no task .*"museum-topics".*; perhaps "museum-topics"'):
            catalogue.labelled("museum-topic", Parameters())

    def test_a_task_is_neither_training_data_nor_a_benchmark(self):
        with pytest.raises(KitError, match='"museum-topics" cannot be trained on.*in the catalogue as labelled texts'):
            catalogue.training_pairs("museum-topics", Parameters())
        with pytest.raises(KitError, match='"museum-topics" is no benchmark'):
            catalogue.benchmark("museum-topics", Parameters())


def test_faults_of_the_command(tmp_path):
    for model, task, told in (("x", "museum-topic", 'perhaps "museum-topics"'), ("./none", "museum-topics", "./none")):
        answer = CliRunner().invoke(main, ["transfer", "--model", model, "--task", task])
        assert answer.exit_code == 1 and told in answer.output and answer.output.startswith("error: ")


def test_command(small_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "labelled", lambda *_: colour_task())
    arguments = ["transfer", "--model", str(small_encoder), "--task", "colours", "--trained", "en", "--csv"]
    answer = CliRunner().invoke(main, [*arguments, str(tmp_path / "table.csv")])
    assert answer.exit_code == 0, answer.output
    assert "a linear head on frozen vectors" in answer.output and "| zero-shot | 1 |" in answer.output
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0].startswith("language,head,accuracy,low,high,majority,n,C,in training") and len(lines) == 3


@pytest.fixture(scope="module")
def encoder_of_pairs(small_encoder, tmp_path_factory) -> str:
    """The small encoder with a tokenizer that can part two texts."""
    folder = shutil.copytree(small_encoder, tmp_path_factory.mktemp("pairs") / "encoder")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]"})
    tokenizer.save_pretrained(folder)
    return str(folder)


class TestFineTuned:
    def test_a_classifier_learns_and_is_kept(self, encoder_of_pairs, tmp_path):
        texts = {"r": "Where does the tower stand?", "g": "The clock stands."}
        parts = {("en", split): part([*texts.values()] * 24, [*texts] * 24) for split in ("train", "dev", "test")}
        task = make_labelled("toy", "none", ("r", "g"), parts | {("de", "test"): part(["Где стоят часы?"], ["r"])})
        folder = tmp_path / "classifier"
        settings = {"epochs": 6, "learning_rate": 5e-3, "batch_size": 8}
        found = fine_tuned.fine_tune(encoder_of_pairs, task, folder, trained=["en"], **settings)
        assert found[["language", "head", "n", "in training"]].values.tolist() == [
            ["de", "en", 1, "no"],
            ["en", "en", 48, "yes"],
        ]
        assert found.set_index("language").loc["en", "accuracy"] == 1
        kept = pipeline("text-classification", str(folder))
        assert [kept(text)[0]["label"] for text in texts.values()] == ["r", "g"]
        with pytest.raises(KitError, match="classifier is there already"):
            fine_tuned.fine_tune(encoder_of_pairs, task, folder)

    def test_both_texts_of_a_pair_are_read(self, encoder_of_pairs, tmp_path):
        rows = [(a, b, b) for a in ("tower", "clock") for b in ("tower", "clock")] * 12
        parts = {("en", split): part(*zip(*rows, strict=True)) for split in ("train", "dev", "test")}
        task = make_labelled("toy", "none", ("tower", "clock"), parts)
        settings = {"epochs": 6, "learning_rate": 5e-3, "batch_size": 8}
        found = fine_tuned.fine_tune(encoder_of_pairs, task, tmp_path / "classifier", **settings)
        assert found["accuracy"].tolist() == [1.0] and found["majority"].tolist() == [0.5]
        trainer = fine_tuned._trainer(encoder_of_pairs, task, 1, 0.1, 8, 9, 0, str(tmp_path))
        pair = part(["The clock stands."], ["tower"], ["Where does the tower stand? Where?"])
        tokens = fine_tuned._examples(trainer, pair, task)["input_ids"][0]
        read = trainer.processing_class.decode(tokens)
        assert len(tokens) == 9 and read.startswith("[CLS] The clock") and read.count("[SEP]") == 2 and "Where" in read

    def test_bad_input(self, tmp_path):
        with pytest.raises(KitError, match='fine-tuned in one language: write it in place of "each"'):
            fine_tuned.fine_tune("x", colour_task(), tmp_path / "new", "each")
        with pytest.raises(KitError, match="no training texts in 'de'"):
            fine_tuned.fine_tune("x", colour_task(), tmp_path / "new", "de")

"""Images with captions: what is checked, as training pairs and benchmarks, and the pixels."""

import hashlib
import json
import os
from types import SimpleNamespace

import numpy as np
import PIL
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hybridkit.cli import main
from hybridkit.corpora import catalogue, museum_pictures
from hybridkit.errors import KitError, KitWarning
from hybridkit.imagetext import images as pixels
from hybridkit.imagetext import sources
from hybridkit.imagetext.captioned import BETWEEN, IMAGE, benchmarks, check_apart, make_captioned, training_pairs
from hybridkit.imagetext.images import DrawnImages, FileImages, normalised, prepared, readable, reader, repeated
from hybridkit.languages import XQUAD_R
from hybridkit.params import Parameters
from hybridkit.pictures import wording
from hybridkit.pictures.drawing import draw
from hybridkit.pictures.scene import foils, scenes
from hybridkit.sampling import BatchPlan

SMALL = SimpleNamespace(track="image-text", pictures_train=30, pictures_evaluation=12, explicit_negatives=0)


def drawn(count=3, split="train"):
    return DrawnImages(scenes(split, count), "drawn")


def made(captions, count=None, **changes):
    count = count or len(next(iter(captions.values())))
    given = {"name": "mine", "licence": "own", "split": "train", "ids": [f"i{row}" for row in range(count)]}
    return make_captioned(**given | {"captions": captions, "images": drawn(count)} | changes)


@pytest.fixture(scope="module")
def museum():
    return museum_pictures.captioned("train", 40, with_foils=True)


@pytest.fixture(scope="module")
def evaluation():
    return museum_pictures.captioned("evaluation", 12, with_foils=True)


@pytest.fixture(scope="module")
def pairs(museum, tmp_path_factory):
    return training_pairs(museum, tmp_path_factory.mktemp("pairs") / "pairs")


class TestChecks:
    def test_captions_become_lines(self):
        data = made({"en": [["a  clock\non a\r\n table "], ["b"], ["c", "d"]]})
        assert data.captions["en"] == [("a clock on a table",), ("b",), ("c", "d")]
        assert data.family == data.ids and data.labels == [frozenset()] * 3 and data.languages == ("en",)

    @pytest.mark.parametrize(
        ("captions", "changes", "told"),
        [
            ({"en": [["a"], ["b"]]}, {"count": 3}, "3 images, but 2 captions in en"),
            ({"en": [["a"], ["b"], ["c"]]}, {"images": drawn(2)}, "3 images, but 2 images"),
            ({"en": [["a"], ["b"]]}, {"labels": [frozenset()]}, "2 images, but 1 labels"),
            ({"en": [["a"], ["b", " \n "]]}, {}, "caption 2 of the image 'i1' in en is empty"),
            ({"en": [["a"], [None]]}, {}, "caption 1 of the image 'i1' in en is empty"),
            ({"en": [["a"], ["b"]], "de": [[], []]}, {}, "no captions in 'de'"),
            ({"en": [["a"], []], "de": [["a"], []]}, {}, r"image 'i1' has no caption \(1 such in all\)"),
            ({"en": [["a"], ["b"]]}, {"ids": ["x", "x"]}, "'x' occurs more than once"),
            ({"english": [["a"]]}, {}, 'is not a language code.*perhaps "en"'),
            ({"en": []}, {"ids": [], "images": drawn(1)}, "the split train has no images"),
        ],
    )
    def test_bad_input(self, captions, changes, told):
        with pytest.raises(KitError, match=told):
            made(captions, **{"count": changes.pop("count", max(1, len(next(iter(captions.values()))))), **changes})

    def test_fingerprint_is_over_everything(self):
        data = made({"en": [["a"], ["b"]]})
        assert data.fingerprint == made({"en": [["a"], ["b"]]}).fingerprint
        others = [
            made({"en": [["a"], ["c"]]}),
            made({"en": [["a"], ["b"]]}, ids=["i0", "j1"]),
            made({"en": [["a"], ["b"]]}, family=["x", "x"]),
            made({"en": [["a"], ["b"]]}, images=DrawnImages(scenes("train", 2, seed=1), "drawn")),
            made({"en": [["a"], ["b"]]}, foils={"en": [{"size": ("x",)}, {}]}),
        ]
        assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 6


class TestApart:
    def test_museum(self, museum, evaluation):
        assert check_apart(museum, evaluation) == {}, "no caption of the test is seen, be it as a foil"

    def test_an_image_in_both_by_id(self):
        one, other = made({"en": [["a"], ["b"]]}), made({"en": [["c"]]}, split="test", images=drawn(1, "evaluation"))
        with pytest.raises(KitError, match="mine test holds the image 'i0', which is in mine train, too"):
            check_apart(one, other)
        assert check_apart(one, made({"en": [["c"]]}, name="other", images=drawn(1, "evaluation"))) == {}

    def test_an_image_in_both_by_content(self):
        one, other = made({"en": [["a"], ["b"]]}), made({"en": [["c"]]}, ids=["x"], images=drawn(1), name="other")
        with pytest.raises(KitError, match=r"other train holds the image 'x' \(there: 'i0'\).*1 such"):
            check_apart(one, other)

    def test_a_family_in_both(self):
        one = made({"en": [["a"], ["b"]]}, family=["clocks", "i1"])
        other = made({"en": [["c"]]}, ids=["x"], images=drawn(1, "evaluation"), family=["clocks"])
        with pytest.raises(KitError, match="an image of the family 'clocks'"):
            check_apart(one, other)

    def test_shared_captions_are_counted(self):
        one = made({"en": [["a"], ["b"]], "de": [["c"], ["d"]]}, foils={"en": [{"size": ("f",)}, {}]})
        captions = {"en": [["a"], ["f"]], "de": [["x"], ["y"]]}
        assert check_apart(one, made(captions, name="other", images=drawn(2, "evaluation"))) == {"en": 2}


class TestPairs:
    def test_every_row_has_all_its_captions_on_both_sides(self, museum, pairs):
        assert len(pairs) == 40 and pairs.languages == XQUAD_R
        for code in ("en", "zh", "ar"):
            for store, rows in ((pairs.queries, pairs.query), (pairs.passages, pairs.positive)):
                assert [tuple(text.split(BETWEEN)) for text in store.texts(code, rows)] == museum.captions[code]

    def test_negatives_are_foils_worded_as_the_captions(self, museum, pairs):
        shown = scenes("train", 40)
        for row, scene in enumerate(shown):
            negatives = pairs.negatives[pairs.negative_offsets[row] : pairs.negative_offsets[row + 1]]
            expected = [one for one in foils(scene).values() if one.id.split("~")[1] in museum.foils["en"][row]]
            assert len(negatives) >= 5
            texts = pairs.passages.texts("ru", negatives)
            assert texts == [BETWEEN.join(wording.captions(foil, "ru")) for foil in expected]

    def test_a_missing_language_is_a_missing_text(self, tmp_path):
        data = made({"en": [["a"], ["b"], []], "de": [["x"], [], ["z", "w"]]})
        found = training_pairs(data, tmp_path / "pairs")
        assert found.passages.texts("de", [0, 1, 2]) == ["x", None, "z\nw"]
        plan = BatchPlan([found], mono=0.0, cross=1.0, multi=0.0, languages=["de", "en"], batch_size=1)
        assert {int(plan.step(step).row[0]) for step in range(20)} == {0}, "image 0 alone has both languages"

    @settings(max_examples=20)
    @given(st.integers(0, 500), st.integers(0, 2**20), st.sampled_from(["mono", "cross", "multi"]), st.integers(0, 1))
    def test_properties_of_a_plan(self, pairs, step, seed, kind, negatives):
        weights = {"mono": 0.0, "cross": 0.0, "multi": 0.0} | {kind: 1.0}
        plan = BatchPlan(
            [pairs],
            **weights,
            languages=["ar", "de", "en", "th"],
            batch_size=16,
            seed=seed,
            explicit_negatives=negatives,
        )
        batch = plan.step(step)
        assert len(set(batch.row.tolist())) == 16, "no image twice"
        same = batch.query_language == batch.passage_language
        assert same.all() if kind != "cross" else not same.any()
        assert kind != "mono" or len(set(batch.query_language.tolist())) == 1
        for row, chosen in zip(batch.row, batch.negatives, strict=True):
            start, stop = pairs.negative_offsets[row : row + 2]
            assert set(chosen.tolist()) <= set(pairs.negatives[start:stop].tolist())
        wrong = {int(one) for one in pairs.passage_group[batch.negatives.ravel()]}
        assert not wrong & set(pairs.passage_group[batch.row].tolist()), "no foil is the caption of an image beside it"

    def test_from_the_catalogue(self, own_cache):
        found = catalogue.training_pairs("museum-pictures", SMALL)
        assert len(found) == 30 and not len(found.negatives) and found.name == "museum-pictures"
        with_foils = SimpleNamespace(**vars(SMALL) | {"explicit_negatives": 1})
        assert len(catalogue.training_pairs("museum-pictures", with_foils).negatives) >= 150
        assert len(list((own_cache / "pictures").glob("*/about.json"))) == 2
        with pytest.raises(KitError, match="this is a run of texts: take a profile of images"):
            catalogue.training_pairs("museum-pictures", SimpleNamespace(**vars(SMALL) | {"track": "text"}))
        key = catalogue.content_key("museum-pictures", SMALL)
        other = SimpleNamespace(**vars(SMALL) | {"pictures_evaluation": 13})
        assert key == catalogue.content_key("museum-pictures", SMALL) != catalogue.content_key("museum-pictures", other)


class TestBenchmarks:
    def test_both_directions(self, evaluation):
        found = benchmarks(evaluation)
        assert list(found) == ["museum-pictures-i2t", "museum-pictures-t2i"]
        to_text, to_image = found.values()
        assert set(to_text.query_languages) == set(to_image.candidate_languages) == {IMAGE}
        assert set(to_text.languages) == set(to_image.query_languages) == set(XQUAD_R)
        assert len(to_text.query_ids) == 12 and len(to_image.query_ids) == 132 == len(to_text.candidate_ids)
        assert np.bincount(to_text.gold_query).tolist() == [11] * 12, "one caption a language, all of them relevant"
        assert np.bincount(to_image.gold_query).tolist() == [1] * 132
        for query, candidate in zip(to_image.gold_query, to_image.gold_candidate, strict=True):
            image = to_image.candidate_ids[candidate]
            assert to_image.questions[query] == image and to_image.query_ids[query].endswith(f":{image}")

    def test_several_captions_and_missing_ones(self):
        data = made({"en": [["a", "b"], []], "de": [["c"], ["d"]]})
        to_text = benchmarks(data)["mine-i2t"]
        assert to_text.candidate_ids == ["de:i0", "de:i1", "en:i0", "en:i0#2"]
        assert to_text.candidate_texts == ["c", "d", "a", "b"]
        golds = [
            (to_text.query_ids[q], to_text.candidate_ids[c])
            for q, c in zip(to_text.gold_query, to_text.gold_candidate, strict=True)
        ]
        assert golds == [("i0", "de:i0"), ("i0", "en:i0"), ("i0", "en:i0#2"), ("i1", "de:i1")]

    def test_evaluation_shows_the_drawn_caption_and_foils_differ_from_it(self, evaluation):
        for row, scene in enumerate(scenes("evaluation", 12)):
            for code in XQUAD_R:
                assert evaluation.captions[code][row] == (wording.caption(scene, code, wording.drawn(scene, code)),)
                wrong = [texts for texts in evaluation.foils[code][row].values()]
                assert len(wrong) == 6 and all(len(texts) == 1 for texts in wrong)
                assert evaluation.captions[code][row] not in wrong


def photograph(path, size=(40, 30), mode="RGB", colour=(200, 30, 30), **saving):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **saving)
    return path


class TestPixels:
    def test_drawn_images_prepared(self, own_cache):
        images = drawn(5)
        found = prepared(images, 16)
        assert isinstance(found, np.memmap) and found.shape == (5, 16, 16, 3) and found.dtype == np.uint8
        assert np.array_equal(found, images.pixels(range(5), 16))
        (kept,) = (own_cache / "images").glob("*.npy")
        changed = kept.stat().st_mtime_ns
        assert np.array_equal(reader(drawn(5), 16)([3, 1]), images.pixels([3, 1], 16))
        assert kept.stat().st_mtime_ns == changed, "made once"

    def test_too_many_pixels_are_not_prepared(self, own_cache, monkeypatch):
        monkeypatch.setattr(pixels, "PREPARED_BYTES", 1000)
        assert np.array_equal(reader(drawn(5), 16)([4]), drawn(5).pixels([4], 16))
        assert not (own_cache / "images").exists()

    def test_normalised(self):
        found = normalised(np.array([[[[0, 255, 51]]]], np.uint8))
        assert found.shape == (1, 3, 1, 1) and found.dtype == np.float32
        assert np.allclose(found.ravel(), [-1, 1, -0.6])

    def test_files_of_every_mode(self, tmp_path):
        names = ["rgb.png", "grey.jpg", "clear.png", "palette.gif"]
        for name, mode, colour in zip(names, ["RGB", "L", "RGBA", "P"], [(9, 8, 7), 60, (0, 0, 0, 0), 3], strict=True):
            photograph(tmp_path / name, mode=mode, colour=colour)
        found = FileImages(tmp_path, names).pixels(range(4), 10)
        assert found.shape == (4, 10, 10, 3)
        assert (found[0] == [9, 8, 7]).all() and (np.abs(found[1].astype(int) - 60) < 3).all()
        assert (found[2] == 255).all(), "what is transparent is white"

    def test_turned_as_the_camera_says(self, tmp_path):
        image, exif = Image.new("RGB", (4, 2), "black"), Image.Exif()
        image.paste((255, 255, 255), (0, 0, 2, 2))
        exif[0x0112] = 6  # a quarter turn
        image.save(tmp_path / "turned.png", exif=exif)
        found = pixels.decoded(tmp_path / "turned.png", 4)
        assert found[0].mean() > 200 and found[3].mean() < 50

    def faulty(self, folder):
        good = photograph(folder / "good.png")
        cut = good.read_bytes()[:60]
        (folder / "cut.png").write_bytes(cut)
        (folder / "text.jpg").write_text("no image at all")
        return ["good.png", "gone.png", "cut.png", "text.jpg"]

    def test_missing_and_unreadable_files_are_refused_by_name(self, tmp_path, own_cache):
        names = self.faulty(tmp_path)
        with pytest.raises(KitError, match=r"mine: 3 of 4 images are missing.*gone\.png.*\(it is not there\).*skip"):
            readable("mine", tmp_path, names, "refuse")
        for name, why in (("cut.png", "cannot be read as an image"), ("text.jpg", "no format that Pillow knows")):
            with pytest.raises(KitError, match=f"{name}.*{why}"):
                FileImages(tmp_path, [name]).pixels([0], 8)

    def test_or_skipped_and_counted(self, tmp_path, own_cache):
        names = self.faulty(tmp_path)
        with pytest.warns(KitWarning, match=r"mine: 3 of 4 images are left out, the first: .*gone\.png"):
            assert readable("mine", tmp_path, names, "skip") == [0]
        photograph(tmp_path / "gone.png")
        with pytest.warns(KitWarning, match="2 of 4"):
            assert readable("mine", tmp_path, names, "skip") == [0, 1], "a file that came later is seen"
        with pytest.raises(KitError, match="2 of 2 images.*image_folder"):
            readable("mine", tmp_path, ["no.png", "nor.png"], "skip")
        with pytest.raises(KitError, match="missing_images is 'ignore'"):
            readable("mine", tmp_path, names, "ignore")

    def test_more_pixels_than_are_safe(self, tmp_path, monkeypatch):
        photograph(tmp_path / "bomb.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(KitError, match=r"bomb\.png cannot be read as an image \(Image size"):
            pixels.decoded(tmp_path / "bomb.png", 8)

    def test_the_same_bytes_under_two_names(self, tmp_path):
        for name, colour in (
            ("a/one.png", (1, 2, 3)),
            ("a/two.png", (7, 7, 7)),
            ("b/three.png", (7, 7, 7)),
            ("b/four.png", (0, 0, 9)),
        ):
            photograph(tmp_path / name, colour=colour)
        one, other = (
            FileImages(tmp_path / "a", ["one.png", "two.png"]),
            FileImages(tmp_path / "b", ["three.png", "four.png"]),
        )
        assert repeated(one, other) == [(1, 0)]

    def test_key_tells_content_and_state_every_touch(self, tmp_path):
        def told(folder, noise=0, size=(40, 30)):
            path = photograph(folder / "a.png", size=size, colour=(noise, 0, 0))
            return path, FileImages(folder, ["a.png"])

        path, images = told(tmp_path / "one")
        _, moved = told(tmp_path / "two")
        assert images.key == moved.key and images.state != moved.state
        before, as_before = images.state, images.key
        os.utime(path, ns=(1, 1))
        assert images.state != before, "pixels are prepared anew"
        assert told(tmp_path / "one", size=(400, 300))[1].key != as_before


class TestSources:
    def test_by_name(self):
        data = sources.captioned("museum-pictures", SMALL, "evaluation")
        assert len(data) == 12 and data.foils
        assert sources.captioned("museum-pictures", SMALL, "train").foils is None

    def test_content_is_as_it_was(self):
        """Whoever changes what is drawn or said otherwise than in a file of words or looks raises the version in the key."""
        data = [museum_pictures.captioned(split, 20, with_foils=True) for split in sources.SPLITS]
        said = json.dumps([(one.split, one.ids, one.captions, one.foils) for one in data], sort_keys=True)
        assert museum_pictures._VERSION == 1
        assert hashlib.sha256(said.encode()).hexdigest()[:16] == "2d55525bbb89569d"

    @pytest.mark.skipif(PIL.__version__ != "13.0.0", reason="pixels are the same for one version of Pillow")
    def test_pixels_are_as_they_were(self):
        pictures = b"".join(draw(one, 48).tobytes() for one in scenes("train", 30))
        assert hashlib.sha256(pictures).hexdigest()[:16] == "13c1e25808850b09"

    @pytest.mark.parametrize(
        ("name", "split", "told"),
        [("museum", "train", "no images with captions"), ("museum-pictures", "dev", "not 'dev'")],
    )
    def test_unknown(self, name, split, told):
        with pytest.raises(KitError, match=told):
            sources.captioned(name, SMALL, split)

    def test_is_no_benchmark_of_texts(self):
        with pytest.raises(KitError, match="is images with captions: only runs whose track is image-text"):
            catalogue.benchmark("museum-pictures", Parameters())


class TestCommand:
    def run(self, *words):
        return CliRunner().invoke(main, ["data", "show", *words])

    def test_captions_foils_and_pictures(self, tmp_path):
        found = self.run("museum-pictures", "--language", "de", "--png", str(tmp_path / "all.png"))
        assert found.exit_code == 0, found.output
        assert "machine-written" in found.output and "wrong position: " in found.output and "8. e7" in found.output
        with Image.open(tmp_path / "all.png") as image:
            assert image.size == (4 * 144, 2 * 144)

    def test_review(self):
        found = self.run("museum-pictures", "--language", "tr", "--review")
        assert found.exit_code == 0 and "# Captions in Turkish (tr): machine-written" in found.output

    def test_what_cannot_be_shown(self, tmp_path):
        assert "it has ar de el" in self.run("museum-pictures", "--language", "fr").output
        assert "museum has no pictures; leave --png out" in self.run("museum", "--png", str(tmp_path / "x.png")).output
        assert "have a review sheet, not xquad-r" in self.run("xquad-r", "--review").output

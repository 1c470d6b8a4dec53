"""Public sets of images with captions: small folders in their layouts, read file by file."""

import gzip
import json

import pytest
from PIL import Image

from hybridkit import lock, paths
from hybridkit.corpora import catalogue
from hybridkit.corpora.catalogue import CATALOGUE
from hybridkit.errors import KitError, KitWarning
from hybridkit.imagetext import sources
from hybridkit.imagetext.captioned import benchmarks, check_apart
from hybridkit.params import Parameters

NAMES = ["multi30k", "xtd10", "crossmodal-3600", "coco-cn"]


@pytest.fixture(autouse=True)
def own_places(own_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))


def put(source, name, text):
    path = paths.downloads() / source / name
    assert name in CATALOGUE[source].files
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def pictures(source, names, shade=0):
    for number, name in enumerate(names):
        path = paths.downloads() / source / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 7), (20 * number, shade, 3)).save(path)


class Settings:
    """Parameters of a run, as far as a source asks for them."""

    track = "image-text"
    explicit_negatives = 0
    image_folder = ""
    missing_images = "refuse"
    languages = ("en", "de")

    def __init__(self, **changes):
        self.__dict__ |= changes


@pytest.fixture
def multi30k():
    for part, images in (("train", ["11.jpg", "12.jpg", "13.jpg"]), ("test_2016_flickr", ["21.jpg", "22.jpg"])):
        put("multi30k", f"task1/image_splits/{part}.txt", "".join(f"{name}\n" for name in images))
        for code in ("cs", "de", "en", "fr"):
            texts = "".join(f"{code} of\u2028{name}\n" for name in images)
            put("multi30k", f"task1/raw/{part}.{code}.gz", texts)
        pictures("multi30k", images, shade=90 if part == "train" else 10)


class TestMulti30k:
    def test_read(self, multi30k):
        train, test = (sources.captioned("multi30k", Settings(), split) for split in sources.SPLITS)
        assert train.ids == ["11", "12", "13"] and test.ids == ["21", "22"]
        assert train.languages == ("cs", "de", "en", "fr")
        assert train.captions["de"] == [("de of 11.jpg",), ("de of 12.jpg",), ("de of 13.jpg",)]
        assert test.images.pixels([1], 8)[0, 0, 0].tolist() == pytest.approx([20, 10, 3], abs=6)
        assert check_apart(train, test) == {}

    def test_pairs_and_key(self, multi30k):
        pairs = catalogue.training_pairs("multi30k", Settings())
        assert pairs.queries.texts("fr", pairs.query) == ["fr of 11.jpg", "fr of 12.jpg", "fr of 13.jpg"]
        key = catalogue.content_key("multi30k", Settings())
        assert key == catalogue.content_key("multi30k", Settings())
        (paths.downloads() / "multi30k" / "images" / "12.jpg").unlink()
        assert key != catalogue.content_key("multi30k", Settings()), "fewer images are another run"

    def test_line_counts_that_differ(self, multi30k):
        put("multi30k", "task1/raw/train.de.gz", "one\ntwo\n")
        with pytest.raises(
            KitError, match=r"train\.de\.gz has 2 lines and .*image_splits/train\.txt 3: they must follow"
        ):
            sources.captioned("multi30k", Settings(), "train")

    def test_an_empty_caption(self, multi30k):
        put("multi30k", "task1/raw/train.de.gz", "one\n \nthree\n")
        with pytest.raises(KitError, match="caption 1 of the image '12' in de is empty"):
            sources.captioned("multi30k", Settings(), "train")

    def test_a_file_cut_short(self, multi30k):
        path = paths.downloads() / "multi30k" / "task1/raw/train.en.gz"
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(KitError, match=r"train\.en\.gz cannot be read as text"):
            sources.captioned("multi30k", Settings(), "train")

    def test_missing_images_are_refused_or_left_out(self, multi30k):
        (paths.downloads() / "multi30k" / "images" / "12.jpg").unlink()
        with pytest.raises(KitError, match=r"multi30k: 1 of 3 images are missing.*12\.jpg"):
            sources.captioned("multi30k", Settings(), "train")
        with pytest.warns(KitWarning, match=r"multi30k: 1 of 3 images are left out, the first: .*12\.jpg"):
            data = sources.captioned("multi30k", Settings(missing_images="skip"), "train")
        assert data.ids == ["11", "13"] and data.captions["cs"] == [("cs of 11.jpg",), ("cs of 13.jpg",)]

    def test_images_in_another_folder(self, multi30k, tmp_path):
        (paths.downloads() / "multi30k" / "images").rename(tmp_path / "photographs")
        with pytest.raises(KitError, match="3 of 3 images .* name their folder as image_folder"):
            sources.captioned("multi30k", Settings(), "train")
        assert len(sources.captioned("multi30k", Settings(image_folder=str(tmp_path / "photographs")), "train")) == 3

    def test_an_image_in_two_splits(self, multi30k):
        put("multi30k", "task1/image_splits/test_2016_flickr.txt", "21.jpg\n12.jpg\n")
        train, test = (sources.captioned("multi30k", Settings(), split) for split in sources.SPLITS)
        with pytest.raises(KitError, match="multi30k evaluation holds the image '12', which is in multi30k train, too"):
            check_apart(train, test)

    def test_the_same_bytes_in_two_splits(self, multi30k):
        folder = paths.downloads() / "multi30k" / "images"
        (folder / "22.jpg").write_bytes((folder / "13.jpg").read_bytes())
        train, test = (sources.captioned("multi30k", Settings(), split) for split in sources.SPLITS)
        with pytest.raises(KitError, match=r"holds the image '22' \(there: '13'\)"):
            check_apart(train, test)


class TestXtd10:
    IMAGES = ("COCO_val2014_000000000001.jpg", "COCO_train2014_000000000002.jpg")

    def put(self):
        lock.accept("xtd10", "read")
        put("xtd10", "XTD10/test_image_names.txt", "".join(f"{name}\n" for name in self.IMAGES))
        for name in CATALOGUE["xtd10"].files:
            if "captions" in name:
                put("xtd10", name, f"{name} a\n{name} b\n")

    def test_read(self):
        self.put()
        pictures("xtd10", [f"{name.split('_')[1]}/{name}" for name in self.IMAGES])
        data = sources.captioned("xtd10", Settings(), "evaluation")
        assert data.ids == [name.removesuffix(".jpg") for name in self.IMAGES] and len(data.languages) == 11
        assert data.captions["ja"][1] == ("STAIR/test_1kcaptions_jp.txt b",)
        assert data.captions["it"][0] == ("XTD10/test_1kcaptions_it.txt a",)
        assert data.captions["de"][0] == ("MIC/test_1kcaptions_de.txt a",)
        assert data.images.pixels([0, 1], 8).shape == (2, 8, 8, 3)

    def test_licence_is_accepted_first(self):
        with pytest.raises(KitError, match="licence of xtd10 .* has not been accepted"):
            sources.captioned("xtd10", Settings(), "evaluation")


class TestCrossmodal:
    def test_read(self):
        rows = [
            {"image/key": "a1", "en": {"caption": ["one", "two"]}, "sw": {"caption": ["moja"]}},
            {"image/key": "b2", "en": {"caption": ["three"]}, "quz": {"caption": ["huk"]}},
        ]
        put("crossmodal-3600", "captions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        pictures("crossmodal-3600", ["a1.jpg", "b2.jpg"])
        data = sources.captioned("crossmodal-3600", Settings(), "evaluation")
        assert data.ids == ["a1", "b2"] and data.languages == ("en", "quz", "sw")
        assert data.captions["en"] == [("one", "two"), ("three",)] and data.captions["sw"] == [("moja",), ()]
        assert benchmarks(data)["crossmodal-3600-i2t"].candidate_ids == ["en:a1", "en:a1#2", "en:b2", "quz:b2", "sw:a1"]

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("{", "line 2 is no JSON"),
            ("[1]", "line 2 is no JSON object"),
            ('{"key": "a"}', "line 2 has another layout .*image/key"),
            ('{"image/key": "a", "en": ["x"]}', "line 2 has another layout"),
            ('{"image/key": "a", "en": {"caption": "x"}}', "line 2 has another layout .*'x' is no list of captions"),
        ],
    )
    def test_another_layout(self, line, told):
        put("crossmodal-3600", "captions.jsonl", '{"image/key": "z", "en": {"caption": ["x"]}}\n' + line + "\n")
        with pytest.raises(KitError, match=told):
            sources.captioned("crossmodal-3600", Settings(), "evaluation")

    def test_comes_by_hand(self):
        with pytest.raises(KitError, match=r"captions\.jsonl is not there, and cannot be fetched: unpack"):
            catalogue.content_key("crossmodal-3600", Settings())


class TestCocoCn:
    def put(self):
        put("coco-cn", "coco-cn_train.txt", "COCO_train2014_000000000007\nCOCO_val2014_000000000008\n")
        put("coco-cn", "coco-cn_test.txt", "COCO_val2014_000000000009\n")
        rows = [
            ("train2014_000000000007#0", "七"),
            ("val2014_000000000008#0", "八"),
            ("val2014_000000000008#1", "捌"),
            ("val2014_000000000009#0", "九"),
        ]
        put("coco-cn", "imageid.human-written-caption.txt", "".join(f"COCO_{name}\t{text}\n" for name, text in rows))
        for part, numbers in (("train", [7]), ("val", [8, 9])):
            images = [{"id": n, "file_name": f"COCO_{part}2014_{n:012}.jpg"} for n in numbers]
            annotations = [{"image_id": n, "caption": f"number {n}"} for n in numbers for _ in range(2)]
            content = json.dumps({"images": images, "annotations": annotations})
            put("coco-cn", f"annotations/captions_{part}2014.json", content)
        pictures(
            "coco-cn",
            ["COCO_train2014_000000000007.jpg", "COCO_val2014_000000000008.jpg", "COCO_val2014_000000000009.jpg"],
        )

    def test_read(self):
        self.put()
        train, test = (sources.captioned("coco-cn", Settings(), split) for split in sources.SPLITS)
        assert train.captions == {"zh": [("七",), ("八", "捌")], "en": [("number 7",) * 2, ("number 8",) * 2]}
        assert test.ids == ["COCO_val2014_000000000009"] and check_apart(train, test) == {}
        assert catalogue.training_pairs("coco-cn", Settings()).passages.texts("zh", [1]) == ["八\n捌"]

    def test_other_columns(self):
        self.put()
        put("coco-cn", "imageid.human-written-caption.txt", "COCO_val2014_000000000009#0\t九\tmore\n")
        with pytest.raises(KitError, match="line 1: 3 columns where image#number and caption"):
            sources.captioned("coco-cn", Settings(), "evaluation")

    def test_another_layout_of_cocos_file(self):
        self.put()
        put("coco-cn", "annotations/captions_val2014.json", '{"images": []}')
        with pytest.raises(KitError, match=r"captions_val2014\.json has not the layout of COCO's captions"):
            sources.captioned("coco-cn", Settings(), "evaluation")


class TestCatalogue:
    def test_test_sets_are_refused_as_training_data(self):
        for name in ("xtd10", "crossmodal-3600"):
            with pytest.raises(KitError, match=f'"{name}" cannot be trained on, it is a test set'):
                catalogue.training_pairs(name, Parameters())
            with pytest.raises(KitError, match="cannot be trained on"):
                sources.captioned(name, Settings(), "train")

    def test_nothing_is_pinned_that_nobody_has_seen(self):
        for name in NAMES:
            source = CATALOGUE[name]
            assert "captioned images" in source.kind and not source.commit
            assert not any({"sha256", "bytes"} & set(pin) for pin in source.files.values())

    def test_every_language_of_crossmodal(self):
        assert len(CATALOGUE["crossmodal-3600"].languages) == 36

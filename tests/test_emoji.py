"""Emoji: families and their split on the real set, and the fetch from a server of the test's own."""

import hashlib
import http.server
import json
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from hybridkit import lock, paths
from hybridkit.corpora import catalogue, emoji
from hybridkit.errors import KitError
from hybridkit.imagetext.captioned import check_apart
from hybridkit.params import Parameters

CODES = emoji.SOURCE.languages


@pytest.fixture(autouse=True)
def own_places(own_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))
    emoji._split.cache_clear()
    yield
    emoji._split.cache_clear()


class TestFamilies:
    def test_by_code_points(self):
        names = [
            "1f468",
            "1f9d1",
            "1f467_200d_1f469",
            "1f9d1_200d_1f9d2_200d_1f9d2",
            "1f468_200d_1f680",
            "1f469_200d_1f680",
            "1f9d1_200d_1f3a8",
            "0031_20e3",
            "0032_20e3",
        ]
        assert self.families(names) == [0, 0, 1, 1, 2, 2, 3, 4, 4]

    def test_by_gender_signs_and_directions(self):
        names = ["1f3c3", "1f3c3_200d_2640", "1f3c3_200d_2642_200d_27a1", "2764_fe0f", "2764"]
        assert self.families(names) == [0, 0, 0, 1, 1]

    def test_by_the_last_word_of_the_name(self):
        english = ["red heart", "white circle", "broken heart", "heart suit", "red circle", "squared up"]
        assert self.families([f"1f30{i}" for i in range(6)], english) == [0, 1, 0, 2, 1, 3]

    def test_by_pixels_and_through_a_third(self):
        pixels = np.array([[0] * 12, [9] * 12, [18] * 12, [90] * 12, [80] * 12, [200] * 12], np.uint8)
        assert self.families([f"1f30{i}" for i in range(6)], pixels=pixels) == [0, 0, 0, 1, 2, 3]

    def families(self, points, english=None, pixels=None):
        pixels = 40 * np.arange(len(points))[:, None] * np.ones((1, 4)) if pixels is None else pixels
        return emoji.families([f"emoji_u{p}.png" for p in points], english or [f"thing {p}" for p in points], pixels)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def real(shared_data, shared_cache, monkeypatch):
    """The real set, its families computed once."""
    monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(shared_cache))


class TestReal:
    def test_checksum_names_and_split(self, real):
        train, evaluation = emoji.captioned("train"), emoji.captioned("evaluation")
        assert len(train) + len(evaluation) == 1645 and 0.8 <= len(train) / 1645 < 0.83
        assert train.languages == CODES and all(len(texts) == 1 for texts in train.captions["th"])
        assert check_apart(train, evaluation).get("en", 0) == 0
        assert not set(train.family) & set(evaluation.family)
        names = dict(zip(train.ids + evaluation.ids, train.captions["en"] + evaluation.captions["en"], strict=True))
        assert names["0023_20e3"] == ("keycap: #",)
        assert not paths.lock_file().exists(), "everything is pinned"
        self.nearest(train, evaluation)

    def nearest(self, train, evaluation):
        """No image of the evaluation is nearer to one of the training than the threshold, by brute force."""
        known, asked = (
            np.stack([emoji._small(emoji._folder() / "png72" / name) for name in data.images.names]).astype(np.float32)
            for data in (train, evaluation)
        )
        assert min(np.abs(known - one).mean(axis=1).min() for one in asked) >= emoji.NEAR

    def test_pairs(self, real):
        pairs = catalogue.training_pairs("emoji", Parameters(track="image-text"))
        assert pairs.languages == CODES and len(pairs) == len(emoji.captioned("train"))
        assert pairs.folder.name == f"emoji-{catalogue.content_key('emoji', Parameters())[:16]}"

    def test_an_altered_image_is_told(self, real, shared_data, tmp_path, monkeypatch):
        import shutil

        shutil.copytree(shared_data / "emoji", tmp_path / "copy" / "emoji")
        folder = tmp_path / "copy" / "emoji" / "png72"
        folder.chmod(0o755)
        path = folder / "emoji_u1f600.png"
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1])
        monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(tmp_path / "copy"))
        with pytest.raises(KitError, match=r"SHA-256 .* where d44e5fae.* was expected.*data fetch emoji"):
            emoji.captioned("train")
        path.unlink()
        with pytest.raises(KitError, match=r"emoji_u1f600\.png is not there \(1 such"):
            emoji.captioned("train")


NAMES = {"😀": "grinning face", "⌚": "watch", "🦋": "butterfly", "🥁": "drum", "👨‍🚀": "man astronaut"}


class TestFetch:
    @pytest.fixture
    def server(self, tmp_path, monkeypatch):
        """Five images and CLDR's 22 files at a local address, with pins of their own."""
        served = tmp_path / "served"
        images = [f"emoji_u{'_'.join(f'{ord(c):x}' for c in character)}.png" for character in NAMES]
        for number, name in enumerate(images):
            path = served / "noto" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (50 * number, 0, 0)).save(path)
        pinned = {}
        for code in CODES:
            for part, characters in (("annotations", "😀⌚🦋🥁"), ("annotationsDerived", ["👨‍🚀"])):
                told = {c: {"default": ["x"], "tts": [f"{NAMES[c]} {code}"]} for c in characters}
                name = f"cldr/{part}/{code}/annotations.json"
                content = json.dumps({part: {"annotations": told | {"🦊": {"default": ["y"]}}}}).encode()
                (served / name).parent.mkdir(parents=True)
                (served / name).write_bytes(content)
                pinned[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        together = hashlib.sha256(b"".join((served / "noto" / name).read_bytes() for name in images)).hexdigest()
        handler = partial(_Quiet, directory=str(served))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
            threading.Thread(target=running.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{running.server_port}"
            source = replace(emoji.SOURCE, url=address + "/noto/{file}")
            pins = {
                "commit": "c",
                "url": address + "/{file}",
                "files": pinned,
                "sha256_all": together,
                "captions_sha256": "",
                "images": images,
            }
            monkeypatch.setattr(emoji, "SOURCE", source)
            monkeypatch.setattr(emoji, "pins", lambda: pins)
            monkeypatch.setitem(catalogue.CATALOGUE, "emoji", source)
            yield served, pins
            running.shutdown()

    def test_everything_is_fetched_built_and_read(self, server):
        assert "6 files with the right checksums" in catalogue.fetch("emoji")
        rows = list(emoji.read_table(paths.downloads() / "emoji" / "captions.tsv"))
        assert "emoji" in lock.read()["datasets"]
        assert [row["emoji"] for row in rows] == list(NAMES) and rows[1]["th"] == "watch th"
        assert [len(emoji.captioned(split)) for split in ("train", "evaluation")] == [4, 1]

    def test_another_checksum_is_refused(self, server):
        _, pins = server
        pins["sha256_all"] = "0" * 64
        with pytest.raises(KitError, match="where 0000"):
            catalogue.fetch("emoji")
        assert not (paths.downloads() / "emoji" / "captions.tsv").exists()

    def test_an_image_that_is_gone(self, server):
        served, _ = server
        (served / "noto" / "emoji_u231a.png").unlink()
        with pytest.raises(KitError, match=r"emoji_u231a\.png of Noto Emoji does not exist there any more"):
            catalogue.fetch("emoji")

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda lines: [lines[0].replace("\tvi", ""), *lines[1:]], "no column 'vi'"),
            (lambda lines: [*lines[:2], lines[2] + "\tmore", *lines[3:]], "line 3: 14 columns where its first line has 13"),
            (lambda lines: [*lines[:2], lines[2].replace("watch de", " "), *lines[3:]], "line 3: de is empty"),
            (lambda lines: [lines[0], *lines[2:]], "does not name the pinned images in their order"),
        ],
    )  # fmt: skip
    def test_bad_captions(self, server, change, told):
        emoji.fetch_files(emoji.SOURCE)
        path = paths.downloads() / "emoji" / "captions.tsv"
        path.write_text("\n".join(change(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")
        paths.lock_file().unlink()
        with pytest.raises(KitError, match=told):
            emoji.captioned("train")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

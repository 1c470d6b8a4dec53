"""Figures of images: what their HTML and alternative texts say, and what attention does to the pixels."""

import base64
import io
import re

import numpy as np
import pandas as pd

from hybridkit.imagetext import figures

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)


def images_of(shown: figures.PictureRows) -> list[tuple[str, np.ndarray]]:
    """Alternative text and pixels of every picture in the HTML."""
    from PIL import Image

    found = []
    for tag in re.findall(r"<img[^>]*>", shown._repr_html_()):
        data = re.search(r'base64,([^"]+)"', tag).group(1)
        found.append(
            (re.search(r'alt="([^"]*)"', tag).group(1), np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
        )
    return found


def test_gallery_holds_every_picture_with_its_text():
    shown = figures.gallery([PIXELS, 255 - PIXELS, PIXELS], ["a <b>", "b", "c"], "Pictures of the museum", columns=2)
    found = images_of(shown)
    assert [len(row[2]) for row in shown.rows] == [2, 1]
    assert (found[1][1] == 255 - PIXELS).all() and (found[2][1] == PIXELS).all()
    assert "a &lt;b&gt;</div>" in shown._repr_html_() and "<b>" not in shown._repr_html_()
    assert all(len(alt) >= 40 for alt, _ in found)
    assert "a <b>, b" in repr(shown)


def test_retrieved_tells_the_right_one_in_words_and_the_direction_of_the_text():
    shown = figures.retrieved([("نص", "ar", [PIXELS, PIXELS], 1), ("Text", "de", [PIXELS], None)], "What captions find")
    page = shown._repr_html_()
    assert 'lang="ar" dir="rtl"' in page and 'lang="de" dir="ltr"' in page
    assert page.count("✓") == page.count("outline: 4px") == 1
    assert ["the right one" in alt for alt, _ in images_of(shown)] == [False, True, False]


def test_attention_darkens_where_a_word_does_not_look():
    shares = np.zeros((6, 6))
    shares[2, 4], shares[0, 0] = 0.5, 0.25
    shown = figures.attention(PIXELS, [("clock", shares)], "en", "Where a word looks in the picture")
    (_, plain), (alt, dark) = images_of(shown)
    assert (plain == PIXELS).all() and "clock" in alt
    assert (dark[16:24, 32:40] == PIXELS[16:24, 32:40]).all()
    assert np.abs(dark[:8, :8] - PIXELS[:8, :8] * 0.575).max() <= 0.5
    assert np.abs(dark[40:, 40:] - PIXELS[40:, 40:] * 0.15).max() <= 0.5


def test_losses_are_told():
    shown = figures.loss_parts({"contrast": [(10, 5.0), (20, 2.5)], "matching": [(10, 0.7), (20, 0.6)]})
    assert "contrast from 5.00 to 2.50; matching from 0.70 to 0.60" in shown.alt
    assert shown.png.startswith(b"\x89PNG")


def test_two_stages_are_told():
    rows = [
        {"direction": "text-to-image", "first": first, "second": "matching head", "passed on": k}
        | {"first-stage recall": recall, "R@1": one, "query ms": k / 10}
        for first, k, recall, one in (("codes", 1, 0.1, 0.1), ("codes", 50, 0.9, 0.6), ("dual encoder", 1, 0.4, 0.4))
    ]
    shown = figures.two_stages(pd.DataFrame(rows), "text-to-image", "Two stages")
    assert (
        "codes, then matching head: R@1 0.10 with 1 passed on and 0.60 with 50, which takes 5 ms a query" in shown.alt
    )


def test_ratio_curve_tells_the_line_and_what_stands_beside():
    rows = [
        {"mixture": mixture, "mono": mono, "multi": multi, "seed": seed, "metric": "rSum", "value": value + seed}
        for mixture, mono, multi, value in (("cross", 0, 0, 100), ("mono", 1, 0, 200), ("uniform", 1 / 3, 1 / 3, 300))
        for seed in (0, 2)
    ]
    shown = figures.ratio_curve({"tiny-mlm": pd.DataFrame(rows)}, ["rSum"], "Ratios")
    assert "rSum of tiny-mlm 101 at 0, 201 at 1; 301 with uniform" in shown.alt

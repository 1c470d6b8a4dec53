"""A stand-in for a trained image-text model and for images with captions: scores that a test sets itself."""

from types import SimpleNamespace

import numpy as np
import torch

from hybridkit.corpora.benchmark import make_benchmark


class FakePixels:
    """Pictures that hold nothing but their row number."""

    key = "fake"

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def pixels(self, rows, size):
        pixels = np.zeros((len(rows), size, size, 3), np.uint8)
        pixels[:, 0, 0, 0] = rows
        return pixels


class FakeModel:
    """Vectors from tables, and as the logit of "match" whatever the function `match` (image row, text) gives."""

    image_size = 2

    def __init__(self, images, texts: dict, match):
        self._images, self._texts, self._match = np.asarray(images, np.float32), texts, match
        self._names = list(texts)

    def images(self, pixels):
        assert pixels.dtype == torch.float32 and pixels.shape[1:] == (3, 2, 2)
        rows = ((pixels[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long()
        return rows[:, None, None].float(), torch.from_numpy(self._images[rows.numpy()])

    def texts(self, texts):
        numbers = torch.tensor([[[float(self._names.index(text))], [-1.0]] for text in texts])
        mask = torch.tensor([[1, 0]] * len(texts))
        return numbers, mask, torch.from_numpy(np.array([self._texts[text] for text in texts], np.float32))

    def match(self, images, texts, mask):
        assert len(images) == len(texts) == len(mask)
        pairs = zip(images[:, 0, 0].int().tolist(), texts[:, 0, 0].int().tolist(), strict=True)
        found = [self._match(image, self._names[text]) for image, text in pairs]
        return torch.tensor([[-7.0, one] for one in found], dtype=torch.float32)


def captioned(images: int, captions: list[tuple[int, str]]) -> SimpleNamespace:
    """Images with captions (image row, language), with both benchmarks; the text of a caption is its id."""
    ids = [f"image-{row}" for row in range(images)]
    texts = [f"caption-{number}" for number in range(len(captions))]
    codes, golds = [code for _, code in captions], [ids[row] for row, _ in captions]
    pictures, sentences = (ids, ids, ["zxx"] * images), (texts, texts, codes)
    forth = make_benchmark("fake-i2t", "none", *pictures, *sentences, zip(golds, texts, strict=True))
    back = make_benchmark("fake-t2i", "none", *sentences, *pictures, zip(texts, golds, strict=True), questions=golds)
    return SimpleNamespace(
        name="fake", ids=ids, images=FakePixels(images), foils=None, image_to_text=forth, text_to_image=back
    )

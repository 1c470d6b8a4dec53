"""The tiny vision transformer, warmed up: it names what the museum's pictures show, before it meets a caption.

ALBEF (arXiv 2107.07651) begins with an image encoder that was trained on the labels of ImageNet. This one is trained on
the six attributes of pictures of the training split, which are numbers and no words, so that it favours no language.
"""

import hashlib
from pathlib import Path

import numpy as np

from hybridkit import encoders
from hybridkit.imagetext.images import DrawnImages, normalised, reader
from hybridkit.pictures.scene import ATTRIBUTES, VALUES, scenes
from hybridkit.streams import Stream

#: The small image encoders: warmed up on what pictures show, and from random weights.
TINY, RANDOM = "tiny-vit", "tiny-vit-random"
SHAPE = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
SHAPE |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
WARM_UP = {"recipe": 3, "pictures": 10_000, "steps": 2400, "batch_size": 32, "learning_rate": 2e-3}


def content_key(name: str, image_size: int, patch_size: int) -> str:
    """What decides the weights of an image encoder, known without loading it; part of a run's key.

    `name`: TINY, RANDOM, or the id or folder of a public one, as `vision.base` takes it.
    """
    from hybridkit.corpora import museum_pictures

    if name != TINY:
        return name if name == RANDOM else encoders.content_key(name)
    drawn = museum_pictures.content_key("train", WARM_UP["pictures"])
    return hashlib.sha256(repr((SHAPE, WARM_UP, drawn, image_size, patch_size)).encode()).hexdigest()


def folder(image_size: int, patch_size: int) -> Path:
    """The folder of the weights, made at first use and shared by all runs."""
    encoders.quiet()
    key = content_key(TINY, image_size, patch_size)
    return encoders.made_once(TINY, key, lambda stage: _warmed_up(image_size, patch_size).save_pretrained(stage))


def _warmed_up(image_size: int, patch_size: int):
    """A transformer from random weights, trained to tell all attributes at once: from its first state, which stands for
    the whole picture in the contrast, and from the mean of the patches' states, which the fusion reads."""
    import torch
    from torch.nn.functional import cross_entropy

    from hybridkit.corpora import museum_pictures
    from hybridkit.imagetext import vision

    torch.manual_seed(0)
    shown = scenes("train", WARM_UP["pictures"])
    labels = np.array([[VALUES[name].index(getattr(one, name)) for name in ATTRIBUTES] for one in shown])
    pixels = reader(DrawnImages(shown, museum_pictures.content_key()), image_size)
    image = vision.made(SHAPE | {"image_size": image_size, "patch_size": patch_size})
    counts = [len(VALUES[name]) for name in ATTRIBUTES]
    head = torch.nn.Linear(SHAPE["hidden_size"], sum(counts))

    def loss(step: int):
        rows = Stream("tiny-vit", step).integers(len(shown), WARM_UP["batch_size"])
        states = image(torch.as_tensor(normalised(pixels(rows)))).last_hidden_state
        logits = head(torch.stack([states[:, 0], states[:, 1:].mean(1)])).split(counts, dim=2)
        wanted = torch.as_tensor(labels[rows]).repeat(2, 1)
        return sum(cross_entropy(one.flatten(0, 1), wanted[:, column]) for column, one in enumerate(logits))

    encoders.optimise(torch.nn.ModuleList([image, head]), loss, WARM_UP["steps"], WARM_UP["learning_rate"])
    return image

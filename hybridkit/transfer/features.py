"""Frozen vectors of texts and of pairs of texts: what a head sees of an encoder, which is not trained any more."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hybridkit import encoding
from hybridkit.transfer.tasks import Part


def of_texts(model, texts: Sequence[str], batch_size: int = encoding.BATCH) -> np.ndarray:
    """Unit vectors (texts, dimensions) float32 of texts of one language; each distinct text is encoded once.

    `model`: a SentenceTransformer, whose document prompt is used as it was saved.
    """
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    found = encoding.documents(model, batch_size)(list(place))
    return found[[place[text] for text in texts]]


def of_pairs(premises: np.ndarray, hypotheses: np.ndarray) -> np.ndarray:
    """Features (pairs, 4 * dimensions) of pairs of vectors u and v: u, v, abs(u - v) and u * v, side by side.

    The features of InferSent (arXiv 1705.02364), which XNLI's own baselines use (arXiv 1809.05053).
    """
    return np.hstack([premises, hypotheses, np.abs(premises - hypotheses), premises * hypotheses])


def of_part(model, part: Part, batch_size: int = encoding.BATCH) -> tuple[np.ndarray, np.ndarray | None]:
    """The features (n, ...) of a part, and of pairs the vectors (n, dimensions) of the hypotheses alone."""
    if part.seconds is None:
        return of_texts(model, part.texts, batch_size), None
    both = of_texts(model, [*part.texts, *part.seconds], batch_size)
    premises, hypotheses = both[: len(part)], both[len(part) :]
    return of_pairs(premises, hypotheses), hypotheses


def encoder_of(model: str) -> tuple[str, tuple[str, ...] | None]:
    """The encoder of a run's folder, and the languages that the run was trained in; any other name as it is, and None.

    Of an image-text run it is its text encoder.
    """
    from hybridkit import params

    run = Path(model).expanduser()
    if not (run / "params.yaml").is_file() or not (run / "model").is_dir():
        return model, None
    text = run / "model" / "text"
    return str(text if text.is_dir() else run / "model"), tuple(params.load([run / "params.yaml"]).languages)

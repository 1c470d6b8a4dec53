"""A linear head on frozen vectors: trained in one language, tested in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from hybridkit import encoding
from hybridkit.errors import KitError
from hybridkit.streams import Stream
from hybridkit.transfer import features
from hybridkit.transfer.tasks import Labelled, Part

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: Strengths that are tried; scikit-learn's C, the inverse of the regularisation.
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
#: Training examples that a head is fitted on at most: all of the kit's tasks but XNLI have fewer.
MOST = 20_000
#: Stands for: a head of its own for every language that has training texts.
EACH = "each"


@dataclass(frozen=True)
class Head:
    """A logistic regression over standardised features. `strength`: its C."""

    model: Pipeline
    strength: float

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray, dev_x: np.ndarray, dev_y: np.ndarray) -> Self:
        """Fit on features (n, d) and labels (n,), with the C of STRENGTHS that is right most often on the dev examples.

        Of equally good ones the smallest, so the simplest head.
        """
        fitted = [cls(_fitted(x, y, strength), strength) for strength in STRENGTHS]
        return max(fitted, key=lambda head: head.right(dev_x, dev_y).sum())

    def right(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether (n,) each answer is right."""
        return self.model.predict(x) == y


def _fitted(x: np.ndarray, y: np.ndarray, strength: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000)).fit(x, y)


def transfer(
    model: "SentenceTransformer",
    task: Labelled,
    train_language: str = "en",
    trained: Sequence[str] | None = None,
    most: int = MOST,
    batch_size: int = encoding.BATCH,
) -> pd.DataFrame:
    """Accuracy of heads on a frozen encoder, a row a language of the test.

    `train_language`: the one language whose training texts the head is fitted on and whose dev texts choose its C, so
    that every other language is zero-shot; or "each", a head of its own for every language. At most `most` training
    examples are taken, drawn at random, always the same ones. Columns: language; head, the language that it was fitted
    in; accuracy, and low and high, its 95 % interval (Wilson's, as if examples were independent); majority, the share
    of the most frequent label in the test; n; of pairs, hypothesis only, the accuracy of a head that sees no premise;
    C; in training, whether the encoder was trained in the language (`trained`; "unknown" for None).

    Raises KitError where the task has no training texts in `train_language`.
    """
    languages = task.languages("train") if train_language == EACH else (train_language,)
    for code in languages:
        check_trainable(task, code)
    rows = []
    for code in languages:
        heads = _heads(model, task, code, most, batch_size)
        for tested in [code] if train_language == EACH else task.languages("test"):
            found = _tested(model, task, heads, tested, batch_size)
            rows.append({"language": tested, "head": code, **found, "in training": known(tested, trained)})
    return pd.DataFrame(rows)


def check_trainable(task: Labelled, language: str) -> None:
    """Raise KitError where a task has no training texts in a language, naming those that it has."""
    languages = task.languages("train")
    if language not in languages:
        raise KitError(
            f'{task.name} has no training texts in {language!r}: write one of {", ".join(languages)}, or "{EACH}".'
        )


def known(language: str, trained: Sequence[str] | None) -> str:
    """Whether an encoder was trained in a language: "yes" or "no", or "unknown" where its languages are not given."""
    return "unknown" if trained is None else "yes" if language in trained else "no"


def scores(right: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy with its 95 % interval (Wilson's), the share of the most frequent label, and n, of answers (n,) to labels (n,)."""
    low, high = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    majority = np.unique(labels, return_counts=True)[1].max() / len(labels)
    return {"accuracy": right.mean(), "low": low, "high": high, "majority": majority, "n": len(right)}


def _heads(model, task: Labelled, code: str, most: int, batch_size: int) -> list[Head]:
    """The head of a language, and of pairs one that sees the hypotheses alone."""
    train, dev = some(task.parts[code, "train"], most), task.parts[code, "dev"]
    views = zip(features.of_part(model, train, batch_size), features.of_part(model, dev, batch_size), strict=True)
    return [Head.fit(x, train.labels, dev_x, dev.labels) for x, dev_x in views if x is not None]


def some(part: Part, most: int) -> Part:
    """At most so many examples of a part, drawn at random, always the same ones, in their order."""
    if len(part) <= most:
        return part
    rows = np.sort(Stream("training examples of a head", len(part)).permutation(len(part))[:most])
    seconds = None if part.seconds is None else [part.seconds[row] for row in rows]
    return Part([part.texts[row] for row in rows], part.labels[rows], seconds)


def _tested(model, task: Labelled, heads: list[Head], code: str, batch_size: int) -> dict:
    part = task.parts[code, "test"]
    views = [x for x in features.of_part(model, part, batch_size) if x is not None]
    right = [head.right(x, part.labels) for head, x in zip(heads, views, strict=True)]
    alone = {"hypothesis only": right[1].mean()} if task.pairs else {}
    return {**scores(right[0], part.labels), **alone, "C": heads[0].strength}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracies over languages of a table of `transfer`: the head's own language, and all others (zero-shot).

    Of the others also those that the encoder was trained in, and those that it was not, where both are known. Columns:
    languages, number, accuracy, majority.
    """
    own = table["language"] == table["head"]
    groups = {"the head's own": own, "zero-shot": ~own}
    if {"yes", "no"} <= set(table.loc[~own, "in training"]):
        groups["zero-shot, in the encoder's training"] = ~own & (table["in training"] == "yes")
        groups["zero-shot, not in it"] = ~own & (table["in training"] == "no")
    rows = [
        {"languages": name, "number": int(chosen.sum()), **table.loc[chosen, ["accuracy", "majority"]].mean()}
        for name, chosen in groups.items()
        if chosen.any()
    ]
    return pd.DataFrame(rows)

"""Labelled texts by language and split: what every task of `hybridkit transfer` becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybridkit.errors import KitError
from hybridkit.languages import check_code

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, eq=False)
class Part:
    """The texts of one language and split, or the pairs: `texts` and `seconds` (None: single texts), `labels` (n,)."""

    texts: list[str]
    labels: np.ndarray
    seconds: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A task: `labels`, the answers that there are, and `parts` by language and split ("train", "dev", "test").

    A language that a head can be trained on has all three splits, any other "test" alone. `pairs`: whether an example
    is a premise and a hypothesis.
    """

    name: str
    licence: str
    labels: tuple[str, ...]
    parts: Mapping[tuple[str, str], Part]
    pairs: bool

    def languages(self, split: str) -> tuple[str, ...]:
        """The languages that have a split, sorted."""
        return tuple(sorted(code for code, other in self.parts if other == split))


def part(texts: Sequence[str], labels: Sequence[str], seconds: Sequence[str] | None = None) -> Part:
    """A part of its columns, unchecked: `make_labelled` checks it."""
    return Part(list(texts), np.array(labels, str), None if seconds is None else list(seconds))


def make_labelled(name: str, licence: str, labels: Sequence[str], parts: Mapping[tuple[str, str], Part]) -> Labelled:
    """Check a task. KitError for a part without examples, with columns of different lengths, an empty text or an unknown
    label, for a language that has training texts and nothing to choose the head by or to test it on, and for a task
    without training or test texts in any language.
    """
    for (code, split), found in parts.items():
        check_code(code)
        _check_part(f"{name}, {code}, {split}", found, labels)
    tested = {code for code, split in parts if split == "test"}
    trained = sorted(code for code, split in parts if split == "train")
    if not tested or not trained:
        raise KitError(f"{name} has no {'training' if tested else 'test'} texts in any language: give some.")
    for code in trained:
        if code not in tested or (code, "dev") not in parts:
            raise KitError(f"{name} has training texts in {code} but not both dev and test texts: give them too.")
    kinds = {found.seconds is not None for found in parts.values()}
    if len(kinds) > 1:
        raise KitError(f"{name} has pairs in some parts and single texts in others: make them alike.")
    return Labelled(name, licence, tuple(labels), dict(parts), kinds.pop())


def _check_part(where: str, found: Part, labels: Sequence[str]) -> None:
    columns = [found.texts] if found.seconds is None else [found.texts, found.seconds]
    if {len(column) for column in columns} != {len(found.labels)} or not len(found):
        counts = ", ".join(str(len(column)) for column in columns)
        raise KitError(f"{where}: {counts} texts and {len(found.labels)} labels: each example needs one of each.")
    for row, text in (pair for column in columns for pair in enumerate(column)):
        if not text.strip():
            raise KitError(f"{where}: example {row}, counted from 0, has an empty text: fill it or leave it out.")
    unknown = sorted(set(found.labels.tolist()) - set(labels))
    if unknown:
        raise KitError(f"{where}: the label {unknown[0]!r} is none of {', '.join(labels)}.")

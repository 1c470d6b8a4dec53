"""The pictures and captions of a step of a batch plan, before any framework sees them.

A plan knows no pictures: its training pairs have an image's captions on both sides. The query is the first caption, the
passage the second; the row of the query is that of the image.
"""

from dataclasses import dataclass

import numpy as np

from hybridkit import rendering
from hybridkit.imagetext.captioned import BETWEEN
from hybridkit.imagetext.texts import two_captions
from hybridkit.sampling import BatchPlan
from hybridkit.streams import Stream


@dataclass(frozen=True, eq=False)
class Shown:
    """What a step shows: n images, two captions of each, and captions that fit none of them.

    `dataset` and `row` (n,): where each image stands. `first`, `second`, `foils`: texts, as many foils an image as the
    plan has explicit negatives, one after the other; `languages`: of all of them in this order, numbers in the plan's.
    """

    step: int
    kind: str
    dataset: np.ndarray
    row: np.ndarray
    first: list[str]
    second: list[str]
    foils: list[str]
    languages: np.ndarray

    @property
    def texts(self) -> list[str]:
        """All captions: the first ones, the second ones, the foils."""
        return [*self.first, *self.second, *self.foils]


def shown(plan: BatchPlan, step: int) -> Shown:
    """The pictures and captions of a step; which of several captions is drawn does not depend on any other step."""
    batch = plan.step(step)
    found = {name: texts for name, _, texts in rendering.columns_of(plan, batch, np.arange(plan.batch_size))}
    draw = plan.seed, step
    pairs = [
        two_captions(first, second, *draw, place)
        for place, (first, second) in enumerate(zip(found.pop("query"), found.pop("positive"), strict=True))
    ]
    foils = [_line(text, *draw, name, place) for name, texts in found.items() for place, text in enumerate(texts)]
    row = [plan.datasets[d].query[r] for d, r in zip(batch.dataset, batch.row, strict=True)]
    languages = [batch.query_language, batch.passage_language, batch.negative_language.T.ravel()]
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    return Shown(step, batch.kind, batch.dataset, np.array(row), first, second, foils, np.concatenate(languages))


def _line(text: str, *draw: object) -> str:
    lines = text.split(BETWEEN)
    return lines[Stream("foil caption", *draw).integer(len(lines))]

"""FiCo-ITR's comparison of coarse and fine scorers (arXiv 2407.20114): its metrics, three scorers with cost, two stages.

Lists of candidates are (queries, depth) row numbers, best first; `relevant` is (queries, candidates) bool.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hybridkit.errors import KitError
from hybridkit.imagetext.evaluation import BATCH, CUTOFFS, PAIRS, Encoded, encoded, numbers, text_vectors
from hybridkit.streams import Stream

if TYPE_CHECKING:
    from torch import Tensor

    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.imagetext.albef import Albef
    from hybridkit.imagetext.captioned import CaptionedImages

#: Bits of a binary code, as in the paper.
BITS = 64
#: Cut-offs of the category-level mAP.
CATEGORY_CUTOFFS = (10, 100)
DIRECTIONS = ("image-to-text", "text-to-image")
#: How many queries are timed one by one, after how many that are not.
TIMED, WARM_UP = 50, 5
#: How many candidates the first of two stages passes on, where nothing else is said; 0 stands for all.
PASSED_ON = (1, 2, 5, 10, 20, 50, 100, 0)


# The paper's metrics


def judged(lists: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Whether the candidate at each place of a list is relevant (queries, depth)."""
    return np.take_along_axis(relevant, lists, axis=1)


def hit_rate(judged: np.ndarray, k: int) -> float:
    """Share of the queries with a relevant candidate among the first k: the paper's instance-level R@k.

    Its section on metrics prints relevant ones found / relevant ones, which for an image with five captions is another
    number; its text and its code count an image as found with any of its captions, and so does this.
    """
    return float(judged[:, :k].any(axis=1).mean())


def mean_average_precision(judged: np.ndarray, k: int) -> float:
    """The paper's category-level mAP@k: over queries, the mean precision at the relevant candidates within the first k.

    A query with none there has 0. The divisor is what was found within k and not what there is to find.
    """
    top = judged[:, :k]
    precision = top.cumsum(axis=1) / np.arange(1, top.shape[1] + 1)
    return float(((precision * top).sum(axis=1) / np.maximum(top.sum(axis=1), 1)).mean())


def interpolated_precision(judged: np.ndarray) -> np.ndarray:
    """The 11-point curve (11,): at each recall 0, .1, ..., 1 the best precision at that recall or beyond, mean over queries.

    The lists must hold all candidates, and for each query a relevant one.
    """
    found = judged.cumsum(axis=1)
    precision = found / np.arange(1, judged.shape[1] + 1)
    # In whole numbers: a recall of 3 / 10 is not the number .3.
    reached = [10 * found >= level * found[:, -1:] for level in range(11)]
    return np.array([np.where(there, precision, 0).max(axis=1).mean() for there in reached])


def share_a_label(labels: Sequence[frozenset[str]], others: Sequence[frozenset[str]]) -> np.ndarray:
    """Category-level relevance (labels, others): whether two have at least one label in common."""
    names = sorted(frozenset().union(*labels, *others))
    has = [np.array([[name in one for name in names] for one in side], np.int64) for side in (labels, others)]
    return has[0] @ has[1].T > 0


# Scorers


@dataclass(frozen=True, eq=False)
class Index:
    """The candidates of a direction in FAISS.

    They stand in a random order that is drawn once: equal scores, of which binary codes have many, are found in it.
    `prepare` makes of vectors (n, k) what the index holds; `seconds` is how long making and filling it took.
    """

    index: object
    prepare: Callable[[np.ndarray], np.ndarray]
    order: np.ndarray
    seconds: float

    @classmethod
    def filled(cls, index, prepare: Callable[[np.ndarray], np.ndarray], candidates: np.ndarray) -> "Index":
        order = Stream("fico").permutation(len(candidates))
        prepared = prepare(candidates)[order]
        started = time.perf_counter()
        index.add(prepared)
        return cls(index, prepare, order, time.perf_counter() - started)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """The best k candidates (queries, k) of query vectors."""
        return self.order[self.index.search(self.prepare(queries), min(k, len(self.order)))[1]]

    @property
    def bytes(self) -> int:
        """Size of the index as FAISS would write it to a file."""
        import faiss

        write = faiss.serialize_index_binary if isinstance(self.index, faiss.IndexBinary) else faiss.serialize_index
        return len(write(self.index))


def codes(training: np.ndarray, bits: int = BITS) -> Callable[[np.ndarray], np.ndarray]:
    """A function from vectors (n, k) to binary codes (n, bits / 8), uint8: the signs of a rotation that loses little.

    Iterative quantisation, fitted to `training` vectors (n, k) of images and captions together. The paper's coarse
    models learn their codes with the encoders instead.
    """
    import faiss

    if min(training.shape) < bits:
        raise KitError(
            f"Codes of {bits} bits need {bits} vectors or more of {bits} dimensions or more to be fitted to, and there are "
            f"{training.shape[0]:,} of {training.shape[1]}: take more training images, or a larger projection."
        )
    transform = faiss.ITQTransform(training.shape[1], bits, True)
    transform.train(np.ascontiguousarray(training, np.float32))
    return lambda vectors: np.packbits(transform.apply(np.ascontiguousarray(vectors, np.float32)) > 0, axis=1)


@dataclass(frozen=True, eq=False)
class States:
    """What the matching head reads, kept: of images (n, patches, width), of captions (m, tokens, width) with their mask."""

    model: "Albef"
    images: "Tensor"
    texts: "Tensor"
    mask: "Tensor"

    @classmethod
    def of(cls, seen: Encoded) -> "States":
        from torch import cat
        from torch.nn.functional import pad

        starts = range(0, len(seen.captions), BATCH)
        parts = [seen.model.texts(seen.captions[start : start + BATCH])[:2] for start in starts]
        most = max(states.shape[1] for states, _ in parts)
        texts = cat([pad(states, (0, 0, 0, most - states.shape[1])) for states, _ in parts])
        return cls(seen.model, seen.states, texts, cat([pad(mask, (0, most - mask.shape[1])) for _, mask in parts]))

    def scores(self, direction: str, query: int, candidates: np.ndarray) -> np.ndarray:
        """The logit of "match" (candidates,) of a query with some candidates."""
        found = []
        for start in range(0, len(candidates), PAIRS):
            part = candidates[start : start + PAIRS]
            asked = np.full(len(part), query)
            image, text = (asked, part) if direction == DIRECTIONS[0] else (part, asked)
            found.append(numbers(self.model.match(self.images[image], self.texts[text], self.mask[text]))[:, 1])
        return np.concatenate(found)

    def bytes(self, direction: str) -> int:
        """Size of the states of the candidates."""
        kept = self.texts if direction == DIRECTIONS[0] else self.images
        return kept.numel() * kept.element_size()


def two_stages(first: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
    """Lists whose first k candidates, found by a first stage, are put into the order of a second one's scores.

    `first` (queries, depth); `scores` (queries, candidates). Equal scores stay in the order of the first stage, and so
    does what is behind place k.
    """
    head = first[:, :k]
    order = np.argsort(-np.take_along_axis(scores, head, axis=1), axis=1, kind="stable")
    return np.concatenate([np.take_along_axis(head, order, axis=1), first[:, k:]], axis=1)


# The comparison


class Comparison:
    """Codes, dual encoder and matching head of one model, on images and their captions in one language.

    `benchmark` is image-to-text; `training`: vectors (n, k) of other images and captions, to fit the codes to
    (`training_vectors`). Everything is encoded and every pair is matched when it is first needed.
    """

    def __init__(
        self,
        model: "Albef",
        data: "CaptionedImages",
        benchmark: "Benchmark",
        training: np.ndarray,
        language: str = "en",
    ):
        chosen = np.flatnonzero(np.asarray(benchmark.candidate_languages) == language)
        if not len(chosen):
            raise KitError(
                f"{benchmark.name} has no captions in {language!r}: choose of {' '.join(benchmark.languages)}."
            )
        place = {caption: number for number, caption in enumerate(chosen.tolist())}
        golds = [(i, place[c]) for i, c in zip(benchmark.gold_query, benchmark.gold_candidate) if c in place]
        asked, places = np.unique([image for image, _ in golds], return_inverse=True)
        row = {one: number for number, one in enumerate(data.ids)}
        rows = [row[benchmark.query_ids[image]] for image in asked]
        self.relevant = np.zeros((len(asked), len(chosen)), bool)
        self.relevant[places, [caption for _, caption in golds]] = True
        labels = [data.labels[one] for one in rows]
        self._labels = labels, [labels[image] for image in self.relevant.argmax(axis=0)]
        captions = [benchmark.candidate_texts[caption] for caption in chosen]
        started = time.perf_counter()
        self.seen = encoded(model, data, rows, captions)
        self.vectors = self.seen.images, self.seen.texts
        self.encoding_seconds = time.perf_counter() - started
        self._encode = codes(training)

    @cached_property
    def states(self) -> States:
        return States.of(self.seen)

    @cached_property
    def matched(self) -> np.ndarray:
        """The logit of "match" of every pair (images, captions)."""
        pairs = np.stack(np.meshgrid(*map(np.arange, self.relevant.shape), indexing="ij"), axis=-1).reshape(-1, 2)
        return self.seen.matched(pairs).reshape(self.relevant.shape)

    @cached_property
    def category(self) -> np.ndarray | None:
        """Category-level relevance (images, captions), None where no image has a label."""
        return share_a_label(*self._labels) if any(self._labels[0]) else None

    def index(self, scorer: str, direction: str) -> Index:
        """The candidates of a direction, as "codes" or for the "dual encoder"."""
        import faiss

        candidates = self._side(direction, self.vectors[::-1])
        if scorer == "codes":
            return Index.filled(faiss.IndexBinaryFlat(BITS), self._encode, candidates)
        return Index.filled(faiss.IndexFlatIP(candidates.shape[1]), np.ascontiguousarray, candidates)

    @staticmethod
    def _side(direction: str, images_first: tuple):
        return images_first[DIRECTIONS.index(direction)]

    @staticmethod
    def _turned(direction: str, matrix: np.ndarray) -> np.ndarray:
        """A matrix (images, captions) with the queries of a direction as rows."""
        return matrix if direction == DIRECTIONS[0] else matrix.T

    def lists(self, scorer: str, direction: str) -> np.ndarray:
        """All candidates of a direction in the order of a scorer (queries, candidates)."""
        if scorer != "matching head":
            queries = self._side(direction, self.vectors)
            return self.index(scorer, direction).search(queries, self.relevant.size)
        scores = self._turned(direction, self.matched)
        order = Stream("fico").permutation(scores.shape[1])
        return order[np.argsort(-scores[:, order], axis=1, kind="stable")]

    def quality(self, lists: np.ndarray, direction: str) -> dict[str, float]:
        """R@1, R@5, R@10, and mAP@10 and mAP@100, NaN where nothing has a label, of lists of all candidates."""
        found = judged(lists, self._turned(direction, self.relevant))
        figures = {f"R@{k}": hit_rate(found, k) for k in CUTOFFS}
        if self.category is None:
            return figures | {f"mAP@{k}": np.nan for k in CATEGORY_CUTOFFS}
        relevant = self._turned(direction, self.category)
        labelled = relevant.any(axis=1)
        found = judged(lists, relevant)[labelled]
        return figures | {f"mAP@{k}": mean_average_precision(found, k) for k in CATEGORY_CUTOFFS}

    def table(self) -> pd.DataFrame:
        """The three scorers side by side, a row a direction and scorer.

        Columns: direction, scorer, encoding s (of all images and captions once), index s (to make the index), index bytes,
        state bytes (what the matching head needs of the candidates), query ms (`milliseconds`; the query is encoded
        already), and those of `quality`. mAP leaves out queries without a label.
        """
        rows = []
        for direction in DIRECTIONS:
            for scorer in ("codes", "dual encoder", "matching head"):
                row = {"direction": direction, "scorer": scorer, "encoding s": self.encoding_seconds}
                if scorer == "matching head":
                    row |= {"index s": np.nan, "index bytes": np.nan, "state bytes": self.states.bytes(direction)}
                    ask = self._asker(direction, None, scorer, 0)
                else:
                    index = self.index(scorer, direction)
                    row |= {"index s": index.seconds, "index bytes": index.bytes, "state bytes": np.nan}
                    ask = self._asker(direction, index, None, max(CUTOFFS))
                row["query ms"] = milliseconds(ask, len(self._side(direction, self.vectors)))
                rows.append(row | self.quality(self.lists(scorer, direction), direction))
        return pd.DataFrame(rows)

    def pipelines(self, passed_on: Sequence[int] = PASSED_ON) -> pd.DataFrame:
        """Two stages, the coarse before the fine, by how many candidates the first passes on (0 stands for all).

        Columns: direction, first, second, passed on, first-stage recall (share of the queries with a relevant candidate
        among those, the most that R@k can be there), query ms of both stages, and those of `quality`.
        """
        if wrong := [k for k in passed_on if k < 0]:
            raise KitError(f"{wrong[0]} candidates are to be passed on: give numbers of 1 or more, or 0 for all.")
        rows = []
        for direction in DIRECTIONS:
            relevant = self._turned(direction, self.relevant)
            for first, second in (
                ("codes", "dual encoder"),
                ("codes", "matching head"),
                ("dual encoder", "matching head"),
            ):
                index, lists = self.index(first, direction), self.lists(first, direction)
                scores = self._turned(direction, self._scores(second))
                for k in sorted({min(k or lists.shape[1], lists.shape[1]) for k in passed_on}):
                    row = {"direction": direction, "first": first, "second": second, "passed on": k}
                    row["first-stage recall"] = hit_rate(judged(lists, relevant), k)
                    row["query ms"] = milliseconds(self._asker(direction, index, second, k), len(lists))
                    rows.append(row | self.quality(two_stages(lists, scores, k), direction))
        return pd.DataFrame(rows)

    def _scores(self, scorer: str) -> np.ndarray:
        return self.matched if scorer == "matching head" else self.vectors[0] @ self.vectors[1].T

    def _asker(self, direction: str, index: Index | None, second: str | None, k: int) -> Callable[[int], object]:
        """A function that answers one query: k candidates by the index (all, without one), then by the second stage."""
        queries, candidates = (self._side(direction, side) for side in (self.vectors, self.vectors[::-1]))

        def ask(query: int):
            found = index.search(queries[query : query + 1], k)[0] if index else np.arange(len(candidates))
            if second == "matching head":
                return found[np.argsort(-self.states.scores(direction, query, found))]
            if second:
                return found[np.argsort(-(candidates[found] @ queries[query]))]
            return found

        return ask


def training_vectors(model: "Albef", data: "CaptionedImages", language: str = "en", most: int = 2000) -> np.ndarray:
    """Vectors (n, k) of the first `most` images with a caption in a language and of these captions, to fit codes to."""
    rows = [row for row, texts in enumerate(data.captions[language]) if texts][:most]
    captions = [data.captions[language][row][0] for row in rows]
    return np.concatenate([encoded(model, data, rows, []).images, text_vectors(model, captions)])


def milliseconds(ask: Callable[[int], object], queries: int) -> float:
    """Median time in ms that one query takes, on one thread: of TIMED drawn queries, after WARM_UP others."""
    drawn = Stream("fico", "timed").integers(queries, WARM_UP + TIMED).tolist()
    seconds = []
    with _one_thread():
        for query in drawn:
            started = time.perf_counter()
            ask(query)
            seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[WARM_UP:]))


@contextmanager
def _one_thread() -> Iterator[None]:
    import faiss
    import torch

    before = faiss.omp_get_max_threads(), torch.get_num_threads()
    faiss.omp_set_num_threads(1), torch.set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before[0]), torch.set_num_threads(before[1])


def measured_on(model: "Albef") -> str:
    """The machine, where on it the model works, and what else it does: what must stand beside times."""
    from hybridkit import runs

    return f"{runs.machine()}; model on {model.device}, one thread; load {os.getloadavg()[0]:.1f}"

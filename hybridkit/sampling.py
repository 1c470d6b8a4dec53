"""Mixtures and batch plans: which examples make up every training batch, decided as plain data.

A plan knows no training framework. Every step is drawn from a random stream of its own, so any step can
be computed alone, by any process, with the same result. The kinds of batches are those of arXiv 2408.10536.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hybridkit.corpora.pairs import TrainingPairs, shared_groups
from hybridkit.errors import KitError
from hybridkit.streams import Stream

KINDS = ("mono", "cross", "multi")
#: Draws of a row before the remaining rows are looked through one by one.
_TRIES = 50


@dataclass(frozen=True)
class Batch:
    """One step of a plan: arrays of length batch_size, one element an example.

    `dataset` indexes the plan's datasets, `row` a dataset's rows; `query_language` and
    `passage_language` index the plan's languages; `negatives` (batch_size, explicit negatives) are rows
    of the dataset's passages, rendered in `passage_language`.
    """

    step: int
    kind: str
    dataset: np.ndarray
    row: np.ndarray
    query_language: np.ndarray
    passage_language: np.ndarray
    negatives: np.ndarray


class BatchPlan:
    """The batches of a training run, drawn from datasets, a mixture of batch kinds, and a seed.

    The kind of a batch is drawn by its weight; then the language, or the ordered pair of languages,
    uniformly among those that have data (once a batch for `mono`, for each example otherwise; with
    `cross_pairs="batch"` once a batch for `cross` too); then the dataset among those that have that
    pair, with probability proportional to its number of rows to the power 1/temperature; then the row.
    Rows are drawn with replacement across steps. Within a batch all passages differ, and none is
    relevant to another example's question, in any language.

    Raises KitError where a kind with weight has no data, or too little to fill a batch.
    """

    def __init__(
        self,
        datasets: Sequence[TrainingPairs],
        *,
        mono: float,
        cross: float,
        multi: float,
        languages: Sequence[str],
        batch_size: int,
        seed: int = 0,
        temperature: float = 1.0,
        cross_pairs: str = "example",
        explicit_negatives: int = 0,
    ):
        self.datasets = list(datasets)
        self.weights = {"mono": mono, "cross": cross, "multi": multi}
        self.languages = list(languages)
        self.batch_size = batch_size
        self.seed = seed
        self.temperature = temperature
        self.cross_pairs = cross_pairs
        self.explicit_negatives = explicit_negatives
        self._passage_groups = shared_groups([d.passages for d in self.datasets])
        self._relevant = _relevant_passages(self.datasets, self._passage_groups)
        self._pools: dict[tuple[int, int], _Pool] = {}
        self._pairs = {kind: self._language_pairs(kind) for kind in KINDS if self.weights[kind] > 0}
        self._check_size()

    @classmethod
    def from_parameters(cls, parameters, datasets: Sequence[TrainingPairs]) -> "BatchPlan":
        """The plan of a run (`params.Parameters`) over its datasets. KitError for a language that no dataset has."""
        there = sorted({code for dataset in datasets for code in dataset.languages})
        missing = [code for code in parameters.languages if code not in there]
        if missing:
            raise KitError(
                f"languages names {' '.join(missing)}, but no training data has it; "
                f"{', '.join(parameters.training_data)} has {' '.join(there)}."
            )
        return cls(
            datasets,
            mono=parameters.mono,
            cross=parameters.cross,
            multi=parameters.multi,
            languages=parameters.languages,
            batch_size=parameters.batch_size,
            seed=parameters.seed,
            temperature=parameters.dataset_temperature,
            cross_pairs=parameters.cross_pairs,
            explicit_negatives=parameters.explicit_negatives,
        )

    def kind(self, step: int) -> str:
        """The kind of the batch at a step; plans of one seed differ in it only where their weights do."""
        draw = Stream("plan", self.seed, step, "kind").uniform(1)[0]
        for kind in KINDS:
            if draw < self.weights[kind]:
                return kind
            draw -= self.weights[kind]
        return next(kind for kind in reversed(KINDS) if self.weights[kind] > 0)

    def step(self, step: int) -> Batch:
        """Draw one batch. Steps count from 0; none depends on another."""
        kind = self.kind(step)
        draws = _Draws(Stream("plan", self.seed, step, "examples"))
        pairs = self._pairs[kind]
        once = pairs[draws.integer(len(pairs))] if kind == "mono" or self._one_pair(kind) else None
        taken = _Taken()
        examples = [self._example(pairs, once, draws, taken) for _ in range(self.batch_size)]
        columns = [np.array(column, dtype=np.int64) for column in list(zip(*examples, strict=True))[:4]]
        negatives = np.array([e[4] for e in examples], dtype=np.int64).reshape(self.batch_size, -1)
        return Batch(step, kind, *columns, negatives)

    def table(self, steps: Iterable[int]):
        """The plan as a pandas table, a row an example, with names of datasets and codes of languages."""
        import pandas as pd

        frames = []
        for batch in map(self.step, steps):
            frame = {
                "step": batch.step,
                "kind": batch.kind,
                "dataset": [self.datasets[d].name for d in batch.dataset],
                "row": batch.row,
                "query_language": [self.languages[i] for i in batch.query_language],
                "passage_language": [self.languages[i] for i in batch.passage_language],
                "negatives": list(map(tuple, batch.negatives.tolist())),
            }
            frames.append(pd.DataFrame(frame))
        return pd.concat(frames, ignore_index=True)

    def fingerprint(self, steps: Iterable[int]) -> str:
        """SHA-256 of the given steps: equal on every machine for equal parameters, data and seed."""
        digest = hashlib.sha256()
        for batch in map(self.step, steps):
            digest.update(f"{batch.step} {batch.kind}".encode())
            columns = (batch.dataset, batch.row, batch.query_language, batch.passage_language, batch.negatives)
            for column in columns:
                digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
        return digest.hexdigest()

    def _one_pair(self, kind: str) -> bool:
        return kind == "cross" and self.cross_pairs == "batch"

    def _language_pairs(self, kind: str) -> list[tuple[int, int]]:
        """The pairs of languages (query, passage) of a kind for which any dataset has rows."""
        count = range(len(self.languages))
        if kind == "cross":
            pairs = [(q, p) for q in count for p in count if q != p]
        else:
            pairs = [(i, i) for i in count]
        found = [pair for pair in pairs if self._pool(pair).size]
        if not found:
            needs = "questions and passages in two different languages" if kind == "cross" else "one language for both"
            wanted = f" with {self.explicit_negatives} explicit negatives" if self.explicit_negatives else ""
            mend = "set explicit_negatives to 0, " if self.explicit_negatives else ""
            raise KitError(
                f"The mixture asks for {kind} batches (weight {self.weights[kind]:g}), which need {needs}, but no training "
                f"data has that in {' '.join(self.languages)}{wanted}; {mend}set {kind} to 0, or add languages or data."
            )
        return found

    def _pool(self, pair: tuple[int, int]) -> "_Pool":
        if pair not in self._pools:
            query, passage = (self.languages[i] for i in pair)
            rows = [_eligible_rows(d, query, passage, self.explicit_negatives) for d in self.datasets]
            self._pools[pair] = _Pool(rows, self.temperature)
        return self._pools[pair]

    def _check_size(self) -> None:
        """Refuse at once a batch that no draw could ever fill."""
        for kind, pairs in self._pairs.items():
            apart = kind == "mono" or self._one_pair(kind)
            for group in [[pair] for pair in pairs] if apart else [pairs]:
                distinct = len(set().union(*(self._positives(pair) for pair in group)))
                if distinct < self.batch_size:
                    names = "-".join(dict.fromkeys(self.languages[i] for i in group[0])) if apart else "all languages"
                    raise KitError(
                        f"batch_size is {self.batch_size}, but {kind} batches in {names} have only {distinct} "
                        f"distinct passages; lower batch_size or add training data."
                    )

    def _positives(self, pair: tuple[int, int]) -> set[int]:
        positives: set[int] = set()
        for number, rows in enumerate(self._pool(pair).rows):
            groups = self._passage_groups[number][self.datasets[number].positive[rows]]
            positives.update(np.unique(groups)[: self.batch_size].tolist())
        return positives

    def _example(self, pairs: list, once: tuple[int, int] | None, draws: "_Draws", taken: "_Taken") -> tuple:
        for _ in range(_TRIES):
            pair = once or pairs[draws.integer(len(pairs))]
            dataset, row = self._pool(pair).draw(draws)
            negatives = self._accept(dataset, row, pair, draws, taken)
            if negatives is not None:
                return dataset, row, *pair, negatives
        return self._search(pairs if once is None else [once], draws, taken)

    def _search(self, pairs: list, draws: "_Draws", taken: "_Taken") -> tuple:
        """Look through all rows for one that still fits: for batches nearly as large as the data."""
        for pair in draws.shuffled(pairs):
            for dataset, rows in enumerate(self._pool(pair).rows):
                for row in draws.shuffled(rows):
                    negatives = self._accept(dataset, int(row), pair, draws, taken)
                    if negatives is not None:
                        return dataset, int(row), *pair, negatives
        raise KitError(
            f"A batch of {self.batch_size} with {self.explicit_negatives} explicit negatives each cannot be filled "
            "without a passage twice or a false negative; lower batch_size or explicit_negatives, or add training data."
        )

    def _accept(
        self, dataset: int, row: int, pair: tuple[int, int], draws: "_Draws", taken: "_Taken"
    ) -> list[int] | None:
        """Take the row into the batch if it makes no false negative: its negatives, or None if it does not fit."""
        data, groups = self.datasets[dataset], self._passage_groups[dataset]
        relevant = self._relevant(dataset, row)
        if not taken.fits(int(groups[data.positive[row]]), relevant):
            return None
        passages = [int(groups[data.positive[row]])]
        negatives: list[int] = []
        if self.explicit_negatives:
            own = data.negatives[data.negative_offsets[row] : data.negative_offsets[row + 1]]
            has = data.passages.has(self.languages[pair[1]])
            for passage in draws.shuffled(own[has[own]]):
                group = int(groups[passage])
                if group not in relevant and group not in passages and taken.free(group):
                    negatives.append(int(passage))
                    passages.append(group)
                    if len(negatives) == self.explicit_negatives:
                        break
            else:
                return None
        taken.add(passages, relevant)
        return negatives


class _Draws:
    """Random numbers of one step, fetched in blocks since single ones are slow."""

    def __init__(self, stream: Stream):
        self._stream = stream
        self._numbers: list[float] = []

    def uniform(self) -> float:
        if not self._numbers:
            self._numbers = self._stream.uniform(512).tolist()
        return self._numbers.pop()

    def integer(self, below: int) -> int:
        return int(self.uniform() * below)

    def shuffled(self, items: Sequence) -> Iterable:
        """The items in random order, drawn lazily (Fisher and Yates)."""
        left = list(items)
        while left:
            pick = self.integer(len(left))
            left[pick], left[-1] = left[-1], left[pick]
            yield left.pop()


class _Taken:
    """What a batch already holds: its passages, and all that is relevant to its questions."""

    def __init__(self):
        self.passages: set[int] = set()
        self.relevant: set[int] = set()

    def free(self, passage: int) -> bool:
        return passage not in self.passages and passage not in self.relevant

    def fits(self, positive: int, relevant: Sequence[int]) -> bool:
        return self.free(positive) and not any(passage in self.passages for passage in relevant)

    def add(self, passages: Sequence[int], relevant: Sequence[int]) -> None:
        self.passages.update(passages)
        self.relevant.update(relevant)


class _Pool:
    """The rows that can be drawn for one pair of languages: a dataset by size, then a row of it."""

    def __init__(self, rows: list[np.ndarray], temperature: float):
        self.rows = rows
        sizes = np.array([len(r) for r in rows], dtype=float)
        self.size = int(sizes.sum())
        if self.size:
            shares = np.where(sizes > 0, (sizes / sizes.max()) ** (1 / temperature), 0)
            # Rounded, so that the last bit of a machine's power function decides nothing.
            self._until = np.round(np.cumsum(shares) / shares.sum(), 12).tolist()
            self._last = int(np.nonzero(sizes)[0][-1])

    def draw(self, draws: _Draws) -> tuple[int, int]:
        place = draws.uniform()
        dataset = next((d for d, until in enumerate(self._until) if place < until), self._last)
        rows = self.rows[dataset]
        return dataset, int(rows[draws.integer(len(rows))])


def _eligible_rows(data: TrainingPairs, query: str, passage: str, explicit_negatives: int) -> np.ndarray:
    """Rows of a dataset whose question, positive and enough negatives exist in the two languages."""
    passages = data.passages.has(passage)
    eligible = data.queries.has(query)[data.query] & passages[data.positive]
    if explicit_negatives:
        there = np.concatenate([[0], np.cumsum(passages[data.negatives])])
        eligible &= np.diff(there[data.negative_offsets]) >= explicit_negatives
    return np.nonzero(eligible)[0]


def _relevant_passages(datasets: Sequence[TrainingPairs], groups: Sequence[np.ndarray]):
    """A function from a row to the groups of all passages that any row of any dataset states for its question."""
    questions = [g[d.query] for d, g in zip(datasets, shared_groups([d.queries for d in datasets]), strict=True)]
    question = np.concatenate(questions)
    positive = np.concatenate([g[d.positive] for d, g in zip(datasets, groups, strict=True)])
    order = np.argsort(question, kind="stable")
    positive = positive[order]
    starts = np.searchsorted(question[order], np.arange(question.max(initial=0) + 2))

    def relevant(dataset: int, row: int) -> list[int]:
        group = questions[dataset][row]
        return positive[starts[group] : starts[group + 1]].tolist()

    return relevant

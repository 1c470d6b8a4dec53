"""Mixtures and batch plans: which examples make up every training batch, decided as plain data.

A plan knows no training framework. Every step is drawn from a random stream of its own, so any step can
be computed alone, by any process, with the same result. The kinds of batches are those of arXiv 2408.10536.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from hybridkit.corpora.groups import groups_of
from hybridkit.corpora.pairs import TrainingPairs
from hybridkit.errors import KitError
from hybridkit.pools import Eligible, Rows, has_any, with_text
from hybridkit.streams import Stream

KINDS = ("mono", "cross", "multi", "variants")
#: Draws of a row before the remaining rows are looked through one by one.
_TRIES = 50
_BLOCK = 65_536  # rows whose passages are counted together


@dataclass(frozen=True)
class Batch:
    """One step of a plan: arrays of length batch_size, one element an example.

    `dataset` indexes the plan's datasets, `row` a dataset's rows; `query_language` and
    `passage_language` index the plan's languages; `negatives` (batch_size, explicit negatives) are rows
    of the dataset's passages, rendered in `negative_language` (of the same shape), which is the passage's
    language unless the plan says "any". A row occurs once, but in a `variants` batch once for each language of its passage.
    """

    step: int
    kind: str
    dataset: np.ndarray
    row: np.ndarray
    query_language: np.ndarray
    passage_language: np.ndarray
    negatives: np.ndarray
    negative_language: np.ndarray

    @property
    def group(self) -> np.ndarray:
        """Which examples belong together (batch_size,): those of one row, whose passages are one another's positives."""
        pairs = list(zip(self.dataset.tolist(), self.row.tolist(), strict=True))
        number = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        return np.array([number[pair] for pair in pairs], dtype=np.int64)


class BatchPlan:
    """The batches of a training run, drawn from datasets, a mixture of batch kinds, and a seed.

    The kind of a batch is drawn by its weight; then the language, or the ordered pair of languages,
    uniformly among those that have data (once a batch for `mono`, for each example otherwise; with
    `cross_pairs="batch"` once a batch for `cross` too); then the dataset among those that have that
    pair, with probability proportional to its number of rows to the power 1/temperature; then the row.
    Rows are drawn with replacement across steps. Within a batch all passages differ, and none is
    relevant to another example's question, in any language.

    A `variants` batch draws a row and the language of its question as above, from all pairs of languages, and holds the
    question with the passage in every language that has it (and its negatives), an example each, in random order; then
    the next row, until the batch is full: the last row has as many variants as fit. The examples of a row share their
    negatives, each rendered by the rule below. They have one `Batch.group`, and are no false negatives for a loss that
    knows it (`training.VariantsLoss`).

    A row has its explicit negatives drawn among those that its dataset states. With `missing_negatives`
    "leave-out" a row with too few of them in the language is not drawn; with "random" others are drawn
    among the dataset's passages in that language, by the same rules. With `negative_language` "positive" a
    negative is in the language of its example's positive; with "any", in cross and multi batches, it may be
    in any of `languages`, drawn for each negative among those that it has a text in (arXiv 2408.10536 does
    not say which).

    With `end`, weights of the first three kinds, the mixture moves to them over the `batches` of the training: step by
    step, or in so many equal `stages`, of which the first has the weights of the start and the last those of the end.

    Memory: a bit a row and language where texts are missing, and the groups of `corpora.groups`.
    Raises KitError where a kind with weight has no data, or too little to fill a batch.
    """

    def __init__(
        self,
        datasets: Sequence[TrainingPairs],
        *,
        mono: float,
        cross: float,
        multi: float,
        variants: float = 0.0,
        languages: Sequence[str],
        batch_size: int,
        seed: int = 0,
        temperature: float = 1.0,
        cross_pairs: str = "example",
        explicit_negatives: int = 0,
        missing_negatives: str = "leave-out",
        negative_language: str = "positive",
        end: Sequence[float] | None = None,
        stages: int = 0,
        batches: int = 0,
    ):
        self.datasets = list(datasets)
        self.weights = dict(zip(KINDS, (mono, cross, multi, variants), strict=True))
        self.end = None if end is None else dict(zip(KINDS, (*end, 0.0), strict=True))
        self.stages, self.batches = stages, batches
        if end is not None and batches < 1:
            raise KitError(
                f"The mixture moves to {tuple(end)}, but batches is {batches}; give the number of all batches."
            )
        self.languages = list(languages)
        self.batch_size = batch_size
        self.seed = seed
        self.temperature = temperature
        self.cross_pairs = cross_pairs
        self.explicit_negatives = explicit_negatives
        self.missing_negatives = missing_negatives
        self.negative_language = negative_language
        self._groups = groups_of(self.datasets)
        stated = explicit_negatives if missing_negatives == "leave-out" else 0
        self._eligible = [Eligible(d, stated) for d in self.datasets]
        self._pools: dict[tuple, _Pool] = {}
        self._with_text: dict[tuple, Rows] = {}
        self._pairs = {kind: self._language_pairs(kind) for kind in KINDS if self._most(kind) > 0}
        self._check_size()

    def __reduce__(self):
        # A worker process draws the same plan from the same files instead of being sent what was computed.
        same = ("languages", "batch_size", "seed", "temperature", "cross_pairs")
        same += ("explicit_negatives", "missing_negatives", "negative_language", "stages", "batches")
        settings = self.weights | {name: getattr(self, name) for name in same}
        settings["end"] = None if self.end is None else tuple(self.end.values())[:3]
        return partial(BatchPlan, **settings), (self.datasets,)

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
        end = (parameters.end_mono, parameters.end_cross, parameters.end_multi)
        return cls(
            datasets,
            mono=parameters.mono,
            cross=parameters.cross,
            multi=parameters.multi,
            variants=parameters.variants,
            languages=parameters.languages,
            batch_size=parameters.batch_size,
            seed=parameters.seed,
            temperature=parameters.dataset_temperature,
            cross_pairs=parameters.cross_pairs,
            explicit_negatives=parameters.explicit_negatives,
            missing_negatives=parameters.missing_negatives,
            negative_language=parameters.negative_language,
            end=end if any(end) else None,
            stages=parameters.mixture_stages,
            batches=parameters.steps * parameters.gradient_accumulation,
        )

    def weights_at(self, step: int) -> dict[str, float]:
        """The weight of each kind at a step; at all steps the same unless the mixture moves. After the last: the end's."""
        if self.end is None:
            return self.weights
        parts, place = (self.stages, step * self.stages // self.batches) if self.stages else (self.batches, step)
        moved = min(place / max(parts - 1, 1), 1.0)
        return {kind: (1 - moved) * self.weights[kind] + moved * self.end[kind] for kind in KINDS}

    def kind(self, step: int) -> str:
        """The kind of the batch at a step; plans of one seed differ in it only where their weights do."""
        weights = self.weights_at(step)
        draw = Stream("plan", self.seed, step, "kind").uniform(1)[0]
        for kind in KINDS:
            if draw < weights[kind]:
                return kind
            draw -= weights[kind]
        return next(kind for kind in reversed(KINDS) if weights[kind] > 0)

    def step(self, step: int) -> Batch:
        """Draw one batch. Steps count from 0; none depends on another."""
        kind = self.kind(step)
        draws = _Draws(Stream("plan", self.seed, step, "examples"))
        pairs = self._pairs[kind]
        once = pairs[draws.integer(len(pairs))] if kind == "mono" or self._one_pair(kind) else None
        taken = _Taken()
        if kind == "variants":
            examples = self._variants(pairs, draws, taken)
        else:
            examples = [self._example(kind, pairs, once, draws, taken) for _ in range(self.batch_size)]
        columns = [np.array(column, dtype=np.int64) for column in zip(*examples, strict=True)]
        return Batch(step, kind, *columns[:4], *(column.reshape(self.batch_size, -1) for column in columns[4:]))

    def table(self, steps: Iterable[int]):
        """The plan as a pandas table, a row an example, with names of datasets and codes of languages.

        It has a column `negative_language`, a code a negative, where that is not the positive's language.
        """
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
            if self.negative_language == "any":
                codes = batch.negative_language.tolist()
                frame["negative_language"] = [tuple(self.languages[i] for i in row) for row in codes]
            frames.append(pd.DataFrame(frame))
        return pd.concat(frames, ignore_index=True)

    def fingerprint(self, steps: Iterable[int]) -> str:
        """SHA-256 of the given steps: equal on every machine for equal parameters, data and seed."""
        digest = hashlib.sha256()
        for batch in map(self.step, steps):
            digest.update(f"{batch.step} {batch.kind}".encode())
            columns = [batch.dataset, batch.row, batch.query_language, batch.passage_language, batch.negatives]
            if self.negative_language == "any":
                columns.append(batch.negative_language)
            for column in columns:
                digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
        return digest.hexdigest()

    def _most(self, kind: str) -> float:
        """The largest weight that a kind ever has."""
        return max(self.weights[kind], (self.end or self.weights)[kind])

    def _one_pair(self, kind: str) -> bool:
        return kind == "cross" and self.cross_pairs == "batch"

    def _language_pairs(self, kind: str) -> list[tuple[int, int]]:
        """The pairs of languages (query, passage) of a kind for which any dataset has rows."""
        count, two = range(len(self.languages)), kind in ("cross", "variants")
        pairs = [(q, p) for q in count for p in count if (q != p if kind == "cross" else q == p or two)]
        found = [pair for pair in pairs if self._pool(kind, pair).size]
        if not (any(q != p for q, p in found) if two else found):
            needs = "questions and passages in two different languages" if two else "one language for both"
            wanted = f" with {self.explicit_negatives} explicit negatives" if self.explicit_negatives else ""
            mend = "set explicit_negatives to 0 or missing_negatives to random, " if self.explicit_negatives else ""
            shares = {kind: self.weights[kind], f"end_{kind}": (self.end or {}).get(kind, 0)}
            names = " and ".join(name for name, share in shares.items() if share > 0)
            raise KitError(
                f"The mixture asks for {kind} batches (weight {self._most(kind):g}), which need {needs}, but no training "
                f"data has that in {' '.join(self.languages)}{wanted}; {mend}set {names} to 0, or add languages or data."
            )
        return found

    def _negative_languages(self, kind: str, pair: tuple[int, int]) -> tuple[int, ...]:
        """The languages that a negative of an example may be in."""
        anywhere = self.negative_language == "any" and kind != "mono"
        return tuple(range(len(self.languages))) if anywhere else (pair[1],)

    def _pool(self, kind: str, pair: tuple[int, int]) -> "_Pool":
        key = pair, self._negative_languages(kind, pair)
        if key not in self._pools:
            query, passage = (self.languages[i] for i in pair)
            others = [self.languages[i] for i in key[1]]
            self._pools[key] = _Pool([e.rows(query, passage, others) for e in self._eligible], self.temperature)
        return self._pools[key]

    def _check_size(self) -> None:
        """Refuse at once a batch that no draw could ever fill."""
        for kind, pairs in self._pairs.items():
            apart = kind == "mono" or self._one_pair(kind)
            for group in [[pair] for pair in pairs] if apart else [pairs]:
                # A passage is as many as it has languages in a batch of variants, and one in any other.
                languages = {p for _, p in group} if kind == "variants" else {None}
                distinct = sum(
                    self._distinct_positives([self._pool(kind, pair) for pair in group if code in (None, pair[1])])
                    for code in languages
                )
                if distinct < self.batch_size:
                    names = "-".join(dict.fromkeys(self.languages[i] for i in group[0])) if apart else "all languages"
                    raise KitError(
                        f"batch_size is {self.batch_size}, but {kind} batches in {names} have only {distinct} "
                        f"distinct passages; lower batch_size or add training data."
                    )

    def _distinct_positives(self, pools: list["_Pool"]) -> int:
        """How many distinct positives the pools have; counting stops when a batch can be filled."""
        found: set[int] = set()
        for pool in pools:
            for data, groups, rows in zip(self.datasets, self._groups.passages, pool.rows, strict=True):
                for block in rows.blocks(_BLOCK):
                    found.update(np.unique(groups[data.positive[block]]).tolist())
                    if len(found) >= self.batch_size:
                        return len(found)
        return len(found)

    def _variants(self, pairs: list, draws: "_Draws", taken: "_Taken") -> list[tuple]:
        """The examples of a batch of variants: of one row after the other, until the batch is full."""
        examples: list[tuple] = []
        while len(examples) < self.batch_size:
            dataset, row, asked, _, negatives, _ = self._example("variants", pairs, None, draws, taken)
            data = self.datasets[dataset]
            for said in draws.shuffled(range(len(self.languages))):
                codes = self._negative_languages("variants", (asked, said))
                there = [self.languages[code] for code in codes]
                if data.passages.has(self.languages[said])[data.positive[row]] and (
                    not negatives or has_any(data.passages, there, np.array(negatives)).all()
                ):
                    spoken = [self._language_of(data, passage, codes, draws) for passage in negatives]
                    examples.append((dataset, row, asked, said, negatives, spoken))
        return examples[: self.batch_size]

    def _example(self, kind: str, pairs: list, once: tuple[int, int] | None, draws: "_Draws", taken: "_Taken") -> tuple:
        """Dataset, row, languages of query and passage, negatives and their languages; taken into the batch."""
        for _ in range(_TRIES):
            pair = once or pairs[draws.integer(len(pairs))]
            dataset, row = self._pool(kind, pair).draw(draws)
            found = self._accept(dataset, row, kind, pair, draws, taken)
            if found is not None:
                return dataset, row, *pair, *found
        return self._search(kind, pairs if once is None else [once], draws, taken)

    def _search(self, kind: str, pairs: list, draws: "_Draws", taken: "_Taken") -> tuple:
        """Look through all rows for one that still fits: for batches nearly as large as the data."""
        for pair in draws.shuffled(pairs):
            for dataset, rows in enumerate(self._pool(kind, pair).rows):
                for row in draws.shuffled(rows):
                    found = self._accept(dataset, int(row), kind, pair, draws, taken)
                    if found is not None:
                        return dataset, int(row), *pair, *found
        raise KitError(
            f"A batch of {self.batch_size} with {self.explicit_negatives} explicit negatives each cannot be filled "
            "without a passage twice or a false negative; lower batch_size or explicit_negatives, or add training data."
        )

    def _accept(
        self, dataset: int, row: int, kind: str, pair: tuple[int, int], draws: "_Draws", taken: "_Taken"
    ) -> tuple[list[int], list[int]] | None:
        """Take the row into the batch if it makes no false negative: its negatives and their languages, else None."""
        data, groups = self.datasets[dataset], self._groups.passages[dataset]
        relevant = self._groups.relevant_to(self._groups.queries[dataset][data.query[row]])
        passages = [int(groups[data.positive[row]])]
        if not taken.fits(passages[0], relevant):
            return None
        codes = self._negative_languages(kind, pair)
        negatives: list[int] = []
        if self.explicit_negatives:
            for passage in self._candidates(dataset, row, codes, draws):
                group = int(groups[passage])
                if group not in relevant and group not in passages and taken.free(group):
                    negatives.append(int(passage))
                    passages.append(group)
                    if len(negatives) == self.explicit_negatives:
                        break
            else:
                return None
        taken.add(passages, relevant)
        return negatives, [self._language_of(data, passage, codes, draws) for passage in negatives]

    def _candidates(self, dataset: int, row: int, codes: tuple[int, ...], draws: "_Draws") -> Iterable[int]:
        """Passages with a text in one of the languages, to be tried as negatives of a row, in random order."""
        data, languages = self.datasets[dataset], [self.languages[i] for i in codes]
        own = data.negatives[data.negative_offsets[row] : data.negative_offsets[row + 1]]
        stated = draws.shuffled(own[has_any(data.passages, languages, own)])
        if self.missing_negatives == "leave-out":
            return stated
        if (dataset, codes) not in self._with_text:
            self._with_text[dataset, codes] = with_text(data.passages, languages)
        return chain(stated, draws.one_by_one(self._with_text[dataset, codes]))

    def _language_of(self, data: TrainingPairs, passage: int, codes: tuple[int, ...], draws: "_Draws") -> int:
        if len(codes) == 1:
            return codes[0]
        there = [code for code in codes if data.passages.has(self.languages[code])[passage]]
        return there[draws.integer(len(there))]


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

    def shuffled(self, items: Sequence) -> Iterator:
        """The items in random order, drawn lazily (Fisher and Yates), in memory for those that were drawn."""
        moved: dict[int, int] = {}
        for last in range(len(items) - 1, -1, -1):
            pick = self.integer(last + 1)
            yield items[moved.get(pick, pick)]
            moved[pick] = moved.pop(last, last)

    def one_by_one(self, items: Sequence) -> Iterator:
        """Items drawn with replacement and, where many do not serve, all of them from a random place on."""
        for _ in range(_TRIES):
            yield items[self.integer(len(items))]
        start = self.integer(len(items))
        for place in range(len(items)):
            yield items[(start + place) % len(items)]


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

    def __init__(self, rows: list[Rows], temperature: float):
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

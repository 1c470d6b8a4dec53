"""The texts of a batch plan: what stands in the columns of a batch, before any framework sees it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hybridkit.sampling import Batch, BatchPlan

if TYPE_CHECKING:
    from hybridkit.codeswitch import Switching


def render(
    plan: BatchPlan,
    slots: Sequence[int],
    query_prefix: str = "",
    passage_prefix: str = "",
    switching: "Switching | None" = None,
) -> dict[str, list]:
    """The texts of plan positions: columns `query`, `positive`, `negative_1` and so on, one element a slot.

    Slot s is example s % batch_size of step s // batch_size. Texts are read from the stores once for each
    language of a step, not once an example; `switching` code-switches them, and then the prefixes are put on. Plans with
    batches of variants have a column `label`, too: `Batch.group`.
    """
    columns: dict[str, list] = {}
    for step in dict.fromkeys(slot // plan.batch_size for slot in slots):
        batch = plan.step(step)
        chosen = np.array([slot % plan.batch_size for slot in slots if slot // plan.batch_size == step])
        for column, codes, texts in columns_of(plan, batch, chosen):
            if switching:
                texts = [one.text for one in switching.column(batch, column, chosen, codes, texts)]
            prefix = query_prefix if column == "query" else passage_prefix
            columns.setdefault(column, []).extend(prefix + text for text in texts)
        if plan.weights["variants"]:
            columns.setdefault("label", []).extend(batch.group[chosen].tolist())
    return columns


def columns_of(plan: BatchPlan, batch: Batch, chosen: np.ndarray) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each column of some examples of a batch: its name, the language code of each text, and the texts as they are."""
    data, row = batch.dataset[chosen], batch.row[chosen]
    queries = np.array([plan.datasets[d].query[r] for d, r in zip(data, row, strict=True)])
    positives = np.array([plan.datasets[d].positive[r] for d, r in zip(data, row, strict=True)])
    wanted = {"query": ("queries", batch.query_language[chosen], queries)}
    wanted["positive"] = ("passages", batch.passage_language[chosen], positives)
    for number in range(batch.negatives.shape[1]):
        rows, language = batch.negatives[chosen, number], batch.negative_language[chosen, number]
        wanted[f"negative_{number + 1}"] = ("passages", language, rows)
    for column, (store, language, rows) in wanted.items():
        yield column, [plan.languages[code] for code in language], _texts(plan, store, data, language, rows)


def _texts(plan: BatchPlan, store: str, data: np.ndarray, language: np.ndarray, rows: np.ndarray) -> list[str]:
    texts: list[str] = [""] * len(rows)
    for dataset, code in sorted(set(zip(data.tolist(), language.tolist(), strict=True))):
        places = np.flatnonzero((data == dataset) & (language == code))
        found = getattr(plan.datasets[dataset], store).texts(plan.languages[code], rows[places])
        for place, text in zip(places, found, strict=True):
            texts[place] = text
    return texts

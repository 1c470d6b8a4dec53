"""Which runs may be set beside the published numbers: a short list of conditions, with a sentence for each one missed.

A condition is something that the paper states. What it leaves open (temperature, lengths, the size of XLM-R) is none.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from hybridkit.languages import TRAINED, language
from hybridkit.params import Parameters
from hybridkit.ranks import GoldRanks
from hybridkit.runs import encoder_label
from hybridkit.verdict import published
from hybridkit.verdict.published import Meaning

#: Encoders by their ids, and what the paper calls them. It does not say which size of XLM-R it used.
ENCODERS = {
    "FacebookAI/xlm-roberta-base": "XLM-R",
    "FacebookAI/xlm-roberta-large": "XLM-R",
    "sentence-transformers/LaBSE": "LaBSE",
}
#: Public counterparts of the paper's training sets, by their names in the catalogue (section 4 of the paper).
SOURCES = {
    "mmarco": "mMARCO",
    "natural-questions": "Google NQ",
    "mr-tydi": "Mr. TyDi",
    "mfaq": "MFAQ",
    "wikiqa": "WikiQA",
    "duorc": "DuoRC",
    "newsqa": "NewsQA",
    "yahoo-qa": "Yahoo QA",
    "entity-questions": "EntityQuestions",
}
#: Nine tenths of the paper's training examples are from this source: without it the data are others.
MAIN_SOURCE = "mmarco"
#: The paper gives no number of steps. A run with fewer, a million examples, is held to have been cut short.
LEAST_STEPS = 10_000
#: Those of the paper's languages that public data can train: mMARCO lacks Thai and Turkish (docs/sources.md).
PUBLIC_LANGUAGES = frozenset(TRAINED) - {"th", "tr"}
#: What the paper states about training, by the parameter of the kit.
STATED = {
    "max_rows": 0,
    "dataset_temperature": 1.0,
    "batch_size": 100,
    "gradient_accumulation": 1,
    "learning_rate": 3e-5,
    "weight_decay": 0.01,
    "explicit_negatives": 1,
    "validation_data": "squadshifts",
    "query_prefix": "Query:",
    "passage_prefix": "Passage:",
}
#: What no batch of the paper has: other kinds, a mixture that moves, words that are switched to another language.
NOT_IN_PAPER = ("multi", "variants", "end_mono", "end_cross", "end_multi", "switch_probability")


def mixture_of(parameters: Mapping) -> str | None:
    """What the tables call a run's mixture, by its weights and not by its name; None for one that the paper lacks."""
    mono = parameters["mono"]
    if any(parameters.get(name) for name in NOT_IN_PAPER):
        return None
    return {1.0: "mono", 0.0: "cross"}.get(mono, f"hybrid-{mono:.2f}" if mono == round(mono, 2) else f"hybrid-{mono!r}")


def training_obstacles(parameters: Mapping) -> list[str]:
    """Why a run's training cannot be compared with the paper's, a sentence each; none where it can."""
    found = []
    if parameters["encoder"] not in ENCODERS:
        found.append(f"The encoder is {encoder_label(parameters['encoder'])}, in the paper XLM-R or LaBSE.")
    if mixture_of(parameters) is None:
        further = " and ".join(name for name in NOT_IN_PAPER if parameters.get(name))
        found.append(f"The mixture {parameters['mixture']} sets {further}, which the paper does not do.")
    if foreign := [Path(name).name for name in parameters["training_data"] if name not in SOURCES]:
        found.append(f"It was trained on {', '.join(foreign)}, which the paper does not train on.")
    elif MAIN_SOURCE not in parameters["training_data"]:
        found.append(f"It was not trained on {SOURCES[MAIN_SOURCE]}, nine tenths of the paper's examples.")
    if not PUBLIC_LANGUAGES <= set(parameters["languages"]) <= set(TRAINED):
        found.append(f"languages is {_plain(parameters['languages'])!r}, in the paper {sorted(TRAINED)!r}.")
    for name, stated in STATED.items():
        if _plain(parameters[name]) != stated:
            found.append(f"{name} is {_plain(parameters[name])!r}, in the paper {stated!r}.")
    for name in ("validate_every", "patience"):
        if not parameters[name]:
            found.append(f"{name} is 0; in the paper training stops early, by the loss on validation data.")
    usual = Parameters().contamination_limit
    if parameters["contamination_limit"] > usual:
        found.append(
            f"contamination_limit is {parameters['contamination_limit']}, and above {usual} it may know answers."
        )
    if parameters["steps"] < LEAST_STEPS:
        found.append(f"It was trained for {parameters['steps']:,} steps; below {LEAST_STEPS:,} it was cut short.")
    return found


def untrained(parameters: Mapping) -> list[str]:
    """The paper's training languages that a run was not trained on: figures that touch them cannot be compared."""
    return [code for code in TRAINED if code not in parameters["languages"]]


def unseen_obstacle(meaning: Meaning, unseen: Collection[str]) -> str:
    """Why a figure cannot be compared if these of the paper's training languages were not trained; "" where it can."""
    touched = [code for code in sorted(unseen) if code in published.languages_of(meaning)]
    told = f"It was not trained on {' and '.join(touched)}, and the paper's models were"
    if touched == [meaning.query_language]:
        return f"{told}."
    return f"{told}: this figure is over these languages too." if touched else ""


def names_of(codes: Iterable[str]) -> str:
    """Languages by their English names, for a sentence."""
    return " and ".join(language(code).name for code in codes)


def _plain(value: object) -> object:
    """A parameter as the paper states it: lists in order, texts without the space at their end, files by their name."""
    if isinstance(value, str):
        return Path(value).name if Path(value).is_absolute() else value.strip()
    return sorted(value) if isinstance(value, list) else value


def caveats(manifest: Mapping) -> list[str]:
    """What a reader should know of a run that can be compared: how it differs all the same."""
    parameters = manifest["parameters"]
    found = ["The paper's translations of its English training sets are not public."]
    if ENCODERS.get(parameters["encoder"]) == "XLM-R":
        found.append(f"The paper does not say which size of XLM-R it used; this is {parameters['encoder']}.")
    if missing := [name for source, name in SOURCES.items() if source not in parameters["training_data"]]:
        found.append(f"It was trained without {', '.join(missing)}.")
    if codes := untrained(parameters):
        found.append(
            f"It was not trained on {names_of(codes)}, which the paper's models were: figures over these are not compared."
        )
    if manifest.get("provenance", {}).get("changed_since_commit"):
        found.append("Its code had changes that were not committed.")
    return found


def benchmark_obstacles(name: str, gold: GoldRanks) -> list[str]:
    """Why gold ranks on a benchmark of this name are not on the paper's benchmark, a sentence each."""
    known = published.contents(name)
    if "fingerprint" in known:
        same = gold.fingerprint == known["fingerprint"]
        return [] if same else [f"The content of {name} is not that of the public files: its checksum differs."]
    codes, counts = np.unique(gold.query_languages, return_counts=True)
    queries = dict(zip(codes.tolist(), counts.tolist(), strict=True))
    candidates = dict(zip(gold.pools, gold.pool_sizes.tolist(), strict=True))
    there = {"queries": queries, "candidates": candidates}
    return [sentence for what in there for sentence in _differences(name, what, there[what], known[what])]


def _differences(name: str, what: str, there: Mapping[str, int], expected: Mapping[str, int]) -> Iterator[str]:
    """One sentence, if the numbers in some languages are not the expected ones."""
    other = [code for code, count in expected.items() if there.get(code, 0) != count]
    if other:
        first = f"{there.get(other[0], 0):,} in {other[0]}, and not {expected[other[0]]:,}"
        yield f"{name} has other numbers of {what} than the published one in {' '.join(other)}: {first}."

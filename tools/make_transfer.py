"""Make the tables of transfer that ship with the kit, from trained runs of the tiny profiles, and those of docs/transfer.md.

    hybridkit sweep --seeds 0,1,2 --mixtures mono,hybrid-0.75,hybrid-0.50,hybrid-0.25,cross,multi,uniform --no-notebooks
    (the same with --encoder tiny-aligned, and with --profile tiny-pictures for the encoders of images with captions)
    python tools/make_transfer.py             measures, then writes the tables and the page
    python tools/make_transfer.py write       writes what has been measured so far
    python tools/make_transfer.py page        writes the tables of the page anew, from those that ship

Trains nothing but heads. Each measurement is kept in the cache under the key of its encoder, so that the command goes on
where it stopped; after a change of the tasks or the heads delete `transfer/` in the cache.
"""

import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
from make_findings import with_tables

from hybridkit import encoders, evaluation, paths, runs
from hybridkit.corpora import catalogue
from hybridkit.files import write_text
from hybridkit.languages import XQUAD_R
from hybridkit.params import Parameters, for_run
from hybridkit.transfer import features, heads, museum_tasks, parallel, shipped

PAGE = Path(__file__).parents[1] / "docs" / "transfer.md"
MIXTURES = ("mono", "hybrid-0.75", "hybrid-0.50", "hybrid-0.25", "cross", "multi", "uniform")
SEEDS = (0, 1, 2)
PROFILES = ("tiny", "tiny-pictures")
INFERENCE, TOPICS, PARALLEL = "museum-inference", "museum-topics", "parallel-sentences"
REAL = "sib-200:" + "+".join(XQUAD_R)
REAL_PARALLEL = "sib-200-held-out:" + "+".join(XQUAD_R)
LONGEST = [(TOPICS, heads.EACH), (INFERENCE, heads.EACH)]
COLUMNS = ["language", "accuracy", "low", "high", "majority", "n", "hypothesis only", "C", "in training"]


@dataclass(frozen=True)
class System:
    """A text encoder that is measured: what names it (`shipped.SYSTEM`), what it is loaded by, and its key."""

    name: tuple[str, str, str, int]
    model: str
    key: str

    @property
    def real(self) -> bool:
        """Whether it has read real sentences; the others have read the museum's alone, and are measured there."""
        return self.name[0] == encoders.FLORES


def systems() -> list[System]:
    """The base encoders, then those of the finished runs of PROFILES with these mixtures and seeds, by seed."""
    found = [
        System((name, shipped.BASE, shipped.BASE, -1), name, encoders.content_key(name)[:16])
        for name in (*encoders.TINY, encoders.FLORES)
    ]
    for profile in PROFILES:
        for base in encoders.TINY:
            for folder, manifest in runs.finished_like(runs.Run(for_run(profile, overrides={"encoder": base}))):
                p = Parameters(**manifest["parameters"])
                if p.mixture in MIXTURES and p.seed in SEEDS:
                    found.append(System((base, p.track, p.mixture, p.seed), str(folder), manifest["key"]))
    return sorted(found, key=lambda system: system.name[3])


def work_of(system: System) -> list[tuple[str, str]]:
    """What is measured of an encoder, shortest first: task and head's language, and the parallel sentences (PARALLEL, "").

    Heads of every language for pairs, by far the longest work, of the base encoders and the first seed alone.
    """
    if system.real:
        return [(REAL, "en"), (PARALLEL, ""), (REAL, heads.EACH)]
    last = [(INFERENCE, heads.EACH)] if system.name[3] <= 0 else []
    return [(INFERENCE, "en"), (TOPICS, "en"), (PARALLEL, ""), (TOPICS, heads.EACH), *last]


def place(system: System, task: str, head: str) -> Path:
    """Where a measurement is kept."""
    return paths.cache() / "transfer" / f"{system.key}-{task.partition(':')[0]}-{head or 'all'}.csv"


def measure() -> None:
    """Measure whatever is not measured yet: what is short of every encoder, then what takes longer."""
    work = [(system, *one) for system in systems() for one in work_of(system)]
    for system, task, head in sorted(work, key=lambda one: LONGEST.index(one[1:]) if one[1:] in LONGEST else -1):
        kept = place(system, task, head)
        if not kept.exists():
            rows = _parallel(system) if task == PARALLEL else _accuracies(system, task, head)
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, rows.round(4).to_csv(index=False))
            print(*system.name, task, head, flush=True)


@cache
def labelled(task: str):
    """A task; kept, as it is made of many texts."""
    return catalogue.labelled(task, Parameters())


@cache
def parallel_sentences(real: bool):
    """The parallel sentences: SIB-200's that tiny-flores has not read, or the museum's."""
    return catalogue.benchmark(REAL_PARALLEL, Parameters()) if real else museum_tasks.sentences()


def _accuracies(system: System, task: str, head: str) -> pd.DataFrame:
    folder, trained = features.encoder_of(system.model)
    return heads.transfer(encoders.load(folder), labelled(task), head, trained).reindex(columns=COLUMNS)


def _parallel(system: System) -> pd.DataFrame:
    benchmark = parallel_sentences(system.real)
    found = parallel.figures(evaluation.evaluate_model(features.encoder_of(system.model)[0], benchmark))
    told = {"benchmark": benchmark.name.partition(":")[0], "sentences": len(set(benchmark.questions))}
    return pd.DataFrame([told | found])


def write() -> None:
    """Write the tables that ship, of all that has been measured."""
    parts: dict[Path, list[pd.DataFrame]] = {shipped.ACCURACIES: [], shipped.PARALLEL: []}
    keys = {}
    for system in systems():
        name = dict(zip(shipped.SYSTEM, system.name, strict=True))
        for task, head in work_of(system):
            kept = place(system, task, head)
            if kept.exists():
                rows = pd.read_csv(kept)
                labels = task != PARALLEL
                told = name | ({"task": task.partition(":")[0], "head": head} if labels else {})
                named = pd.DataFrame([told] * len(rows))
                parts[shipped.ACCURACIES if labels else shipped.PARALLEL].append(pd.concat([named, rows], axis=1))
                keys[" ".join(map(str, system.name))] = system.key
    for path, tables in parts.items():
        write_text(path, pd.concat(tables).to_csv(index=False))
    write_text(shipped.ABOUT, json.dumps({"encoders": keys, "provenance": runs.provenance()}, indent=1) + "\n")


def spread(values: pd.Series, digits: int = 3) -> str:
    """A mean over seeds, with the least and the most of them."""
    texts = [f"{value:,.{digits}f}" for value in (values.mean(), values.min(), values.max())]
    return "–" if values.isna().all() else texts[0] if len(values) == 1 else "{} ({} to {})".format(*texts)


def over_seeds(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Rows of one base encoder, a row a training and mixture, each figure as `spread`."""
    found = []
    for training in ("none", "text", "image-text"):
        its = rows[rows["training"] == training]
        for mixture in shipped.in_order(its["mixture"]):
            mine = its[its["mixture"] == mixture]
            told = {"trained on": {"none": "–"}.get(training, training), "mixture": mixture}
            told["seeds"] = len(mine) if training != "none" else "–"
            found.append(told | {name: spread(mine[name].dropna(), _digits(name)) for name in columns})
    return pd.DataFrame(found)


def _digits(name: str) -> int:
    return 0 if name.endswith("distance") else 3


def real_topics(rows: pd.DataFrame) -> pd.DataFrame:
    """SIB-200's accuracies by language, of the English head and of the language's own, with their intervals."""
    found = []
    for language, its in rows.groupby("language"):
        texts = {one.head: f"{one.accuracy:.3f} ({one.low:.3f} to {one.high:.3f})" for one in its.itertuples()}
        majority = f"{its['majority'].iloc[0]:.3f}"
        found.append(
            {"language": language, "English head": texts["en"], "own head": texts["each"], "majority": majority}
        )
    return pd.DataFrame(found)


def tables() -> dict[str, pd.DataFrame]:
    """All tables of the page by name."""
    rows, sentences = shipped.accuracies(), shipped.parallel()
    groups, found = shipped.by_group(rows), {}
    figures = ["cross-lingual mAP", "multilingual mAP", "rank distance"]
    for encoder in encoders.TINY:
        for task in (INFERENCE, TOPICS):
            chosen = (groups["encoder"] == encoder) & (groups["task"] == task)
            found[f"{encoder} {task}"] = over_seeds(groups[chosen], list(shipped.GROUPS))
        found[f"{encoder} sentences"] = over_seeds(sentences[sentences["encoder"] == encoder], figures)
    found["sib-200"] = real_topics(rows[rows["encoder"] == encoders.FLORES])
    real = sentences[sentences["encoder"] == encoders.FLORES]
    found["sib-200 sentences"] = real[["encoder", "benchmark", "sentences"]].assign(
        **{name: real[name].map(f"{{:,.{_digits(name)}f}}".format) for name in [*figures, "chance distance"]}
    )
    return found


if __name__ == "__main__":
    if sys.argv[1:] == []:
        measure()
    if sys.argv[1:] in ([], ["write"]):
        write()
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8"), tables()))

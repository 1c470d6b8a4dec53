"""Runs side by side: the figures of every finished run, the lexical baseline, and tables of both."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from pydantic import ValidationError

from hybridkit import metrics, paths, runs
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.errors import KitError, KitWarning
from hybridkit.params import Parameters, mixture_order
from hybridkit.ranks import GoldRanks

#: Which languages' queries and candidates a figure is over.
SCOPES = ("training languages", "all languages", "unseen languages")
#: The figures of the paper's Tables 1 and 2, as columns of the comparison.
HEADLINE = ("monolingual mAP", "cross-lingual mAP", "multilingual mAP", "rank distance")
BASELINE = "BM25"


def scopes(gold: GoldRanks, trained: Sequence[str]) -> dict[str, list[str]]:
    """The languages of each scope that the benchmark has, of queries or candidates; one without candidates is left out."""
    known = gold.languages
    found = {
        "training languages": [code for code in known if code in trained],
        "all languages": known,
        "unseen languages": [code for code in known if code not in trained],
    }
    return {scope: codes for scope, codes in found.items() if set(codes) & set(gold.pools)}


def measure(gold: GoldRanks, trained: Sequence[str]) -> dict[str, dict[str, float]]:
    """Every summary figure in every scope (`metrics.summary`), and the share of tied golds."""
    found = {scope: metrics.summary(gold, codes) for scope, codes in scopes(gold, trained).items()}
    return {scope: figures | {"tied share": gold.tied_share} for scope, figures in found.items()}


def collect(profile: str) -> pd.DataFrame:
    """All figures of the finished runs of a profile, as `figures_of`."""
    return figures_of(runs.finished_runs(profile))


def figures_of(finished: Iterable[tuple[Path, dict]]) -> pd.DataFrame:
    """All figures of finished runs (folder, manifest), a row a figure, and those of BM25 on their benchmarks.

    Columns: encoder, settings, mixture, mono, cross, multi, seed, beyond, benchmark, scope, metric, value. `settings`
    is equal for runs that differ in how their batches are filled and in seed alone, so that only those are ever
    averaged; `beyond` is what fills them besides the weights. BM25 stands as an encoder of that name, with NaN for
    the weights.
    """
    rows: list[dict] = []
    lexical: dict[str, list[dict]] = {}
    for folder, manifest in finished:
        try:
            parameters = Parameters(**manifest["parameters"])
            settings = settings_key(parameters, manifest)
        except (ValidationError, KeyError, TypeError):
            told = f"{folder} was made by another version of the kit, or its manifest is damaged; it is left out."
            warnings.warn(told, KitWarning, stacklevel=2)
            continue
        try:
            rows += list(rows_of(parameters, _measured(folder, manifest, parameters), settings))
        except KitError as fault:
            warnings.warn(f"{folder} is left out: {fault}", KitWarning, stacklevel=2)
            continue
        if settings not in lexical:
            lexical[settings] = baseline_rows(runs.Run(parameters), settings)
    rows += [row for found in lexical.values() for row in found]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _measured(folder: Path, manifest: dict, parameters: Parameters) -> dict:
    """The figures of a finished run: from metrics.json, or where that is damaged from its gold ranks."""
    try:
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        if set(found) == set(manifest["benchmarks"]) and all(
            isinstance(v, dict) for s in found.values() for v in s.values()
        ):
            return found
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        pass
    return {
        name: measure(GoldRanks.open(folder / "ranks" / name), parameters.languages) for name in manifest["benchmarks"]
    }


_FIGURE = ("benchmark", "scope", "metric", "value")
_RUN = ("mixture", "mono", "cross", "multi", "seed")
_COLUMNS = ["encoder", "settings", *_RUN, "beyond", *_FIGURE]


def settings_key(parameters: Parameters, manifest: dict) -> str:
    """Six hex digits over all that two runs of one comparison must share: all but encoder, mixture and seed."""
    shared = (
        parameters.model_dump(exclude={"profile", "encoder", *runs.VARIED}),
        manifest["training_data"],
        manifest["benchmarks"],
    )
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:6]


def rows_of(parameters: Parameters, measured: dict, settings: str = "") -> Iterable[dict]:
    """The figures of one run as rows: `measured` is benchmark, scope, metric, value, nested."""
    which = {"encoder": runs.encoder_label(parameters.encoder), "settings": settings}
    which |= parameters.model_dump(include=set(_RUN)) | {"beyond": parameters.beyond_weights()}
    for benchmark, by_scope in measured.items():
        for scope, figures in by_scope.items():
            for metric, value in figures.items():
                yield which | dict(zip(_FIGURE, (benchmark, scope, metric, value), strict=True))


def baseline_rows(run: runs.Run, settings: str = "") -> list[dict]:
    """BM25's figures on the benchmarks of a run, as rows like those of `rows_of`."""
    trained = run.parameters.languages
    found = {name: lexical_baseline(benchmark) for name, benchmark in run.benchmarks.items()}
    measured = {name: measure(gold, trained) for name, gold in found.items() if gold}
    nothing = {"encoder": BASELINE, "mixture": "none", "mono": np.nan, "cross": np.nan, "multi": np.nan, "beyond": ""}
    return [row | nothing | {"seed": 0} for row in rows_of(run.parameters, measured, settings)]


def lexical_baseline(benchmark: Benchmark) -> GoldRanks | None:
    """BM25's gold ranks on a benchmark, computed once and cached by the benchmark's content and BM25's code.

    None, with a KitWarning, for a benchmark that is too large for BM25 here (`lexical.MOST`).
    """
    from hybridkit import lexical

    code = hashlib.sha256(Path(lexical.__file__).read_bytes()).hexdigest()
    folder = paths.cache() / "lexical" / f"{benchmark.fingerprint[:16]}-{code[:8]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if folder.exists():
            try:
                return GoldRanks.open(folder)
            except KitError:
                shutil.rmtree(folder)  # damaged: computed anew
        try:
            gold = lexical.bm25_gold_ranks(benchmark)
        except KitError as fault:
            warnings.warn(str(fault), KitWarning, stacklevel=2)
            return None
        gold.save(folder)
        return gold


def by_mixture(table: pd.DataFrame, metric: str, scope: str = "training languages") -> pd.DataFrame:
    """One figure by encoder, benchmark, settings and mixture: mean, standard deviation and number of seeds."""
    part = _told_apart(table[(table["metric"] == metric) & (table["scope"] == scope)])
    grouped = part.groupby(["encoder", "benchmark", "settings", "mixture"], dropna=False)["value"]
    found = grouped.agg(mean="mean", deviation="std", seeds="count").reset_index()
    return found.sort_values("mixture", key=lambda names: names.map(mixture_order), kind="stable").reset_index(
        drop=True
    )


def _told_apart(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows; a mixture's name that stands for several fillings of batches is followed by the weights and more."""
    weights = table[["mono", "cross", "multi"]].map("{:g}".format).agg(" / ".join, axis=1)
    filled = weights.where(table["beyond"] == "", weights + ", " + table["beyond"])
    several = filled.groupby(table["mixture"]).transform("nunique") > 1
    return table.assign(mixture=table["mixture"].where(~several, table["mixture"] + " (" + filled + ")"))


def headline(table: pd.DataFrame, scope: str = "training languages") -> pd.DataFrame:
    """The comparison as a table of texts: a row a mixture, the paper's four figures, mean and deviation over seeds."""
    columns = {metric: by_mixture(table, metric, scope) for metric in HEADLINE}
    first = columns[HEADLINE[0]]
    several = first["settings"].nunique() > 1
    shown = first[["encoder", "benchmark", *(["settings"] if several else []), "mixture", "seeds"]].copy()
    for metric, found in columns.items():
        digits = 0 if metric == "rank distance" else 3
        shown[metric] = [_value(m, d, digits) for m, d in zip(found["mean"], found["deviation"], strict=True)]
    return shown


def _value(mean: float, deviation: float, digits: int) -> str:
    if np.isnan(mean):
        return "not defined"
    text = f"{mean:,.{digits}f}"
    return text if np.isnan(deviation) else f"{text} ± {deviation:.{digits}f}"


def to_markdown(table: pd.DataFrame) -> str:
    """The comparison for a terminal: over the training languages, and over the unseen ones where there are any."""
    parts = []
    for scope in ("training languages", "unseen languages"):
        if (table["scope"] == scope).any():
            title = f"**{scope.capitalize()}** (mean ± standard deviation over seeds)"
            parts += [title, "", *markdown_lines(headline(table, scope)), ""]
    return "\n".join(parts)


def markdown_lines(table: pd.DataFrame) -> list[str]:
    """A table as lines of Markdown; a dash where there is no number."""
    rows = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return [
        "| " + " | ".join("–" if isinstance(v, float) and np.isnan(v) else str(v) for v in row) + " |" for row in rows
    ]


def evaluation_markdown(gold: GoldRanks, trained: Sequence[str] | None = None) -> str:
    """All settings of one system on one benchmark: macro-averages, then figures by language of the query.

    With `trained` the averages are given for each scope, else over all languages of the benchmark.
    """
    measured = measure(gold, trained or [])
    shown = (*HEADLINE, "multilingual Recall@10", "tied share")
    rows = [{"languages": scope, **{name: figures[name] for name in shown}} for scope, figures in measured.items()]
    rows = [row for row in rows if trained or row["languages"] == "all languages"]
    size = f"{len(gold.query_ids):,} queries, {gold.pool_sizes.sum():,} candidates"
    lines = [f"**{gold.system}** on {gold.benchmark} ({size})"]
    lines += ["", *markdown_lines(pd.DataFrame(rows).round(4)), "", *markdown_lines(by_query_language(gold)), ""]
    return "\n".join(lines)


def by_query_language(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """mAP in the three settings and rank distance, a row a language of the query, as in the paper's Tables 3 and 7."""
    from hybridkit.bias import rank_distance

    rows = metrics.table(gold, languages)
    wide = rows.groupby(["query_language", "setting"])["mAP"].mean().unstack().reindex(columns=metrics.SETTINGS)
    wide.columns = [f"{setting} mAP" for setting in wide.columns]
    distance = rank_distance(gold, languages).set_index("query_language")
    wide["rank distance"], wide["chance level"] = distance["mean"].round(1), distance["chance"].round(1)
    return wide.round(4).reset_index()

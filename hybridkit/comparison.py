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
#: And of runs of images with captions (`imagetext.evaluation.measure`).
HEADLINE_IMAGES = ("image-to-text R@1", "text-to-image R@1", "rSum", "re-ranked rSum", "rank distance")
BASELINE = "BM25"
#: The column `embeddings`; BM25, which has none, stands with those as trained.
EMBEDDINGS = ("as trained", "centred")


def scopes(gold: GoldRanks, trained: Sequence[str]) -> dict[str, list[str]]:
    """The languages of each scope that the benchmark has, of queries or candidates.

    A scope with queries alone is over these and all candidates (`ranks.chosen`), so that nothing of it is monolingual.
    """
    known = gold.languages
    found = {
        "training languages": [code for code in known if code in trained],
        "all languages": known,
        "unseen languages": [code for code in known if code not in trained],
    }
    return {scope: codes for scope, codes in found.items() if codes}


def measure(gold: GoldRanks, trained: Sequence[str]) -> dict[str, dict[str, float]]:
    """Every summary figure in every scope (`metrics.summary`), and the share of tied golds."""
    found = {scope: metrics.summary(gold, codes) for scope, codes in scopes(gold, trained).items()}
    return {scope: figures | {"tied share": gold.tied_share} for scope, figures in found.items()}


def collect(profile: str, centred: bool = False) -> pd.DataFrame:
    """All figures of the finished runs of a profile, as `figures_of`."""
    return figures_of(runs.finished_runs(profile), centred)


def figures_of(finished: Iterable[tuple[Path, dict]], centred: bool = False) -> pd.DataFrame:
    """All figures of finished runs (folder, manifest), a row a figure, and those of BM25 on their benchmarks.

    Columns: encoder, settings, mixture, mono, cross, multi, seed, beyond, embeddings, benchmark, scope, metric, value.
    With `centred` the figures of centred embeddings follow, of the runs that have them: `embeddings` tells which a row
    is of, "as trained" or "centred". `settings` is equal for runs that differ in how their batches are filled and in
    seed alone, so that only those are ever averaged; `beyond` is what fills them besides the weights. BM25 stands as an
    encoder of that name, with NaN for the weights. What of a run cannot be read is left out with a KitWarning.
    """
    rows: list[dict] = []
    lexical: dict[str, list[dict]] = {}
    places: dict[tuple, Path] = {}
    for folder, manifest in finished:
        try:
            parameters = Parameters(**manifest["parameters"])
            settings = settings_key(parameters, manifest)
        except (ValidationError, KeyError, TypeError):
            told = f"{folder} was made by another version of the kit, or its manifest is damaged; it is left out."
            warnings.warn(told, KitWarning, stacklevel=2)
            continue
        found = _rows_of_folder(folder, manifest, parameters, settings, centred)
        other = places.setdefault((settings, parameters.mixture, parameters.key()), folder)
        if found and other != folder:
            told = f"{other} and {folder} are one run carried out twice, and both count, as two seeds would"
            warnings.warn(f"{told}; move the one that is out of date elsewhere.", KitWarning, stacklevel=2)
        rows += found
        if found and settings not in lexical:
            lexical[settings] = baseline_rows(runs.Run(parameters), settings)
    rows += [row for found in lexical.values() for row in found]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _rows_of_folder(folder: Path, manifest: dict, parameters: Parameters, settings: str, centred: bool) -> list[dict]:
    """The rows of one finished run: as trained, and with `centred` centred as well, as far as they can be read."""
    rows: list[dict] = []
    for kind in (False, True) if centred else (False,):
        try:
            rows += rows_of(parameters, _measured(folder, manifest, parameters, kind), settings, EMBEDDINGS[kind])
        except KitError as fault:
            warnings.warn(f"{folder} is left out ({EMBEDDINGS[kind]}): {fault}", KitWarning, stacklevel=3)
    return rows


def _measured(folder: Path, manifest: dict, parameters: Parameters, centred: bool = False) -> dict:
    """The figures of a finished run: from the file of `runs.FIGURES`, or where that is damaged from its gold ranks.

    The centred ones are of those benchmarks alone whose gold ranks are there: runs made before them have none.
    """
    if parameters.track == "image-text":
        return {} if centred else _measured_images(folder, manifest, parameters)
    names, place = list(manifest["benchmarks"]), folder / runs.RANKS[centred]
    if centred:
        names = [name for name in names if (place / name / "about.json").exists()]
    if found := _kept(folder / runs.FIGURES[centred], names):
        return found
    return {name: measure(GoldRanks.open(place / name), parameters.languages) for name in names}


def _kept(path: Path, names: Sequence[str]) -> dict:
    """The figures of some benchmarks or sets of images that a run keeps; {} where they are not all there, or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        whole = set(found) == set(names) and all(isinstance(v, dict) for s in found.values() for v in s.values())
        return found if whole else {}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}


def _measured_images(folder: Path, manifest: dict, parameters: Parameters) -> dict:
    """`_measured` of a run of images: by set of images, of which each is two benchmarks."""
    from hybridkit.imagetext import evaluation, work

    names = {name.rsplit("-", 1)[0]: None for name in manifest["benchmarks"]}
    if found := _kept(folder / runs.FIGURES[False], list(names)):
        return found
    places = [folder / place for place in work.RANKS if (folder / place).is_dir()] or [folder / work.RANKS[0]]
    both = {name: [evaluation.opened(place, name) for place in places] for name in names}
    return {name: evaluation.measure(one[0], parameters.languages, *one[1:]) for name, one in both.items()}


_FIGURE = ("benchmark", "scope", "metric", "value")
_RUN = ("mixture", "mono", "cross", "multi", "seed")
_COLUMNS = ["encoder", "settings", *_RUN, "beyond", "embeddings", *_FIGURE]


def settings_key(parameters: Parameters, manifest: dict) -> str:
    """Six hex digits over all that two runs of one comparison must share: all but encoder, mixture and seed."""
    shared = (
        parameters.model_dump(exclude={"profile", "encoder", *runs.VARIED}),
        manifest["training_data"],
        manifest["benchmarks"],
    )
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:6]


def rows_of(
    parameters: Parameters, measured: dict, settings: str = "", embeddings: str = EMBEDDINGS[False]
) -> Iterable[dict]:
    """The figures of one run as rows: `measured` is benchmark, scope, metric, value, nested."""
    which = {"encoder": runs.encoder_label(parameters.encoder), "settings": settings}
    which |= parameters.model_dump(include=set(_RUN)) | {"beyond": parameters.beyond_weights()}
    which["embeddings"] = embeddings
    for benchmark, by_scope in measured.items():
        for scope, figures in by_scope.items():
            for metric, value in figures.items():
                yield which | dict(zip(_FIGURE, (benchmark, scope, metric, value), strict=True))


def baseline_rows(run: runs.Run, settings: str = "") -> list[dict]:
    """BM25's figures on the benchmarks of a run, as rows like those of `rows_of`; none of images, which hold no words."""
    if run.parameters.track == "image-text":
        return []
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


def by_mixture(
    table: pd.DataFrame, metric: str, scope: str = "training languages", embeddings: str = EMBEDDINGS[False]
) -> pd.DataFrame:
    """One figure by encoder, benchmark, settings and mixture: mean, standard deviation and number of seeds."""
    chosen = (table["metric"] == metric) & (table["scope"] == scope) & (table["embeddings"] == embeddings)
    part = told_apart(table[chosen])
    grouped = part.groupby(["encoder", "benchmark", "settings", "mixture"], dropna=False)["value"]
    found = grouped.agg(mean="mean", deviation="std", seeds="count").reset_index()
    return found.sort_values("mixture", key=lambda names: names.map(mixture_order), kind="stable").reset_index(
        drop=True
    )


def told_apart(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows; a mixture's name that stands for several fillings of batches is followed by the weights and more."""
    weights = table[["mono", "cross", "multi"]].map("{:g}".format).agg(" / ".join, axis=1)
    filled = weights.where(table["beyond"] == "", weights + ", " + table["beyond"])
    several = filled.groupby(table["mixture"]).transform("nunique") > 1
    return table.assign(mixture=table["mixture"].where(~several, table["mixture"] + " (" + filled + ")"))


def headline(
    table: pd.DataFrame, scope: str = "training languages", embeddings: str = EMBEDDINGS[False]
) -> pd.DataFrame:
    """The comparison as a table of texts: a row a mixture, the paper's four figures, mean and deviation over seeds.

    Of rows of images the figures of HEADLINE_IMAGES, as far as they are there.
    """
    wanted = HEADLINE_IMAGES if _of_images(table).any() else HEADLINE
    there = [metric for metric in wanted if metric in HEADLINE or (table["metric"] == metric).any()]
    place = ["encoder", "benchmark", "settings", "mixture"]
    columns = {metric: by_mixture(table, metric, scope, embeddings) for metric in there}
    first = columns[there[0]]
    several = first["settings"].nunique() > 1
    shown = first[["encoder", "benchmark", *(["settings"] if several else []), "mixture", "seeds"]].copy()
    for metric, found in columns.items():
        found = found.set_index(place).reindex(pd.MultiIndex.from_frame(first[place]))
        digits = 0 if metric == "rank distance" else 1 if metric.endswith("rSum") else 3
        shown[metric] = [_value(m, d, digits) for m, d in zip(found["mean"], found["deviation"], strict=True)]
    return shown


def _of_images(table: pd.DataFrame) -> pd.Series:
    """Which rows are of sets of images: those of which an rSum is told."""
    return table["benchmark"].isin(table.loc[table["metric"] == "rSum", "benchmark"])


def _value(mean: float, deviation: float, digits: int) -> str:
    if np.isnan(mean):
        return "not defined"
    text = f"{mean:,.{digits}f}"
    return text if np.isnan(deviation) else f"{text} ± {deviation:.{digits}f}"


def to_markdown(table: pd.DataFrame) -> str:
    """The comparison for a terminal: over the training languages, and over the unseen ones where there are any.

    Below each, the same models with centred embeddings, as far as the table has them. Runs of texts and of images have
    tables of their own.
    """
    images = _of_images(table)
    if images.any() and not images.all():
        return "\n".join(to_markdown(part) for part in (table[~images], table[images]))
    parts = []
    for scope in ("training languages", "unseen languages"):
        of_scope = table[table["scope"] == scope]
        if len(of_scope):
            title = f"**{scope.capitalize()}** (mean ± standard deviation over seeds)"
            parts += [title, "", *markdown_lines(headline(of_scope, scope)), ""]
        if (of_scope["embeddings"] == EMBEDDINGS[True]).any():
            title = f"{scope.capitalize()}, the same models, with each language's mean taken away from its embeddings"
            parts += [title, "", *markdown_lines(headline(of_scope, scope, EMBEDDINGS[True])), ""]
    return "\n".join(parts)


def differences_to_markdown(table: pd.DataFrame) -> str:
    """What `statistics.compare_with` returns, for a terminal: a table for each encoder, benchmark and scope."""
    from hybridkit.statistics import MINIMUM_SEEDS

    parts = []
    for place, rows in table.groupby(["encoder", "settings", "benchmark", "scope"], sort=False):
        parts += [f"**{', '.join(filter(None, place))}**: against {rows['baseline'].iloc[0]}", ""]
        parts += [*markdown_lines(pd.DataFrame([_difference(row) for row in rows.itertuples()])), ""]
    fewest, tested = int(table["seeds"].min()), int(table["adjusted_p"].notna().sum())
    if tested:
        parts.append(
            f"Intervals of 95 % over new seeds and questions; p adjusted for all {tested} tests of these tables."
        )
    if fewest < MINIMUM_SEEDS:
        least = f"With {fewest} the sign-flip test cannot go below p = {min(2 / 2**fewest, 1):.3g}."
        parts.append(f"No difference is called real with fewer than {MINIMUM_SEEDS} seeds. {least}")
    return "\n".join(parts)


def _difference(row) -> dict[str, str]:
    """A row of a table of differences as texts."""
    digits, finer = (0, 1) if row.metric == "rank distance" else (3, 4)
    interval = "not known" if np.isnan(row.low) else f"{row.low:+,.{finer}f} to {row.high:+,.{finer}f}"
    return {
        "metric": row.metric,
        "mixture": row.mixture,
        "seeds": str(row.seeds),
        "mean": f"{row.mean:,.{digits}f}",
        "baseline": f"{row.baseline_mean:,.{digits}f}",
        "difference": f"{row.difference:+,.{finer}f}",
        "interval": interval,
        "adjusted p": "not known" if np.isnan(row.adjusted_p) else f"{row.adjusted_p:.2g}",
        "sign-flip p": f"{row.sign_flip_p:.2g}",
        "effect": "not known" if np.isnan(row.effect_size) else f"{row.effect_size:+.1f}",
        "questions won": f"{row.questions_won:.0%}",
        "verdict": row.verdict,
    }


def markdown_lines(table: pd.DataFrame) -> list[str]:
    """A table as lines of Markdown; a dash where there is no number."""
    rows = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return [
        "| " + " | ".join("–" if isinstance(v, float) and np.isnan(v) else str(v) for v in row) + " |" for row in rows
    ]


def evaluation_markdown(gold: GoldRanks, trained: Sequence[str] | None = None, brief: bool = False) -> str:
    """All settings of one system on one benchmark: macro-averages, then, unless `brief`, figures by language of the query.

    With `trained` the averages are given for each scope, else over all languages of the benchmark.
    """
    measured = measure(gold, trained or [])
    shown = (*HEADLINE, "multilingual Recall@10", "tied share")
    rows = [{"languages": scope, **{name: figures[name] for name in shown}} for scope, figures in measured.items()]
    rows = [row for row in rows if trained or row["languages"] == "all languages"]
    size = f"{len(gold.query_ids):,} queries, {gold.pool_sizes.sum():,} candidates"
    lines = [f"**{gold.system}** on {gold.benchmark} ({size})"]
    lines += ["", *markdown_lines(pd.DataFrame(rows).round(4)), ""]
    return "\n".join(lines if brief else [*lines, *markdown_lines(by_query_language(gold)), ""])


def by_query_language(gold: GoldRanks, languages: Sequence[str] | None = None) -> pd.DataFrame:
    """mAP in the three settings and rank distance, a row a language of the query, as in the paper's Tables 3 and 7."""
    from hybridkit.bias import rank_distance

    rows = metrics.table(gold, languages)
    wide = rows.groupby(["query_language", "setting"])["mAP"].mean().unstack().reindex(columns=metrics.SETTINGS)
    wide.columns = [f"{setting} mAP" for setting in wide.columns]
    distance = rank_distance(gold, languages).set_index("query_language")
    wide["rank distance"], wide["chance level"] = distance["mean"].round(1), distance["chance"].round(1)
    return wide.round(4).reset_index()

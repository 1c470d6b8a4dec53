"""The study of mixtures that ships with the kit: the figures of many runs, also by question, in small files.

Made by `python tools/make_study.py` from finished runs, never by hand. A question's figure is kept as a number of steps, of
which there are 1,024 to 2,048 up to the largest figure of the run: it is off by less than a step, but its mean over the
questions, on which intervals and tests hang, by no more than half a step of them all together.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hybridkit import comparison, reference, replicates, runs, simplex, statistics
from hybridkit.errors import KitError
from hybridkit.files import write_text, written_whole
from hybridkit.params import Parameters, mixture_order
from hybridkit.ranks import read_table
from hybridkit.statistics import Answers, drawn

FOLDER = reference.FOLDER / "study"
#: The scopes that are kept by question. Figures alone are kept of all languages, of centred embeddings and of BM25, too.
SCOPES = ("training languages", "unseen languages")
#: With fewer mixtures than these, and than the study of the profile that ships has, a learner's runs are no study.
LEAST_MIXTURES = 10
#: So many are one at a profile of which none ships.
LEAST_ALONE = 3
#: So many seeds are drawn from, so that mixtures with fewer are left out where others have them.
SEEDS = 3
_STEPS = 2**11


@dataclass(frozen=True, eq=False)
class Kept:
    """One run of the study by question, in the form that `statistics` takes (as `statistics.Replicate`)."""

    mixture: str
    seed: int
    encoder: str
    settings: str
    benchmark: str
    asked: tuple[str, Sequence[str]]
    kept: Mapping[tuple[str, str], Answers]

    def answers(self, names: Sequence[str]) -> Iterator[tuple[str, str, Answers]]:
        """Scope, metric and answers, for each of the metrics `names` that are kept."""
        for (scope, metric), answers in self.kept.items():
            if metric in names:
                yield scope, metric, answers


def keep(one) -> Kept:
    """A replicate by question, over the languages of SCOPES, so that its gold ranks can be let go."""
    found = {(scope, name): its for scope, name, its in one.answers(comparison.HEADLINE) if scope in SCOPES}
    return Kept(one.mixture, one.seed, one.encoder, one.settings, one.benchmark, one.asked, found)


@dataclass(frozen=True, eq=False)
class Study:
    """What there is to see: `rows` as of `comparison.figures_of`, `replicates` for `statistics`, and a sentence on
    where they come from."""

    rows: pd.DataFrame
    replicates: list[Kept]
    told: str

    @property
    def encoders(self) -> list[str]:
        """The base encoders of the runs."""
        return [name for name in self.rows["encoder"].unique() if name != comparison.BASELINE]

    def of(self, encoder: str, scope: str = SCOPES[0]) -> "Study":
        """The part of one encoder, on its first benchmark, over the languages of one scope of SCOPES; and BM25.

        KitError names the encoders that there are. A scope that the benchmark does not have gives an empty study.
        """
        if encoder not in self.encoders:
            raise KitError(f"The study has no run of {encoder!r}; it has {', '.join(self.encoders)}.")
        benchmark = self.rows.loc[self.rows["encoder"] == encoder, "benchmark"].iloc[0]
        rows = self.rows[self.rows["encoder"].isin([encoder, comparison.BASELINE])]
        rows = rows[(rows["benchmark"] == benchmark) & (rows["scope"] == scope)]
        mine = (one for one in self.replicates if (one.encoder, one.benchmark) == (encoder, benchmark))
        parts = (replace(one, kept={key: its for key, its in one.kept.items() if key[0] == scope}) for one in mine)
        return Study(rows, [one for one in parts if one.kept], self.told)

    def only(self, mixtures: Collection[str]) -> "Study":
        """The part of some mixtures."""
        rows = self.rows[self.rows["mixture"].isin(list(mixtures))]
        return Study(rows, [one for one in self.replicates if one.mixture in set(mixtures)], self.told)

    def simplex(self) -> "Study":
        """The part of the mixtures that are three weights and no more."""
        return self.only(self.rows.loc[(self.rows["beyond"] == "") & self.rows["mono"].notna(), "mixture"].unique())

    def beyond(self, *words: str) -> list[str]:
        """The mixtures that are more than three weights, by the words in what they say besides (`beyond` of the rows):
        "end_", "variants", "switch_"."""
        said = self.rows.drop_duplicates("mixture").set_index("mixture")["beyond"]
        return [name for name in said.index if any(word in said[name] for word in words)]

    def points(self) -> pd.DataFrame:
        """The means over seeds, a row a mixture of the simplex (`simplex.points`), of one encoder and scope (`of`)."""
        return simplex.points(self.rows[self.rows["embeddings"] == comparison.EMBEDDINGS[False]])

    def edge(self) -> pd.DataFrame:
        """The mixtures of mono and cross alone (`simplex.edge`), of one encoder and scope (`of`), with intervals over
        new seeds and new questions."""
        found = simplex.edge(self.rows[self.rows["embeddings"] == comparison.EMBEDDINGS[False]])
        known = statistics.with_intervals(self.replicates).set_index(["mixture", "metric"])[["low", "high"]]
        return found.drop(columns=["low", "high"]).join(known, on=["mixture", "metric"])

    def common(self) -> tuple[list[str], list[int]]:
        """The mixtures and the seeds that `draws` takes: SEEDS seeds or more, or as many as there are, that as many
        mixtures as possible have in common; mixtures without them are left out. KitError where there is no run."""
        found: dict[str, set[int]] = {}
        for one in self.replicates:
            found.setdefault(one.mixture, set()).add(one.seed)
        if not found:
            raise KitError("There are no runs to draw from; choose an encoder and languages that the study has.")
        least = min(SEEDS, max(map(len, found.values())))
        first = [set(sorted(seeds)[:least]) for seeds in found.values() if len(seeds) >= least]
        wanted = max(first, key=lambda some: sum(some <= seeds for seeds in found.values()))
        mixtures = [name for name, seeds in found.items() if wanted <= seeds]
        return sorted(mixtures, key=mixture_order), sorted(set.intersection(*(found[name] for name in mixtures)))

    def draws(self, metrics: Sequence[str] = comparison.HEADLINE) -> dict[str, pd.DataFrame]:
        """Every metric with seeds and questions drawn anew (`statistics.drawn`): a row a draw, a column a mixture.

        Of one encoder and scope (`of`), of the mixtures and seeds of `common`. Where there is one seed, questions alone
        are drawn. Metrics that are not defined are left out.
        """
        mixtures, seeds = self.common()
        found: dict[str, dict[tuple[str, int], np.ndarray]] = {}
        for one in self.replicates:
            for _, metric, its in one.answers(metrics):
                found.setdefault(metric, {})[one.mixture, one.seed] = its.values
        several = seeds if len(seeds) > 1 else seeds * 2  # the same model twice: drawing between them changes nothing
        return {
            metric: pd.DataFrame(
                drawn(np.stack([[its[name, seed] for seed in several] for name in mixtures])), columns=mixtures
            )
            for metric, its in ((name, found[name]) for name in metrics if name in found)
        }


def profiles() -> list[str]:
    """The profiles of which a study ships with the kit."""
    return sorted(path.stem for path in FOLDER.glob("*.parquet"))


def shipped(profile: str = "tiny") -> Study:
    """The study of a profile that ships with the kit: "tiny" or "laptop". KitError for another."""
    if profile not in profiles():
        there = ", ".join(profiles()) or "none"
        raise KitError(f"No study of the profile {profile!r} ships with the kit; there is {there}.")
    told = f"These are the runs of the profile {profile} that ship with the kit."
    return Study(*_read(FOLDER / profile), told)


def of_run(run) -> Study:
    """The study of a learner's own finished runs that are like `run`, if their mixtures of three weights are enough; else
    the one that ships of its profile, or where none does of the profile tiny.

    Enough are LEAST_MIXTURES, or as many as the one that ships has; LEAST_ALONE where none does.
    """
    found, profile = runs.finished_like(run), run.parameters.profile
    other = shipped(profile if profile in profiles() else "tiny")
    enough = min(LEAST_MIXTURES, other.rows["mixture"].nunique()) if profile in profiles() else LEAST_ALONE
    mixtures = [Parameters(**manifest["parameters"]) for _, manifest in found]
    if len({one.mixture for one in mixtures if not one.beyond_weights()}) >= enough:
        rows = comparison.told_apart(comparison.figures_of(found, centred=True))
        told = f"These are your own {len(found)} runs of the profile {profile}."
        return Study(rows, [keep(one) for one in replicates.of_folders(found)], told)
    return Study(other.rows, other.replicates, f"{other.told} You have {len(found)} finished runs of your own.")


def about(profile: str = "tiny") -> dict:
    """Which runs these are: keys, benchmarks and their fingerprints, provenance."""
    return json.loads((FOLDER / f"{profile}.json").read_text(encoding="utf-8"))


_RUN = ("encoder", "settings", "mixture", "mono", "cross", "multi", "seed", "beyond", "embeddings", "benchmark")


def save(place: Path, rows: pd.DataFrame, found: Iterable, told: dict) -> None:
    """Write rows of figures and the answers behind them to `place`.parquet, and `told` to `place`.json.

    `rows` as of `comparison.figures_of`; `found`: replicates with the same encoder, settings, mixture, seed and
    benchmark. Only the figures of `comparison.HEADLINE` are kept.
    """
    kept = rows[rows["metric"].isin(comparison.HEADLINE)].reset_index(drop=True)
    answers: dict[tuple, Answers] = {}
    asked = {}
    for one in map(keep, found):
        asked[one.benchmark] = one.asked[0]
        which = (one.encoder, one.settings, one.mixture, one.seed, one.benchmark)
        answers |= {(*which, *place): its for place, its in one.kept.items()}
    keys = kept[["encoder", "settings", "mixture", "seed", "benchmark", "scope", "metric"]].itertuples(index=False)
    trained = kept["embeddings"] == comparison.EMBEDDINGS[False]
    its = [answers.get(tuple(key)) if mine else None for key, mine in zip(keys, trained, strict=True)]
    columns = {name: kept[name].to_numpy() for name in (*_RUN, "scope", "metric")}
    columns |= {"value": kept["value"].round(6).to_numpy()}
    columns |= _packed("values", [one and one.values for one in its])
    columns |= _packed("adds", [one and _its_own_adds(one) for one in its])
    with written_whole(place.with_suffix(".parquet")) as stage:
        # Half as large as with the compression that other tables have (`ranks.write_table`), and slower to write.
        lists = dict.fromkeys(("values.list.element", "adds.list.element"), "BYTE_STREAM_SPLIT")
        pq.write_table(
            pa.table(columns), stage, compression="brotli", compression_level=11, write_page_checksum=True,
            use_dictionary=[*_RUN, "scope", "metric"], column_encoding=lists,
        )  # fmt: skip
    write_text(place.with_suffix(".json"), json.dumps(told | {"asked": asked}, indent=1, ensure_ascii=False) + "\n")


def _its_own_adds(answers: Answers) -> np.ndarray | None:
    """What each question adds; None where every question counts alike, so that it follows from the values."""
    same = np.allclose(answers.adds, answers.values / len(answers.values), rtol=1e-9, atol=1e-12)
    return None if same else answers.adds


def _packed(name: str, lists: Sequence[np.ndarray | None]) -> dict[str, object]:
    """Columns for lists of values: the size of a step, a power of two, and every value as a number of steps.

    Equal values of two runs so stay equal, or nearly. No values where there are none.
    """
    there = [np.zeros(0) if one is None else one for one in lists]
    step = [np.ldexp(1 / _STEPS, np.frexp(np.abs(one).max(initial=0))[1]) for one in there]
    steps = [_rounded(one / size) for one, size in zip(there, step, strict=True)]
    return {f"{name}_step": step, name: pa.array(steps, pa.list_(pa.int32()))}


def _rounded(values: np.ndarray) -> np.ndarray:
    """Whole numbers with the sum of the values, rounded: those with the largest remainders go up, the others down."""
    down = np.floor(values)
    rest = values - down
    down[np.argsort(-rest, kind="stable")[: round(rest.sum())]] += 1
    return down.astype(np.int32)


def _unpacked(name: str, table: pa.Table) -> list[np.ndarray]:
    """The lists of `_packed`, an empty one where there were none."""
    columns = table[f"{name}_step"].to_numpy(), table[name].to_pylist()
    return [np.asarray(one, np.float64) * step for step, one in zip(*columns, strict=True)]


def _read(place: Path) -> tuple[pd.DataFrame, list[Kept]]:
    try:
        asked = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))["asked"]
        table = read_table(place.with_suffix(".parquet"))
        values, adds = _unpacked("values", table), _unpacked("adds", table)
        rows = table.select([*_RUN, "scope", "metric", "value"]).to_pandas()
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise KitError(f"{place}.parquet is no readable study ({fault}); install the kit anew.") from fault
    found: dict[tuple, dict] = {}
    for row, its, parts in zip(rows.itertuples(), values, adds, strict=True):
        if len(its):
            key = (row.mixture, row.seed, row.encoder, row.settings, row.benchmark)
            answers = Answers(its, parts if len(parts) else its / len(its))
            found.setdefault(key, {})[row.scope, row.metric] = answers
    return rows, [Kept(*key, (asked[key[-1]], ()), kept) for key, kept in found.items()]

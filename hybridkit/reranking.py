"""Re-ranking: the first candidates for every query scored again, within a language, across, and in mixed lists.

The evaluation of arXiv 2305.05295: a first stage finds candidates, a cross-encoder reads each together with the query,
and MRR@10 tells where the first relevant one ends.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridkit import encoding, lexical, metrics, search, trec
from hybridkit.comparison import markdown_lines
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.parallel import Passages, passages
from hybridkit.errors import KitError
from hybridkit.ranks import take
from hybridkit.streams import Stream

if TYPE_CHECKING:
    import pandas as pd

#: In place of a language: one drawn for each query, or for each passage.
MIXED = "mixed"
#: The settings of arXiv 2305.05295 whose languages are seen in its training (query language, then that of the passages).
PAPER = "en-en de-de it-it nl-nl ru-ru ar-ar en-de en-it en-ar en-ru de-it de-nl de-ru ar-it ar-ru"
PAPER += " mixed-en en-mixed mixed-mixed"
#: The kinds of settings.
KINDS = ("monolingual", "cross-lingual", "mixed-language")

#: From rows of queries, rows of candidates and a number: for each query rows of the best and their scores, best first.
FirstStage = Callable[[np.ndarray, np.ndarray, int], Iterator[tuple[np.ndarray, np.ndarray]]]
#: From pairs (query, passage) to their scores (pairs,).
Scorer = Callable[[list[tuple[str, str]]], np.ndarray]


class Setting(NamedTuple):
    """The language of the queries and that of the passages; either may be `MIXED`."""

    query: str
    passage: str

    @property
    def kind(self) -> str:
        return KINDS[2] if MIXED in self else KINDS[self.query != self.passage]


@dataclass(frozen=True, eq=False)
class CandidateLists:
    """The list of every query of a setting.

    `queries` (queries,): rows of the queries that count, those with a relevant candidate in the pool of the setting.
    The lists stand one after the other: `starts` (queries + 1,), where each begins; `candidates` (pairs,), rows, best
    first; `scores` (pairs,), those of the first stage; `relevant` (pairs,).
    """

    setting: Setting
    queries: np.ndarray
    starts: np.ndarray
    candidates: np.ndarray
    scores: np.ndarray
    relevant: np.ndarray


def parse_settings(text: str, benchmark: Benchmark) -> list[Setting]:
    """Settings from "en-en,de-en,mixed-mixed"; from "paper", those of `PAPER` whose languages the benchmark has."""
    asked, there = set(benchmark.query_languages.tolist()) | {MIXED}, {*benchmark.languages, MIXED}
    if text == "paper":
        found = [Setting(*one.split("-")) for one in PAPER.split()]
        return [one for one in found if one.query in asked and one.passage in there]
    found = []
    for one in dict.fromkeys(text.split(",")):
        query, _, passage = one.partition("-")
        if query not in asked or passage not in there:
            raise KitError(
                f"The setting {one!r} is not to be had: write query language, hyphen, passage language, such as de-en "
                f"or mixed-en; {benchmark.name} has queries in {' '.join(sorted(asked))} and candidates in "
                f"{' '.join(sorted(there))}."
            )
        found.append(Setting(query, passage))
    return found


def bm25(benchmark: Benchmark) -> FirstStage:
    """BM25 as the first stage, its index over the candidates that are searched; see `lexical.nearest`."""
    return lambda queries, candidates, top: lexical.nearest(benchmark, queries, candidates, top)


def dense(benchmark: Benchmark, model, batch_size: int = encoding.BATCH) -> FirstStage:
    """A SentenceTransformer as the first stage, by exact search. Texts are encoded at first use, a language at a time."""
    known: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}

    def vectors(side: str, wanted: np.ndarray) -> np.ndarray:
        codes = np.asarray(getattr(benchmark, f"{side}_languages"))
        encode = (encoding.questions if side == "query" else encoding.documents)(model, batch_size)
        parts = {}
        for code in np.unique(codes[wanted]).tolist():
            if (side, code) not in known:
                rows = np.flatnonzero(codes == code)
                known[side, code] = rows, encode(take(getattr(benchmark, f"{side}_texts"), rows))
            rows, found = known[side, code]
            parts[code] = found[np.searchsorted(rows, wanted[codes[wanted] == code])]
        result = np.empty((len(wanted), next(iter(parts.values())).shape[1]), np.float32)
        for code, part in parts.items():
            result[codes[wanted] == code] = part
        return result

    def nearest(queries: np.ndarray, candidates: np.ndarray, top: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if len(queries) and len(candidates):
            rows, scores = search.nearest(vectors("query", queries), vectors("candidate", candidates), top)
            yield from zip(candidates[rows], scores)

    return nearest


def from_run(path: Path, benchmark: Benchmark) -> FirstStage:
    """The lists of another system as the first stage, from a run file of trec_eval.

    A line is query id, Q0, candidate id, rank, score and a tag; the order is that of the scores, and equal ones stand as
    in the file. Lines of candidates that are not searched are passed over. Raises KitError for a line that is no such
    line, and for an unknown id.
    """
    sides = (benchmark.query_ids, benchmark.candidate_ids)
    queries, candidates = ({trec.written(one): row for row, one in enumerate(ids)} for ids in sides)
    found: dict[int, dict[int, float]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as fault:
        raise KitError(f"{path} cannot be read as a run file ({fault}): name one that is there.") from fault
    for number, line in enumerate(lines, 1):
        try:
            query, _, candidate, _, score, _ = line.split()
            ranked, row = found.setdefault(queries[query], {}), candidates[candidate]
            if row in ranked or not np.isfinite(float(score)):
                raise ValueError(line)
            ranked[row] = float(score)
        except (KeyError, ValueError):
            raise KitError(
                f'{path}, line {number}: {line[:80]!r} is no line of a run of {benchmark.name}: write "query Q0 candidate '
                'rank score tag" with ids of the benchmark, a candidate once a query.'
            ) from None

    def search(asked: np.ndarray, pool: np.ndarray, top: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        searched = set(pool.tolist())
        for row in asked.tolist():
            ranked = sorted(found.get(row, {}).items(), key=lambda one: -one[1])
            ranked = [one for one in ranked if one[0] in searched][:top]
            yield np.array([row for row, _ in ranked], np.int64), np.array([score for _, score in ranked])

    return search


def candidate_lists(
    benchmark: Benchmark,
    settings: Sequence[Setting],
    first_stage: FirstStage,
    top: int = 100,
    source: str = "en",
    languages: Sequence[str] | None = None,
    questions: int = 0,
    seed: int = 0,
) -> list[CandidateLists]:
    """The lists of every setting: the `top` best candidates of the first stage for each query.

    With a `source`, a language, every question is asked in it once, of the candidates in it, and the list found is put
    into the languages of each setting, passage by passage (`corpora.parallel`): the settings then differ in language
    alone, as in arXiv 2305.05295, and only passages with a version in every language that is used take part, and only
    questions that are asked in the source. With "" each setting searches its own candidates with its own queries.
    `languages`: those that mixed settings draw from, None for all of the benchmark. `questions`: so many, drawn at
    random, the same in every setting; 0 for all. A setting draws one language for each question and passage, uniformly
    among those that it exists in, and both stay in it (`seed`). Raises KitError as `parallel.passages`, for a source without questions or candidates, and for a
    setting without a query that counts.
    """
    known = sorted({*benchmark.languages, *benchmark.query_languages.tolist()})
    if unknown := set(languages or ()) - set(known):
        raise KitError(f"{benchmark.name} has no {min(unknown)!r} for mixed lists: choose of {' '.join(known)}.")
    asked = _Asked(benchmark, questions, languages or known, seed)
    drawn_from = [code for code in languages or known if code in benchmark.languages]
    fixed = [one.passage for one in settings if one.passage != MIXED]
    mixed = any(one.passage == MIXED for one in settings)
    if mixed and not drawn_from:
        raise KitError(
            f"{benchmark.name} has no candidates in {' '.join(languages)} for mixed lists: choose of "
            f"{' '.join(benchmark.languages)}."
        )
    parallel = None
    if source:
        _check_source(benchmark, source)
    if source or mixed:
        parallel = passages(benchmark, source or drawn_from[0], [*fixed, *(drawn_from if mixed else [])])
    found = asked.of(source) if source else {}
    lists = _search(first_stage, found, parallel.rows, top) if source else {}
    made = []
    for setting in settings:
        chosen = _versions(parallel, setting.passage, drawn_from, seed) if source or setting.passage == MIXED else None
        pool = _pool(benchmark, setting, chosen)
        queries = _counting(benchmark, asked.of(setting.query), pool)
        if source:
            queries = {question: row for question, row in queries.items() if question in found}
            put = {question: _translated(lists[question], chosen) for question in queries if question in lists}
        else:
            put = _search(first_stage, queries, pool, top)
        made.append(_joined(benchmark, setting, queries, put))
    return made


def _check_source(benchmark: Benchmark, source: str) -> None:
    """Raise KitError where no list can be found in a language."""
    asked = set(benchmark.query_languages.tolist())
    missing = [
        name for name, codes in (("questions", asked), ("candidates", benchmark.languages)) if source not in codes
    ]
    if missing:
        both = " ".join(sorted(asked & {*benchmark.languages})) or "none"
        raise KitError(
            f"{benchmark.name} has no {' and no '.join(missing)} in {source!r}, in which the lists are to be found: choose "
            f"a language that has both ({both}), or let each setting find its own (--lists-in each)."
        )


class _Asked:
    """The queries of the questions that take part, by language."""

    def __init__(self, benchmark: Benchmark, number: int, drawn_from: Sequence[str], seed: int):
        names = sorted(set(benchmark.questions))
        self._drawn_from, self._seed = drawn_from, seed
        if 0 < number < len(names):
            names = [names[i] for i in Stream("re-ranking", seed, "questions").permutation(len(names))[:number]]
        self._rows: dict[str, dict[str, int]] = {name: {} for name in sorted(names)}
        for row, (question, code) in enumerate(zip(benchmark.questions, benchmark.query_languages.tolist())):
            if question in self._rows:
                self._rows[question].setdefault(code, row)

    def of(self, language: str) -> dict[str, int]:
        """The row of each question's query in a language, or in one that is drawn for it; without those that lack it."""
        found = {}
        for question, by_language in self._rows.items():
            code = language
            if language == MIXED:
                there = [one for one in self._drawn_from if one in by_language]
                code = there[_draw(self._seed, "query", question, len(there))] if there else ""
            if code in by_language:
                found[question] = by_language[code]
        return found


def _draw(seed: int, what: str, name: str, below: int) -> int:
    return Stream("re-ranking", seed, what, name).integer(below)


def _versions(parallel: Passages, language: str, drawn_from: Sequence[str], seed: int) -> dict[int, np.ndarray]:
    """By the row of each passage in the source, the rows of its version in a language, or in the one drawn for it."""
    found = {}
    for number, (row, name) in enumerate(zip(parallel.rows.tolist(), parallel.names)):
        code = drawn_from[_draw(seed, "passage", name, len(drawn_from))] if language == MIXED else language
        found[row] = parallel.version(number, code)
    return found


def _pool(benchmark: Benchmark, setting: Setting, chosen: dict[int, np.ndarray] | None) -> np.ndarray:
    """Rows of the candidates of a setting, ascending."""
    if chosen is None:
        return np.flatnonzero(np.asarray(benchmark.candidate_languages) == setting.passage)
    return np.unique(np.concatenate([np.zeros(0, np.int64), *chosen.values()]))


def _counting(benchmark: Benchmark, queries: dict[str, int], pool: np.ndarray) -> dict[str, int]:
    """The queries with a relevant candidate in the pool."""
    counts = set(benchmark.gold_query[np.isin(benchmark.gold_candidate, pool)].tolist())
    return {question: row for question, row in queries.items() if row in counts}


def _search(first_stage: FirstStage, queries: dict[str, int], pool: np.ndarray, top: int) -> dict[str, tuple]:
    rows = np.array(list(queries.values()), np.int64)
    return dict(zip(queries, first_stage(rows, pool, top)))


def _translated(found: tuple[np.ndarray, np.ndarray], chosen: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A list with every passage in its version; one that is the version of two stands where the first is."""
    parts = [chosen[row] for row in found[0].tolist()]
    rows = np.concatenate([np.zeros(0, np.int64), *parts])
    scores = np.repeat(found[1], [len(part) for part in parts])
    first = np.sort(np.unique(rows, return_index=True)[1])
    return rows[first], scores[first]


def _joined(benchmark: Benchmark, setting: Setting, queries: dict[str, int], lists: dict[str, tuple]) -> CandidateLists:
    if not queries:
        raise KitError(f"{benchmark.name} has no query with a relevant candidate in the setting {'-'.join(setting)}.")
    none = np.zeros(0, np.int64), np.zeros(0, np.float32)
    parts = [lists.get(question, none) for question in queries]
    rows = np.array(list(queries.values()), np.int64)
    lengths = [len(found) for found, _ in parts]
    candidates = np.concatenate([found for found, _ in parts])
    golds = benchmark.gold_query * len(benchmark.candidate_ids) + benchmark.gold_candidate
    relevant = np.isin(np.repeat(rows, lengths) * len(benchmark.candidate_ids) + candidates, golds)
    scores = np.concatenate([found for _, found in parts])
    return CandidateLists(setting, rows, np.cumsum([0, *lengths]), candidates, scores, relevant)


def rescored(benchmark: Benchmark, lists: CandidateLists, score: Scorer) -> np.ndarray:
    """The scores (pairs,) of a cross-encoder; a pair of texts that occurs more than once is scored once."""
    asked = [benchmark.query_texts[row] for row in np.repeat(lists.queries, np.diff(lists.starts))]
    pairs = list(zip(asked, take(benchmark.candidate_texts, lists.candidates)))
    place = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    found = np.asarray(score(list(place)), np.float32) if pairs else np.zeros(0, np.float32)
    if found.shape != (len(place),) or np.isnan(found).any():
        raise KitError(
            f"The cross-encoder gave scores of shape {found.shape}, or NaN among them: expected a number for each of "
            f"the {len(place):,} pairs; take a model with one label."
        )
    return found[[place[pair] for pair in pairs]] if pairs else found


def reciprocal_ranks(lists: CandidateLists, scores: np.ndarray, k: int = 10) -> np.ndarray:
    """1 / rank of each query's first relevant candidate (queries,), 0 where it is beyond k or not in the list.

    Equal scores share the middle rank, as everywhere in the kit; a rank counts if it is at most k.
    """
    golds, query = _golds(lists)
    ranks = np.empty(len(golds))
    for number, (gold, asked) in enumerate(zip(golds.tolist(), query.tolist())):
        others = scores[lists.starts[asked] : lists.starts[asked + 1]]
        ranks[number] = 1 + (others > scores[gold]).sum() + ((others == scores[gold]).sum() - 1) / 2
    found, values = metrics.rank_golds(ranks, query), np.zeros(len(lists.queries))
    values[found.queries] = metrics.reciprocal_rank(found)
    return np.where(values >= 1 / k, values, 0)


def _golds(lists: CandidateLists) -> tuple[np.ndarray, np.ndarray]:
    """The places of the relevant candidates, and for each the number of its query."""
    golds = np.flatnonzero(lists.relevant)
    return golds, np.searchsorted(lists.starts, golds, side="right") - 1


def evaluate(
    benchmark: Benchmark,
    lists: Sequence[CandidateLists],
    score: Scorer,
    report: Callable[[Setting], None] | None = None,
) -> "pd.DataFrame":
    """Re-rank the lists: a row a setting.

    Columns: setting (one of `KINDS`), query_language, passage_language; queries, how many count; candidates, mean
    length of a list; recall, the share of the queries with a relevant candidate in the list, which no re-ranking can
    exceed; MRR@10 of the first stage and after re-ranking. `report` is called with each setting when it is done.
    """
    import pandas as pd

    rows = []
    for one in lists:
        after = reciprocal_ranks(one, rescored(benchmark, one, score))
        rows.append(
            {
                "setting": one.setting.kind,
                "query_language": one.setting.query,
                "passage_language": one.setting.passage,
                "queries": len(one.queries),
                "candidates": np.diff(one.starts).mean(),
                "recall": len(np.unique(_golds(one)[1])) / len(one.queries),
                "first stage MRR@10": reciprocal_ranks(one, one.scores).mean(),
                "re-ranked MRR@10": after.mean(),
            }
        )
        if report:
            report(one.setting)
    return pd.DataFrame(rows)


def to_markdown(table: "pd.DataFrame") -> str:
    """The table of `evaluate` with its settings and, for each kind of them, their mean."""
    import pandas as pd

    means = table.groupby("setting", sort=False).mean(numeric_only=True).reset_index()
    means = means.assign(query_language="mean", passage_language="mean").astype({"queries": int})
    return "\n".join(markdown_lines(pd.concat([table, means[table.columns]]).round(4)))

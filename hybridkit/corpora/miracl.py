"""MIRACL dev (doi 10.1162/tacl_a_00595): questions over Wikipedia passages in 18 languages, each in its own language.

Read from the copies that MTEB made of it, whole and with hard negatives alone: they are open and their revisions are
known, while the original's questions are given out on request. A language at a time is turned into memory-mapped
files, once.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from hybridkit import paths
from hybridkit.corpora import downloads, large
from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.catalogue import CATALOGUE, Source, part_name
from hybridkit.errors import KitError, KitWarning
from hybridkit.files import written_whole

if TYPE_CHECKING:
    from hybridkit.params import Parameters

#: Queries and passages of each language as MTEB 2.26 counted them at the pinned revisions.
COUNTS = {
    "miracl": {
        "ar": (2_896, 2_061_414), "bn": (411, 297_265), "de": (305, 15_866_222), "en": (799, 32_893_221),
        "es": (648, 10_373_953), "fa": (632, 2_207_172), "fi": (1_271, 1_883_509), "fr": (343, 14_636_953),
        "hi": (350, 506_264), "id": (960, 1_446_315), "ja": (860, 6_953_614), "ko": (213, 1_486_752),
        "ru": (1_252, 9_543_918), "sw": (482, 131_924), "te": (828, 518_079), "th": (733, 542_166),
        "yo": (119, 49_043), "zh": (393, 4_934_368),
    },
    "miracl-hard-negatives": {
        "ar": (1_000, 192_103), "bn": (411, 297_265), "de": (305, 71_277), "en": (799, 178_768),
        "es": (648, 146_750), "fa": (632, 133_596), "fi": (1_000, 194_415), "fr": (343, 75_357),
        "hi": (350, 63_066), "id": (960, 168_173), "ja": (860, 185_319), "ko": (213, 43_293),
        "ru": (1_000, 219_114), "sw": (482, 131_924), "te": (828, 101_961), "th": (733, 116_649),
        "yo": (119, 49_043), "zh": (393, 81_309),
    },
}  # fmt: skip
_BATCH = 65_536  # passages; bounds the memory of the reading
# Part of the cache's key: to be raised when the same files would be read into another benchmark.
_VERSION = 1
# A shard as `push_to_hub` names it: split, number, how many; older ones end in a part of a hash.
_SHARD = re.compile(r"(?P<split>[\w.]+)-(?P<number>\d{5})-of-(?P<all>\d{5})(-[0-9a-f]{16})?\.parquet")


def load(name: str, languages: Sequence[str] = ()) -> Benchmark:
    """MIRACL's dev queries ("miracl"), or those of its hard-negatives variant, in the given languages (none: all).

    A query is asked of the passages in its own language. A passage's text is its title and its text, as in MTEB and in
    the indexes of MIRACL's authors. Ids are "<language>:<id in MIRACL>". Only rows of relevance above 0 are golds.
    Each language is built at first use and kept in the cache. Raises KitError as `fetch` does and for relevance that
    names an unknown passage; a KitWarning tells what was left out, and of counts that are not MTEB's.
    """
    source, languages = CATALOGUE[name], _known(name, languages)
    folders = [_built(source, code) for code in languages]
    about = [json.loads((folder / "about.json").read_text(encoding="utf-8")) for folder in folders]
    _tell(name, languages, about)
    queries = [folder / "queries.arrow" for folder in folders]
    candidates = [folder / "candidates.arrow" for folder in folders]
    query_ids = list(large.StoredStrings(queries, "id"))
    starts = np.cumsum([[0, 0], *([one["queries"], one["passages"]] for one in about)], axis=0)[:-1]
    golds = [np.load(folder / "golds.npy") + start[:, None] for folder, start in zip(folders, starts, strict=True)]
    gold_query, gold_candidate = np.concatenate(golds, axis=1)
    contents = [(code, one["content"]) for code, one in zip(languages, about, strict=True)]
    return Benchmark(
        name=part_name(name, languages),
        licence=source.licence,
        fingerprint=hashlib.sha256(json.dumps(contents).encode()).hexdigest(),
        query_ids=query_ids,
        query_texts=list(large.StoredStrings(queries, "text")),
        query_languages=np.repeat(languages, [one["queries"] for one in about]),
        questions=query_ids,
        candidate_ids=large.StoredStrings(candidates, "id"),
        candidate_texts=large.StoredStrings(candidates, "text"),
        candidate_languages=large.LanguageRanges({c: one["passages"] for c, one in zip(languages, about, strict=True)}),
        gold_query=gold_query,
        gold_candidate=gold_candidate,
        own_language_only=True,
    )


def fetch(name: str, languages: Sequence[str] = ()) -> list[Path]:
    """All files of the given languages (none: all), downloaded where they are not there yet; errors as `load`."""
    source = CATALOGUE[name]
    parts = [(code, what) for code in _known(name, languages) for what in ("corpus", "queries", "qrels")]
    return [path for code, what in parts for path in _files(source, f"{code}-{what}")]


def load_benchmark(source: Source, parameters: "Parameters", languages: Sequence[str] = ()) -> Benchmark:
    """For the catalogue: `load`."""
    return load(source.name, languages)


def fetch_files(source: Source, languages: Sequence[str] = ()) -> list[Path]:
    """For the catalogue: `fetch`."""
    return fetch(source.name, languages)


def _known(name: str, languages: Sequence[str]) -> tuple[str, ...]:
    """The languages in the catalogue's order; KitError for one that is not there."""
    known = CATALOGUE[name].languages
    unknown = [code for code in languages if code not in known]
    if unknown:
        raise KitError(f"{name} has no language {unknown[0]!r}: write some of {', '.join(known)}.")
    return tuple(code for code in known if code in languages or not languages)


def _tell(name: str, languages: Sequence[str], about: Sequence[dict]) -> None:
    for code, one in zip(languages, about, strict=True):
        left_out = [f"{count} {what}" for what, count in one["left_out"].items() if count]
        if left_out:
            warnings.warn(f"{name}:{code} leaves out {', '.join(left_out)}.", KitWarning, stacklevel=3)
        found, counted = (one["queries"], one["passages"]), COUNTS[name][code]
        if found != counted:
            said = "{:,} queries and {:,} passages".format
            warnings.warn(
                f"{name}:{code} has {said(*found)}, but MTEB counted {said(*counted)}: results are not comparable "
                "with published ones.",
                KitWarning,
                stacklevel=3,
            )


def _built(source: Source, code: str) -> Path:
    """The folder of a language's files, made where it is not there or damaged."""
    folder = paths.cache() / "benchmarks" / f"{source.name}-{downloads.revision(source)[:7]}-{_VERSION}" / code
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{code}.lock")):
        if not _is_whole(folder):
            with written_whole(folder) as stage:
                stage.mkdir()
                _build(source, code, stage)
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / "about.json").read_text(encoding="utf-8"))["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _build(source: Source, code: str, folder: Path) -> None:
    """Write candidates.arrow, queries.arrow, golds.npy and about.json of a language."""
    golds = _golds(source, code)
    empty: list[int] = []
    candidates = folder / "candidates.arrow"
    content = [large.write(candidates, _passages(source, code, empty))]
    ids = large.StoredStrings([candidates], "id")
    rows = _rows(source, code, golds, ids)
    texts = {f"{code}:{one}": text for one, text in _queries(source, code)}
    asked = [one for one in texts if one in golds]
    content.append(large.write(folder / "queries.arrow", [(pa.array(asked), pa.array([texts[one] for one in asked]))]))
    pairs = [(number, row) for number, one in enumerate(asked) for row in sorted(rows[gold] for gold in golds[one])]
    content.append(hashlib.sha256(json.dumps(pairs).encode()).hexdigest())
    np.save(folder / "golds.npy", np.array(pairs, np.int64).reshape(-1, 2).T, allow_pickle=False)
    about = {
        "queries": len(asked),
        "passages": len(ids),
        "left_out": {
            "passages without a text": sum(empty),
            "queries without a relevant passage": len(texts.keys() - golds.keys()),
            "queries that have relevance and no text": len(golds.keys() - texts.keys()),
        },
        "content": hashlib.sha256("".join(content).encode()).hexdigest(),
        "bytes": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _rows(source: Source, code: str, golds: dict[str, set[str]], ids: large.StoredStrings) -> dict[str, int]:
    """The row of each relevant passage; KitError for one that is nowhere or there twice."""
    wanted = sorted(set().union(*golds.values()))
    found = ids.find(wanted)
    wrong = [one for one in wanted if len(found.get(one, [])) != 1]
    if wrong:
        how = "occurs more than once among" if found.get(wrong[0]) else "is not among"
        raise KitError(
            f"{source.name}: the relevant passage {wrong[0]!r} {how} the passages in {code!r} ({len(wrong)} such in "
            f"all): the files in {paths.downloads() / source.name} do not belong together; delete those of {code!r} "
            f"and run `hybridkit data fetch {source.name}:{code}`."
        )
    return {one: rows[0] for one, rows in found.items()}


def _passages(source: Source, code: str, empty: list[int]) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Ids and texts, some rows at a time, without the empty ones, whose numbers are appended to `empty`."""
    for batch in _batches(source, f"{code}-corpus", ("_id", "text", "title")):
        parts = [pc.fill_null(batch[name], "") for name in ("title", "text") if name in batch]
        text = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*parts, pa.scalar(" ", pa.large_string())))
        here = pc.greater(pc.binary_length(text), 0)
        empty.append(len(text) - pc.sum(here).as_py())
        ids = pc.binary_join_element_wise(
            pa.scalar(code, pa.large_string()), batch["_id"], pa.scalar(":", pa.large_string())
        )
        yield ids.filter(here), text.filter(here)


def _queries(source: Source, code: str) -> Iterator[tuple[str, str]]:
    for batch in _batches(source, f"{code}-queries", ("_id", "text")):
        for one, text in zip(batch["_id"].to_pylist(), batch["text"].to_pylist(), strict=True):
            if text and text.strip():
                yield one, text.strip()


def _golds(source: Source, code: str) -> dict[str, set[str]]:
    """Ids of the relevant passages by query. Judgements of 0 are passages found not to be relevant, and no golds."""
    golds: dict[str, set[str]] = {}
    for batch in _batches(source, f"{code}-qrels", ("query-id", "corpus-id", "score")):
        columns = (batch[name].to_pylist() for name in ("query-id", "corpus-id", "score"))
        for query, passage, score in zip(*columns, strict=True):
            if float(score) > 0:
                golds.setdefault(f"{code}:{query}", set()).add(f"{code}:{passage}")
    return golds


def _batches(source: Source, part: str, names: Sequence[str]) -> Iterator[dict[str, pa.Array]]:
    """The columns `names` as strings, some rows at a time; "_id" may be called "id", and "title" may be missing."""
    for path in _files(source, part):
        try:
            file = pq.ParquetFile(path)
            called = {name: name for name in names if name in file.schema_arrow.names}
            if "_id" in names and "_id" not in called and "id" in file.schema_arrow.names:
                called["_id"] = "id"
            missing = [name for name in names if name not in called and name != "title"]
            if missing:
                raise KitError(f"{path} has no column {missing[0]!r}: it is no {part} of MIRACL as MTEB has it.")
            for batch in file.iter_batches(_BATCH, columns=list(called.values())):
                yield {name: batch.column(own).cast(pa.large_string()) for name, own in called.items()}
        except (pa.ArrowException, OSError) as fault:
            raise KitError(
                f"{path} is cut short or no Parquet file ({str(fault).splitlines()[0]}): delete it, and its entry in "
                f"{paths.lock_file()}, and run `hybridkit data fetch {source.name}:{part.split('-')[0]}`."
            ) from fault


def _files(source: Source, part: str) -> list[Path]:
    """The shards of a part such as "sw-corpus", in order: checked, and downloaded where they are not all there."""
    folder = paths.downloads() / source.name / part
    names = sorted(path.name for path in folder.glob("*.parquet") if _SHARD.fullmatch(path.name))
    if not _complete(names):
        with downloads.told(source.name, f"the list of files of {source.hub}"):
            from huggingface_hub import HfApi

            revision = downloads.revision(source)
            listed = HfApi().list_repo_files(source.hub, repo_type="dataset", revision=revision)
        names = sorted(Path(name).name for name in listed if name.startswith(f"{part}/"))
        names = [name for name in names if _SHARD.fullmatch(name)]
    splits = {_SHARD.fullmatch(name)["split"] for name in names}
    if not _complete(names) or (len(splits) > 1 and "dev" not in splits):
        raise KitError(f"{source.hub} has no complete {part}/dev-*.parquet; put a copy of its files into {folder}.")
    chosen = [name for name in names if len(splits) == 1 or name.startswith("dev-")]
    return [downloads.locked(source, f"{part}/{name}") for name in chosen]


def _complete(names: Sequence[str]) -> bool:
    """Whether these are all shards of their splits, as their names count them."""
    found: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if shard := _SHARD.fullmatch(name):
            found.setdefault((shard["split"], int(shard["all"])), set()).add(int(shard["number"]))
    return bool(found) and all(numbers == set(range(every)) for (_, every), numbers in found.items())

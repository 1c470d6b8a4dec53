"""The museum as training pairs and as a retrieval benchmark, in the shape of XQuAD-R.

A question asks for one fact of one exhibit; the passage is the sentence that states it. The other
sentences of the exhibit are its explicit negatives.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from hybridkit import paths
from hybridkit.corpora.benchmark import Benchmark, make_benchmark
from hybridkit.corpora.pairs import TrainingPairs, make_pairs
from hybridkit.languages import XQUAD_R
from hybridkit.museum import lexicon as lexicon_module
from hybridkit.museum import world
from hybridkit.museum.lexicon import lexicon

LICENCE = "CC0 1.0 (made by this kit)"


def content_key(*what: object) -> str:
    """A key that changes with the lexicons, with the code that reads them, and with what is asked for."""
    digest = hashlib.sha256(repr(what).encode())
    folder = Path(lexicon_module.__file__).parent
    sources = [Path(__file__), Path(world.__file__), Path(lexicon_module.__file__), *folder.glob("lexicons/*.yaml")]
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _names(exhibits: Sequence[world.Exhibit], languages: Sequence[str]) -> dict[str, frozenset[str]]:
    """Every person's name by language, first and last names apart: none may be shared between splits."""
    people = [e.maker for e in exhibits] + [e.facts["workshop"] for e in exhibits if "workshop" in e.facts]
    return {code: frozenset(part for p in people for part in lexicon(code).name_parts(p)) for code in languages}


def training_pairs(exhibits: int) -> TrainingPairs:
    """The training split with this many exhibits, in all eleven languages, six rows an exhibit.

    Built at first use and kept in the cache, keyed by its content.
    """
    folder = paths.cache() / "museum" / content_key("train", exhibits)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        return TrainingPairs.open(folder) if (folder / "about.json").exists() else _build(folder, exhibits)


def _build(folder: Path, exhibits: int) -> TrainingPairs:
    catalogue = world.generate("train", exhibits)
    facts = [(exhibit, kind) for exhibit in catalogue for kind in exhibit.facts]
    per = world.FACTS_PER_EXHIBIT
    return make_pairs(
        folder,
        name="museum",
        licence=LICENCE,
        query_ids=[f"{e.id}:{kind}" for e, kind in facts],
        query_texts={c: [lexicon(c).question(e, kind) for e, kind in facts] for c in XQUAD_R},
        passage_ids=[f"{e.id}:{kind}" for e, kind in facts],
        passage_texts={c: [lexicon(c).sentence(e, kind) for e, kind in facts] for c in XQUAD_R},
        query=range(len(facts)),
        positive=range(len(facts)),
        negatives=[[n for n in range(i - i % per, i - i % per + per) if n != i] for i in range(len(facts))],
        names=_names(catalogue, XQUAD_R),
    )


def benchmark(exhibits: int, languages: Sequence[str] = XQUAD_R) -> Benchmark:
    """The evaluation split as a benchmark: every sentence is a candidate, one is relevant in each language."""
    catalogue = world.generate("evaluation", exhibits)
    facts = [(exhibit, kind) for exhibit in catalogue for kind in exhibit.facts]
    rows = [(code, f"{e.id}:{kind}", e, kind) for code in languages for e, kind in facts]
    ids = [f"{code}:{fact}" for code, fact, _, _ in rows]
    return make_benchmark(
        name="museum",
        licence=LICENCE,
        query_ids=ids,
        query_texts=[lexicon(code).question(e, kind) for code, _, e, kind in rows],
        query_languages=[code for code, *_ in rows],
        questions=[fact for _, fact, _, _ in rows],
        candidate_ids=ids,
        candidate_texts=[lexicon(code).sentence(e, kind) for code, _, e, kind in rows],
        candidate_languages=[code for code, *_ in rows],
        relevance=[(f"{asked}:{fact}", f"{code}:{fact}") for asked, fact, _, _ in rows for code in languages],
        names=_names(catalogue, languages),
    )

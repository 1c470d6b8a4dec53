"""The museum's own inference and topics: tasks that need no data, in the roles of XNLI and MLDoc.

Inference: a premise states one fact of an exhibit. The same fact in other words is entailed; with another value in its
place it is contradicted; another fact of the same exhibit is neutral. Topics: a sentence belongs to the department
that keeps the exhibit's object. Heads are trained on exhibits of the training split and tested on the evaluation
split, which shares no person and no combination of object, material and town with it.
The sentences of the evaluation split with their translations are a benchmark of parallel sentences, too.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from hybridkit.corpora.benchmark import Benchmark
from hybridkit.corpora.museum import LICENCE
from hybridkit.languages import XQUAD_R
from hybridkit.museum.lexicon import Lexicon, lexicon
from hybridkit.museum.world import Exhibit, generate
from hybridkit.streams import Stream
from hybridkit.transfer import parallel
from hybridkit.transfer.tasks import Labelled, Part, make_labelled, part

if TYPE_CHECKING:
    from hybridkit.corpora.catalogue import Source
    from hybridkit.params import Parameters

RELATIONS = ("entailment", "neutral", "contradiction")
#: The museum's departments, and the objects that each keeps.
DEPARTMENTS = {
    "jewellery": "ring comb mirror crown necklace bracelet".split(),
    "arms": "sword shield helmet".split(),
    "music": "bell flute drum".split(),
    "table": "bowl cup plate spoon knife vase teapot".split(),
    "furniture": "clock lamp key chair candlestick box inkwell table".split(),
    "figures": "mask horse doll".split(),
}
_DEPARTMENT_OF = {thing: department for department, things in DEPARTMENTS.items() for thing in things}
#: Exhibits that the heads are trained on; the last fifth chooses their C.
TRAIN = 1500


def inference(train: int = TRAIN, test: int = 400, languages: Sequence[str] = XQUAD_R) -> Labelled:
    """Three pairs an exhibit, one of each relation to the same premise, for `train` and `test` exhibits.

    The hypotheses are worded by draws of their own, and a contradiction is the entailed sentence with nothing but the
    value changed, so that neither a hypothesis alone nor its wording gives the relation away.
    """
    parts = {}
    for split, exhibits in _splits(train, test).items():
        facts = [_drawn(exhibit, exhibits) for exhibit in exhibits]
        for code in languages:
            pairs = [pair for fact in facts for pair in _pairs(*fact, lexicon(code))]
            parts[code, split] = _part(pairs)
    return make_labelled("museum-inference", LICENCE, RELATIONS, parts)


def topics(train: int = TRAIN, test: int = 1000, languages: Sequence[str] = XQUAD_R) -> Labelled:
    """One sentence an exhibit, drawn of its facts, and the department of its object."""
    parts = {}
    for split, exhibits in _splits(train, test).items():
        labels = [_DEPARTMENT_OF[exhibit.object] for exhibit in exhibits]
        kinds = [list(e.facts)[Stream("topic", e.id).integer(len(e.facts))] for e in exhibits]
        for code in languages:
            texts = [lexicon(code).sentence(e, kind) for e, kind in zip(exhibits, kinds, strict=True)]
            parts[code, split] = part(texts, labels)
    return make_labelled("museum-topics", LICENCE, tuple(DEPARTMENTS), parts)


def sentences(exhibits: int = 50, languages: Sequence[str] = XQUAD_R) -> Benchmark:
    """All facts of exhibits of the evaluation split as parallel sentences (`parallel.benchmark`), six an exhibit."""
    facts = [(exhibit, kind) for exhibit in generate("evaluation", exhibits) for kind in exhibit.facts]
    texts = {code: [lexicon(code).sentence(*fact) for fact in facts] for code in languages}
    return parallel.benchmark("museum-sentences", LICENCE, [f"{e.id}:{kind}" for e, kind in facts], texts)


def _splits(train: int, test: int) -> dict[str, list[Exhibit]]:
    exhibits = generate("train", train)
    cut = train - train // 5
    return {"train": exhibits[:cut], "dev": exhibits[cut:], "test": generate("evaluation", test)}


def _drawn(exhibit: Exhibit, others: Sequence[Exhibit]) -> tuple[Exhibit, str, str, Exhibit]:
    """An exhibit, the kind of a premise, another kind, and the exhibit with a value of another's in the premise's place.

    A value of the same split's exhibits: names of persons are of that split alone.
    """
    stream = Stream("inference", exhibit.id)
    kinds = list(exhibit.facts)
    stated, other = (kinds[i] for i in stream.permutation(len(kinds))[:2])
    value = exhibit.facts[stated]
    while value == exhibit.facts[stated]:
        value = others[stream.integer(len(others))].facts.get(stated, value)
    return exhibit, stated, other, replace(exhibit, facts=exhibit.facts | {stated: value})


def _pairs(exhibit: Exhibit, stated: str, other: str, changed: Exhibit, lex: Lexicon) -> list[tuple[str, str, str]]:
    """Premise, hypothesis and relation, one of each."""
    premise = lex.sentence(exhibit, stated)
    # The wording hangs on the exhibit's id: under another id the same fact comes in other words.
    names = (f"{exhibit.id}:again:{number}" for number in count())
    again = next(one for one in names if lex.sentence(replace(exhibit, id=one), stated) != premise)
    hypotheses = (
        lex.sentence(replace(exhibit, id=again), stated),
        lex.sentence(replace(exhibit, id=again), other),
        lex.sentence(replace(changed, id=again), stated),
    )
    return [(premise, text, relation) for text, relation in zip(hypotheses, RELATIONS, strict=True)]


def _part(pairs: Sequence[tuple[str, str, str]]) -> Part:
    premises, hypotheses, relations = zip(*pairs, strict=True)
    return part(premises, relations, hypotheses)


def load_labelled(source: "Source", parameters: "Parameters", languages: Sequence[str] = ()) -> Labelled:
    """For the catalogue: the task of this name."""
    make = {"museum-inference": inference, "museum-topics": topics}[source.name]
    return make(languages=languages or XQUAD_R)

"""The museum: facts, languages, and what makes it a fair benchmark."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkit.corpora import museum
from hybridkit.errors import KitError
from hybridkit.languages import XQUAD_R, language
from hybridkit.museum import world
from hybridkit.museum.lexicon import SLOT, lexicon, problems
from hybridkit.museum.review import sheet

EXHIBITS = 150


@pytest.fixture(scope="module")
def evaluation():
    return museum.benchmark(EXHIBITS)


@pytest.mark.parametrize("code", XQUAD_R)
def test_lexicon_is_sound(code):
    """All concepts, distinct words, every form used, every template with its slots."""
    assert problems(lexicon(code).data) == []


@pytest.mark.parametrize("code", XQUAD_R)
def test_status_is_told_and_review_sheet_shows_every_word_and_template(code):
    lex = lexicon(code)
    assert lex.status in ("machine-written", "reviewed by a speaker")
    text = sheet(code)
    assert lex.status in text
    for category, concepts in world.CONCEPTS.items():
        for concept in concepts:
            entry = lex.data[category][concept]
            for word in [entry] if isinstance(entry, str) else entry.values():
                assert word in text
    for parts in lex.data["facts"].values():
        assert all(template in text for template in parts["sentences"] + parts["questions"])


@pytest.mark.parametrize("code", XQUAD_R)
def test_texts_are_in_their_script_and_no_slot_is_left(code):
    script = language(code).script
    for exhibit in world.generate("evaluation", 60):
        for kind in exhibit.facts:
            for text in (lexicon(code).sentence(exhibit, kind), lexicon(code).question(exhibit, kind)):
                assert "{" not in text and "}" not in text and "  " not in text and text == text.strip()
                letters = [c for c in text if unicodedata.category(c)[0] == "L"]
                assert letters
                foreign = [c for c in letters if script not in unicodedata.name(c)]
                assert not foreign, f"{foreign} in {text!r}"
                assert text == unicodedata.normalize("NFC", text)


def test_every_lexicon_entry_is_used():
    exhibits = world.generate("train", 1500)
    for category, concepts in world.CONCEPTS.items():
        seen = {
            getattr(e, category) if category in ("object", "material", "town") else e.facts.get(category)
            for e in exhibits
        }
        assert set(concepts) <= seen


def test_every_template_is_used():
    """With the 1,500 exhibits of the tiny profile, each way to say a fact is said."""
    from hybridkit.streams import Stream

    made = world.generate("train", 300)
    for code in ("en", "th"):
        for kind in world.KINDS:
            for part in ("sentences", "questions"):
                count = len(lexicon(code).data["facts"][kind][part])
                drawn = {
                    Stream("template", e.id, kind, part, code).integer(count)
                    for e in made
                    if kind in e.facts
                }
                assert drawn == set(range(count))


@given(seed=st.integers(0, 2**31), exhibits=st.integers(1, 60))
@settings(max_examples=10, deadline=None)
def test_no_two_facts_collide_and_generation_is_repeatable(seed, exhibits):
    made = world.generate("train", exhibits, seed)
    assert made == world.generate("train", exhibits, seed)
    assert len({e.maker for e in made}) == len({e.id for e in made}) == exhibits
    assert all(len(e.facts) == world.FACTS_PER_EXHIBIT for e in made)
    assert made == world.generate("train", 60, seed)[:exhibits]


def test_world_is_the_same_everywhere():
    """Golden: the first exhibit on any machine, with any version of the libraries."""
    first = world.generate("evaluation", 1)[0]
    assert (first.object, first.material, first.town) == GOLDEN[:3]
    assert (first.maker, tuple(first.facts)) == GOLDEN[3:]


GOLDEN = (
    "chair",
    "tin",
    "seoul",
    world.Person(first=("da", "vo"), last=("na", "bo", "go")),
    ("year", "find", "motif", "room", "workshop", "donor"),
)


def test_splits_share_no_name_and_no_exhibit():
    train, evaluation = (world.generate(split, 2000) for split in world.SPLITS)

    def people(exhibits):
        return [e.maker for e in exhibits] + [e.facts["workshop"] for e in exhibits if "workshop" in e.facts]

    for part in ("first", "last"):
        ours = {getattr(p, part) for p in people(train)}
        theirs = {getattr(p, part) for p in people(evaluation)}
        assert ours and theirs and not ours & theirs
    things = [{(e.object, e.material, e.town) for e in exhibits} for exhibits in (train, evaluation)]
    assert all(things) and not things[0] & things[1]


@pytest.mark.parametrize("code", XQUAD_R)
def test_names_stay_distinct_when_written(code):
    """Two people who differ are written differently, in every script."""
    people = {p for e in world.generate("train", 3000) for p in [e.maker]}
    assert len({lexicon(code).name(p) for p in people}) == len(people)


def test_avoided_words_are_no_part_of_a_name():
    for split in world.SPLITS:
        for names in world._names(split):
            spelt = ["".join(name) for name in names]
            assert spelt and not [n for n in spelt for avoided in ("nazi", "gamo", "mariko") if avoided in n]


def test_an_exhibit_was_bought_or_given():
    assert all(("price" in e.facts) != ("donor" in e.facts) for e in world.generate("train", 300))


def test_every_question_has_one_relevant_sentence_a_language(evaluation):
    golds = {}
    for query, candidate in zip(evaluation.gold_query, evaluation.gold_candidate, strict=True):
        golds.setdefault(query, []).append(evaluation.candidate_languages[candidate])
    assert len(golds) == len(evaluation.query_ids) == EXHIBITS * 6 * 11
    assert all(sorted(found) == sorted(XQUAD_R) for found in golds.values())
    # No other sentence could answer: all sentences of a language are different texts.
    texts = list(zip(evaluation.candidate_languages, evaluation.candidate_texts, strict=True))
    assert len(set(texts)) == len(texts)


def test_training_pairs_are_joined_and_negatives_are_of_the_same_exhibit(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path))
    pairs = museum.training_pairs(100)
    assert len(pairs.query) == 600 and set(pairs.languages) == set(XQUAD_R)
    ids = pairs.passages.ids
    for row in (0, 7, 599):
        own = ids[pairs.positive[row]]
        others = [ids[p] for p in pairs.negatives[pairs.negative_offsets[row] : pairs.negative_offsets[row + 1]]]
        assert len(others) == 5 and own not in others
        assert {other.split(":")[0] for other in others} == {own.split(":")[0]}
    assert museum.training_pairs(100).fingerprint == pairs.fingerprint


@pytest.mark.parametrize("exhibits", [0, 50_001])
def test_size_out_of_range_is_told(exhibits):
    with pytest.raises(KitError, match="1 to 50,000 exhibits"):
        world.generate("train", exhibits)


def test_unknown_language_and_split_are_told():
    with pytest.raises(KitError, match="no language 'xx'"):
        lexicon("xx")
    with pytest.raises(KitError, match="'test'"):
        world.generate("test", 5)


def test_problems_are_found():
    """The checker finds what it is there to find."""
    import copy

    sound = lexicon("en").data
    for change, told in [
        (lambda d: d["object"].pop("clock"), "clock is missing"),
        (lambda d: d["object"].update(bell="clock"), "are both 'clock'"),
        (lambda d: d["object"].update(clock="clock "), "not a trimmed text"),
        (lambda d: d["facts"]["room"]["sentences"].append("{exhibit} stands."), "needs {exhibit}, and {room}"),
        (lambda d: d["facts"]["room"]["questions"].append("Where is {exhibit}"), "does not end in '?'"),
        (lambda d: d["facts"]["room"]["questions"].append("Where is {exhibit.dat}?"), "exhibit has no form 'dat'"),
        (lambda d: d["facts"]["room"]["sentences"].append("{exhibit} stood {room.in}."), "room has no form 'in'"),
        (lambda d: d["exhibit"].append("the {object} by {maker}"), "once each"),
        (lambda d: d["facts"].pop("year"), "the kind year is missing"),
        (lambda d: d["names"].update(syllables={"ba": "ba"}), "missing or unknown"),
        (lambda d: d.update(agreement={"old": {"m": "old"}}), "no template uses old"),
    ]:
        data = copy.deepcopy(sound)
        change(data)
        assert any(told in problem for problem in problems(data)), told


def test_slots_are_read():
    assert SLOT.findall("{exhibit.nom} {was@object} {room}") == [
        ("exhibit", "nom", ""),
        ("was", "", "object"),
        ("room", "", ""),
    ]

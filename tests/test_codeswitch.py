"""Code-switching: the rule, the museum's lexicon, lexicons of a user, and what training makes of it."""

import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from hybridkit import cli, codeswitch, lexicons, paths, runs
from hybridkit.codeswitch import Switching, realised
from hybridkit.corpora import museum
from hybridkit.errors import KitError, KitWarning
from hybridkit.languages import TRAINED, XQUAD_R
from hybridkit.museum import world
from hybridkit.museum.lexicon import Lexicon, lexicon
from hybridkit.params import for_run
from hybridkit.rendering import render
from hybridkit.runs import Run
from hybridkit.sampling import BatchPlan

EXHIBITS = world.generate("train", 40)
PARTS = ("sentence", "question")


def museum_texts(code, exhibits=EXHIBITS):
    return [getattr(lexicon(code), part)(e, kind) for e in exhibits for kind in e.facts for part in PARTS]


def both(probability, *targets, **more):
    return Switching(probability, query_to=targets, passage_to=targets, **more)


def write(folder, name, text, **more):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(text, encoding="utf-8", **more)
    return str(folder)


# The rule


@given(st.text(max_size=60), st.sampled_from(XQUAD_R), st.sampled_from(["word", "phrase"]))
def test_at_probability_0_any_text_stays_byte_for_byte(text, code, by):
    assert both(0.0, *XQUAD_R, by=by).text(text, code).text == text


@pytest.mark.parametrize("code", XQUAD_R)
def test_at_probability_0_texts_of_the_museum_stay(code):
    for number, text in enumerate(museum_texts(code)):
        done = both(0.0, *XQUAD_R).text(text, code, "positive", 3, number)
        assert done.text == text and done.switched == done.switched_letters == 0 < done.words


def by_hand(text, source, target):
    """An independent reading of the rule for words between spaces in scripts whose letters are all \\w: no capitals kept."""
    words = {form.lower(): None for forms in lexicons.museum_words(source).values() for form in forms.values()}
    for concept, forms in lexicons.museum_words(source).items():
        others = lexicons.museum_words(target)[concept]
        for name, form in forms.items():
            if words[form.lower()] is None:
                words[form.lower()] = others.get(name, others.get("bare", next(iter(others.values()))))
    if source == "tr":
        words = {form.replace("İ", "i").replace("i̇", "i"): other for form, other in words.items()}
    lowered = (lambda w: w.replace("I", "ı").replace("İ", "i").lower()) if source == "tr" else str.lower
    return "".join(words.get(lowered(word), word) for word in re.findall(r"\w+|\W+", text))


@pytest.mark.parametrize(
    ("source", "target"), [*product(["de", "el", "en", "es", "ru", "tr"], ["ar", "hi", "vi", "zh"])]
)
def test_at_probability_1_every_word_of_the_lexicon_is_switched(source, target):
    known = 0
    for text in museum_texts(source):
        done = both(1.0, target).text(text, source)
        assert done.text.lower() == by_hand(text, source, target).lower()
        assert done.switched == done.known
        known += done.known
    assert known > 200


@pytest.mark.parametrize(
    ("text", "by_word", "by_phrase"),
    [
        ("the guide's well-known book", "the Führer's gut-bekannt Buch", "the Führer's gut-bekannt Buch"),
        ("the x-ray book", "the x-Strahl Buch", "the Röntgenbild Buch"),
        ("the x ray book", "the x Strahl Buch", "the Röntgenbild Buch"),
        ("the x, ray book", "the x, Strahl Buch", "the x, Strahl Buch"),
        ("I don't, I don’t", "I don't, I don’t", "I nicht, I nicht"),
    ],
)
def test_apostrophes_and_hyphens_part_words_and_stay(tmp_path, text, by_word, by_phrase):
    entries = "x-ray Röntgenbild|ray Strahl|guide Führer|book Buch|well gut|known bekannt|don't nicht"
    folder = write(tmp_path / "own", "en-de", entries.replace("|", "\n"))
    for by, expected in (("word", by_word), ("phrase", by_phrase)):
        assert both(1.0, "de", lexicons=folder, by=by).text(text, "en").text == expected


def test_an_ending_after_an_apostrophe_stays_behind():
    assert both(1.0, "de").text("Lizbon'daki saat nerede?", "tr").text == "Lissabon'daki Uhr nerede?"


WORDS = {
    "en": ["clock", "tower", "Lisbon", "Ring", "glass"],
    "ar": ["ساعة", "برج", "زجاج", "القاهرة"],
    "hi": ["घड़ी", "काँच", "मीनार"],
    "zh": ["时钟", "塔楼", "玻璃", "里斯本工"],
    "th": ["นาฬิกา", "หอคอย", "แก้ว"],
}
OTHERS = {"en": ["stands", "O'Hara", "x-ray", "Hido", "1923", "时", "β"], "ar": ["يقف", "في", "Hido"]}
OTHERS |= {"hi": ["में", "खड़ी", "है"], "zh": ["在", "的", "Hido", "１"], "th": ["อยู่", "ใน", "Hido"]}
BETWEEN = {code: [" ", ", ", ". ", "“", " (", "?\n", "—"] for code in WORDS} | {
    "zh": ["", "、", " "],
    "th": ["", " ", "ฯ "],
}


@pytest.fixture(scope="module")
def invented(tmp_path_factory):
    """A folder of lexicons from each language to each other, in which a word's translation names the language."""
    folder = tmp_path_factory.mktemp("lexicons")
    for source, target in product(WORDS, WORDS):
        rows = [f"{word.lower()}\t{translation(word, target)}" for word in WORDS[source]]
        write(folder, f"{source}-{target}", "\n".join(rows))
    return str(folder)


def translation(word, target):
    letters = {"en": "q", "ar": "ق", "hi": "क", "zh": "翻", "th": "ก"}[target]
    return letters * (2 + len(word))


@given(st.data(), st.sampled_from(list(WORDS)), st.sampled_from(list(WORDS)))
def test_random_texts_are_switched_word_by_word(invented, data, source, target):
    """Texts are put together from words in and out of the lexicon, so what comes out can be put together alike."""
    pieces = data.draw(
        st.lists(st.tuples(st.sampled_from(WORDS[source] + OTHERS[source]), st.sampled_from(BETWEEN[source])))
    )
    text = "".join(word + between for word, between in pieces)
    wanted, known = "", 0
    for word, between in pieces:
        if source != target and word in WORDS[source]:
            word, known = translation(word, target), known + 1
        wanted += word + between
    done = both(1.0, target, lexicons=invented).text(text, source)
    # Where words have no spaces, one is put between a switched word and its neighbour; capitals have a test of their own.
    bare = (lambda t: t.replace(" ", "").lower()) if source in ("zh", "th") else str.lower
    assert bare(done.text) == bare(wanted)
    assert done.known == done.switched == known
    assert both(0.0, target, lexicons=invented).text(text, source).text == text


@given(st.text(max_size=40), st.sampled_from(list(WORDS)), st.floats(0, 1), st.integers(0, 2**32), st.booleans())
def test_any_text_can_be_switched_and_counts_agree(invented, text, code, probability, seed, phrases):
    by = "phrase" if phrases else "word"
    done = both(probability, *WORDS, lexicons=invented, seed=seed, by=by).text(text, code)
    assert 0 <= done.switched <= done.known <= done.words and 0 <= done.switched_letters <= done.letters <= len(text)
    assert done.switched or done.text == text
    assert (probability < 1) or done.switched == done.known


class Marked(Lexicon):
    """Shows where slots were filled: with concepts between ⟦ ⟧, with people's names between ⟪ ⟫."""

    def _value(self, slot, form, exhibit):
        text = super()._value(slot, form, exhibit)
        if slot in ("maker", "workshop"):
            return f"⟪{text}⟫"
        return text if slot in ("year", "price") else f"⟦{text}⟧"


def slots_of(marked):
    """The text without marks, and for each character whether it is of a concept (its number), a name (-1), or neither."""
    text, of, number, inside = "", [], 0, 0
    for character in marked:
        if character in "⟦⟪":
            number += 1
            inside = number if character == "⟦" else -1
        elif character in "⟧⟫":
            inside = 0
        else:
            text, of = text + character, [*of, inside]
    return text, of


@pytest.mark.parametrize("code", XQUAD_R)
def test_no_switch_crosses_the_slots_of_the_museum(code):
    """What is found in a text lies in one slot, or in none; never in a name; and most slots hold something found."""
    marked, found, filled = Marked(lexicon(code).data), 0, 0
    table = lexicons.table("museum", code, "en" if code != "en" else "de")
    for exhibit in EXHIBITS:
        for kind, part in product(exhibit.facts, PARTS):
            text, of = slots_of(getattr(marked, part)(exhibit, kind))
            parts, touched = lexicons.atoms(text, code), set()
            for entry in codeswitch._entries(text, parts, [("en", table)], [0.0] * len(parts), "phrase"):
                place = range(parts[entry.at].start, parts[entry.at + entry.length - 1].end)
                # The feminine ending of an Arabic adjective stands in the template, behind the slot.
                slots = {of[at] for at in (place[:-1] if code == "ar" and text[place[-1]] == "ة" else place)}
                assert len(slots) == 1 and -1 not in slots, (text, text[place[0] : place[-1] + 1])
                touched |= slots - {0}
            found, filled = found + len(touched), filled + len(set(of) - {0, -1})
    # A third of the German exhibits is a compound (Glasuhr), which no entry fits.
    assert found / filled > (0.8 if code == "de" else 0.97)


def test_words_come_from_the_table_of_a_target_alone():
    """In a German text that goes to Thai and Arabic at probability 1, only Latin, Thai and Arabic letters stand."""
    scripts = Counter()
    for number, text in enumerate(museum_texts("de")):
        done = both(1.0, "th", "ar", "de").text(text, "de", place=number).text
        for character in filter(str.isalpha, done):
            name = unicodedata.name(character)
            scripts[next((s for s in ("LATIN", "THAI", "ARABIC") if s in name), character)] += 1
    assert set(scripts) == {"LATIN", "THAI", "ARABIC"}


def test_a_foreign_name_in_a_text_is_left_alone(tmp_path):
    folder = write(tmp_path, "de-ru", "ring кольцо\nим они\nтовер x")
    write(tmp_path, "zh-de", "鼓\tTrommel\ni\tfalsch\n北京\tPeking")
    done = both(1.0, "ru", "de", lexicons=folder)
    write(tmp_path, "de-de", "never read")
    assert both(1.0, "ru", lexicons=folder).text("Der Ring von Товер und Ringo 北京.", "de").text == (
        "Der кольцо von x und Ringo 北京."
    ), "товер stands in the lexicon as a word, Ringo and 北京 do not"
    assert both(1.0, "de", lexicons=folder).text("北京的 Spirit鼓i", "zh").text == "Peking 的 Spirit Trommel falsch"
    assert done.text("", "de").text == ""


def test_a_languages_own_words_stay():
    text = "The glass clock stands in the tower."
    assert both(1.0, "en").text(text, "en") == codeswitch.Switched(text, 7, letters=29)
    assert both(1.0, "en", "de").text(text, "en").text == "The Glas Uhr stands in the Turm."
    assert Switching(1.0, query_to=("de",)).text(text, "en", "positive").text == text
    assert Switching(1.0, passage_to=("de",)).text(text, "en", "negative_2").text != text


@pytest.mark.parametrize(
    ("source", "target", "by", "text", "wanted"),
    [
        ("en", "es", "word", "Clock! A blue room, LISBON.", "Reloj! A blue room, Lisboa."),
        ("en", "es", "phrase", "In the blue  room, by a bakers’ guild.", "In the sala azul, by a gremio de panaderos."),
        ("en", "es", "phrase", "Winter, garden; winter\ngarden", "Winter, jardín; jardín de invierno"),
        ("en", "tr", "word", "Istanbul, Clock, clock, Horse", "İstanbul, Saat, saat, At"),
        ("tr", "en", "word", "İSTANBUL'DA IŞIK. Yılan: YILAN", "Istanbul'DA IŞIK. Snake: Snake"),
        ("de", "en", "word", "Uhr: die Uhr in Lissabon", "Clock: die clock in Lisbon"),
        ("zh", "de", "word", "里斯本工匠制作的玻璃时钟。", "Lissabon 工匠制作的 Glas Uhr。"),
        ("zh", "th", "word", "里斯本工匠制作的玻璃时钟。", "กรุงลิสบอน工匠制作的แก้วนาฬิกา。"),
        ("th", "zh", "word", "ในห้องสีน้ำเงิน เงิน", "ใน蓝厅 银质"),
        ("th", "en", "word", "แจกันหินอ่อน หิน", "vase marble stone"),
        ("en", "de", "phrase", "Railway workers, an old trunk", "Eisenbahner, an alten Truhe"),
        ("vi", "en", "word", "Chiếc đồng hồ bằng thủy tinh", "Chiếc clock bằng glass"),
        ("ar", "en", "word", "الساعة الزجاجية، ساعة في برلين؟", "clock glass، clock في Berlin؟"),
        ("hi", "en", "word", "काँच की घड़ी।", "glass की clock।"),
        ("ru", "tr", "word", "Нет часов из стекла", "Нет saatin из cam"),
    ],
)
def test_examples(source, target, by, text, wanted):
    assert both(1.0, target, by=by).text(text, source).text == wanted


def test_composed_and_decomposed_letters_are_one():
    assert [len(lexicons.atoms(word, "fa")) for word in ("می\u200cخواهم", "می خواهم")] == [1, 2], (
        "a joiner parts no word"
    )
    assert (
        both(1.0, "en").text("el jarro\u0301n", "es").text == both(1.0, "en").text("el jarrón", "es").text == "el vase"
    )


@pytest.mark.parametrize("text", ["İstanbul ve YILAN", "I\u0307stanbul ve YILAN"])
def test_a_turkish_capital_with_a_dot_is_one_letter_or_two(text):
    assert both(1.0, "en").text(text, "tr").text == "Istanbul ve Snake"


def test_marks_of_scripts_beyond_the_first_plane_part_no_word():
    """Adlam, in which Fula is written: letters with a mark of length and of gemination."""
    text = "\U0001e900\U0001e944\U0001e925\U0001e945\U0001e929 \U0001e922"
    assert [one.end - one.start for one in lexicons.atoms(text, "ff")] == [5, 1]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_composed_and_decomposed_characters_are_one_where_words_have_no_spaces(tmp_path, form):
    """In a text (が may be か and a mark) and in a lexicon."""
    rows = "がっこう\tschool\nで\tat\n"
    folder = write(tmp_path, "ja-en", unicodedata.normalize(form, rows))
    for text in ("がっこうで", "か\u3099っこうて\u3099"):
        assert both(1.0, "en", lexicons=folder).text(text, "ja").text == "school at"


def test_capitals_of_scripts_that_have_none_of_their_own(tmp_path):
    """Georgian has capitals for whole words alone; a German ß becomes Ss."""
    write(tmp_path, "en-ka", "house სახლი")
    folder = write(tmp_path, "en-de", "house ßa")
    assert both(1.0, "ka", lexicons=folder).text("House", "en").text == "სახლი"
    assert both(1.0, "de", lexicons=folder).text("House", "en").text == "Ssa"


# What is drawn


def test_what_is_switched_at_one_probability_is_switched_alike_at_a_higher_one():
    """Over museum texts and nine targets: the words kept at p are kept at lower ones, the rest is the same."""
    for number, text in enumerate(museum_texts("en", EXHIBITS[:10])):
        ladder = [both(p, *TRAINED).text(text, "en", place=number) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
        assert [one.switched for one in ladder] == sorted(one.switched for one in ladder)
        assert len({(one.words, one.known, one.letters) for one in ladder}) == 1
        for less, more in pairwise(ladder):
            new = set(less.text.split()) - set(more.text.split())
            assert new <= set(text.split()), "what a lower probability has of its own are words of the text"


def test_streams_depend_on_seed_step_place_and_column():
    text = museum_texts("en")[0]
    names = [(0, 0, "query"), (0, 1, "query"), (1, 0, "query"), (0, 0, "positive"), (0, 0, "negative_1")]
    found = {
        seed: [both(0.5, *TRAINED, seed=seed).text(text, "en", c, s, p).text for s, p, c in names] for seed in (0, 1)
    }
    assert len({*found[0], *found[1]}) > 7


def test_one_language_an_example_for_each_side():
    """`each` "example": the words of one side have one language, of positive and negatives the same."""
    met = {code: set() for code in ("ar", "ru", "th")}
    for place, text in enumerate(museum_texts("en")[:60]):
        switching = both(1.0, "ar", "ru", "th", each="example")
        drawn = {}
        for column in ("query", "positive", "negative_1"):
            done = switching.text(text, "en", column, 2, place).text
            alone = [code for code in met if done == both(1.0, code).text(text, "en").text]
            assert len(alone) == 1
            drawn[column] = alone[0]
        assert drawn["positive"] == drawn["negative_1"]
        met[drawn["query"]].add(drawn["positive"])
    assert all(found == {"ar", "ru", "th"} for found in met.values()), "the two sides are drawn apart"


GOLDEN = """
import hashlib
from hybridkit.codeswitch import Switching
from hybridkit.languages import XQUAD_R
from hybridkit.museum import world
from hybridkit.museum.lexicon import lexicon
digest = hashlib.sha256()
switching = Switching(0.5, XQUAD_R, XQUAD_R, by="phrase", seed=7)
for place, exhibit in enumerate(world.generate("train", 5)):
    for code in XQUAD_R:
        for kind in exhibit.facts:
            digest.update(switching.text(lexicon(code).sentence(exhibit, kind), code, "positive", 3, place).text.encode())
print(digest.hexdigest())
"""


def test_the_same_bytes_from_another_process():
    found = []
    for seed in ("0", "1"):
        surroundings = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", GOLDEN]
        found.append(
            subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True).stdout.strip()
        )
    assert found == ["6282f20d39e9f435577986350d0ed30856062728516b7b7d3527df0cad02d962"] * 2


# Batches


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield museum.training_pairs(100)


def settings(**changes):
    small = {"museum_exhibits": 100, "batch_size": 16, "steps": 12, "explicit_negatives": 2}
    return for_run(mixture=changes.pop("mixture", "switched-hybrid-0.50"), overrides=small | changes)


def plan_of(parameters, data):
    return BatchPlan.from_parameters(parameters, [data]), Switching.from_parameters(parameters)


def test_positives_and_negatives_of_mono_batches_are_switched_and_the_plan_stays(data):
    parameters = settings()
    plan, switching = plan_of(parameters, data)
    mixture = {"mixture": "hybrid-0.50", "switch_probability": 0.0}
    other = BatchPlan.from_parameters(parameters.model_copy(update=mixture), [data])
    assert plan.fingerprint(range(12)) == other.fingerprint(range(12))
    seen = Counter()
    for step in range(12):
        slots = range(step * 16, step * 16 + 16)
        plain = render(other, slots, "Clock tower: ", "Glass: ")
        done = render(plan, slots, "Clock tower: ", "Glass: ", switching)
        for column, texts in done.items():
            prefix = "Clock tower: " if column == "query" else "Glass: "
            assert all(text.startswith(prefix) for text in texts), "prefixes are put on afterwards"
            changed = sum(one != two for one, two in zip(texts, plain[column], strict=True))
            assert (changed > 8) if plan.kind(step) == "mono" else (changed == 0)
        seen[plan.kind(step)] += 1
    assert min(seen["mono"], seen["cross"]) > 2


def test_some_slots_are_rendered_as_all_are(data):
    plan, switching = plan_of(settings(), data)
    whole = render(plan, range(48), "", "", switching)
    part = render(plan, [3, 17, 18, 47], "", "", switching)
    assert part == {column: [texts[at] for at in (3, 17, 18, 47)] for column, texts in whole.items()}


def test_a_batch_asks_for_no_table_of_a_language_to_itself(data, tmp_path):
    """Words of English batches go to German, of German ones to English; files from a language to itself need not be."""
    write(tmp_path, "en-de", "museum XXX")
    folder = write(tmp_path, "de-en", "museum YYY")
    plan, switching = plan_of(settings(
        languages=["de", "en"], switch_lexicons=folder, switch_query_to=["de", "en"], switch_passage_to=["de", "en"],
        switch_probability=1.0), data)  # fmt: skip
    done = " ".join(text for texts in render(plan, range(192), "", "", switching).values() for text in texts)
    plan_mono = [plan.step(step) for step in range(12) if plan.kind(step) == "mono"]
    assert {plan.languages[batch.query_language[0]] for batch in plan_mono} == {"de", "en"}
    assert done.count("XXX") > 20 and done.count("YYY") > 20


def test_all_kinds_are_switched_where_asked(data):
    plan, switching = plan_of(settings(switch_kinds="all", switch_passage_to=[]), data)
    table = realised(plan, switching, range(12)).set_index(["kind", "side"])
    assert table.loc["cross", "query"]["switched"] > 100 and table.loc["mono", "query"]["switched"] > 100
    assert table.loc["cross", "passage"]["switched"] == table.loc["mono", "passage"]["switched"] == 0
    assert table.loc["cross", "passage"]["words"] > 1000


@pytest.mark.parametrize("probability", [0.25, 0.5, 1.0])
def test_the_realised_share_lies_within_binomial_bounds(data, probability):
    plan, switching = plan_of(settings(mixture="switched-0.50", switch_probability=probability), data)
    table = realised(plan, switching, range(12)).set_index("side")
    for side in ("query", "passage", "both"):
        row = table.loc[side]
        low, high = binom.interval(1 - 1e-6, row["known"], probability) if probability < 1 else [row["known"]] * 2
        assert low <= row["switched"] <= high and row["known"] > 500
        assert row["of_words"] == pytest.approx(row["switched"] / row["words"])
        assert row["of_known"] == pytest.approx(row["switched"] / row["known"])
    assert (table.loc["query"][["texts", "words"]] + table.loc["passage"][["texts", "words"]]).tolist() == (
        table.loc["both"][["texts", "words"]].tolist()
    )
    assert table.loc["both"]["texts"] == 12 * 16 * 4


def test_languages_are_drawn_evenly():
    """A chi-square-like bound: no target of ten has a share of the words far from a tenth."""
    count = Counter()
    for place, text in enumerate(museum_texts("en")):
        parts = lexicons.atoms(text, "en")
        targets = [code for code in XQUAD_R if code != "en"]
        draws = codeswitch.Stream("switch", 0, 0, place, "query").uniform(2 * len(parts)).tolist()
        tables = [(code, lexicons.table("museum", "en", code)) for code in targets]
        count.update(entry.code for entry in codeswitch._entries(text, parts, tables, draws[1::2], "word"))
    total = sum(count.values())
    assert len(count) == 10
    assert all(abs(found - total / 10) < 5 * (total * 0.09) ** 0.5 for found in count.values())


# Lexicons of a user


def test_files_of_muse_and_their_odd_rows(tmp_path):
    rows = [
        "the der",
        "the die",
        "",
        "house\thaus",
        "new york\tgroße stadt",
        "Café  kaffee ",
        "one two three",
        "alone",
        "\tx",
    ]
    folder = write(tmp_path, "en-de", "\ufeff" + "\r\n".join(rows), newline="")
    with pytest.warns(
        KitWarning, match=r"3 of 8 lines of .*en-de.txt are no pair of words and left out; the first is line 7"
    ):
        table = lexicons.table(folder, "en", "de")
    assert table.entries == {"the": "der", "house": "haus", "new york": "große stadt", "café": "kaffee"}
    with pytest.warns(KitWarning):
        switching = both(1.0, "de", lexicons=folder)
        assert switching.text("The House in New York: CAFÉ!", "en").text == "Der Haus in New York: Kaffee!"
        switching = both(1.0, "de", lexicons=folder, by="phrase")
        assert switching.text("A house in New York.", "en").text == "A haus in Große stadt."


def test_a_line_of_a_lexicon_ends_where_lines_of_files_end(tmp_path):
    """Not at the other signs at which str.splitlines() parts a text; a no-break space parts words like any other."""
    folder = write(
        tmp_path,
        "en-de",
        "clock uhr\x85\nhouse\u2028s\thaus\nwinter garden\twinter\u00a0garten\rred rot\r\n",
        newline="",
    )
    table = lexicons.table(folder, "en", "de")
    assert table.entries == {"clock": "uhr", "house s": "haus", "winter garden": "winter\u00a0garten", "red": "rot"}


def test_a_lexicon_that_was_changed_is_read_anew(tmp_path):
    found = []
    for word in ("haus", "heim"):
        found.append(both(1.0, "de", lexicons=write(tmp_path, "en-de", f"house {word}")).text("A house.", "en").text)
    assert found == ["A haus.", "A heim."]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no pair: write a word and its translation a line, separated by a space or a tab"),
        (b"alone\na b c\n", "holds no pair"),
        (b"caf\xe9 kaffee\n", r"cannot be read \(it is no UTF-8 text\): write a pair a line"),
    ],
)
def test_files_that_are_no_lexicon(tmp_path, content, said):
    (tmp_path / "en-de.txt").write_bytes(content)
    with pytest.raises(KitError, match=rf"The lexicon .*en-de.txt {said}"):
        lexicons.table(str(tmp_path), "en", "de")


def test_a_language_that_would_be_switched_to_itself_alone():
    parameters = settings(mixture="switched-0.50", languages=["de"], switch_query_to=["de"], switch_passage_to=[])
    with pytest.raises(KitError, match="name de alone, the only language that is trained on, so nothing"):
        Switching.from_parameters(parameters)
    assert codeswitch.check_lexicons(parameters.model_copy(update={"switch_passage_to": ["en"]}))


def test_a_folder_of_lexicons_is_passed_on_by_its_whole_path(tmp_path, monkeypatch):
    """Notebooks run in another folder than the one in which a command was given."""
    write(tmp_path / "mine", "de-en", "uhr clock")
    monkeypatch.chdir(tmp_path)
    overrides = ['languages=["de"]', 'switch_query_to=["en"]', "switch_passage_to=[]", "switch_lexicons=mine"]
    found = cli._parameters("tiny", "switched-0.50", 0, None, overrides)
    assert found.switch_lexicons == str(tmp_path / "mine")
    assert cli._parameters("tiny", "switched-0.50", 0, None, []).switch_lexicons == "museum"


def test_missing_files_are_named_before_anything_is_trained(tmp_path):
    folder = write(tmp_path, "de-en", "uhr clock")
    parameters = settings(
        languages=["de", "en"], switch_query_to=["de", "en", "ru"], switch_passage_to=[], switch_lexicons=folder
    )
    with pytest.raises(KitError) as caught:
        Switching.from_parameters(parameters)
    said = str(caught.value)
    assert said.startswith(
        f"The lexicon {tmp_path / 'de-ru.txt'} does not exist (3 of 4 are missing, en-de.txt, en-ru.txt too)"
    )
    assert "a pair a line: a word and its translation, separated by a space or a tab" in said and "\n" not in said
    with pytest.raises(KitError, match="The museum has no language 'fr'; it has ar de"):
        Run(settings(switch_query_to=["fr"])).key  # noqa: B018
    with pytest.raises(KitError, match="switch_lexicons"):
        Run(parameters).key  # noqa: B018


# The museum's lexicon


def holds(text, form, code):
    """Whether the words (in scripts without spaces, the characters) of a form stand in a text one after the other."""
    of, wanted = ([atom.folded for atom in lexicons.atoms(t, code)] for t in (text, form))
    return any(of[at : at + len(wanted)] == wanted for at in range(len(of)))


@pytest.mark.parametrize("code", XQUAD_R)
def test_the_museums_words_are_those_of_its_files(code):
    """Each form stands in its concept's entry of the file, or in a template; none is of two concepts."""
    data, owner = lexicon(code).data, {}
    assert set(lexicons.museum_words(code)) == set(lexicons.museum_words("en"))
    templates = [t for parts in data["facts"].values() for some in parts.values() for t in some]
    for concept, forms in lexicons.museum_words(code).items():
        category, name = concept.split(".")
        entry = templates if category == "template" else data[category][name]
        there = entry if isinstance(entry, list) else [entry] if isinstance(entry, str) else [*entry.values()]
        if code == "ar" and category == "material":  # completed by the agreement word "ending"
            there = [*there, *(text + "ة" for text in there)]
        for form in forms.values():
            assert owner.setdefault(form.lower(), concept) == concept
            assert form and any(holds(text, form, code) for text in there), form


def test_forms_are_paired_by_name():
    table = lexicons.table("museum", "ru", "tr").entries
    assert (table["лампу"], table["лампы"], table["лампе"], table["лампа"]) == ("lambayı", "lambanın", "lamba", "lamba")
    assert lexicons.table("museum", "en", "ar").entries["clock"] == "ساعة", "without its article"
    assert lexicons.table("museum", "ar", "en").entries["الزجاجية"] == "glass"


# Runs


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path


def test_the_key_of_runs_that_switch_nothing_is_as_before(places):
    for mixture in ("mono", "hybrid-0.50"):
        run = Run(settings(mixture=mixture))
        before = hashlib.sha256(repr((run.parameters.key(), run.contents)).encode()).hexdigest()[:16]
        assert run.key == before
    switched = Run(settings())
    assert (
        switched.key != hashlib.sha256(repr((switched.parameters.key(), switched.contents)).encode()).hexdigest()[:16]
    )
    assert switched.contents == run.contents


def test_the_key_changes_with_the_content_of_a_lexicon(places):
    names = {"languages": ["de", "en"], "switch_query_to": ["de", "en"], "switch_passage_to": []}
    folder = write(places / "lexicons", "de-en", "uhr clock")
    write(places / "lexicons", "en-de", "clock uhr")
    key = Run(settings(**names, switch_lexicons=folder)).key
    write(places / "lexicons", "en-ru", "clock часы")
    assert Run(settings(**names, switch_lexicons=folder)).key == key, "a file that is not used counts for nothing"
    write(places / "lexicons", "en-de", "clock glocke")
    assert Run(settings(**names, switch_lexicons=folder)).key != key


def test_runs_with_and_without_switching_are_compared(places):
    """Each finds the other among the finished ones, unless its lexicon is gone; then the others are found still."""
    folder = write(places / "lexicons", "de-en", "uhr clock")
    write(places / "lexicons", "en-de", "clock uhr")
    names = {
        "languages": ["de", "en"],
        "switch_query_to": ["de", "en"],
        "switch_passage_to": [],
        "switch_lexicons": folder,
    }
    made = [Run(settings(**names)), Run(settings(mixture="mono", languages=["de", "en"]))]
    for run in made:
        run.final.mkdir(parents=True)
        (run.final / runs.MANIFEST).write_text(json.dumps({"key": run.key, "parameters": run.parameters.model_dump()}))
    for run in made:
        assert {place for place, _ in runs.finished_like(run)} == {one.final for one in made}
    (places / "lexicons" / "en-de.txt").unlink()
    assert [place for place, _ in runs.finished_like(made[1])] == [made[1].final]


def test_the_realised_share_is_kept_with_the_plan(places):
    run = Run(settings(steps=3))
    run.save_plan()
    lines = (run.folder / "plan.yaml").read_text(encoding="utf-8").splitlines()
    kept = json.loads(lines[-1].removeprefix("switched_in_first_3_steps: "))
    table = realised(run.plan, Switching.from_parameters(run.parameters), range(3))
    assert kept == json.loads(table.round(4).to_json(orient="records")) and kept[-1]["side"] == "both"
    other = Run(settings(mixture="hybrid-0.50", steps=3))
    other.save_plan()
    assert "switched" not in (other.folder / "plan.yaml").read_text(encoding="utf-8")


def test_the_page_tells_the_coverage_of_the_museums_lexicon():
    """Of words and of letters, by word and by phrase: the first 100 exhibits, recomputed here on the first 25 of them."""
    page = (paths.home() / "docs" / "code-switching.md").read_text(encoding="utf-8")
    rows = {
        row[0]: [float(cell) for cell in row[1:]]
        for row in re.findall(r"^\| (..)" + r" \| (0\.\d\d)" * 4, page, re.MULTILINE)
    }
    assert list(rows) == list(XQUAD_R)
    for code, told in rows.items():
        found = []
        for by in ("word", "phrase"):
            target = "de" if code == "en" else "en"
            done = [both(1.0, target, by=by).text(text, code) for text in museum_texts(code, EXHIBITS[:25])]
            of = [
                sum(getattr(one, name) for one in done) for name in ("switched", "words", "switched_letters", "letters")
            ]
            found += [of[0] / of[1], of[2] / of[3]]
        assert found == pytest.approx(told, abs=0.02), code

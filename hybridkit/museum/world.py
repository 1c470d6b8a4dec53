"""The made-up museum before any language: exhibits and facts, generated from a seed.

An exhibit is an object of a material, by a maker, from a town; every fact about it has a kind and a
value. Concepts (`glass`, `clock`, `tower`) are keys that each language's lexicon file puts into words.
Makers and restorers have invented names, kept as syllables, which each language writes in its script.
"""

from dataclasses import dataclass
from itertools import product

from hybridkit.errors import KitError
from hybridkit.streams import Stream

#: Concepts by category. The order is part of the world: changing it changes every generated museum.
CONCEPTS = {
    "object": (
        "clock bowl mask lamp ring bell comb key mirror cup plate spoon knife horse chair crown flute drum "
        "candlestick vase necklace box sword shield helmet inkwell table doll teapot bracelet"
    ).split(),
    "material": (
        "glass silver gold iron copper bronze clay marble ivory wood amber porcelain bone jade tin stone"
    ).split(),
    "town": (
        "lisbon cairo vienna prague warsaw riga baghdad damascus delhi bangkok hanoi beijing istanbul madrid "
        "paris london rome venice naples havana lima tokyo seoul nairobi tunis oslo helsinki dublin athens "
        "moscow berlin budapest"
    ).split(),
    "room": (
        "blue_room red_room tower cellar library winter_garden chapel entrance_hall long_gallery old_kitchen "
        "round_hall courtyard map_room music_room treasury west_wing"
    ).split(),
    "donor": (
        "bakers_guild sailors_union girls_school city_bank royal_theatre railway_workers university "
        "fire_brigade monastery hospital tea_merchants weavers_guild post_office embassy newspaper chess_club"
    ).split(),
    "find": (
        "attic well shipwreck cave barn garden river_bed ruined_castle market_stall old_trunk railway_station "
        "mine lighthouse mill tomb bakery"
    ).split(),
    "motif": (
        "fox heron lion rose moon dragon bee snake leaf anchor star owl elephant grapevine butterfly turtle"
    ).split(),
}

#: The categories that name an exhibit, beside its maker.
THINGS = ("object", "material", "town")
#: What can be stated about an exhibit. `year` and `price` are numbers, `workshop` is a person's name.
KINDS = ("year", "room", "price", "donor", "workshop", "find", "motif")
#: Each exhibit states this many of the kinds, in an order of its own: it has either a price or a donor.
FACTS_PER_EXHIBIT = 6

_CONSONANTS = "b d g h k l m n r s t v z".split()
SYLLABLES = [c + v for c in _CONSONANTS for v in "aio"]
#: Names end in -i or -o, which no language of the museum declines.
FINAL_SYLLABLES = [c + v for c in _CONSONANTS for v in "io"]

#: Syllables that in a row make a slur, a party, a politician or a rude word in one of the languages.
_AVOIDED = (
    "nazi zobi zani sali gali sosi sisi kako kaki gamo gami dago homo zizi basi hira koso soma niga nigo siki siko "
    "niki lodo lodi loda hagi hago zobo kaka zibi tizi kosi kaga kago mariko tarado moko loko harami tamadi nima modi dahi"
).split()

SPLITS = ("train", "evaluation")
MAX_EXHIBITS = 50_000


@dataclass(frozen=True)
class Person:
    """A made-up name, as syllables of the Latin base."""

    first: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True)
class Exhibit:
    """One exhibit: what names it (object, material, town, maker) and its facts, kind to value."""

    id: str
    object: str
    material: str
    town: str
    maker: Person
    facts: dict[str, "str | int | Person"]


def _proper(name: tuple[str, ...]) -> bool:
    return not any(avoided in "".join(name) for avoided in _AVOIDED)


def _names(split: str) -> tuple[list, list]:
    """First and last names of a split: one name in five belongs to the evaluation, never to both."""
    first = [name for name in product(SYLLABLES, FINAL_SYLLABLES) if _proper(name)]
    last = [name for name in product(SYLLABLES, SYLLABLES, FINAL_SYLLABLES) if _proper(name)]
    chosen = []
    for names, what in ((first, "first names"), (last, "last names")):
        order = Stream("museum", what).permutation(len(names))
        cut = len(names) // 5
        part = order[:cut] if split == "evaluation" else order[cut:]
        chosen.append([names[i] for i in part])
    return chosen[0], chosen[1]


def generate(split: str, exhibits: int, seed: int = 0) -> list[Exhibit]:
    """Generate `exhibits` exhibits of a split ("train" or "evaluation").

    No two exhibits share a maker, so no two facts collide; the two splits share no name and no combination
    of object, material and town. The first n exhibits are the same whatever the number asked for. Raises
    KitError for a number outside 1 to 50,000.
    """
    if split not in SPLITS:
        raise KitError(f"The museum has the splits {SPLITS[0]} and {SPLITS[1]}, not {split!r}.")
    if not 1 <= exhibits <= MAX_EXHIBITS:
        raise KitError(f"The museum can have 1 to {MAX_EXHIBITS:,} exhibits a split, not {exhibits:,}.")
    first, last = _names(split)
    taken: set[Person] = set()
    return [_exhibit(split, number, seed, first, last, taken) for number in range(exhibits)]


def _belongs(split: str, things: list[str]) -> bool:
    """One combination of object, material and town in five is kept for the evaluation."""
    place = sum(CONCEPTS[category].index(thing) for category, thing in zip(THINGS, things, strict=True))
    return (place % 5 == 0) == (split == "evaluation")


def _exhibit(split: str, number: int, seed: int, first: list, last: list, taken: set) -> Exhibit:
    stream = Stream("museum", split, seed, number)

    def pick(items):
        return items[stream.integer(len(items))]

    maker = Person(pick(first), pick(last))
    while maker in taken:
        maker = Person(pick(first), pick(last))
    taken.add(maker)
    things = [pick(CONCEPTS[category]) for category in THINGS]
    while not _belongs(split, things):
        things = [pick(CONCEPTS[category]) for category in THINGS]
    values = {
        "year": 1801 + stream.integer(199),
        "price": 100 * (3 + stream.integer(97)),
        "workshop": Person(pick(first), pick(last)),
    }
    left_out = pick(("price", "donor"))
    kinds = [KINDS[i] for i in stream.permutation(len(KINDS)) if KINDS[i] != left_out]
    return Exhibit(
        id=f"{split[0]}{number}",
        **dict(zip(THINGS, things, strict=True)),
        maker=maker,
        facts={kind: values[kind] if kind in values else pick(CONCEPTS[kind]) for kind in kinds},
    )

"""What is in a picture: exhibits of the museum with a size, a number and a position, drawn from a seed."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from hybridkit.errors import KitError
from hybridkit.museum import world
from hybridkit.museum.world import CONCEPTS
from hybridkit.streams import Stream

#: What a picture shows and every caption of it states.
ATTRIBUTES = ("object", "material", "size", "number", "position", "room")
VALUES: dict[str, tuple] = {
    "object": tuple(CONCEPTS["object"]),
    "material": tuple(CONCEPTS["material"]),
    "size": ("small", "large"),
    "number": (1, 2, 3),
    "position": ("left", "middle", "right"),
    "room": tuple(CONCEPTS["room"]),
}
#: How large, how many and where: 18 combinations, numbered, since their number decides the split.
_ARRANGEMENTS = tuple(product(VALUES["size"], VALUES["number"], VALUES["position"]))
MAX_SCENES = 10_000


@dataclass(frozen=True)
class Scene:
    """One picture: `number` copies (1 to 3) of an exhibit in a room, at the left, in the middle or at the right."""

    id: str
    object: str
    material: str
    size: str
    number: int
    position: str
    room: str


def scenes(split: str, count: int, seed: int = 0) -> list[Scene]:
    """`count` scenes of a split ("train" or "evaluation"), no two alike, with the museum's exhibits of that split.

    No combination of the six attributes is in both splits: the sum of the numbers of object, material, room and
    arrangement is divisible by five for the evaluation and for it alone. Single values, and nearly all pairs of
    values, are in both. The first n scenes are the same whatever `count` is. Raises KitError for an unknown split and
    for a count outside 1 to 10,000.
    """
    if not 1 <= count <= MAX_SCENES:
        raise KitError(f"A split can have 1 to {MAX_SCENES:,} pictures, not {count:,}.")
    return list(_scenes(split, count, seed))


@lru_cache(8)
def _scenes(split: str, count: int, seed: int) -> tuple[Scene, ...]:
    found = _arranged(split, world.generate(split, count, seed), seed)
    if len(found) < count:
        found = _arranged(split, world.generate(split, 2 * count, seed), seed)
    return tuple(found[:count])


def _arranged(split: str, exhibits: list[world.Exhibit], seed: int) -> list[Scene]:
    """A scene of each exhibit; where all its arrangements are taken, which is rare, the exhibit is passed over."""
    found: dict[tuple, Scene] = {}
    for exhibit in exhibits:
        for number in Stream("picture", split, seed, exhibit.id).permutation(len(_ARRANGEMENTS)):
            scene = _scene(exhibit, int(number))
            if belongs(scene) == split and _values(scene) not in found:
                found[_values(scene)] = scene
                break
    return list(found.values())


def _scene(exhibit: world.Exhibit, arrangement: int) -> Scene:
    size, number, position = _ARRANGEMENTS[arrangement]
    return Scene(exhibit.id, exhibit.object, exhibit.material, size, number, position, exhibit.facts["room"])


def _values(scene: Scene) -> tuple:
    return tuple(getattr(scene, attribute) for attribute in ATTRIBUTES)


def belongs(scene: Scene) -> str:
    """The split that a combination of the six attributes belongs to."""
    place = sum(VALUES[name].index(getattr(scene, name)) for name in ("object", "material", "room"))
    place += _ARRANGEMENTS.index((scene.size, scene.number, scene.position))
    return "train" if place % 5 else "evaluation"


def foils(scene: Scene) -> dict[str, Scene]:
    """For each attribute, the scene with another value of that attribute alone; its id is `<id>~<attribute>`.

    Their captions are wrong for the picture in one word. The value is drawn, for a scene of the training among those
    that leave it in the training; where there are none, which happens with the size alone, it is a scene of the evaluation.
    """
    return {attribute: _foil(scene, attribute) for attribute in ATTRIBUTES}


def _foil(scene: Scene, attribute: str) -> Scene:
    values = [value for value in VALUES[attribute] if value != getattr(scene, attribute)]
    others = [replace(scene, id=f"{scene.id}~{attribute}", **{attribute: value}) for value in values]
    if belongs(scene) == "train":
        others = [other for other in others if belongs(other) == "train"] or others
    return others[Stream("foil", scene.id, attribute).integer(len(others))]

"""The museum's pictures with captions in eleven languages, and as training pairs."""

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from filelock import FileLock

from hybridkit import paths
from hybridkit.corpora.museum import LICENCE
from hybridkit.languages import XQUAD_R
from hybridkit.pictures import wording
from hybridkit.pictures.scene import Scene, belongs, foils, scenes

if TYPE_CHECKING:
    from hybridkit.corpora.catalogue import Source
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.imagetext.captioned import CaptionedImages, Foils
    from hybridkit.params import Parameters

NAME = "museum-pictures"
# To be raised when the same files would give other scenes, captions or pixels; a test holds what they give now.
_VERSION = 1


def content_key(*what: object) -> str:
    """A key that changes with the museum's words, the caption files, how things look, and with what is asked for."""
    digest = hashlib.sha256(repr((_VERSION, what)).encode())
    pictures, museum = files("hybridkit.pictures"), files("hybridkit.museum")
    for folder in (pictures, pictures / "captions", museum / "lexicons"):
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            if path.name.endswith(".yaml"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def captioned(split: str, count: int, seed: int = 0, with_foils: bool = False) -> "CaptionedImages":
    """`count` pictures of a split ("train" or "evaluation").

    Training pictures have every template's caption in each language, those of the evaluation the one that is drawn for
    them. Foils (with `with_foils`) are worded as the captions of their picture; a training picture has those alone
    that are no pictures of the evaluation, so that no caption of it is ever seen. KitError as `scenes`.
    """
    from hybridkit.imagetext.captioned import make_captioned
    from hybridkit.imagetext.images import DrawnImages

    shown = scenes(split, count, seed)
    return make_captioned(
        name=NAME,
        licence=LICENCE,
        split=split,
        ids=[scene.id for scene in shown],
        captions={code: [_captions(scene, scene, code, split) for scene in shown] for code in XQUAD_R},
        images=DrawnImages(shown, content_key()),
        labels=[frozenset({scene.object}) for scene in shown],
        foils={code: [_foils(scene, code, split) for scene in shown] for code in XQUAD_R} if with_foils else None,
    )


def _captions(scene: Scene, drawn_for: Scene, code: str, split: str) -> tuple[str, ...]:
    if split == "train":
        return tuple(wording.captions(scene, code))
    return (wording.caption(scene, code, wording.drawn(drawn_for, code)),)


def _foils(scene: Scene, code: str, split: str) -> "Foils":
    return {
        attribute: _captions(foil, scene, code, split)
        for attribute, foil in foils(scene).items()
        if split == "evaluation" or belongs(foil) == "train"
    }


def training_pairs(count: int, with_foils: bool = False) -> "TrainingPairs":
    """The training split as training pairs (`imagetext.captioned.training_pairs`), kept in the cache by its content."""
    from hybridkit.corpora.pairs import TrainingPairs
    from hybridkit.imagetext import captioned as captioned_images

    folder = paths.cache() / "pictures" / content_key("train", count, with_foils)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if (folder / "about.json").exists():
            return TrainingPairs.open(folder)
        return captioned_images.training_pairs(captioned("train", count, with_foils=with_foils), folder)


def load_captioned(source: "Source", parameters: "Parameters", split: str) -> "CaptionedImages":
    """For `imagetext.sources`: a split of the size that the parameters ask for; with foils where they are used."""
    count = parameters.pictures_train if split == "train" else parameters.pictures_evaluation
    return captioned(split, count, with_foils=split == "evaluation" or parameters.explicit_negatives > 0)


def load_pairs(source: "Source", parameters: "Parameters") -> "TrainingPairs":
    """For the catalogue: `training_pairs` of the size that the parameters ask for."""
    return training_pairs(parameters.pictures_train, parameters.explicit_negatives > 0)


def load_key(source: "Source", parameters: "Parameters") -> str:
    """For the catalogue: the content of both splits."""
    return content_key(parameters.pictures_train, parameters.pictures_evaluation)

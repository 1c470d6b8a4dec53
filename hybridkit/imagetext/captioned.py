"""A set of images with captions by language: what every source becomes, and what training and evaluation take."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit.corpora.stores import check_ids
from hybridkit.errors import KitError
from hybridkit.imagetext.images import Images, repeated
from hybridkit.languages import check_code

if TYPE_CHECKING:
    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.corpora.pairs import TrainingPairs

#: The code of an image in a benchmark: ISO 639's for what has no linguistic content.
IMAGE = "zxx"
#: What stands between the captions of an image in a language, where they are one text of training pairs.
BETWEEN = "\n"
#: Of one image in one language: by the attribute that is wrong, captions in the order of those of the image.
Foils = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class CaptionedImages:
    """Images with captions by language. An image is a row.

    `ids`: (images,), distinct. `captions[code][row]`: the texts of a row in a language, () where it has none.
    `images`: the pixels, in the same order. `labels[row]`: for retrieval by category; empty where the source has none.
    `family[row]`: near-duplicates share one; the id where nothing is known. `fingerprint`: SHA-256 over ids,
    captions, families, foils and the images' key. `foils[code][row]`: captions that are wrong in one attribute
    (`Foils`); None for sources without any.
    """

    name: str
    licence: str
    split: str
    ids: list[str]
    captions: Mapping[str, Sequence[tuple[str, ...]]]
    images: Images
    labels: Sequence[frozenset[str]]
    family: Sequence[str]
    fingerprint: str
    foils: Mapping[str, Sequence[Foils]] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with at least one caption, sorted."""
        return tuple(sorted(self.captions))


def make_captioned(
    name: str,
    licence: str,
    split: str,
    ids: Sequence[str],
    captions: Mapping[str, Sequence[Sequence[str]]],
    images: Images,
    labels: Sequence[frozenset[str]] | None = None,
    family: Sequence[str] | None = None,
    foils: Mapping[str, Sequence[Foils]] | None = None,
) -> CaptionedImages:
    """Check images with captions, and put each caption into one line: line breaks and runs of spaces become a space.

    Raises KitError for no images, ids that are not distinct non-empty strings, a column of another length, a language
    without captions, an empty caption, and an image without any caption; always naming the first and how many.
    """
    if not len(ids):
        raise KitError(f"{name}: the split {split} has no images; check its files.")
    check_ids(ids, f"image of {name}")
    columns = {"images": images, "labels": labels, "families": family}
    columns |= {f"captions in {check_code(code)}": texts for code, texts in captions.items()}
    columns |= {f"foils in {code}": rows for code, rows in (foils or {}).items()}
    for what, column in columns.items():
        if column is not None and len(column) != len(ids):
            raise KitError(f"{name}: {len(ids):,} images, but {len(column):,} {what}: each image needs one entry.")
    lines = {
        code: [_lines(name, code, ids[row], texts) for row, texts in enumerate(rows)] for code, rows in captions.items()
    }
    if bare := [code for code, rows in lines.items() if not any(rows)]:
        raise KitError(f"{name} has no captions in {bare[0]!r}: give some, or leave the language out.")
    if bare := [one for row, one in enumerate(ids) if not any(rows[row] for rows in lines.values())]:
        raise KitError(f"{name}: the image {bare[0]!r} has no caption ({len(bare)} such in all): leave it out.")
    family = list(ids if family is None else family)
    content = (list(ids), dict(sorted(lines.items())), family, images.key, foils)
    return CaptionedImages(
        name=name,
        licence=licence,
        split=split,
        ids=list(ids),
        captions=lines,
        images=images,
        labels=list(labels) if labels is not None else [frozenset()] * len(ids),
        family=family,
        fingerprint=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        foils=foils,
    )


def _lines(name: str, code: str, image: str, texts: Sequence[str]) -> tuple[str, ...]:
    lines = tuple(" ".join(text.split()) for text in texts)
    if not all(lines):
        raise KitError(
            f"{name}: caption {lines.index('') + 1} of the image {image!r} in {code} is empty: leave it out."
        )
    return lines


def training_pairs(data: CaptionedImages, folder: Path) -> "TrainingPairs":
    """The images as training pairs, so that batches are planned as those of texts; written to `folder`, or opened there.

    Row i is image i: query and positive are both the captions of the image, in every language all of them in one text,
    a line each (`BETWEEN`). The first side of an example shows a line of the query, the second one of the positive:
    of the same language in mono and multi batches, of another in cross batches. The explicit negatives of a row are
    the foils that it has, as passages after those of the images.
    """
    from hybridkit.corpora.pairs import make_pairs

    texts = {code: [BETWEEN.join(lines) or None for lines in rows] for code, rows in data.captions.items()}
    ids, negatives, foils = _foil_passages(data)
    return make_pairs(
        folder,
        name=data.name,
        licence=data.licence,
        query_ids=data.ids,
        query_texts=texts,
        passage_ids=[*data.ids, *ids],
        passage_texts={code: [*rows, *foils.get(code, [None] * len(ids))] for code, rows in texts.items()},
        query=range(len(data)),
        positive=range(len(data)),
        negatives=negatives,
    )


def _foil_passages(data: CaptionedImages) -> tuple[list[str], list[list[int]], dict[str, list[str | None]]]:
    """Ids and texts of the foils, and which of the passages (the images' first) are those of each row."""
    ids: list[str] = []
    negatives: list[list[int]] = [[] for _ in data.ids]
    texts: dict[str, list[str | None]] = {code: [] for code in data.foils or {}}
    for row, image in enumerate(data.ids):
        for attribute in dict.fromkeys(name for code in texts for name in data.foils[code][row]):
            negatives[row].append(len(data) + len(ids))
            ids.append(f"{image}~{attribute}")
            for code, column in texts.items():
                column.append(BETWEEN.join(data.foils[code][row].get(attribute, ())) or None)
    return ids, negatives, texts


def benchmarks(data: CaptionedImages) -> "dict[str, Benchmark]":
    """Both directions as benchmarks, `NAME-i2t` and `NAME-t2i`, with images as texts of the language `zxx`.

    The text of an image is its id. Captions are named `language:id`, or `language:id#number` from an image's second on.
    From images to texts all captions of an image in all languages are relevant.
    """
    from hybridkit.corpora.benchmark import make_benchmark

    captions = list(_captions(data))
    sides = {
        "image": (data.ids, data.ids, [IMAGE] * len(data), data.ids),
        "text": tuple(map(list, zip(*captions, strict=True))),
    }
    found = {}
    for short, asked, given in (("i2t", "image", "text"), ("t2i", "text", "image")):
        query_ids, query_texts, query_languages, questions = sides[asked]
        candidate_ids, candidate_texts, candidate_languages, _ = sides[given]
        relevance = [(one, image) for one, _, _, image in captions]
        found[f"{data.name}-{short}"] = make_benchmark(
            name=f"{data.name}-{short}",
            licence=data.licence,
            query_ids=query_ids,
            query_texts=query_texts,
            query_languages=query_languages,
            questions=questions,
            candidate_ids=candidate_ids,
            candidate_texts=candidate_texts,
            candidate_languages=candidate_languages,
            relevance=relevance if short == "t2i" else [(image, one) for one, image in relevance],
        )
    return found


def _captions(data: CaptionedImages) -> Iterator[tuple[str, str, str, str]]:
    """Id, text, language and image of every caption, by language in the order of codes and then by image."""
    for code in data.languages:
        for image, lines in zip(data.ids, data.captions[code], strict=True):
            for number, text in enumerate(lines):
                yield f"{code}:{image}" + (f"#{number + 1}" if number else ""), text, code, image


def check_apart(train: CaptionedImages, test: CaptionedImages) -> dict[str, int]:
    """How many captions of the test stand word for word in the training too, by language; 0 is left out.

    Raises KitError where an image is in both, be it by its id, by its content or by its family. Of sources that are
    the same by name an id says so; of others ids may be alike by chance.
    """
    known = set(train.ids) if train.name == test.name else set()
    shared = [one for one in test.ids if one in known]
    if shared:
        raise _not_apart(train, test, f"the image {shared[0]!r}", len(shared))
    if type(train.images) is type(test.images) and (pairs := repeated(train.images, test.images)):
        first = f"the image {test.ids[pairs[0][1]]!r} (there: {train.ids[pairs[0][0]]!r})"
        raise _not_apart(train, test, first, len(pairs))
    families = sorted(set(train.family) & set(test.family)) if train.name == test.name else []
    if families:
        raise _not_apart(train, test, f"an image of the family {families[0]!r}", len(families))
    return dict(sorted(_shared_captions(train, test).items()))


def _not_apart(train: CaptionedImages, test: CaptionedImages, what: str, count: int) -> KitError:
    return KitError(
        f"{test.name} {test.split} holds {what}, which is in {train.name} {train.split}, too ({count} such in all): a model "
        "would be tested on what it was trained on; leave it out of one of them."
    )


def _shared_captions(train: CaptionedImages, test: CaptionedImages) -> Counter[str]:
    found: Counter[str] = Counter()
    for code in set(train.languages) & set(test.languages):
        known = {text for lines in train.captions[code] for text in lines}
        for foils in (train.foils or {}).get(code, ()):
            known |= {text for lines in foils.values() for text in lines}
        found[code] += sum(text in known for lines in test.captions[code] for text in lines)
    return +found

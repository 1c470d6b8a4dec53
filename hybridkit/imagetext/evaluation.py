"""Gold ranks of an image-text model, by contrast and re-ranked by its matching head, and the figures made of them.

An image has a language code of its own (`captioned.IMAGE`), so that images and captions are queries and candidates like
any others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from hybridkit import bias
from hybridkit.errors import KitError
from hybridkit.imagetext.captioned import IMAGE
from hybridkit.imagetext.images import normalised, reader
from hybridkit.ranks import GoldRanks, count, gold_ranks, pool_order

if TYPE_CHECKING:
    from torch import Tensor

    from hybridkit.corpora.benchmark import Benchmark
    from hybridkit.imagetext.albef import Albef
    from hybridkit.imagetext.captioned import CaptionedImages

#: The ranks up to which an image or caption counts as found.
CUTOFFS = (1, 5, 10)
#: Images or captions that are encoded together, and pairs that are matched together.
BATCH = 64
PAIRS = 256
#: Queries whose scores are held together.
_ROWS = 256


class Ranks(NamedTuple):
    """Gold ranks in both directions: images as queries among captions, and captions as queries among images."""

    image_to_text: GoldRanks
    text_to_image: GoldRanks


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a model makes of images and of texts, in the order in which they were given.

    `images` (n, k) and `texts` (m, k): vectors of length 1 as float32. `states`: those of the images' patches, (n,
    patches, width), where the model works; `captions`: the texts themselves.
    """

    model: "Albef"
    images: np.ndarray
    states: "Tensor"
    captions: Sequence[str]

    @cached_property
    def texts(self) -> np.ndarray:
        return text_vectors(self.model, self.captions)

    def matched(self, pairs: np.ndarray) -> np.ndarray:
        """The logit of "match" (n,) float32 of pairs (n, 2) of rows: an image, a text.

        Each text is encoded once, texts of like length together; only one batch of them is held at a time.
        """
        found = np.empty(len(pairs), np.float32)
        wanted = np.unique(pairs[:, 1])
        wanted = wanted[np.argsort([len(self.captions[row]) for row in wanted], kind="stable")]
        place = np.empty(len(self.captions), np.int64)
        place[wanted] = np.arange(len(wanted))
        order = np.argsort(place[pairs[:, 1]], kind="stable")
        ends = np.searchsorted(place[pairs[order, 1]], np.arange(0, len(wanted) + BATCH, BATCH))
        for begin, start, stop in zip(range(0, len(wanted), BATCH), ends, ends[1:]):
            states, mask, _ = self.model.texts([self.captions[row] for row in wanted[begin : begin + BATCH]])
            for first in range(start, stop, PAIRS):
                part = order[first : min(first + PAIRS, stop)]
                text = place[pairs[part, 1]] - begin
                logits = self.model.match(self.states[pairs[part, 0]], states[text], mask[text])
                found[part] = numbers(logits)[:, 1]
        return found


def encoded(model: "Albef", data: "CaptionedImages", rows: Sequence[int], captions: Sequence[str]) -> Encoded:
    """Images, by their rows in the data, and captions as a model sees them; the captions when they are asked for."""
    import torch

    pixels, parts, vectors = reader(data.images, model.image_size), [], []
    for start in range(0, len(rows), BATCH):
        states, found = model.images(torch.from_numpy(normalised(pixels(rows[start : start + BATCH]))))
        parts.append(states)
        vectors.append(numbers(found))
    return Encoded(model, np.concatenate(vectors), torch.cat(parts), list(captions))


def text_vectors(model: "Albef", texts: Sequence[str]) -> np.ndarray:
    """Vectors of length 1 (texts, k) float32, texts of like length encoded together."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    parts = []
    for start in range(0, len(order), BATCH):
        parts.append(numbers(model.texts([texts[row] for row in order[start : start + BATCH]])[2]))
    vectors = np.empty((len(texts), parts[0].shape[1]), np.float32)
    vectors[order] = np.concatenate(parts)
    return vectors


def numbers(tensor: "Tensor") -> np.ndarray:
    """A tensor of any device and precision as an array of float32."""
    return tensor.float().cpu().numpy()


def evaluate(
    model: "Albef",
    data: "CaptionedImages",
    image_to_text: "Benchmark",
    text_to_image: "Benchmark",
    rerank: int = 16,
    system: str = "",
) -> tuple[Ranks, Ranks | None]:
    """Gold ranks by contrast, and with the best `rerank` re-ranked by the matching head (None where it is 0).

    The benchmarks are the two of `captioned.benchmarks(data)`: one list of images and one of captions, each the
    queries of one and the candidates of the other. Scores by contrast are cosines.
    """
    images, captions = list(image_to_text.query_ids), list(image_to_text.candidate_ids)
    if images != list(text_to_image.candidate_ids) or captions != list(text_to_image.query_ids):
        raise KitError(
            f"{image_to_text.name} and {text_to_image.name} are not two directions of the same images and captions in "
            "the same order: give both benchmarks of one set of images."
        )
    row = {one: number for number, one in enumerate(data.ids)}
    seen = encoded(model, data, [row[one] for one in images], image_to_text.candidate_texts)
    contrast = Ranks(
        gold_ranks(seen.images, seen.texts, image_to_text, system=system),
        gold_ranks(seen.texts, seen.images, text_to_image, system=system),
    )
    if not rerank:
        return contrast, None
    return contrast, reranked(seen, image_to_text, text_to_image, rerank, f"{system}, re-ranked" if system else "")


def reranked(seen: Encoded, image_to_text: "Benchmark", text_to_image: "Benchmark", k: int, system: str = "") -> Ranks:
    """Gold ranks with the best k of every list in the order of the matching head's logit of "match".

    Of a caption these are the k images that score best by contrast; of an image the k best captions of each language,
    so that the list of each language alone, and of any several, has its own best re-ranked. All others stay below
    these, in the order of their contrast. ALBEF (arXiv 2107.07651, section 4, and its code) gives them one score that
    is lower than any, which is the same for R@k as long as k is not above the number re-ranked.
    """
    if k < 1:
        raise KitError(f"The best {k} are to be re-ranked: give a number of 1 or more.")
    sides = (seen.images, seen.texts), (seen.texts, seen.images)
    codes = np.asarray(image_to_text.candidate_languages, np.str_)
    pools = [np.flatnonzero(codes == code) for code in image_to_text.languages], [np.arange(len(seen.images))]
    chosen = [_best(*side, k, pool) for side, pool in zip(sides, pools, strict=True)]
    pairs, which = np.unique(np.concatenate([chosen[0], chosen[1][:, ::-1]]), axis=0, return_inverse=True)
    logits = np.split(seen.matched(pairs)[which], [len(chosen[0])])
    benchmarks = image_to_text, text_to_image
    return Ranks(
        *(
            count(_reordered(*side, found, given, pool_order(benchmark)), benchmark, system)
            for side, found, given, benchmark in zip(sides, chosen, logits, benchmarks, strict=True)
        )
    )


def _blocks(queries: np.ndarray, candidates: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(queries), _ROWS):
        yield start, queries[start : start + _ROWS] @ candidates.T


def _best(queries: np.ndarray, candidates: np.ndarray, k: int, pools: Sequence[np.ndarray]) -> np.ndarray:
    """The best k candidates of each pool for each query: pairs (n, 2) of rows; of equal scores the first rows."""
    found = []
    for start, scores in _blocks(queries, candidates):
        for pool in pools:
            best = pool[np.argsort(-scores[:, pool], axis=1, kind="stable")[:, :k]]
            asked = np.repeat(np.arange(start, start + len(scores)), best.shape[1])
            found.append(np.stack([asked, best.ravel()], axis=1))
    return np.concatenate(found)


def _reordered(
    queries: np.ndarray, candidates: np.ndarray, pairs: np.ndarray, logits: np.ndarray, order: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of scores that put the `pairs` first, by their `logits`, and all others below, by their inner product.

    Scores are places from the last one up and not sums, so that rounding makes no ties. Columns stand in `order`.
    """
    for start, scores in _blocks(queries, candidates):
        mine = (pairs[:, 0] >= start) & (pairs[:, 0] < start + len(scores))
        matched = np.full(scores.shape, -np.inf, np.float32)
        matched[pairs[mine, 0] - start, pairs[mine, 1]] = logits[mine]
        first = scores.shape[1] + places(matched)
        yield start, np.where(np.isneginf(matched), places(scores), first)[:, order].astype(np.float32)


def places(values: np.ndarray) -> np.ndarray:
    """How many different values of its row are smaller than each value; both (rows, columns)."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, 1)
    steps = np.zeros(values.shape, np.int64)
    steps[:, 1:] = (ordered[:, 1:] > ordered[:, :-1]).cumsum(axis=1)
    found = np.empty_like(steps)
    np.put_along_axis(found, order, steps, 1)
    return found


def best_of_language(gold: GoldRanks) -> GoldRanks:
    """The same with one gold a query and language: the one that ranks best, where an image has several captions."""
    order = np.lexsort((gold.own_ranks(), gold.pool_index, gold.gold_query))
    key = gold.gold_query[order] * len(gold.pools) + gold.pool_index[order]
    kept = np.sort(order[np.diff(key, prepend=-1) != 0])
    names = ("gold_query", "gold_language", "gold_candidate", "above", "tied")
    return replace(gold, **{name: getattr(gold, name)[kept] for name in names})


def by_language(found: Ranks) -> pd.DataFrame:
    """Figures by language of the captions, each among the captions of that language or among all images.

    Columns: language, images and captions (queries that count), and for image-to-text and text-to-image R@1, R@5, R@10
    (share of the queries with a relevant candidate within that rank: any caption of the image, the image of the
    caption) and median rank. Equal scores share the middle rank.
    """
    forth, back = best_of_language(found.image_to_text), found.text_to_image
    asked = back.query_languages[back.gold_query]
    rows = []
    for code in forth.pools:
        ranks = {
            "image-to-text": forth.own_ranks()[forth.gold_language == code],
            "text-to-image": back.own_ranks()[asked == code],
        }
        row = {"language": code, "images": len(ranks["image-to-text"]), "captions": len(ranks["text-to-image"])}
        for direction, some in ranks.items():
            row |= {f"{direction} R@{k}": float((some <= k).mean()) for k in CUTOFFS}
            row[f"{direction} median rank"] = float(np.median(some))
        rows.append(row)
    return pd.DataFrame(rows)


def scopes(gold: GoldRanks, trained: Sequence[str]) -> dict[str, list[str]]:
    """The languages of the captions by scope (`comparison.SCOPES`); one without any is left out."""
    found = {
        "training languages": [code for code in gold.pools if code in trained],
        "all languages": list(gold.pools),
        "unseen languages": [code for code in gold.pools if code not in trained],
    }
    return {scope: codes for scope, codes in found.items() if codes}


def measure(found: Ranks, trained: Sequence[str], again: Ranks | None = None) -> dict[str, dict[str, float]]:
    """Every figure in every scope, those of `again`, the re-ranked lists, with "re-ranked" before their names.

    Figures of `by_language` are means over the languages of the scope, and `rSum` is the sum of the six R@k in per cent.
    `pooled image-to-text R@k` is the share of images with any of their captions within rank k among the captions in all
    languages of the scope. `rank distance` is that of the captions of an image in these lists (`bias.rank_distance`), and
    `rank distance chance` its value in random order, NaN where an image has several captions in a language. `image rank
    spread` is the mean over images of the worst less the best rank that the image has when it is asked for in each
    language of the scope, by the better of several captions. NaN where a scope has one language alone.
    """
    measured = {}
    for scope, codes in scopes(found.image_to_text, trained).items():
        figures = _figures(found, codes)
        if again:
            figures |= {f"re-ranked {name}": value for name, value in _figures(again, codes).items()}
        measured[scope] = figures
    return measured


def _figures(found: Ranks, codes: list[str]) -> dict[str, float]:
    rows = by_language(found)
    means = rows[rows["language"].isin(codes)].drop(columns=["language", "images", "captions"]).mean()
    figures = {name: float(value) for name, value in means.items()}
    figures["rSum"] = 100 * sum(value for name, value in figures.items() if " R@" in name)
    gold = best_of_language(found.image_to_text)
    mine = np.isin(gold.gold_language, codes)
    best = pd.Series(gold.ranks(codes)[mine]).groupby(gold.gold_query[mine]).min()
    figures |= {f"pooled image-to-text R@{k}": float((best <= k).mean()) for k in CUTOFFS}
    distance = bias.rank_distance(gold, [*codes, IMAGE])
    several = len(gold.gold_query) < len(found.image_to_text.gold_query)
    figures["rank distance"] = float(distance["mean"].mean())
    figures["rank distance chance"] = np.nan if several else float(distance["chance"].mean())
    figures["image rank spread"] = _spread(found.text_to_image, codes)
    figures["tied share"] = float(np.mean([one.tied_share for one in found]))
    return figures


def _spread(gold: GoldRanks, codes: Sequence[str]) -> float:
    """Mean over images of the worst less the best rank over the languages of their captions."""
    rows = pd.DataFrame(
        {"image": gold.gold_candidate, "language": gold.query_languages[gold.gold_query], "rank": gold.own_ranks()}
    )
    rows = rows[rows["language"].isin(codes)]
    ranks = rows.groupby(["image", "language"])["rank"].min().groupby("image").agg(["min", "max", "count"])
    several = ranks[ranks["count"] > 1]
    return float((several["max"] - several["min"]).mean())


def foil_accuracy(model: "Albef", data: "CaptionedImages", languages: Sequence[str] | None = None) -> pd.DataFrame:
    """How often a model prefers the true caption of an image to one that is wrong in a single attribute.

    Columns: language, attribute, captions (how many are compared with their foil), contrast and matching: the share of
    these in which the true one scores higher, an equal score counting half; .5 in random order. `languages`: None for
    all of the data. Raises KitError for data without foils.
    """
    if data.foils is None:
        raise KitError(f"{data.name} has no captions that are wrong in one attribute: choose museum-pictures.")
    told = [
        (row, code, attribute, true, foil)
        for code in languages or data.foils
        for row, foils in enumerate(data.foils[code])
        for attribute, texts in foils.items()
        for true, foil in zip(data.captions[code][row], texts, strict=True)
    ]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(text for one in told for text in one[3:]))}
    seen = encoded(model, data, range(len(data.ids)), list(distinct))
    pairs = [np.array([(one[0], distinct[one[side]]) for one in told]) for side in (3, 4)]
    table = pd.DataFrame([one[1:3] for one in told], columns=["language", "attribute"]).assign(captions=1)
    for name, score in (("contrast", _cosines), ("matching", Encoded.matched)):
        right, wrong = (score(seen, part) for part in pairs)
        table[name] = (right > wrong) + (right == wrong) / 2
    kept = {"captions": "sum", "contrast": "mean", "matching": "mean"}
    return table.groupby(["language", "attribute"], sort=False).agg(kept).reset_index()


def _cosines(seen: Encoded, pairs: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", seen.images[pairs[:, 0]], seen.texts[pairs[:, 1]])

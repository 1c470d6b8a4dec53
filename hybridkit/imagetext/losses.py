"""ALBEF's losses (arXiv 2107.07651, section 3.2) as functions of similarities, logits and numbers, nothing else.

Rows are what is compared (images or captions), columns what it is compared with: those of the batch and those of the
queue. A column that must not count for a row is excluded by a similarity of minus infinity.
"""

import torch
from torch import Tensor
from torch.nn import functional

from hybridkit.errors import KitError

#: Share of the words that are hidden, and of these the shares left as they are and replaced at random (BERT's).
MASKED, KEPT, REPLACED = 0.15, 0.1, 0.1


def excluded(similarities: Tensor, allowed: Tensor) -> Tensor:
    """The similarities with minus infinity in the columns that are not `allowed` (columns,), for every row."""
    return similarities.masked_fill(~allowed, -torch.inf)


def targets(ids: Tensor, all_ids: Tensor, allowed: Tensor) -> Tensor:
    """What a perfect model would put on each column (rows, columns): equal shares on the allowed ones of the same image.

    `ids` (rows,) and `all_ids` (columns,) are numbers of images: two captions of an image have the same.
    """
    same = (ids[:, None] == all_ids) & allowed
    return same / same.sum(1, keepdim=True)


def mixed(wanted: Tensor, momentum_similarities: Tensor, alpha: float) -> Tensor:
    """Distilled targets: `alpha` of what the slow model believes, 1 - alpha of `wanted` (equation 6)."""
    return alpha * momentum_similarities.softmax(1) + (1 - alpha) * wanted


def contrast(similarities: Tensor, wanted: Tensor) -> Tensor:
    """The mean over rows of the cross-entropy of `wanted` and the softmax of the similarities (equation 2).

    The similarities are already divided by the temperature. An excluded column adds nothing.
    """
    logs = similarities.log_softmax(1).masked_fill(similarities.isneginf(), 0)
    return -(wanted * logs).sum(1).mean()


def hard_negatives(similarities: Tensor, same: Tensor, generator: torch.Generator) -> Tensor:
    """For each row one column (rows,), drawn with the probability of its softmax, never one that is `same`.

    `same` (rows, columns) marks the row's own image or captions and all others of that image. Raises KitError where a
    row has nothing else.
    """
    if same.all(1).any():
        raise KitError(
            "A batch holds one image alone, so that it has no negative for it; raise batch_size to 2 or more."
        )
    # A little is added, as in ALBEF, so that a model that is sure of itself still has something to draw.
    weights = (similarities.softmax(1) + 1e-4).masked_fill(same, 0)
    # Drawn on the CPU: the same generator would give other numbers on a GPU.
    return torch.multinomial(weights.float().cpu(), 1, generator=generator)[:, 0].to(similarities.device)


def matching(logits: Tensor, pairs: int) -> Tensor:
    """Cross-entropy of the logits (n, 2) "no match" and "match", of which the first `pairs` match (equation 4)."""
    labels = torch.arange(len(logits), device=logits.device) < pairs
    return functional.cross_entropy(logits, labels.long())


def mask_words(
    ids: Tensor, special: Tensor, mask_id: int, ordinary: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Token numbers with some hidden, and which they are (both of the shape of `ids`), as in BERT.

    Of the tokens that are not `special` (of that shape) 15 % are hidden, in every text that has any at least one: of
    these 80 % become `mask_id`, 10 % another token drawn from `ordinary`, and 10 % stay. All three are to be found again.
    """
    draw = torch.rand(ids.shape, generator=generator).masked_fill(special, torch.inf)
    hidden = draw < MASKED
    hidden |= (draw == draw.amin(1, keepdim=True)) & ~special & ~hidden.any(1, keepdim=True)
    how = torch.rand(ids.shape, generator=generator)
    others = ordinary[torch.randint(len(ordinary), ids.shape, generator=generator)]
    masked = ids.masked_fill(hidden & (how >= KEPT + REPLACED), mask_id)
    return torch.where(hidden & (how < REPLACED), others, masked), hidden


def masked_words(logits: Tensor, words: Tensor, momentum_logits: Tensor | None = None, alpha: float = 0.0) -> Tensor:
    """Cross-entropy of the hidden `words` (n,) and the logits (n, vocabulary), distilled where the slow model's logits
    are given (equations 3 and 7)."""
    loss = functional.cross_entropy(logits, words)
    if momentum_logits is None:
        return loss
    return (1 - alpha) * loss + alpha * functional.cross_entropy(logits, momentum_logits.softmax(1))

"""What ALBEF keeps beside the model: slow copies of its parts, and a queue of the features of earlier batches."""

from copy import deepcopy

import torch
from torch import Tensor, nn

#: In place of the number of an image, where a place of the queue is empty.
EMPTY = -1


def slow_copy(part: nn.Module) -> nn.Module:
    """A copy that no gradient reaches: it moves by `follow` alone."""
    return deepcopy(part).requires_grad_(False)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Move a slow copy towards the model: each weight becomes momentum * slow + (1 - momentum) * fast."""
    for kept, moved in zip(slow.parameters(), fast.parameters(), strict=True):
        kept.lerp_(moved, 1 - momentum)


class Queue(nn.Module):
    """The features of the last `size` images and of their two captions each, as the slow copies made them.

    `images` (size, width) and `texts` (2 size, width): place p of the images belongs to places p and size + p of the
    texts. `ids` (size,) numbers of images, EMPTY where nothing stands yet; `languages` (2 size,) of the captions.
    """

    def __init__(self, size: int, width: int):
        super().__init__()
        self.register_buffer("images", torch.zeros(size, width))
        self.register_buffer("texts", torch.zeros(2 * size, width))
        self.register_buffer("ids", torch.full((size,), EMPTY))
        self.register_buffer("languages", torch.full((2 * size,), EMPTY))
        self.register_buffer("next", torch.tensor(0))

    @property
    def text_ids(self) -> Tensor:
        """Numbers of the images to which the texts belong (2 size,)."""
        return self.ids.repeat(2)

    @torch.no_grad()
    def add(self, images: Tensor, texts: Tensor, ids: Tensor, languages: Tensor) -> None:
        """Put a batch (n images, their n first captions and then their n second ones) where the oldest stands.

        After the last place comes the first.
        """
        size = len(self.ids)
        if not size:
            return
        places = (self.next + torch.arange(len(ids), device=self.ids.device)) % size
        both = torch.cat([places, size + places])
        self.images[places], self.ids[places] = images.to(self.images.dtype), ids
        self.texts[both], self.languages[both] = texts.to(self.texts.dtype), languages
        self.next = (self.next + len(ids)) % size

"""Transformer layers that read a picture while they read a text."""

from torch import Tensor, nn
from torch.nn import functional


class _Gated(nn.Module):
    """A feed-forward part with a gate (GEGLU, arXiv 2002.05202): to compare two things it takes their products."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * inner), nn.Linear(inner, width)

    def forward(self, states: Tensor) -> Tensor:
        gate, kept = self.up(states).chunk(2, dim=-1)
        return self.down(functional.gelu(gate) * kept)


class _Layer(nn.Module):
    """Attention among the words, then from the words to the picture, then a feed-forward part; each normed before."""

    def __init__(self, width: int, image_width: int, heads: int, inner: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.words = nn.MultiheadAttention(width, heads, batch_first=True)
        self.picture = nn.MultiheadAttention(width, heads, kdim=image_width, vdim=image_width, batch_first=True)
        self.inner = _Gated(width, inner)

    def forward(self, text: Tensor, padding: Tensor, image: Tensor, maps: bool) -> tuple[Tensor, Tensor | None]:
        normed = self.norms[0](text)
        text = text + self.words(normed, normed, normed, key_padding_mask=padding, need_weights=False)[0]
        read, attention = self.picture(self.norms[1](text), image, image, need_weights=maps)
        text = text + read
        return text + self.inner(self.norms[2](text)), attention


class Fusion(nn.Module):
    """A stack of such layers over the states of a text encoder; `image_width` may differ from `width`."""

    def __init__(self, layers: int, width: int, image_width: int, heads: int, inner: int):
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, image_width, heads, inner) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, text: Tensor, mask: Tensor, image: Tensor, maps: bool = False) -> tuple[Tensor, Tensor | None]:
        """States (n, tokens, width) of texts that have read their pictures, and where they looked.

        `text` (n, tokens, width) and its `mask` (n, tokens), 0 for padding; `image` (n, patches, image_width). The second
        is the attention of the last layer (n, tokens, patches), the mean of its heads, with `maps`, else None.
        """
        attention = None
        for layer in self.layers:
            text, attention = layer(text, mask == 0, image, maps)
        return self.norm(text), attention

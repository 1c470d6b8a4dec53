"""ALBEF (arXiv 2107.07651) with a multilingual text side: encoders, fusion, heads, their slow copies and the queue."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from hybridkit import encoders
from hybridkit.errors import KitError
from hybridkit.imagetext import losses, vision
from hybridkit.imagetext.fusion import Fusion
from hybridkit.imagetext.momentum import EMPTY, Queue, follow, slow_copy
from hybridkit.imagetext.texts import complete_vocabulary, tokenised, whole_words
from hybridkit.params import Parameters
from hybridkit.streams import Stream

DESIGN, WEIGHTS, TEXT = "albef.json", "model.safetensors", "text"
#: In place of the number of an image, for a caption that fits none.
FOIL = -2
#: The bounds of the learnt temperature.
COLDEST, WARMEST = 0.001, 0.5


@dataclass(frozen=True)
class Design:
    """What makes an ALBEF besides its two encoders; the parameters of the same names say what each is."""

    image_losses: list[str]
    caption_contrast: str
    projection: int
    fusion_layers: int
    momentum: float
    queue: int
    distillation: float
    temperature: float
    max_length: int
    seed: int

    @classmethod
    def of(cls, parameters: Parameters) -> "Design":
        """The part of a run's parameters that a model keeps."""
        return cls(**{name: getattr(parameters, name) for name in cls.__dataclass_fields__})


class Encoders(nn.Module):
    """A picture's encoder and a text's, each with a projection into the space in which they are compared."""

    def __init__(self, image: nn.Module, text: nn.Module, projection: int):
        super().__init__()
        self.image, self.text = image, text
        self.image_projection = nn.Linear(image.config.hidden_size, projection)
        self.text_projection = nn.Linear(text.get_embedding_dimension(), projection)

    def images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """States (n, 1 + patches, width), that of the whole first, and unit vectors (n, projection)."""
        states = self.image(pixels).last_hidden_state
        return states, functional.normalize(self.image_projection(states[:, 0]), dim=-1)

    def texts(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """States (n, tokens, width) and unit vectors (n, projection), of what the text encoder pools itself."""
        found = self.text({"input_ids": tokens, "attention_mask": mask})
        return found["token_embeddings"], functional.normalize(
            self.text_projection(found["sentence_embedding"]), dim=-1
        )

    @property
    def words(self) -> Tensor:
        """The vectors of the vocabulary."""
        return self.text[0].model.get_input_embeddings().weight


class Reader(nn.Module):
    """What reads a text and a picture together: the fusion, and its two heads."""

    def __init__(self, layers: int, text_shape, image_width: int, words: int):
        super().__init__()
        width = text_shape.hidden_size
        self.fusion = Fusion(layers, width, image_width, text_shape.num_attention_heads, text_shape.intermediate_size)
        self.match = nn.Linear(width, 2)
        self.word = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.word_bias = nn.Parameter(torch.zeros(words))

    def matched(self, images: Tensor, texts: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, 2), "no match" and "match", of pairs of states, from the mean over the words that have read the picture."""
        states, counted = self.fusion(texts, mask, images)[0], mask[..., None].to(texts.dtype)
        return self.match((states * counted).sum(1) / counted.sum(1))

    def found_words(self, images: Tensor, texts: Tensor, mask: Tensor, hidden: Tensor, words: Tensor) -> Tensor:
        """Logits (hidden places, vocabulary) of the words that stand where `hidden` (n, tokens) is true."""
        states = self.fusion(texts, mask, images)[0][hidden]
        return functional.linear(self.word(states), words, self.word_bias)


class Albef(nn.Module):
    """The model. `forward` gives the losses of a batch; the other public methods are for trained models, without gradient.

    `text` is a SentenceTransformer, `image` a vision transformer whose first state is that of the whole picture. The
    weights of what is new are drawn from torch's generator.
    """

    def __init__(self, design: Design, text: nn.Module, image: nn.Module):
        super().__init__()
        self.design, self.tokenizer = design, text.tokenizer
        self.encoders = Encoders(image, text, design.projection)
        shape, words = text[0].model.config, len(self.encoders.words)
        self.reader = Reader(design.fusion_layers, shape, image.config.hidden_size, words)
        self.temperature = nn.Parameter(torch.tensor(design.temperature))
        distilled = "masked-words" in design.image_losses and design.distillation > 0
        contrasted = "contrast" in design.image_losses
        self.slow_encoders = slow_copy(self.encoders) if contrasted or distilled else None
        self.slow_reader = slow_copy(self.reader) if distilled else None
        self.queue = Queue(design.queue if contrasted else 0, design.projection)
        special = torch.tensor(sorted(self.tokenizer.all_special_ids))
        self.register_buffer("_special", special, persistent=False)
        # Words are hidden on the CPU, so that the same ones are on every device.
        self._ordinary = torch.tensor(sorted({*range(words)} - {*self.tokenizer.all_special_ids}))
        if "masked-words" in design.image_losses and self.tokenizer.mask_token_id is None:
            raise KitError(
                "The encoder's tokenizer has no token that stands for a hidden word; take masked-words out of image_losses, "
                "or another encoder."
            )

    @classmethod
    def from_parameters(cls, parameters: Parameters, captions: Mapping[str, Sequence[str]]) -> "Albef":
        """The untrained model of a run; `captions`: all that its vocabulary shall cover, by language.

        Of the languages that a tiny encoder is trained on, frequent words become tokens (`texts.whole_words`).
        """
        p = parameters
        text = encoders.base_encoder(p.encoder, p.max_length, pooling=p.pooling)
        complete_vocabulary(text.tokenizer, text[0].model, [one for texts in captions.values() for one in texts])
        if p.encoder in encoders.OWN:
            whole_words(text.tokenizer, text[0].model, [captions[code] for code in p.languages if code in captions])
        return cls(Design.of(p), text, vision.base(p.image_encoder, p.image_size, p.patch_size))

    def save_pretrained(self, folder: str | Path, create_model_card: bool = False) -> None:
        """Write design and weights, and the text encoder alone as a sentence-transformers folder `text`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        about = {"design": asdict(self.design), "image": self.encoders.image.config.to_dict()}
        (folder / DESIGN).write_text(json.dumps(about, indent=1, sort_keys=True), encoding="utf-8")
        save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, folder / WEIGHTS)
        self.encoders.text.save_pretrained(str(folder / TEXT), create_model_card=create_model_card)

    @classmethod
    def open(cls, folder: str | Path) -> "Albef":
        """The model in a folder that `save_pretrained` wrote, ready for use; KitError where it is not whole."""
        folder = Path(folder)
        try:
            about = json.loads((folder / DESIGN).read_text(encoding="utf-8"))
            model = cls(Design(**about["design"]), encoders.load(str(folder / TEXT)), vision.made(about["image"]))
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as fault:
            reason = str(fault).strip().splitlines()[0].rstrip(".")
            raise KitError(
                f"{folder} holds no whole image-text model ({reason}); give the folder `model` of a finished run."
            ) from fault
        return model.to(encoders.device()).eval()

    @property
    def device(self) -> torch.device:
        return self.temperature.device

    @property
    def image_size(self) -> int:
        """Pixels of a side of the pictures that it takes."""
        return self.encoders.image.config.image_size

    def activation_checkpointing_enable(self, activation_checkpointing_kwargs: dict | None = None, **further) -> None:
        """Compute the activations of both encoders twice, to save memory; the trainer calls this."""
        for part in (self.encoders.image, self.encoders.text[0].model):
            part.activation_checkpointing_enable(activation_checkpointing_kwargs, **further)

    # What a trained model gives

    @torch.inference_mode()
    def images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """States (n, 1 + patches, width) and unit vectors (n, projection) of normalised pixels (n, 3, size, size)."""
        return self.encoders.images(pixels.to(self.device))

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """States (n, tokens, width), the mask of what is no padding (n, tokens), and unit vectors (n, projection)."""
        tokens, mask = (part.to(self.device) for part in tokenised(self.tokenizer, texts, self.design.max_length))
        states, vectors = self.encoders.texts(tokens, mask)
        return states, mask, vectors

    @torch.inference_mode()
    def match(self, images: Tensor, texts: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, 2), "no match" and "match", of pairs of states that `images` and `texts` gave."""
        return self.reader.matched(images, texts, mask)

    @torch.inference_mode()
    def attend(self, pixels: Tensor, text: str) -> tuple[list[str], Tensor]:
        """The tokens of a text, and where each looks in a picture (tokens, rows, columns) of patches.

        `pixels`: a picture (3, size, size). The mean over the heads of the last fusion layer; the shares of a token sum to
        1, less what it takes from the state of the whole picture.
        """
        image, _ = self.images(pixels[None])
        states, mask, _ = self.texts([text])
        _, attention = self.reader.fusion(states, mask, image, maps=True)
        side = round((attention.shape[2] - 1) ** 0.5)
        tokens = tokenised(self.tokenizer, [text], self.design.max_length)[0][0]
        return self.tokenizer.convert_ids_to_tokens(tokens.tolist()), attention[0, :, 1:].unflatten(1, (side, side))

    # The losses of a batch

    def forward(self, batch: dict, alpha: float = 0.0, wanted: Sequence[str] = ()) -> dict[str, Tensor]:
        """The losses of a batch by name, `wanted` ones or those that the design asks for: `training.Collator` tells what
        is in it.

        `alpha` is the share of the slow copies' belief in the targets. Moves the slow copies and the queue.
        """
        wanted = wanted or self.design.image_losses
        with torch.no_grad():
            self.temperature.clamp_(COLDEST, WARMEST)
        slow = self._slow(batch)
        images, texts = self.encoders.images(batch["pixels"]), self.encoders.texts(batch["tokens"], batch["mask"])
        found = {}
        if "contrast" in wanted:
            found |= self._contrast(images[1], texts[1], slow, batch, alpha)
        shown = torch.arange(len(batch["ids"]), device=self.device) + batch["step"] % 2 * len(batch["ids"])
        draw = torch.Generator().manual_seed(Stream("losses", self.design.seed, batch["step"]).integer(2**48))
        if "matching" in wanted:
            found["matching"] = self._matching(images, texts, batch, shown, draw)
        if "masked-words" in wanted:
            found["masked-words"] = self._masked_words(images[0], slow, batch, shown, draw, alpha)
        if "contrast" in wanted:
            both = slice(2 * len(batch["ids"]))
            self.queue.add(slow[0][1], slow[1][1][both], batch["ids"], batch["languages"][both])
        return found

    @torch.no_grad()
    def _slow(self, batch: dict) -> tuple | None:
        """What the slow copies, moved a step towards the model, make of a batch: of images and texts, as `Encoders` does."""
        if self.slow_encoders is None:
            return None
        follow(self.slow_encoders, self.encoders, self.design.momentum)
        if self.slow_reader is not None:
            follow(self.slow_reader, self.reader, self.design.momentum)
        images = self.slow_encoders.images(batch["pixels"])
        return images, self.slow_encoders.texts(batch["tokens"], batch["mask"])

    def _contrast(self, images: Tensor, texts: Tensor, slow: tuple, batch: dict, alpha: float) -> dict[str, Tensor]:
        """Images against captions and captions against images, and captions against the image's other captions."""
        (_, slow_images), (_, slow_texts) = slow
        ids, text_ids, both = batch["ids"], batch["text_ids"], slice(2 * len(batch["ids"]))
        queued_texts = self.queue.text_ids != EMPTY
        if batch["kind"] == "mono":  # the queue holds captions of earlier batches, in whatever language
            queued_texts &= self.queue.languages == batch["languages"][0]
        queue = self.queue.texts, self.queue.text_ids, queued_texts
        captions = _columns(slow_texts, text_ids, *queue)
        pictures = _columns(slow_images, ids, self.queue.images, self.queue.ids, self.queue.ids != EMPTY)
        to_texts = self._one_way(images, ids, *captions, slow_images, alpha)
        to_images = self._one_way(texts[both], text_ids[both], *pictures, slow_texts[both], alpha)
        found = {"contrast": (to_texts + to_images) / 2}
        asked = {"cross": batch["kind"] == "cross", "all": True, "none": False}[self.design.caption_contrast]
        if asked and batch["differ"].any():
            found["caption-contrast"] = self._caption_contrast(texts, slow_texts, batch, queue)
        return found

    def _caption_contrast(self, texts: Tensor, slow_texts: Tensor, batch: dict, queue: tuple) -> Tensor:
        """First captions against second ones and the queue, and the other way round; of images whose captions differ."""
        ids, counted = batch["ids"], batch["differ"]
        first, second = slice(len(ids)), slice(len(ids), 2 * len(ids))
        ways = (first, second), (second, first)
        found = [self._one_way(texts[a][counted], ids[counted], *_columns(slow_texts[b], ids, *queue)) for a, b in ways]
        return (found[0] + found[1]) / 2

    def _one_way(
        self,
        rows: Tensor,
        ids: Tensor,
        columns: Tensor,
        all_ids: Tensor,
        allowed: Tensor,
        slow=None,
        alpha: float = 0.0,
    ) -> Tensor:
        """The contrast of vectors (rows) with others (columns), distilled where the `slow` rows are given."""
        wanted = losses.targets(ids, all_ids, allowed)
        if slow is not None and alpha:
            with torch.no_grad():
                believed = losses.excluded(slow @ columns.T / self.temperature, allowed)
                wanted = losses.mixed(wanted, believed, alpha)
        return losses.contrast(losses.excluded(rows @ columns.T / self.temperature, allowed), wanted)

    def _matching(self, images: tuple, texts: tuple, batch: dict, shown: Tensor, draw: torch.Generator) -> Tensor:
        """Each image with a caption of its own, each of these captions with another image, each image with another caption.

        The others are drawn by the model's own similarities, so that this needs no contrast. `shown`: the places of the
        captions, first ones in even steps and second ones in odd.
        """
        own = torch.arange(len(batch["ids"]), device=self.device)
        with torch.no_grad():
            similarities = images[1] @ texts[1].T / self.temperature
            same = batch["ids"][:, None] == batch["text_ids"]
            other_images = losses.hard_negatives(similarities[:, shown].T, same[:, shown].T, draw)
            other_texts = losses.hard_negatives(similarities, same, draw)
        pictures, captions = torch.cat([own, other_images, own]), torch.cat([shown, shown, other_texts])
        logits = self.reader.matched(images[0][pictures], texts[0][captions], batch["mask"][captions])
        return losses.matching(logits, len(own))

    def _masked_words(
        self, images: Tensor, slow: tuple | None, batch: dict, shown: Tensor, draw: torch.Generator, alpha: float
    ) -> Tensor:
        """Words of the captions that are shown, hidden and to be found again from the others and the picture."""
        tokens, mask = batch["tokens"][shown], batch["mask"][shown]
        special = torch.isin(tokens, self._special) | (mask == 0)
        drawn = losses.mask_words(tokens.cpu(), special.cpu(), self.tokenizer.mask_token_id, self._ordinary, draw)
        masked, hidden = (part.to(self.device) for part in drawn)
        states, _ = self.encoders.texts(masked, mask)
        logits = self.reader.found_words(images, states, mask, hidden, self.encoders.words)
        believed = None
        if self.slow_reader is not None and alpha:
            with torch.no_grad():
                states, _ = self.slow_encoders.texts(masked, mask)
                words = self.slow_encoders.words
                believed = self.slow_reader.found_words(slow[0][0], states, mask, hidden, words)
        return losses.masked_words(logits, tokens[hidden], believed, alpha)


def _columns(own: Tensor, ids: Tensor, queued: Tensor, queued_ids: Tensor, allowed: Tensor) -> tuple:
    """Vectors of a batch and those of the queue behind them, their images' numbers, and which may count."""
    there = torch.ones(len(own), dtype=torch.bool, device=own.device)
    return torch.cat([own, queued.to(own.dtype)]), torch.cat([ids, queued_ids]), torch.cat([there, allowed])

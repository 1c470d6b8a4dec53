"""The text side: a tokenizer that knows the words of the captions, and which captions of an image are shown."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hybridkit.errors import KitError
from hybridkit.imagetext.captioned import BETWEEN
from hybridkit.streams import Stream

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDS = 3  # one has sufficed wherever it was tried
#: A word that stands in at least one of so many captions is frequent.
FREQUENT = 200


def two_captions(first: str, second: str, *draw: object) -> tuple[str, str]:
    """The two captions of an image that a training step shows, drawn from a stream named by `draw`.

    `first` and `second` hold the captions of the image in two languages, a line each: one of each is drawn. Where both
    are the same text, the language is the same, and two different lines are drawn as long as there are two.
    """
    stream, lines, others = Stream("caption", *draw), first.split(BETWEEN), second.split(BETWEEN)
    if first == second:
        order = stream.permutation(len(lines))
        return lines[order[0]], lines[order[-1]]
    return lines[stream.integer(len(lines))], others[stream.integer(len(others))]


def tokenised(tokenizer, texts: Sequence[str], max_length: int) -> tuple["Tensor", "Tensor"]:
    """Token numbers and the mask of what is no padding (texts, tokens), cut at `max_length` tokens."""
    found = tokenizer(list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    return found["input_ids"], found["attention_mask"]


def complete_vocabulary(tokenizer, model, texts: Iterable[str]) -> list[str]:
    """Give a tokenizer the characters that it lacks for some texts, and its model a vector for each; those characters.

    Where a word comes out as unknown, its characters that the vocabulary does not have, alone or within a word, become
    tokens of their own, in the order of their code points: the same texts give the same numbers and vectors. Raises
    KitError where a word is still unknown after three rounds.
    """
    added: list[str] = []
    words = _unknown(tokenizer, list(dict.fromkeys(word for text in texts for word in text.split())))
    for _ in range(_ROUNDS):
        if not (new := _lacking(tokenizer, words) - {*added}):
            break
        added += _add(tokenizer, sorted(new))
        words = _unknown(tokenizer, words)
    if words:
        raise KitError(
            f"{len(words)} words of the captions are unknown to the encoder's tokenizer, the first is {words[0]!r}; take "
            "another encoder."
        )
    _add_vectors(model, tokenizer)
    return added


def whole_words(tokenizer, model, captions: Iterable[Sequence[str]]) -> list[str]:
    """Make frequent words tokens of their own where a tokenizer cuts them, and give the model a vector for each; those
    words.

    `captions`: texts by language. For a tiny encoder alone, whose vocabulary comes of other texts: a public one knows the
    pieces of words well. Frequent is what stands in at least one of `FREQUENT` captions of a language. The same captions
    give the same numbers and vectors.
    """
    back, found = tokenizer.backend_tokenizer, set()
    # Where words are written without spaces, one that held such a character would hide it within a longer word.
    characters = {token for token in tokenizer.get_added_vocab() if len(token) == 1}
    for texts in captions:
        counted: Counter[str] = Counter()
        for text in texts:
            counted.update(
                {word for word, _ in back.pre_tokenizer.pre_tokenize_str(back.normalizer.normalize_str(text))}
            )
        frequent = (word for word, count in counted.items() if count * FREQUENT >= len(texts))
        found |= {word for word in frequent if not characters & {*word} and len(tokenizer.tokenize(word)) > 1}
    _add(tokenizer, sorted(found), single_word=True)
    _add_vectors(model, tokenizer, seed=1)  # else words would begin where characters do
    return sorted(found)


def _unknown(tokenizer, words: list[str]) -> list[str]:
    """The words that hold something unknown."""
    encoded = tokenizer(words)["input_ids"] if words else []
    return [word for word, ids in zip(words, encoded, strict=True) if tokenizer.unk_token_id in ids]


def _lacking(tokenizer, words: list[str]) -> set[str]:
    """The characters of unknown words that the vocabulary lacks, as the tokenizer would write them."""
    vocabulary, found = tokenizer.get_vocab(), set()
    normalizer = tokenizer.backend_tokenizer.normalizer
    for word in words:
        encoded = tokenizer(word, return_offsets_mapping=True)
        for number, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            if number == tokenizer.unk_token_id:
                part = word[start:end]
                found.update(normalizer.normalize_str(part) if normalizer else part)
    return {c for c in found if not c.isspace() and not (c in vocabulary and f"##{c}" in vocabulary)}


def _add(tokenizer, tokens: list[str], single_word: bool = False) -> list[str]:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(token, normalized=True, single_word=single_word) for token in tokens])
    return tokens


def _add_vectors(model, tokenizer, seed: int = 0) -> None:
    """Rows for the new tokens, drawn with the spread that BERT begins with, the same whatever was drawn before."""
    import torch

    old = model.get_input_embeddings().weight.shape[0]
    if (new := len(tokenizer)) <= old:
        return
    model.resize_token_embeddings(new, mean_resizing=False)
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        drawn = torch.randn(new - old, weight.shape[1], generator=torch.Generator().manual_seed(seed))
        weight[old:] = (0.02 * drawn).to(weight)

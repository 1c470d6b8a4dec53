"""Shapes of the encoders of the profiles, to be filled with random weights: what they cost, no weights tell.

As in the config.json that each model publishes; without LaBSE's last layer of 768 x 768.
"""

from pathlib import Path

_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_SMALL = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 1536}
_XLMR = {"vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1}
_BERT = {"max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0}
#: model id -> (type of transformers, configuration)
SHAPES = {
    "FacebookAI/xlm-roberta-base": ("xlm-roberta", _BASE | _XLMR),
    "FacebookAI/xlm-roberta-large": ("xlm-roberta", _LARGE | _XLMR),
    "sentence-transformers/LaBSE": ("bert", _BASE | _BERT | {"vocab_size": 501_153}),
    "nreimers/mMiniLMv2-L12-H384-distilled-from-XLMR-Large": ("xlm-roberta", _SMALL | _XLMR),
    "intfloat/multilingual-e5-small": ("bert", _SMALL | _BERT | {"vocab_size": 250_037}),
}
#: Words of the made-up tokenizer, one token each.
WORDS = 1000


def configuration(name: str):
    """The transformers configuration of a shape."""
    from transformers import AutoConfig

    kind, values = SHAPES[name]
    return AutoConfig.for_model(kind, **values)


def weights(name: str) -> int:
    """How many weights an encoder has: embeddings, layers and the pooler that both types bring along."""
    v = SHAPES[name][1]
    hidden, inner = v["hidden_size"], v["intermediate_size"]
    embeddings = (v["vocab_size"] + v["max_position_embeddings"] + v["type_vocab_size"] + 2) * hidden
    layer = 4 * (hidden + 1) * hidden + (hidden + 1) * inner + (inner + 1) * hidden + 4 * hidden
    return embeddings + v["num_hidden_layers"] * layer + (hidden + 1) * hidden


def random_encoder(name: str, folder: Path, max_length: int):
    """A SentenceTransformer of the shape with random weights and a tokenizer of made-up words, by way of `folder`."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    AutoModel.from_config(configuration(name)).save_pretrained(folder)
    vocabulary = {"<pad>": 0, "[pad]": 1} | {f"w{i}": i + 2 for i in range(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pad = "[pad]" if configuration(name).pad_token_id else "<pad>"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, model_max_length=512).save_pretrained(folder)
    encoder = Transformer(str(folder), max_seq_length=max_length)
    return SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension())])

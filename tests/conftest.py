"""Fixtures that tests share: the real data where it is there, and folders of a test's own."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does, so it decides nothing.
settings.register_profile("kit", deadline=None)
settings.load_profile("kit")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; the test is skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data of shared/data beside the repository, which is not here")
    return folder


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """A cache folder of the test's own, empty, with the downloads inside."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(folder))
    monkeypatch.delenv("HYBRIDKIT_DOWNLOADS", raising=False)
    return folder


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory) -> Path:
    """A folder with a random, very small Hugging Face encoder and its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    texts = [
        "Where does the clock stand?",
        "The clock stands in the tower.",
        "Где стоят часы?",
        "钟在哪里？",
        "أين الساعة؟",
    ]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    ).save_pretrained(folder)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(shape).save_pretrained(folder)
    return folder

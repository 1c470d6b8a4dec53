"""Base encoders: two tiny ones warmed up here in the roles of XLM-R and LaBSE, and any other by id or folder."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock

from hybridkit import files, hub, model_card, paths
from hybridkit.corpora.pairs import TrainingPairs
from hybridkit.errors import KitError
from hybridkit.streams import Stream

TINY = {
    "tiny-mlm": "masked language modelling only: XLM-R's role",
    "tiny-aligned": "masked language modelling, then translation ranking on parallel sentences: LaBSE's role",
}
#: Size and warm-up of the tiny encoders: another value is another encoder. A change of the code below that
#: changes weights must raise `recipe`.
TINY_SHAPE = {"vocab_size": 8000, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY_SHAPE |= {"intermediate_size": 128, "max_position_embeddings": 96, "hidden_dropout_prob": 0.0}
TINY_SHAPE |= {"attention_probs_dropout_prob": 0.0}
WARM_UP = {
    "recipe": 2,
    "exhibits": 1500,
    "steps": 300,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "max_length": 48,
    "seed": 0,
}
ALIGN_TEMPERATURE = 0.05
#: Encoders that are made here: the two of TINY, and tiny-mlm continued on real sentences (`transfer.tiny_flores`).
FLORES = "tiny-flores"
OWN = {*TINY, FLORES}
PoolingMode = Literal["mean", "cls"]


def base_encoder(
    name: str, max_length: int, query_prefix: str = "", passage_prefix: str = "", pooling: PoolingMode = "mean"
):
    """Load a base encoder as a SentenceTransformer, cosine similarity, with its prompts and maximum length set.

    `name` is "tiny-mlm", "tiny-aligned", "tiny-flores", a Hugging Face or sentence-transformers id, or a folder. A model
    without a pooling layer gets one: "mean" of the tokens, or the first token ("cls"). Raises KitError if it cannot be
    loaded, with the reason.
    """
    model = load(name, pooling)
    limit = model.max_seq_length
    model.max_seq_length = min(max_length, limit) if limit else max_length
    model.prompts = {"query": query_prefix, "document": passage_prefix}
    return model


def load(name: str, pooling: PoolingMode = "mean"):
    """Load a SentenceTransformer: a tiny one by name, from a folder, or by id; every fault is a KitError.

    An id is loaded at its locked revision (`hybridkit.hub`). `pooling` is for a model that has no pooling layer.
    """
    quiet()
    found = folder(name)
    _check_folder(found)
    try:
        return _read(found, pooling)
    except KitError:
        raise
    except Exception as fault:  # the libraries raise whatever their parser raised
        reason = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
        raise KitError(
            f"The model {name} cannot be loaded ({reason.rstrip('.')}); delete the folder, if a run, a download or the "
            "kit's cache made it, and run the same command again, or give another."
        ) from fault


def folder(name: str) -> Path:
    """The folder of an encoder's files: warmed up or downloaded at its first use. KitError where there is none."""
    if name in TINY:
        return tiny_folder(name)
    if name == FLORES:
        from hybridkit.transfer import tiny_flores

        return tiny_flores.folder()
    found = hub.folder(name) if is_id(name) else Path(name).expanduser()
    if not found.is_dir():
        raise KitError(f"There is no model folder {name}; give an existing folder or a model id.")
    return found


def is_id(name: str) -> bool:
    """Whether a name stands for a model of the hub, and not for a tiny encoder or a folder."""
    folder = Path(name).expanduser()
    path = folder.is_dir() or folder.is_absolute() or name.startswith(".") or name.count("/") > 1
    return name not in OWN and not path


def _read(folder: Path, pooling: PoolingMode):
    """Weights in pickled files are read with weights_only=True by both libraries; code of the model's own never runs."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = SentenceTransformer(str(folder), device=device(), similarity_fn_name="cosine", trust_remote_code=False)
    inner = getattr(model[0], "model", None)
    if hasattr(inner, "from_pretrained"):
        check_complete(type(inner), folder)
    if not (folder / "modules.json").exists():
        model[1] = Pooling(model[0].get_embedding_dimension(), pooling_mode=pooling)
    return model


def check_complete(kind: type, folder: Path, may_lack: Sequence[str] = ("pooler",)) -> None:
    """Raise KitError where tensors are missing in a model's files: the library would fill them at random, silently.

    The pooler that encoders bring along may be missing, as in XLM-R: no vector is made with it. `may_lack`: such
    parts, as they stand in the names of tensors between points.
    """
    inner = next(
        path.parent for path in (folder / "config.json", *sorted(folder.glob("*/config.json"))) if path.exists()
    )
    _, told = kind.from_pretrained(inner, output_loading_info=True, device_map="meta")  # reads names, no weights
    missing = sorted(name for name in told["missing_keys"] if not {*may_lack} & {*name.split(".")})
    missing += [str(name) for name, *_ in told["mismatched_keys"]]
    if missing:
        raise KitError(
            f"The weights in {inner} lack {len(missing)} of the model's tensors, or have them in another shape "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}), which would be left at random: take a "
            "whole copy of the model, or one that fits its config.json."
        )


@contextmanager
def repeatable(name: str):
    """Compute with one thread while a tiny encoder is trained, so that the number of threads changes no weight.

    Sums split over threads come out otherwise in the last bit, which training then enlarges. A model this small
    gains little by more threads; any other encoder keeps them, and its results hold for one number of threads.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1 if name in OWN else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def device() -> str:
    """The device that models run on: the first GPU if there is one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def quiet() -> None:
    """No bars and no reports of the library: a notebook shows what the lesson is about."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    hub.set_verbosity_error()  # else every attempt to reach a hub that cannot be reached is told


def _check_folder(folder: Path) -> None:
    if not any(folder.rglob("config*.json")):
        raise KitError(f"The folder {folder} holds no model: no config.json in it.")
    parts = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "sentencepiece.bpe.model", "spiece.model")
    if not any(list(folder.rglob(part)) for part in parts):
        raise KitError(
            f"The model folder {folder} has no tokenizer; save one beside the weights "
            "(tokenizer.save_pretrained(folder)), then run again."
        )


def content_key(name: str) -> str:
    """What decides an encoder's weights, known without loading it; part of a run's key. For a model id, its revision.

    A model card of the kit decides none: a trained model has the same key before and after its card is written.
    """
    from hybridkit.corpora import museum

    if name in TINY:
        recipe = (name, TINY_SHAPE, WARM_UP, ALIGN_TEMPERATURE, museum.content_key("train", WARM_UP["exhibits"]))
        return hashlib.sha256(repr(recipe).encode()).hexdigest()
    if name == FLORES:
        from hybridkit.transfer import tiny_flores

        return tiny_flores.content_key()
    if is_id(name):
        return hub.revision(name)
    folder = Path(name).expanduser()
    return files.content_key(folder, without=model_card.CARD if model_card.is_ours(folder) else "")


def tiny_folder(name: str) -> Path:
    """The folder of a tiny encoder, warmed up at first use and shared by all runs.

    Keyed by everything that decides its weights: shape, warm-up settings, and the museum's sentences.
    """
    from hybridkit.corpora import museum

    if name not in TINY:
        raise KitError(f"{name!r} is no tiny encoder; there are {' and '.join(TINY)}.")

    def make(stage: Path) -> None:
        pairs = museum.training_pairs(WARM_UP["exhibits"])
        _warm_up_mlm(pairs, stage) if name == "tiny-mlm" else _warm_up_aligned(pairs, stage)

    return made_once(name, content_key(name), make)


def made_once(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The cached folder of a tiny encoder, by its name and what decides its weights; `make` writes it at first use."""
    folder = paths.cache() / "encoders" / f"{name}-{key[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            with files.written_whole(folder) as stage, repeatable("tiny-mlm"):
                make(stage)
    return folder


_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_pieces(pieces: dict[str, int] | None = None):
    """A WordPiece tokenizer that finds the words of Chinese and Thai as it finds those of a long German one.

    Accents are kept: stripping them would take the vowel signs from Hindi and Thai. Chinese is not split
    into characters beforehand: that would double its length.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=400))
    tokenizer.normalizer = normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=False, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def vocabulary(texts: list[str]) -> dict[str, int]:
    """Token numbers of a WordPiece trained on the texts; the same texts give the same vocabulary.

    Left alone, the library numbers the characters within words in the order of a randomly seeded hash table
    and breaks ties between merges by those numbers: another process, another vocabulary. They are given
    beforehand, as if they were special tokens, and are plain entries of the vocabulary afterwards.
    """
    from tokenizers.trainers import WordPieceTrainer

    tokenizer = word_pieces()
    characters = tokenizer.normalizer.normalize_str("".join(sorted(set().union(*texts))))
    inner = [f"##{character}" for character in sorted(set(characters) - {" "})]
    trainer = WordPieceTrainer(
        vocab_size=TINY_SHAPE["vocab_size"], special_tokens=[*_SPECIAL, *inner], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.get_vocab()


def _tokenizer(texts: list[str]):
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    pieces = vocabulary(texts)
    tokenizer = word_pieces(pieces)
    ends = [(token, pieces[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=96, **names)


def _sentences(pairs: TrainingPairs, language: str) -> list[str]:
    rows = range(len(pairs.queries))
    return pairs.passages.texts(language, rows) + pairs.queries.texts(language, rows)


def _warm_up_mlm(pairs: TrainingPairs, folder: Path) -> None:
    """Masked language modelling over the questions and sentences of all languages (15 % masked, as in BERT)."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling

    quiet()
    texts = [text for language in pairs.passages.languages for text in _sentences(pairs, language)]
    tokenizer = _tokenizer(texts)
    torch.manual_seed(WARM_UP["seed"])
    model = BertForMaskedLM(BertConfig(**TINY_SHAPE | {"vocab_size": len(tokenizer)}))
    mask = DataCollatorForLanguageModeling(tokenizer)
    # Given as a seed, the library would refuse it in any process but the main one, so in a sweep's worker.
    mask.generator = torch.Generator().manual_seed(WARM_UP["seed"])

    def loss(step: int):
        rows = Stream("warm-up", WARM_UP["seed"], step).integers(len(texts), WARM_UP["batch_size"])
        batch = tokenizer([texts[i] for i in rows], truncation=True, max_length=WARM_UP["max_length"])
        batch = mask([{"input_ids": ids} for ids in batch["input_ids"]])
        hidden = model.bert(batch["input_ids"], batch["attention_mask"]).last_hidden_state
        # Words are scored at the masked places alone: the vocabulary is the dearest product of a model this small.
        masked = batch["labels"] != -100
        return torch.nn.functional.cross_entropy(model.cls(hidden[masked]), batch["labels"][masked])

    optimise(model, loss, WARM_UP["steps"], WARM_UP["learning_rate"])
    _as_sentence_transformer(model.bert, tokenizer, folder)


def _warm_up_aligned(pairs: TrainingPairs, folder: Path) -> None:
    """Translation ranking: a sentence must find its translation among those of the batch (LaBSE, 2007.01852)."""
    import torch
    import torch.nn.functional as F

    model = load("tiny-mlm").to("cpu")  # on every machine, so that the cached weights depend on none
    languages = pairs.passages.languages

    def embed(texts: list[str]):
        features = model.preprocess(texts)
        return F.normalize(model(features)["sentence_embedding"], dim=-1)

    def loss(step: int):
        stream = Stream("translation ranking", WARM_UP["seed"], step)
        source, target = stream.permutation(len(languages))[:2]
        rows = stream.permutation(len(pairs.passages))[: WARM_UP["batch_size"]]
        a, b = (embed(pairs.passages.texts(languages[i], rows)) for i in (source, target))
        return F.cross_entropy(a @ b.T / ALIGN_TEMPERATURE, torch.arange(len(rows)))

    optimise(model, loss, WARM_UP["steps"], WARM_UP["learning_rate"])
    model.save_pretrained(str(folder), create_model_card=False)


def optimise(model, loss, steps: int, learning_rate: float) -> None:
    """AdamW with a linear rise and fall of the learning rate; `loss(step)` draws its own batch."""
    import torch
    from transformers import get_linear_schedule_with_warmup

    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimiser, steps // 10, steps)
    model.train()
    for step in range(steps):
        loss(step).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
    model.eval()


def _as_sentence_transformer(bert, tokenizer, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    plain = folder.with_name(folder.name + ".plain")
    bert.save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    encoder = Transformer(str(plain), max_seq_length=WARM_UP["max_length"])
    pooling = Pooling(encoder.get_embedding_dimension(), pooling_mode="mean")
    SentenceTransformer(modules=[encoder, pooling], device="cpu").save_pretrained(str(folder), create_model_card=False)
    shutil.rmtree(plain)

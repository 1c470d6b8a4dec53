"""A tiny encoder that has read real sentences: tiny-mlm, continued on the training sentences of SIB-200.

The museum's tiny encoders know the museum's words alone. This one gets the characters that it lacks and reads 701
sentences in eleven languages: first masked words, then translation ranking, as the warm-up of tiny-aligned. It is
the text side of runs on real captions, and what SIB-200 can be tried with where no model is to be had.
"""

import hashlib
from pathlib import Path

from filelock import FileLock

from hybridkit import encoders, files, paths
from hybridkit.corpora import sib_200
from hybridkit.languages import XQUAD_R
from hybridkit.streams import Stream

#: What decides its weights beside tiny-mlm and the sentences. A change of the code that changes them must raise `recipe`.
RECIPE = {"recipe": 1, "masked_steps": 300, "ranking_steps": 150, "batch_size": 64, "learning_rate": 1e-3}
RECIPE |= {"max_length": 64, "temperature": encoders.ALIGN_TEMPERATURE, "seed": 0}


def content_key() -> str:
    """What decides the weights, known without making them."""
    told = (RECIPE, encoders.content_key("tiny-mlm"), sib_200.SOURCE.commit, XQUAD_R)
    return hashlib.sha256(repr(told).encode()).hexdigest()


def folder() -> Path:
    """The folder of the encoder, made at first use and shared by all runs; SIB-200 is downloaded for it if need be."""
    place = paths.cache() / "encoders" / f"tiny-flores-{content_key()[:16]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock")):
        if not place.exists():
            texts = {code: [text for _, text in sib_200.sentences(code, "train").values()] for code in XQUAD_R}
            with files.written_whole(place) as stage, encoders.repeatable("tiny-mlm"):
                _train(texts, stage)
    return place


def _train(texts: dict[str, list[str]], place: Path) -> None:
    from hybridkit.imagetext.texts import complete_vocabulary

    model = encoders.load("tiny-mlm").to("cpu")  # on every machine, so that the cached weights depend on none
    every = [text for found in texts.values() for text in found]
    complete_vocabulary(model.tokenizer, model[0].model, every)
    model.max_seq_length = RECIPE["max_length"]
    _masked_words(model, every)
    encoders.optimise(model, _ranking(model, list(texts.values())), RECIPE["ranking_steps"], RECIPE["learning_rate"])
    model.save_pretrained(str(place), create_model_card=False)


def _masked_words(model, texts: list[str]) -> None:
    """Masked language modelling (15 % masked, as in BERT) with a head of its own, which is thrown away."""
    import torch
    from transformers import BertForMaskedLM, DataCollatorForLanguageModeling

    torch.manual_seed(RECIPE["seed"])
    head = BertForMaskedLM(model[0].model.config)
    head.bert = model[0].model
    head.tie_weights()
    mask = DataCollatorForLanguageModeling(model.tokenizer)
    mask.generator = torch.Generator().manual_seed(RECIPE["seed"])

    def loss(step: int):
        rows = Stream("tiny-flores", "masked words", step).integers(len(texts), RECIPE["batch_size"])
        found = model.tokenizer([texts[row] for row in rows], truncation=True, max_length=RECIPE["max_length"])
        batch = mask([{"input_ids": ids} for ids in found["input_ids"]])
        hidden = head.bert(batch["input_ids"], batch["attention_mask"]).last_hidden_state
        masked = batch["labels"] != -100
        return torch.nn.functional.cross_entropy(head.cls(hidden[masked]), batch["labels"][masked])

    encoders.optimise(head, loss, RECIPE["masked_steps"], RECIPE["learning_rate"])


def _ranking(model, texts: list[list[str]]):
    """The loss of translation ranking: a sentence must find its translation among those of the batch (LaBSE)."""
    import torch
    import torch.nn.functional as F

    def embed(found: list[str]):
        return F.normalize(model(model.preprocess(found))["sentence_embedding"], dim=-1)

    def loss(step: int):
        stream = Stream("tiny-flores", "ranking", step)
        pair = stream.permutation(len(texts))[:2]
        rows = stream.permutation(len(texts[0]))[: RECIPE["batch_size"]]
        a, b = (embed([texts[i][row] for row in rows]) for i in pair)
        return F.cross_entropy(a @ b.T / RECIPE["temperature"], torch.arange(len(rows)))

    return loss

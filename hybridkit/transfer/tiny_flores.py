"""A tiny encoder that has read real sentences: tiny-mlm, continued on the training sentences of SIB-200.

The museum's tiny encoders know the museum's words alone. This one gets the pieces of words that it lacks, and vectors
for them from 701 sentences in eleven languages: those of latent semantic indexing over sentences and their
translations; then translation ranking, as the warm-up of tiny-aligned. It is the text side of runs on real captions,
and what SIB-200 can be tried with where no model is to be had.
"""

import hashlib
from itertools import chain
from pathlib import Path

import numpy as np

from hybridkit import encoders
from hybridkit.corpora import sib_200
from hybridkit.languages import XQUAD_R
from hybridkit.streams import Stream

#: What decides its weights beside tiny-mlm and the sentences. A change of the code that changes them must raise `recipe`.
RECIPE = {"recipe": 2, "ranking_steps": 100, "batch_size": 64, "learning_rate": 3e-4, "max_length": 96}
RECIPE |= {"temperature": encoders.ALIGN_TEMPERATURE, "seed": 0}


def content_key() -> str:
    """What decides the weights, known without making them."""
    told = (RECIPE, encoders.content_key("tiny-mlm"), sib_200.SOURCE.commit, XQUAD_R)
    return hashlib.sha256(repr(told).encode()).hexdigest()


def folder() -> Path:
    """The folder of the encoder, made at first use and shared by all runs; SIB-200 is downloaded for it if need be."""

    def make(stage: Path) -> None:
        texts = [[text for _, text in sib_200.sentences(code, "train").values()] for code in XQUAD_R]
        _make(texts).save_pretrained(str(stage), create_model_card=False)

    return encoders.made_once(encoders.FLORES, content_key(), make)


def _make(texts: list[list[str]]):
    """The encoder, a SentenceTransformer, of the sentences in each language, in the same order in all."""
    model = encoders.load("tiny-mlm").to("cpu")  # on every machine, so that the cached weights depend on none
    model.max_seq_length = RECIPE["max_length"]
    length = model[0].model.get_input_embeddings().weight.norm(dim=1).mean().item()
    _add_pieces(model, [text for found in texts for text in found])
    _set_vectors(model, texts, length)
    encoders.optimise(model, _ranking(model, texts), RECIPE["ranking_steps"], RECIPE["learning_rate"])
    return model


def _add_pieces(model, texts: list[str]) -> None:
    """Give the tokenizer the pieces that one of these texts alone has and it has not, and the model rows for them."""
    import torch

    pieces = model.tokenizer.get_vocab()
    found = encoders.vocabulary(texts)
    for piece in sorted(found, key=found.get):
        pieces.setdefault(piece, len(pieces))
    model.tokenizer.backend_tokenizer.model = encoders.word_pieces(pieces).model
    torch.manual_seed(RECIPE["seed"])  # of the rows of pieces that no text has: single characters
    model[0].model.resize_token_embeddings(len(pieces), mean_resizing=False)


def _set_vectors(model, texts: list[list[str]], length: float) -> None:
    """Set the vectors of all pieces that occur, each as long as `length`, by cross-language latent semantic indexing.

    A sentence with its translations is one document, so that pieces of the same meaning stand in the same documents, in
    whatever language (Dumais, Letsche, Littman and Landauer 1997). A piece's vector is its row of the decomposed
    matrix of weighted counts. The museum's pieces that occur get one too: here they are mostly parts of other words.
    """
    import torch
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    ids = [model.tokenizer(found, add_special_tokens=False)["input_ids"] for found in texts]
    documents = [list(chain(*sentences)) for sentences in zip(*ids, strict=True)]
    weighting = TfidfVectorizer(analyzer=lambda document: document, sublinear_tf=True)
    counts = weighting.fit_transform(documents)
    weight = model[0].model.get_input_embeddings().weight
    svd = TruncatedSVD(weight.shape[1], algorithm="arpack", random_state=RECIPE["seed"]).fit(counts)
    vectors = svd.components_.T * svd.singular_values_
    vectors *= length / np.linalg.norm(vectors, axis=1, keepdims=True)
    with torch.no_grad():
        weight[weighting.get_feature_names_out().astype(int)] = torch.tensor(vectors, dtype=weight.dtype)


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

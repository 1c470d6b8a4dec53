"""The model card of a trained model: README.md in its folder, with the metadata block that model hubs read.

A card is a function of the run: written again for the same results it is the same file. It decides no weights, so the
key of an encoder's folder leaves a card of the kit out (`encoders.content_key`).
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from hybridkit import __version__
from hybridkit.files import write_text

if TYPE_CHECKING:
    from hybridkit.runs import Run

CARD = "README.md"
#: The tag by which a card of the kit is known.
TAG = "hybridkit"
_PAPER = "https://arxiv.org/abs/2408.10536"
_TAGS = ("sentence-transformers", "sentence-similarity", "feature-extraction")
_TAGS_OF_IMAGES = ("image-text-retrieval", "arxiv:2107.07651")
#: Figures of the card, and the names that a hub's table gives to them.
_SHOWN = ("monolingual mAP", "cross-lingual mAP", "multilingual mAP", "monolingual nDCG@10", "rank distance")
_SHOWN_OF_IMAGES = ("image-to-text R@1", "text-to-image R@1", "rSum", "re-ranked rSum", "rank distance")


def is_ours(folder: Path) -> bool:
    """Whether the model in `folder` has a card that the kit wrote."""
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    head = text.removeprefix("---\n").partition("\n---\n")[0] if text.startswith("---\n") else ""
    return f"- {TAG}" in head.splitlines()


def write(run: "Run", measured: dict) -> Path:
    """Write the card of a run's model into its folder; `measured` as `Run.metrics` returns it."""
    path = run.folder / "model" / CARD
    write_text(path, card(run, measured))
    return path


def card(run: "Run", measured: dict) -> str:
    """The text of the card."""
    p = run.parameters
    kind = (
        "An image-text model (ALBEF, [arXiv 2107.07651](https://arxiv.org/abs/2107.07651)), trained"
        if run.of_images
        else "A multilingual dense retriever, fine-tuned"
    )
    opening = (
        f"{kind} with hybridkit {__version__} along a plan that mixes kinds of batches "
        f"([arXiv 2408.10536]({_PAPER})). Its mixture **{p.mixture}** is {_mixture(run)}.\n"
    )
    parts = [
        f"---\n{_metadata(run, measured)}\n---\n",
        f"# {run.title}\n",
        opening,
        *([_WARNING] if _is_lesson(run) else []),
        f"## Use\n\n{_use(run)}\n",
        f"## Training\n\n{_training(run)}\n",
        f"## Data\n\n{_data(run)}\n",
        f"## Results\n\n{_results(measured)}\n",
        f"## Licence\n\n{_LICENCE}\n",
    ]
    return "\n".join(parts)


_LICENCE = (
    "The weights derive from the base encoder and the training data named above; their licences apply, and whoever "
    "publishes the model decides under them."
)
_WARNING = (
    "> **A model for lessons.** A tiny encoder, or the sentences of a made-up museum, or both: it shows how mixtures "
    "differ and proves nothing about real text. Do not use it for retrieval, and do not set its figures beside "
    "published ones.\n"
)


def _is_lesson(run: "Run") -> bool:
    from hybridkit.encoders import OWN

    return run.parameters.encoder in OWN or "museum" in run.parameters.training_data


def _mixture(run: "Run") -> str:
    p = run.parameters
    words = (
        (p.mono, "in one language"),
        (p.cross, "of pairs in two languages"),
        (p.multi, "of same-language pairs in mixed languages"),
        (p.variants, "of questions with their passage in every language"),
    )
    told = ", ".join(f"{100 * weight:g} % batches {what}" for weight, what in words if weight)
    beyond = ", ".join(part for part in p.beyond_weights().split(", ") if not part.startswith("variants"))
    return told + (f" ({beyond})" if beyond else "")


_LINES = (
    "from sentence_transformers import SentenceTransformer",
    "",
    'model = SentenceTransformer("path/to/this/folder")',
    'queries = model.encode_query(["..."])',
    'passages = model.encode_document(["..."])',
    "scores = model.similarity(queries, passages)  # cosines",
)
_LINES_OF_IMAGES = (
    "from hybridkit.imagetext.albef import Albef",
    "",
    'model = Albef.open("path/to/this/folder")',
    'states, mask, texts = model.texts(["..."])',
    "patches, images = model.images(pixels)  # normalised, see hybridkit.imagetext.images",
    "scores = images @ texts.T  # cosines",
    "logits = model.match(patches, states, mask)  # of each image with the text in the same place",
)


def _use(run: "Run") -> str:
    p = run.parameters
    intended = (
        "Meant for showing and studying the method, and for nothing else."
        if _is_lesson(run)
        else "Meant for research on retrieval within and across the languages it was trained on; look at the results "
        "below before using it with others, and at the rank distance before mixing languages in one pool."
    )
    lines = _LINES_OF_IMAGES if run.of_images else _LINES
    code = "\n".join(lines)
    prompts = (
        f"Queries begin with {p.query_prefix!r} and passages with {p.passage_prefix!r}; the functions above add them."
    )
    if not (p.query_prefix or p.passage_prefix):
        prompts = "It takes texts as they are, without prefixes."
    return f"```python\n{code}\n```\n\n{prompts} Texts are cut off after {p.max_length} tokens. {intended}"


def _training(run: "Run") -> str:
    p = run.parameters
    rows = {
        "base encoder": f"{_base_name(run)}, {_base_revision(run)}",
        "languages": " ".join(p.languages),
        "steps": f"{p.steps:,} at most, {p.batch_size} examples each"
        + (f", {p.gradient_accumulation} batches a step" if p.gradient_accumulation > 1 else ""),
        "learning rate": f"{p.learning_rate:g}, {p.schedule}, AdamW with weight decay {p.weight_decay:g}",
        "loss": _loss(run),
        "explicit negatives": f"{p.explicit_negatives} an example",
        "precision": p.precision,
        "seed of the plan": str(p.seed),
        "plan": _plan(run),
        "key of the run": f"`{run.key}`",
        "profile": p.profile,
    }
    if further := p.beyond_weights():
        rows["batches, beside the weights"] = further
    return _table(("", ""), rows.items()) + "\n\nAll parameters stand in `params.yaml` of the run's folder."


def _loss(run: "Run") -> str:
    p = run.parameters
    if run.of_images:
        return f"{' + '.join(p.image_losses)}, temperature {p.temperature:g} at first"
    return p.loss + ("" if p.loss == "equation-1" else f", temperature {p.temperature:g}, {p.directions}")


def _plan(run: "Run") -> str:
    """The fingerprint that `Run.save_plan` kept; the plan of a large run is not drawn for it again."""
    file = run.folder / "plan.yaml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    found = [line.partition(": ") for line in lines if line.startswith("fingerprint_of_first_")]
    return "; ".join(f"{name.replace('_', ' ')} `{value}`" for name, _, value in found) or "no fingerprint kept"


def _base_name(run: "Run") -> str:
    """The encoder's id or name; of a folder no path, which would mean nothing elsewhere."""
    from hybridkit.runs import encoder_label

    return encoder_label(run.parameters.encoder)


def _base_revision(run: "Run") -> str:
    from hybridkit import encoders

    content = encoders.content_key(run.parameters.encoder)
    return f"revision {content}" if encoders.is_id(run.parameters.encoder) else f"content {content[:16]}"


def _data(run: "Run") -> str:
    from hybridkit import lock
    from hybridkit.corpora.catalogue import CATALOGUE

    locked = lock.read()["datasets"]

    def revision(name: str) -> str:
        known = CATALOGUE[name].revision if name in CATALOGUE else "a file of the user's"
        return locked.get(name, {}).get("revision") or known

    rows = [
        (part, d.name, d.licence, revision(d.name), f"`{d.fingerprint[:16]}`")
        for part, sets in (("training", run.datasets), ("benchmark", run.benchmarks.values()))
        for d in sets
    ]
    return _table(("", "name", "licence", "revision", "fingerprint"), rows)


_TOLD = (
    "Macro-averages as in the paper: over languages, over pairs of languages, and over one pool of all languages. "
    "The rank distance is that between the best and the worst of a question's parallel answers: lower is fairer."
)
_TOLD_OF_IMAGES = (
    "Means over languages. rSum adds up R@1, R@5 and R@10 in both directions, in per cent. The rank distance is that "
    "between the best and the worst of an image's captions among the captions in all languages: lower is fairer."
)


def _results(measured: dict) -> str:
    shown = _shown(measured)
    rows = [
        (benchmark, scope, *(_number(name, figures.get(name, math.nan)) for name in shown))
        for benchmark, scopes in measured.items()
        for scope, figures in scopes.items()
    ]
    told = _TOLD_OF_IMAGES if shown == _SHOWN_OF_IMAGES else _TOLD
    return f"{told}\n\n{_table(('benchmark', 'languages', *shown), rows)}" if rows else "Not evaluated."


def _shown(measured: dict) -> tuple[str, ...]:
    """The figures of a card: those of images where there are any."""
    of_images = any(_SHOWN_OF_IMAGES[0] in figures for scopes in measured.values() for figures in scopes.values())
    return _SHOWN_OF_IMAGES if of_images else _SHOWN


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return "not defined"
    return f"{value:,.1f}" if name == "rank distance" or name.endswith("rSum") else f"{value:.4f}"


def _table(head, rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _metadata(run: "Run", measured: dict) -> str:
    """The metadata block: what model hubs and search read."""
    from huggingface_hub import ModelCardData

    from hybridkit import hub
    from hybridkit.corpora.catalogue import CATALOGUE
    from hybridkit.encoders import OWN

    p = run.parameters
    hubs = [CATALOGUE[name].hub for name in p.training_data if name in CATALOGUE and CATALOGUE[name].hub]
    data = ModelCardData(
        language=sorted(p.languages),
        library_name=None if run.of_images else "sentence-transformers",
        pipeline_tag=None if run.of_images else "sentence-similarity",
        tags=[*(_TAGS_OF_IMAGES if run.of_images else _TAGS), "arxiv:2408.10536", TAG],
        base_model=hub.repository(p.encoder) if _base_name(run) == p.encoder and p.encoder not in OWN else None,
        datasets=hubs or None,
        model_name=run.title,
        eval_results=_eval_results(measured) or None,
    )
    return data.to_yaml()


def _eval_results(measured: dict) -> list:
    from huggingface_hub import EvalResult

    found = []
    for benchmark, scopes in measured.items():
        for scope, figures in scopes.items():
            found += [
                EvalResult(
                    task_type="information-retrieval",
                    task_name="Information Retrieval",
                    dataset_type=benchmark,
                    dataset_name=f"{benchmark}, {scope}",
                    dataset_config=scope,  # hubs tell data sets apart by type and configuration, not by name
                    metric_type=name.replace(" ", "-").lower(),
                    metric_name=name,
                    metric_value=round(figures[name], 6),
                )
                for name in _shown(measured)
                if not math.isnan(figures.get(name, math.nan))
            ]
    return found

"""Typed run parameters: what a run can be told, read from flat YAML layers, with every fault told in a sentence.

YAML is read twice: as YAML 1.2, which is what people mean, and as YAML 1.1, which is what plain papermill
reads. Where the two differ (`1:3` is 63 to papermill) the value is refused, with a way to write it for both.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Annotated, Literal, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML

from hybridkit import paths
from hybridkit.errors import KitError
from hybridkit.languages import TRAINED, check_code


def _code(code: str) -> str:
    try:
        return check_code(code)
    except KitError as fault:
        raise ValueError(str(fault).rstrip(".")) from None  # pydantic collects no other kind


def _once(values: list[str]) -> list[str]:
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"{', '.join(twice)} stands in the list more than once; keep one")
    return values


# Points and hyphens only between letters and digits, so that every system takes the name for a folder's.
_Folder = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*$")]
_Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1), AfterValidator(_once)]
_SomeCodes = Annotated[list[Annotated[str, AfterValidator(_code)]], AfterValidator(_once)]
_Codes = Annotated[_SomeCodes, Field(min_length=1)]
_Loss = Literal["contrast", "matching", "masked-words"]
_Losses = Annotated[list[_Loss], Field(min_length=1), AfterValidator(_once)]


class Parameters(BaseModel):
    """Everything that decides a run. Types are strict: text is never read as a number, nor a truth value as one.

    Built directly, a fault is pydantic's ValidationError; the functions of this module raise KitError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    profile: _Folder = Field("tiny", description="how large the run is; names the folder of its runs")
    mixture: _Folder = Field("hybrid-0.50", description="name of the three weights; names the run's folder")
    mono: float = Field(0.5, ge=0, le=1, description="share of batches in one language")
    cross: float = Field(0.5, ge=0, le=1, description="share of batches of pairs in two languages")
    multi: float = Field(0.0, ge=0, le=1, description="share of batches of same-language pairs, mixed")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of everything that is drawn at random")
    languages: _Codes = Field(list(TRAINED), description="trained on; quoted codes")
    encoder: str = Field(
        "tiny-mlm", min_length=1, description="tiny-mlm, tiny-aligned, tiny-flores, a model id or a folder"
    )
    training_data: _Names = Field(["museum"], description="catalogue names, or JSONL files of pairs")
    benchmarks: _Names = Field(["museum"], description="what is evaluated on: catalogue names or folders")
    museum_exhibits: int = Field(1500, ge=100, le=50_000, description="exhibits to train on")
    museum_evaluation_exhibits: int = Field(200, ge=20, le=50_000, description="exhibits never seen in training")
    dataset_temperature: float = Field(1.0, gt=0, description="1 draws datasets by size; higher is more even")
    cross_pairs: Literal["example", "batch"] = Field("example", description="a language pair per example or batch")
    max_rows: int = Field(0, ge=0, description="rows of each training source; 0 for all")
    contamination_limit: float = Field(
        0.05, ge=0, le=1, description="share of a benchmark in training that stops a run"
    )
    batch_size: int = Field(64, ge=1, description="examples in a batch")
    steps: int = Field(400, ge=1, le=1_000_000, description="updates of the weights")
    gradient_accumulation: int = Field(1, ge=1, description="batches summed for one update")
    learning_rate: float = Field(2e-3, gt=0, description="highest rate; in YAML always with a point: 1.0e-3")
    warmup_fraction: float = Field(0.1, ge=0, le=1, description="share of the steps in which the rate rises")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="of the rate after its rise: linear, cosine or constant"
    )
    weight_decay: float = Field(0.01, ge=0, description="of AdamW")
    pooling: Literal["mean", "cls"] = Field("mean", description="mean or cls, for an encoder that has none")
    max_length: int = Field(48, ge=4, description="tokens of a text; the rest is cut off")
    loss: Literal["in-batch", "equation-1"] = Field("in-batch", description="in-batch or equation-1 (of the paper)")
    temperature: float = Field(0.05, gt=0, description="scores are divided by it; equation-1 has none")
    directions: Literal["query-to-passage", "symmetric"] = Field(
        "query-to-passage", description="query-to-passage or symmetric"
    )
    explicit_negatives: int = Field(1, ge=0, description="hard negatives of each example")
    missing_negatives: Literal["leave-out", "random"] = Field(
        "leave-out", description="rows with too few: leave-out, or fill up at random"
    )
    negative_language: Literal["positive", "any"] = Field("positive", description="that of the positive, or any")
    query_prefix: str = Field("Query: ", description="put before every query")
    passage_prefix: str = Field("Passage: ", description="put before every passage")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of training: float32 or bfloat16")
    cached_texts: int = Field(0, ge=0, description="texts at a time in the cached loss; 0 for the plain loss")
    gradient_checkpointing: bool = Field(False, description="compute activations twice, to save memory")
    checkpoint_every: int = Field(100, ge=0, description="steps between checkpoints; 0 for none")
    validation_data: str = Field("", description="for early stopping: a catalogue name or a JSONL file")
    validate_every: int = Field(0, ge=0, description="steps between validations; 0 for none")
    patience: int = Field(0, ge=0, description="validations without a gain until training stops; 0 for never")
    variants: float = Field(0.0, ge=0, le=1, description="share of batches with a query's passage in every language")
    end_mono: float = Field(0.0, ge=0, le=1, description="share of mono at the end; all three 0: as at the start")
    end_cross: float = Field(0.0, ge=0, le=1, description="share of cross at the end")
    end_multi: float = Field(0.0, ge=0, le=1, description="share of multi at the end")
    mixture_stages: int = Field(0, ge=0, description="equal stages from the start's shares to the end's; 0: every step")
    switch_probability: float = Field(0.0, ge=0, le=1, description="that a word is switched to another language")
    switch_query_to: _SomeCodes = Field([], description="languages that words of queries are switched to")
    switch_passage_to: _SomeCodes = Field([], description="languages that words of passages are switched to")
    switch_each: Literal["word", "example"] = Field("word", description="a language is drawn for each word or example")
    switch_by: Literal["word", "phrase"] = Field("word", description="what is switched: word or phrase")
    switch_kinds: Literal["mono", "all"] = Field("mono", description="batches that are switched: mono or all")
    switch_lexicons: str = Field("museum", min_length=1, description="museum, or a folder of MUSE-format lexicons")
    track: Literal["text", "image-text"] = Field("text", description="text, or image-text for an ALBEF")
    image_encoder: str = Field(
        "tiny-vit", min_length=1, description="tiny-vit, tiny-vit-random, a model id of a ViT or a folder"
    )
    image_size: int = Field(48, ge=8, description="pixels of a side of a picture")
    patch_size: int = Field(8, ge=2, description="pixels of a side of a patch, which must divide image_size")
    image_folder: str = Field("", description="the folder of the images of a public source")
    missing_images: Literal["refuse", "skip"] = Field(
        "refuse", description="images that cannot be read: refuse or skip"
    )
    pictures_train: int = Field(1500, ge=100, le=10_000, description="pictures of the museum to train on")
    pictures_evaluation: int = Field(200, ge=20, le=5_000, description="pictures never seen in training")
    fusion_layers: int = Field(2, ge=1, description="layers that read text and picture together")
    projection: int = Field(128, ge=1, description="numbers of the vectors that are compared")
    image_losses: _Losses = Field(
        ["contrast", "matching", "masked-words"], description="some of contrast, matching and masked-words"
    )
    caption_contrast: Literal["cross", "all", "none"] = Field(
        "cross", description="batches in which an image's two captions are contrasted: cross, all or none"
    )
    momentum: float = Field(0.995, ge=0, lt=1, description="of the slow copies; 0 for the model itself")
    queue: int = Field(512, ge=0, description="earlier images, and their captions, in the contrast; 0 for none")
    distillation: float = Field(0.4, ge=0, lt=1, description="share of the slow copies' belief in the targets")
    contrast_first: float = Field(0.0, ge=0, lt=1, description="share of the steps in which contrast is trained alone")
    rerank: int = Field(16, ge=0, description="candidates that the matching head ranks anew; 0 for none")

    @model_validator(mode="after")
    def _agree(self) -> "Parameters":
        if faults := [sentence for _, sentence in _disagreements(self)]:
            raise ValueError("\n".join(faults))
        return self

    def key(self) -> str:
        """16 hex digits that are the same for equal settings; the names `profile` and `mixture` do not count."""
        settings = self.model_dump(exclude={"profile", "mixture"})
        # What was added later counts where it is used, so that runs made before it are found again.
        settings = {name: value for name, value in settings.items() if (name, value) not in _LATER.items()}
        # Adding 0.0 turns -0.0, which equals 0.0 but is printed otherwise, into 0.0.
        settings = {name: value + 0.0 if isinstance(value, float) else value for name, value in settings.items()}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def beyond_weights(self) -> str:
        """How the batches are filled besides the three weights, "" where no more is said: "end_mono: 1.0, ..."."""
        names = [name for name in MIXTURE[4:] if getattr(self, name) != _LATER[name]]
        return ", ".join(f"{name}: {_yaml(getattr(self, name))}" for name in names)


_FIELDS = Parameters.model_fields
#: Parameters added after the first runs, with the value that means what those runs did.
_LATER = {"max_rows": 0, "contamination_limit": 0.05, "schedule": "linear", "pooling": "mean"}
_LATER |= {"missing_negatives": "leave-out", "negative_language": "positive", "cached_texts": 0}
_LATER |= {"gradient_checkpointing": False, "validation_data": "", "validate_every": 0, "patience": 0}
_LATER |= {"variants": 0.0, "end_mono": 0.0, "end_cross": 0.0, "end_multi": 0.0, "mixture_stages": 0}
_LATER |= {"switch_probability": 0.0, "switch_query_to": [], "switch_passage_to": [], "switch_each": "word"}
_LATER |= {"switch_by": "word", "switch_kinds": "mono", "switch_lexicons": "museum"}
#: Parameters of images alone, with `track` the last that were added.
IMAGES = tuple(_FIELDS)[list(_FIELDS).index("track") :]
_LATER |= {name: _FIELDS[name].default for name in IMAGES}
_WEIGHTS = ("mono", "cross", "multi")
_END = ("end_mono", "end_cross", "end_multi")
#: What a mixture file can say: how the batches are filled, and what it is called.
MIXTURE = ("mixture", *_WEIGHTS, "variants", *_END, "mixture_stages")
MIXTURE += tuple(name for name in _FIELDS if name.startswith("switch_"))
_NOT_PARAMETERS = {"In", "Out", "exit", "quit", "get_ipython", "open", "PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"}
#: name -> (value, where it was given: "" in a notebook); and (name, or "" for none, and the sentence on its fault).
_Given = dict[str, tuple[object, str]]
_Faults = list[tuple[str, str]]


def _disagreements(parameters: Parameters) -> Iterator[tuple[set[str], str]]:
    """What is wrong between fields that are each right: the names concerned and a sentence."""
    names = (*_WEIGHTS, "variants") if parameters.variants else _WEIGHTS
    yield from _sums_to_one(parameters, names)
    if any(getattr(parameters, name) for name in _END):
        yield from _sums_to_one(parameters, _END)
    elif parameters.mixture_stages:
        yield (
            {"mixture_stages", *_END},
            (
                f"mixture_stages is {parameters.mixture_stages}, but no shares of the end are given; set end_mono, "
                "end_cross and end_multi, or mixture_stages to 0."
            ),
        )
    if parameters.mixture_stages == 1:
        yield (
            {"mixture_stages"},
            "mixture_stages is 1, but from one mixture to another there are at least 2 stages, or 0 for every step.",
        )
    for name in ("cross", "variants", "end_cross"):
        if (share := getattr(parameters, name)) > 0 and len(parameters.languages) < 2:
            yield (
                {name, "languages"},
                (
                    f"{name} is {share} and languages is {parameters.languages}, but a {name.removeprefix('end_')} batch "
                    "needs at least two languages; add a language or take the mixture mono."
                ),
            )
    if parameters.switch_probability and not parameters.switch_query_to + parameters.switch_passage_to:
        yield (
            {"switch_probability", "switch_query_to", "switch_passage_to"},
            (
                f"switch_probability is {parameters.switch_probability}, but no language to switch to is given; name "
                'some in switch_query_to or switch_passage_to, such as switch_query_to: ["de"], or set it to 0.0.'
            ),
        )
    if (
        parameters.switch_probability
        and parameters.switch_kinds == "mono"
        and not parameters.mono + parameters.end_mono
    ):
        yield (
            {"switch_probability", "switch_kinds", "mono", "end_mono"},
            (
                f"switch_probability is {parameters.switch_probability} and switch_kinds is mono, but mono is 0.0, so nothing "
                "would be switched; set switch_kinds to all, or mono above 0."
            ),
        )
    if parameters.loss == "equation-1" and parameters.explicit_negatives < 1:
        yield (
            {"loss", "explicit_negatives"},
            (
                "loss is equation-1 and explicit_negatives is 0, but the equation compares each positive with explicit "
                "negatives; set explicit_negatives to 1 or more, or loss to in-batch."
            ),
        )
    if parameters.loss == "equation-1" and parameters.cached_texts:
        yield (
            {"loss", "cached_texts"},
            (
                f"loss is equation-1 and cached_texts is {parameters.cached_texts}, but only the in-batch loss can be "
                "cached; set cached_texts to 0, or loss to in-batch."
            ),
        )
    if parameters.variants and parameters.cached_texts:
        yield (
            {"variants", "cached_texts"},
            (
                f"variants is {parameters.variants} and cached_texts is {parameters.cached_texts}, but the cached loss "
                "would count the variants of a passage as one another's negatives; set cached_texts to 0, or variants to 0.0."
            ),
        )
    if parameters.track == "image-text":
        yield from _of_images(parameters)
    if parameters.validate_every and not parameters.validation_data:
        yield (
            {"validate_every", "validation_data"},
            (
                f"validate_every is {parameters.validate_every}, but there is nothing to validate on; name the data in "
                'validation_data, such as validation_data: "squadshifts", or set validate_every to 0.'
            ),
        )
    if parameters.validation_data and not parameters.validate_every:
        yield (
            {"validate_every", "validation_data"},
            (
                f"validation_data is {parameters.validation_data!r}, but validate_every is 0, so nothing would ever be "
                'validated; set validate_every to a number of steps, or validation_data to "".'
            ),
        )
    if parameters.patience and not parameters.validate_every:
        yield (
            {"patience", "validate_every"},
            (
                f"patience is {parameters.patience}, but validate_every is 0, so nothing would ever be validated; set "
                "validate_every to a number of steps, or patience to 0."
            ),
        )


def _of_images(parameters: Parameters) -> Iterator[tuple[set[str], str]]:
    """What is wrong with a run of images: sizes that do not fit, and what only runs of texts have."""
    p = parameters
    if p.image_size % p.patch_size:
        yield (
            {"image_size", "patch_size"},
            (
                f"image_size is {p.image_size}, which patches of {p.patch_size} pixels do not fill; set image_size to "
                f"{max(1, round(p.image_size / p.patch_size)) * p.patch_size}, or patch_size to a number that divides it."
            ),
        )
    if 0 < p.queue < p.batch_size:
        yield (
            {"queue", "batch_size"},
            (
                f"queue is {p.queue} and batch_size is {p.batch_size}, but the queue takes a whole batch at a time; set "
                f"queue to {p.batch_size} or more, or to 0 for none."
            ),
        )
    if p.batch_size < 2:
        yield (
            {"batch_size", "track"},
            (
                f"batch_size is {p.batch_size}, but an image is compared with the others of its batch; set batch_size to "
                "2 or more."
            ),
        )
    plain = {"variants": 0.0, "switch_probability": 0.0, "cached_texts": 0, "validation_data": "", "loss": "in-batch"}
    for name, value in plain.items():
        if (given := getattr(p, name)) != value:
            yield (
                {name, "track"},
                (
                    f"{name} is {given!r} and track is image-text, but runs of images have no such thing; set {name} to "
                    f"{_yaml(value)}, or track to text."
                ),
            )


def _sums_to_one(parameters: Parameters, names: Sequence[str]) -> Iterator[tuple[set[str], str]]:
    """The sentence on shares of batches that do not sum to 1."""
    weights = [getattr(parameters, name) for name in names]
    if abs(sum(weights) - 1) > 1e-6:
        given = ", ".join(f"{name}: {weight}" for name, weight in zip(names, weights))
        meant = _shares(names, weights if any(weights) else [1, 1, 0])
        count = {3: "three", 4: "four"}[len(names)]
        yield (
            set(names),
            f"the weights {given} sum to {sum(weights):.7g}, but must sum to 1; set all {count}, such as {meant}.",
        )


def _layer(text: str, source: str, numbered: bool, faults: _Faults) -> _Given:
    """Read one flat YAML text twice; what cannot be read, or is read in two ways, goes to `faults` instead."""
    try:
        root, papermill = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
        read = YAML(typ="safe", pure=True).load(text)
    except Exception as error:  # on odd tags and numbers both parsers raise much besides their own errors
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        place = f"{source}, line {mark.line + 1}" if mark and numbered else source
        problem = f"{' '.join(problem.split())}; write one name: value a line, each name once, text in quotes"
        faults.append(("", f"{place} is no YAML that can be read: {problem}."))
        return {}
    if not (isinstance(read, dict) and isinstance(papermill, dict)):
        kind = "is empty" if read is None else f"holds {_shown(read)}"
        faults.append(("", f"{source} {kind}, but must hold lines such as steps: 1000."))
        return {}
    given: _Given = {}
    for key, node in root.value:
        name, where = key.value, f"{source}, line {key.start_mark.line + 1}: " if numbered else f"{source}: "
        if name not in _FIELDS:
            faults.append(_unknown(name, where))
            continue
        value, theirs = read.get(name), papermill.get(name)
        readings = [(node, value, theirs)]
        if isinstance(value, list) and isinstance(theirs, list) and len(value) == len(theirs):
            readings = list(zip(node.value, value, theirs))
        # repr tells 1 from True and from 1.0, which == does not.
        misread = [
            (name, f"{where}{_misreading(name, text[part.start_mark.index : part.end_mark.index], reading)}")
            for part, ours, reading in readings
            if repr(ours) != repr(reading)
        ]
        faults += misread
        if not misread:
            given[name] = value, where
    return given


def _misreading(name: str, text: str, theirs: object) -> str:
    """The sentence on a value whose text papermill reads otherwise than it is meant."""
    kind, text = _FIELDS[name].annotation, " ".join(text.split())
    advice = _advice(name, text) if kind in (int, float, bool) else f"; write it in quotes: {_yaml(text)}"
    verb = "holds" if get_origin(kind) is list else "is written"
    return f"{name} {verb} {text}, which papermill reads as {_shown(theirs)}, but must be {_expected(name)}{advice}."


def _shown(value: object) -> str:
    text = "empty" if value is None else f"the text {value!r}" if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _shares(names: Sequence[str], parts: Sequence[float]) -> str:
    return " and ".join(f"{name}: {round(part / sum(parts), 9)}" for name, part in zip(names, parts))


def _base_60(value: int) -> str:
    return f"{_base_60(value // 60)}:{value % 60}" if value >= 60 else str(value)


def _float(value: float) -> str:
    """1e-05 as 1.0e-5: YAML 1.1 wants a point and a signed exponent."""
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d}" if exponent else mantissa


def _advice(name: str, value: object, in_notebook: bool = False) -> str:
    """What a value that does not fit was probably meant to be and how to write that, as a clause; "" if unknown.

    A text is as it was written; any other value in a notebook may be what papermill's YAML made of a text.
    """
    kind, text = _FIELDS[name].annotation, str(value)
    if isinstance(value, bool):
        words, word = ("yes, on and true", "yes") if value else ("no, off and false", "no")
        mend = "" if kind in (int, float) else f': if the word is meant, write it in quotes: "{word}"'
        return f"; YAML reads {words} as {value}{mend}"
    if name in _WEIGHTS:
        counted = in_notebook and isinstance(value, int) and value >= 60
        text = _base_60(value) if counted else text
        parts = [int(part) for part in text.split(":")] if re.fullmatch(r"[0-9]{1,9}(:[0-9]{1,9}){1,2}", text) else []
        if any(parts):
            reading = f"YAML reads {text} as {value} in base 60, and " if counted else ""
            return f"; {reading}a ratio {text} means {_shares(_WEIGHTS, parts)}"
    if kind is bool:
        return "; write true or false, without quotes"
    if kind not in (int, float):
        return "" if value is None or isinstance(value, (str, list, dict)) else f'; write it in quotes: "{text}"'
    try:
        number = float(text) if isinstance(value, str) or (kind is int and isinstance(value, float)) else math.nan
    except ValueError:
        return ""
    if not math.isfinite(number) or (kind is int and not number.is_integer()):
        return ""
    written = str(int(number)) if kind is int else _float(number)
    reading = f"YAML 1.1 reads {text} as a text; " if in_notebook and "e" in text.lower() else ""
    return f"; {reading}write {written}{' without quotes' if written == value else ''}"


def _expected(name: str) -> str:
    """What a field takes, from its type, bounds and default."""
    kind, rules = _FIELDS[name].annotation, _FIELDS[name].metadata
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(
        kind, "a list of texts"
    )
    if get_origin(kind) is Literal:
        words = " or ".join(get_args(kind))
    if any(getattr(rule, "pattern", None) for rule in rules):
        words = "a text of letters and digits, with . _ or - between them"
    bounds = {"ge": "at least", "gt": "above", "le": "at most", "min_length": "of length at least"}
    limits = [f" {word} {getattr(rule, key)}" for rule in rules for key, word in bounds.items() if hasattr(rule, key)]
    return f"{words}{' and'.join(limits)}, such as {name}: {_yaml(_FIELDS[name].default)}"


def _unknown(name: str, where: str) -> tuple[str, str]:
    """The parameter that an unknown name probably means ("" if none is near), and a sentence."""
    near = [*get_close_matches(name, _FIELDS, n=1), ""][0]
    advice = f"perhaps {near}" if near else "the names stand in docs/parameters.md"
    return near, f"{where}{name if name.isidentifier() else repr(name)} was given, which is no parameter; {advice}."


def _checked(given: _Given, faults: _Faults) -> Parameters:
    """Build the parameters, or raise one KitError with the faults found so far and all that are found here."""
    faults += [_unknown(name, where) for name, (_, where) in given.items() if name not in _FIELDS]
    values = {name: value for name, (value, _) in given.items() if name in _FIELDS}
    try:
        parameters = Parameters(**values)
    except ValidationError as error:
        # Faults between fields have no place in `loc`; they are looked for below, among the fields that are right.
        for problem in [problem for problem in error.errors() if problem["loc"]]:
            (name, *index), value, where = problem["loc"], problem["input"], given[problem["loc"][0]][1]
            sentence = f"{name} {'holds' if index else 'is'} {_shown(value)}, but must be {_expected(name)}"
            sentence += _advice(name, value, in_notebook=not where)
            if problem["type"] == "value_error":
                sentence = f"{name}: {problem['ctx']['error']}"
            faults.append((name, f"{where}{sentence}."))
    faulty = {name for name, _ in faults}
    sound = Parameters.model_construct(**{name: value for name, value in values.items() if name not in faulty})
    for names, sentence in _disagreements(sound):
        if not names & faulty:
            last = [where for name, (_, where) in given.items() if name in names][-1:]
            faults.append(("", "".join(last) + sentence))
    if faults:
        raise KitError("\n".join(sentence for _, sentence in faults))
    return parameters


def load(files: Sequence[Path], overrides: Mapping[str, object] | None = None) -> Parameters:
    """Read parameter files as layers, then `overrides`; later ones win.

    Raises one KitError with every fault of every layer, a sentence a line: file, line, name, value and remedy.
    """
    faults: _Faults = []
    given: _Given = {}
    for file in files:
        try:
            given |= _layer(Path(file).read_text(encoding="utf-8-sig"), str(file), True, faults)
        except FileNotFoundError:
            faults.append(("", f"{file} does not exist: give a parameter file such as params/profiles/tiny.yaml."))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
            faults.append(("", f"{file} cannot be read ({reason}): give a parameter file."))
    return _checked(given | {name: (value, "override: ") for name, value in (overrides or {}).items()}, faults)


def parse_override(argument: str) -> tuple[str, object]:
    """Split NAME=VALUE of the command line; VALUE is YAML, under the same rules as in a file."""
    name, equals, text = argument.partition("=")
    if not equals:
        raise KitError(f"{argument!r} is no override: write NAME=VALUE, such as steps=200.")
    source = f"override {' '.join(argument.split())}"
    if name not in _FIELDS:
        raise KitError(_unknown(name, f"{source}: ")[1])
    faults: _Faults = []
    # The value stands on lines of its own, so that a text with a colon in it is a faulty value, not faulty YAML.
    given = _layer(f"{name}:\n{indent(text, '  ')}", source, False, faults)
    if faults:
        raise KitError("\n".join(sentence for _, sentence in faults))
    return name, given[name][0]


def _file(folder: str, name: str, names: list[str]) -> Path:
    if name not in names:
        likely = [other for other in names if name and other.startswith(name)] or get_close_matches(name, names)
        near = f", perhaps {likely[0]}" if likely else ""
        there = ", ".join(names) or "none, so HYBRIDKIT_HOME must name the folder that holds params/"
        raise KitError(f"{name!r} is none of the {folder} in {paths.params()}{near}; there are: {there}.")
    return paths.params() / folder / f"{name}.yaml"


def profile_file(name: str) -> Path:
    """The file of a profile; an unknown name is a KitError with the names that there are."""
    return _file("profiles", name, sorted(path.stem for path in (paths.params() / "profiles").glob("*.yaml")))


def mixture_file(name: str) -> Path:
    """The file of a mixture; an unknown name is a KitError with the names that there are."""
    return _file("mixtures", name, mixture_names())


def mixture_order(name: str) -> tuple[int, float, str]:
    """A sort key for names of mixtures, in the paper's order: mono, the hybrids, cross, multi, uniform, then others; last
    "none", which was not trained (BM25)."""
    if hybrid := re.fullmatch(r"hybrid-([0-9]+(?:\.[0-9]+)?)", name):
        return 1, -float(hybrid[1]), name
    return {"mono": 0, "cross": 2, "multi": 3, "uniform": 4, "none": 6}.get(name, 5), 0.0, name


def weights_of_name(name: str) -> dict[str, float] | None:
    """The three weights that a name such as mix-0.25-0.50-0.25 says (mono, cross, multi); None for any other name.

    So are mixtures called that have no file; `simplex.named` writes such names.
    """
    found = re.fullmatch(r"mix-([01]\.[0-9]{2,3})-([01]\.[0-9]{2,3})-([01]\.[0-9]{2,3})", name)
    return dict(zip(_WEIGHTS, map(float, found.groups()))) if found else None


def mixture_names() -> list[str]:
    """The mixtures that have a file, in the paper's order."""
    return sorted((path.stem for path in (paths.params() / "mixtures").glob("*.yaml")), key=mixture_order)


def for_run(
    profile: str = "tiny", mixture: str = "hybrid-0.50", seed: int = 0, overrides: Mapping[str, object] | None = None
) -> Parameters:
    """The parameters of one run of a sweep: a profile's file, a mixture's file, a seed, overrides.

    A mixture without a file may be called by its weights (`weights_of_name`).
    """
    if (weights := weights_of_name(mixture)) and mixture not in mixture_names():
        return load([profile_file(profile)], {"mixture": mixture, **weights, "seed": seed, **(overrides or {})})
    file = mixture_file(mixture)
    found = load([profile_file(profile), file], {"seed": seed, **(overrides or {})})
    if found.mixture != mixture and "mixture" not in (overrides or {}):
        raise KitError(
            f'{file} names its mixture {found.mixture!r}; write mixture: "{mixture}" in it, as the file is called.'
        )
    return found


def from_notebook(namespace: Mapping[str, object]) -> Parameters:
    """Check what a notebook's parameters cells set: `run = from_notebook(globals())`, called right after them.

    Every name counts but those that begin with "_", those of IPython and papermill, and modules,
    functions and classes. Where the cell is run again (the namespace holds a Parameters by then, or a
    thing with such `parameters`), unknown names are the notebook's own and are let be. Raises KitError as `load` does.
    """
    again = any(isinstance(getattr(value, "parameters", value), Parameters) for value in namespace.values())
    faults: _Faults = []
    given: _Given = {}
    for name, value in namespace.items():
        code = isinstance(value, ModuleType) or callable(value)
        if name in _FIELDS and code:
            faults.append((name, f"{name} is {_shown(value)}, which hides the parameter; import it by another name."))
        elif name in _FIELDS or not (again or code or name.startswith("_") or name in _NOT_PARAMETERS):
            given[name] = value, ""
    return _checked(given, faults)


def _yaml(value: object) -> str:
    """A value as both YAML parsers read it back: text always in quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf).removesuffix("\n")
    return _float(value) if isinstance(value, float) else str(value)


def to_yaml(parameters: Parameters) -> str:
    """The parameters as a flat parameter file, a name a line, which `load` and papermill read back as they are."""
    return "".join(f"{name}: {_yaml(value)}\n" for name, value in parameters)


def notebook_cell() -> str:
    """The source of a notebook's `parameters` cell: the defaults, which are the tiny profile, a commented line each.

    What only larger runs need is left out; a run gives it to a notebook all the same.
    """
    lines = {name: f"{name} = {json.dumps(field.default)}" for name, field in _FIELDS.items() if name not in _LATER}
    # The list of languages is by far the longest line: its comment stands alone.
    width = max(len(line) for name, line in lines.items() if name != "languages")
    return "\n".join(f"{line:<{width}}  # {_FIELDS[name].description}" for name, line in lines.items())

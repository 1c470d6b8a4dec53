"""Run parameters: the files that ship, the layers, the faults and their sentences, the notebook's side, the key."""

import json
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from papermill.execute import execute_notebook
from papermill.iorw import read_yaml_file
from pydantic import ValidationError
from ruamel.yaml import YAML

from hybridkit import languages, params, paths
from hybridkit.errors import KitError
from hybridkit.params import Parameters, for_run, from_notebook, load, parse_override, to_yaml

FIELDS = Parameters.model_fields
#: What the tiny profile and the notebooks show; the rest is for larger runs.
SHOWN = {name: field for name, field in FIELDS.items() if name not in params._LATER}
FILES = sorted(paths.params().glob("*/*.yaml"))
MIXTURES = {
    "mono": (1, 0, 0), "hybrid-0.75": (0.75, 0.25, 0), "hybrid-0.60": (0.6, 0.4, 0), "hybrid-0.50": (0.5, 0.5, 0),
    "hybrid-0.40": (0.4, 0.6, 0), "hybrid-0.25": (0.25, 0.75, 0), "cross": (0, 1, 0), "multi": (0, 0, 1),
    "uniform": (1 / 3, 1 / 3, 1 / 3),
}  # fmt: skip
SWITCHED = "switch_probability: 0.5, switch_query_to: {0}, switch_passage_to: {0}"
TRAINED, ELEVEN = json.dumps(languages.TRAINED), json.dumps(languages.XQUAD_R)
#: Mixtures that say more than three weights, and how their batches are filled besides.
FURTHER = {
    "cross-then-mono": "end_mono: 1.0, mixture_stages: 2", "cross-to-mono": "end_mono: 1.0",
    "mono-then-cross": "end_cross: 1.0, mixture_stages: 2", "mono-to-cross": "end_cross: 1.0",
    "switched-0.50": SWITCHED.format(TRAINED), "switched-eleven-0.50": SWITCHED.format(ELEVEN),
    "switched-hybrid-0.50": SWITCHED.format(TRAINED), "variants": "variants: 1.0",
}  # fmt: skip


def kit_yaml(file):
    return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))


@pytest.fixture
def faults(tmp_path):
    """A function that loads texts as layers and returns the lines of the KitError, paths cut to file names."""

    def read(*texts, **overrides):
        files = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text, encoding="utf-8")
        with pytest.raises(KitError) as caught:
            load(files, overrides)
        return str(caught.value).replace(f"{tmp_path}/", "").split("\n")

    return read


def settings_of():
    """Any valid Parameters: every field within its bounds, the weights summing to 1."""
    # Line breaks, quotes and emoji too, but no lone surrogates: no file can hold those.
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    text = st.one_of(text, st.sampled_from(["no", "1e-5", "1:3", "null", "~", "2024-01-01", "# x", " "]))
    names = st.lists(text, min_size=1, unique=True)
    positive = st.floats(1e-12, 1e12)
    shares = st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any)
    folder = st.from_regex(r"\A[A-Za-z0-9]+([._-][A-Za-z0-9]+){0,2}\Z")
    fields = st.fixed_dictionaries({
        "profile": folder, "mixture": folder, "seed": st.integers(0, 2**32 - 1),
        "languages": st.lists(st.sampled_from([*languages.LANGUAGES, "no"]), min_size=2, unique=True),
        "encoder": text, "training_data": names, "benchmarks": names, "museum_exhibits": st.integers(100, 50_000),
        "museum_evaluation_exhibits": st.integers(20, 50_000), "dataset_temperature": positive,
        "cross_pairs": st.sampled_from(["example", "batch"]), "batch_size": st.integers(1), "steps": st.integers(1, 10**6),
        "gradient_accumulation": st.integers(1), "learning_rate": positive, "warmup_fraction": st.floats(0, 1),
        "weight_decay": st.floats(0, 1e9), "max_length": st.integers(4),
        "loss": st.sampled_from(["in-batch", "equation-1"]), "temperature": positive,
        "directions": st.sampled_from(["query-to-passage", "symmetric"]),
        "explicit_negatives": st.integers(1), "query_prefix": st.one_of(st.just(""), text), "passage_prefix": text,
        "precision": st.sampled_from(["float32", "bfloat16"]), "checkpoint_every": st.integers(0),
        "max_rows": st.integers(0), "contamination_limit": st.floats(0, 1), "pooling": st.sampled_from(["mean", "cls"]),
        "schedule": st.sampled_from(["linear", "cosine", "constant"]), "gradient_checkpointing": st.booleans(),
        "missing_negatives": st.sampled_from(["leave-out", "random"]), "validation_data": text,
        "negative_language": st.sampled_from(["positive", "any"]), "validate_every": st.integers(1),
        "patience": st.integers(0), "switch_probability": st.floats(0, 1), "switch_lexicons": text,
        "switch_query_to": st.lists(st.sampled_from([*languages.LANGUAGES, "no"]), min_size=1, unique=True),
        "switch_each": st.sampled_from(["word", "example"]), "switch_by": st.sampled_from(["word", "phrase"]),
    })  # fmt: skip

    def build(values, parts):
        mono, cross, multi = (part / sum(parts) for part in parts)
        values["switch_kinds"] = "mono" if mono else "all"
        return Parameters(**values, mono=mono, cross=cross, multi=multi)

    return st.builds(build, fields, shares)


# The files that ship


def test_every_file_reads_alike_under_both_parsers_and_papermill():
    assert len(FILES) >= 10
    for file in FILES:
        assert repr(kit_yaml(file)) == repr(yaml.safe_load(file.read_text("utf-8"))) == repr(read_yaml_file(str(file)))
        assert load([file]), file


def test_tiny_is_the_defaults_and_its_comments_are_the_descriptions():
    file = params.profile_file("tiny")
    expected = [name for name in SHOWN if name not in ("mixture", "mono", "cross", "multi", "seed")]
    assert list(kit_yaml(file)) == expected
    assert kit_yaml(file) == {name: FIELDS[name].default for name in expected}
    for line, name in zip(file.read_text("utf-8").splitlines(), expected, strict=True):
        assert line.startswith(f"{name}: ") and line.endswith(f"  # {FIELDS[name].description}")
    assert for_run() == load([file]) == Parameters()
    assert Parameters().languages == list(languages.TRAINED)


@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_file_holds_its_weights(name):
    values = kit_yaml(params.mixture_file(name))
    assert list(values) == ["mixture", "mono", "cross", "multi"] and values["mixture"] == name
    assert (values["mono"], values["cross"], values["multi"]) == pytest.approx(MIXTURES[name], abs=1e-6)
    assert values["mono"] + values["cross"] + values["multi"] == pytest.approx(1, abs=1e-12)
    assert for_run(mixture=name, seed=3).model_dump() == {**Parameters().model_dump(), **values, "seed": 3}


@pytest.mark.parametrize("name", FURTHER)
def test_further_mixture_files_say_how_batches_are_filled(name):
    values = kit_yaml(params.mixture_file(name))
    assert values["mixture"] == name and set(values) <= set(params.MIXTURE)
    assert for_run(mixture=name).beyond_weights() == FURTHER[name]


def test_mixtures_stand_in_the_order_of_the_paper(tmp_path, monkeypatch):
    assert params.mixture_names() == [*MIXTURES, *FURTHER]
    monkeypatch.setenv("HYBRIDKIT_HOME", str(tmp_path))
    (tmp_path / "params" / "mixtures").mkdir(parents=True)
    for name in ("uniform", "mine", "cross", "hybrid-0.3", "hybrid-x", "hybrid-0.25", "mono", "hybrid-0.90"):
        (tmp_path / "params" / "mixtures" / f"{name}.yaml").touch()
    expected = ["mono", "hybrid-0.90", "hybrid-0.3", "hybrid-0.25", "cross", "uniform", "hybrid-x", "mine"]
    assert params.mixture_names() == expected


def test_an_unknown_file_name_lists_those_that_there_are(tmp_path, monkeypatch):
    with pytest.raises(KitError, match=r"'tinny' is none of the profiles .*, perhaps tiny; there are: .*tiny"):
        params.profile_file("tinny")
    with pytest.raises(KitError, match=r"perhaps hybrid-0\.50; there are: mono, hybrid-0\.75, .*, uniform, "):
        params.mixture_file("hybrid-0.5")
    with pytest.raises(KitError, match="none of the profiles"):
        params.profile_file("../profiles/tiny")
    monkeypatch.setenv("HYBRIDKIT_HOME", str(tmp_path))
    with pytest.raises(KitError, match="there are: none, so HYBRIDKIT_HOME must name"):
        params.profile_file("tiny")


# Layers


def test_later_layers_win(tmp_path):
    (tmp_path / "a.yaml").write_text("steps: 10\nbatch_size: 8\nseed: 1\n")
    (tmp_path / "b.yaml").write_text("steps: 20\nbatch_size: 16\n")
    run = load([tmp_path / "a.yaml", tmp_path / "b.yaml"], {"steps": 30})
    assert (run.steps, run.batch_size, run.seed) == (30, 16, 1)
    assert run == Parameters(steps=30, batch_size=16, seed=1)


@given(settings_of())
@settings(max_examples=60)
def test_yaml_round_trips_through_the_kit_and_through_papermills_parser(tmp_path_factory, run):
    file = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    file.write_bytes(to_yaml(run).encode("utf-8"))
    assert load([file]) == run
    assert yaml.safe_load(to_yaml(run)) == run.model_dump()
    assert load([file]).key() == run.key()
    assert len(to_yaml(run).splitlines()) == len(FIELDS)


YAML_LIKE = st.one_of(
    st.text(st.sampled_from("0123456789:.eE-+_xobnyaOfT~=,'\"[] "), max_size=8),
    st.sampled_from("yes No OFF on y 1e5 1.0e5 1.5e-3 .5 5. 0o7 0x1f 1_000 1_000.5 12:30:45.5 0.5 64 museum".split()),
)


@given(st.sampled_from(["encoder", "query_prefix", "weight_decay", "seed", "benchmarks"]), YAML_LIKE, st.booleans())
@settings(max_examples=500)
def test_what_the_kit_accepts_papermill_reads_alike(tmp_path_factory, name, text, listed):
    file = tmp_path_factory.getbasetemp() / "accepted.yaml"
    file.write_text(f"{name}: {f'[{text}]' if listed else text}\n")
    try:
        run = load([file])
    except KitError as fault:
        assert str(fault) and "Traceback" not in str(fault)
        event("refused")
        return
    event("accepted")
    assert yaml.safe_load(file.read_text()) == {name: getattr(run, name)}


# Faults in files, and what the sentences say


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mono: 1:3", ["mono is written 1:3", "papermill reads as 63", "a ratio 1:3 means mono: 0.25 and cross: 0.75"]),
        ("cross: 3:1", ["papermill reads as 181", "means mono: 0.75 and cross: 0.25"]),
        ("multi: 1:1:2", ["papermill reads as 3662", "means mono: 0.25 and cross: 0.25 and multi: 0.5"]),
        ("mono: 25:75", ["mono is the text '25:75'", "means mono: 0.25 and cross: 0.75"]),
        ("learning_rate: 1e-5", ["papermill reads as the text '1e-5'", "a number above 0", "write 1.0e-5."]),
        ("weight_decay: 2.5e3", ["papermill reads as the text '2.5e3'", "write 2500.0."]),
        ("steps: 1e3", ["papermill reads as the text '1e3'", "a whole number", "write 1000."]),
        ("seed: 010", ["papermill reads as 8,", "write 10."]),
        ("steps: 0o17", ["papermill reads as the text '0o17'", "a whole number"]),
        ("encoder: no", ["encoder is written no", "papermill reads as False", 'write it in quotes: "no"']),
        ("mixture: Yes", ["mixture is written Yes", "papermill reads as True", 'write it in quotes: "Yes"']),
        ("query_prefix: on", ["papermill reads as True", 'write it in quotes: "on"']),
        ("checkpoint_every: off", ["papermill reads as False", "a whole number at least 0"]),
        ("languages: [en, no]", ["languages holds no", "papermill reads as False", 'write it in quotes: "no"']),
        ("benchmarks: [museum, 1e-5]", ["benchmarks holds 1e-5", "the text '1e-5'", 'write it in quotes: "1e-5"']),
        ("benchmarks: [0:]", ["benchmarks holds 0:, which papermill reads as {0: None}", 'write it in quotes: "0:"']),
        ("languages: [en, false]", ["languages holds False", "YAML reads no, off and false as False", '"no"']),
        ("learning_rat: 0.1", ["learning_rat was given, which is no parameter; perhaps learning_rate"]),
        ("zzz: 0.1", ["zzz was given, which is no parameter", "docs/parameters.md"]),
        ("no: 5", ["no was given, which is no parameter"]),
        ("learning_rate: '0.5'", ["the text '0.5'", "write 0.5 without quotes"]),
        ("steps: 1000.0", ["steps is 1000.0", "a whole number", "write 1000."]),
        ("steps: 0", ["steps is 0, but must be a whole number at least 1 and at most 1000000, such as steps: 400."]),
        ("steps: true", ["steps is True", "a whole number"]),
        ("steps:", ["steps is empty", "a whole number"]),
        ("seed: -1", ["seed is -1", "at least 0 and at most 4294967295"]),
        ("mono: 1.5", ["mono is 1.5", "at least 0 and at most 1"]),
        ("temperature: .nan", ["temperature is nan", "a number above 0"]),
        ("dataset_temperature: 0.0", ["dataset_temperature is 0.0", "above 0"]),
        ("museum_exhibits: 99", ["museum_exhibits is 99", "at least 100 and at most 50000"]),
        ("mixture: 0.5", ["mixture is 0.5", "a text", 'write it in quotes: "0.5"']),
        ("mixture: a/b", ["mixture is the text 'a/b'", "letters and digits"]),
        ("profile: ..", ["profile is the text '..'", "letters and digits"]),
        ("loss: in_batch", ["loss is the text 'in_batch', but must be in-batch or equation-1, such as"]),
        ("benchmarks: museum", ["the text 'museum'", 'length at least 1, such as benchmarks: ["museum"]']),
        ("training_data: []", ["training_data is []", "at least 1"]),
        ("languages: [en, English]", ["'English' is not a language code", 'perhaps "en"']),
        ("languages: [en, de, en]", ["languages: en stands in the list more than once"]),
        ("encoder: {a: b}", ["encoder is {'a': 'b'}, but must be a text"]),
        ("encoder: &a [*a]", ["encoder is [[...]], but must be a text"]),
        ("encoder: ''", ["encoder is the text ''", "of length at least 1"]),
        ("mono: 0.25", ["the weights mono: 0.25, cross: 0.5, multi: 0.0 sum to 0.75, but must sum to 1"]),
        ("languages: [en]", ["cross is 0.5 and languages is ['en']", "at least two languages"]),
        ("a: b: c", ["mapping values are not allowed here"]),
        ("\tsteps: 1", ["cannot start any token"]),
        ("steps: 1\n---\nsteps: 2", ["another document"]),
        ("encoder: !!bool x", ["no YAML that can be read"]),
        ("encoder: !!python/object:os.system x", ["no YAML that can be read"]),
        ("<<: {steps: 3, mono: 1}\nlanguages: [en, de]", ["'<<' was given, which is no parameter"]),
        ("? [a, b]\n: 1", ["no YAML that can be read: found unhashable key"]),
    ],
)
def test_a_fault_is_one_sentence_that_names_file_and_line(faults, line, said):
    (sentence,) = faults(f"# a comment\n{line}\n")
    assert sentence.startswith("0.yaml") and sentence.endswith(".")
    for part in said:
        assert part in sentence
    if "no YAML" not in sentence:
        assert "0.yaml, line 2: " in sentence


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "\n\n", "---\n"])
def test_an_empty_file(faults, text):
    assert faults(text) == ["0.yaml is empty, but must hold lines such as steps: 1000."]


def test_a_file_that_holds_no_names(faults):
    assert faults("- steps\n- 5\n") == ["0.yaml holds ['steps', 5], but must hold lines such as steps: 1000."]
    assert faults("steps") == ["0.yaml holds the text 'steps', but must hold lines such as steps: 1000."]


def test_a_name_given_twice(faults):
    (sentence,) = faults("steps: 1\nseed: 0\nsteps: 2\n")
    assert sentence.startswith("0.yaml, line 3 ")
    assert 'duplicate key "steps"' in sentence and "each name once" in sentence


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(KitError, match=r"missing\.yaml does not exist: give a parameter file such as"):
        load([tmp_path / "missing.yaml"])
    with pytest.raises(KitError, match=r"cannot be read \(.+\): give a parameter file"):
        load([tmp_path])
    (tmp_path / "latin.yaml").write_bytes("query_prefix: Frühling\n".encode("latin-1"))
    with pytest.raises(KitError, match=r"latin\.yaml cannot be read \(it is no UTF-8 text\)"):
        load([tmp_path / "latin.yaml"])


def test_a_byte_order_mark_and_windows_lines_are_no_fault(tmp_path):
    (tmp_path / "windows.yaml").write_bytes(b"\xef\xbb\xbfsteps: 5\r\nseed: 2\r\n")
    assert load([tmp_path / "windows.yaml"]) == Parameters(steps=5, seed=2)


def test_all_faults_of_all_layers_are_told_at_once(faults):
    profile = "steps: 1e3\nsede: 1\nloss: equation-1\nexplicit_negatives: 0\n"
    lines = faults(profile, "mono: 1:3\nbatch_size: 0\n", precision=16)
    assert len(lines) == 6
    starts = ["0.yaml, line 1: steps", "0.yaml, line 2: sede", "1.yaml, line 1: mono", "1.yaml, line 2: batch_size"]
    starts += ["override: precision is 16", "0.yaml, line 4: loss is equation-1 and explicit_negatives is 0"]
    assert sorted(next(start for start in starts if line.startswith(start)) for line in lines) == sorted(starts)


def test_a_fault_begets_no_second_one(faults):
    """A weight that is faulty or misspelt is not also told as weights that do not sum to 1."""
    assert len(faults("mon: 0.25\ncross: 0.75\n")) == 1
    assert len(faults("mono: 1:3\ncross: 0.75\n")) == 1
    assert len(faults("languages: [no]\ncross: 1.0\nmono: 0.0\n")) == 1


def test_weights_may_miss_1_by_rounding_only(faults):
    assert load([], {"mono": 0.333333, "cross": 0.333333, "multi": 0.333334}).multi == 0.333334
    assert load([], {"mono": 0.5, "cross": 0.4999995}).cross == 0.4999995
    (sentence,) = faults(mono=0.5, cross=0.75)
    assert sentence.startswith("override: the weights") and "mono: 0.4 and cross: 0.6 and multi: 0.0" in sentence
    (sentence,) = faults(mono=0.0, cross=0.0, multi=0.0)
    assert "sum to 0, " in sentence and "mono: 0.5 and cross: 0.5" in sentence
    assert len(faults(mono=0.5, cross=0.499998)) == 1


def test_cross_needs_two_languages_and_mono_does_not(faults):
    assert load([], {"languages": ["en"], "mono": 1, "cross": 0}).languages == ["en"]
    assert "at least two languages" in faults(languages=["en"], mono=0, cross=1)[0]


# Overrides


def test_overrides_are_read_as_yaml():
    assert parse_override("steps=200") == ("steps", 200)
    assert parse_override("mono=0.25") == ("mono", 0.25)
    assert parse_override("learning_rate=1.0e-5") == ("learning_rate", 1e-5)
    assert parse_override('languages=[en, "no"]') == ("languages", ["en", "no"])
    assert parse_override('query_prefix="a=b: "') == ("query_prefix", "a=b: ")
    assert load([], dict([parse_override("encoder=some/model-base")])).encoder == "some/model-base"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("steps", "'steps' is no override: write NAME=VALUE, such as steps=200."),
        ("stepz=3", "override stepz=3: stepz was given, which is no parameter; perhaps steps."),
        ("mono=1:3", "override mono=1:3: mono is written 1:3, which papermill reads as 63"),
        ("learning_rate=1e-5", "write 1.0e-5."),
        ("languages=[en, no]", "languages holds no, which papermill reads as False"),
        ("encoder=@x", "override encoder=@x is no YAML that can be read"),
        ("encoder=x\nsteps: 3", "override encoder=x steps: 3 is no YAML that can be read"),
    ],
)
def test_faulty_overrides(argument, said):
    with pytest.raises(KitError) as caught:
        parse_override(argument)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=10))
@settings(max_examples=150)
def test_an_override_sets_its_own_name_or_is_a_fault(name, text):
    try:
        assert parse_override(f"{name}={text}")[0] == name
    except KitError:
        pass


def test_types_of_overrides_are_checked_when_they_are_used(faults):
    assert faults(steps="200")[0].startswith("override: steps is the text '200', but must be a whole number")
    (sentence,) = faults(**dict([parse_override("query_prefix=Query: x")]))
    assert "query_prefix is {'Query': 'x'}, but must be a text, such as" in sentence


# The notebook's side


def run_cell(source):
    namespace = {"In": [], "Out": {}, "_i": "", "exit": 1, "quit": 1, "get_ipython": 1, "open": 1}
    exec(source, namespace)
    return namespace


def test_the_notebooks_cell_is_the_tiny_profile():
    source = params.notebook_cell()
    assert len(source.splitlines()) <= 30 and max(map(len, source.splitlines())) < 100
    assert from_notebook(run_cell(source)) == Parameters()
    for line, (name, field) in zip(source.splitlines(), SHOWN.items(), strict=True):
        assert line.startswith(f"{name} = ") and line.endswith(f"  # {field.description}")
    columns = [line.index("  # ") for line in source.splitlines() if not line.startswith("languages")]
    assert len(set(columns)) == 1


def test_plain_papermill_with_the_same_files_gives_the_same_parameters(tmp_path):
    """papermill writes the cell of injected parameters; the notebook's two cells are then run as they are."""
    cell = nbformat.v4.new_code_cell(params.notebook_cell(), metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), tmp_path / "in.ipynb")
    for mixture in MIXTURES:
        files = [params.profile_file("tiny"), params.mixture_file(mixture)]
        given_values = {}
        for file in files:
            given_values.update(read_yaml_file(str(file)))
        written = execute_notebook(
            tmp_path / "in.ipynb", tmp_path / "out.ipynb", given_values, prepare_only=True, progress_bar=False
        )
        assert len(written.cells) == 2
        assert from_notebook(run_cell("\n".join(cell.source for cell in written.cells))) == load(files)


@pytest.mark.parametrize(
    ("namespace", "said"),
    [
        ({"mono": 63}, ["mono is 63", "YAML reads 1:3 as 63 in base 60", "mono: 0.25 and cross: 0.75"]),
        ({"cross": 3050}, ["YAML reads 50:50 as 3050 in base 60", "mono: 0.5 and cross: 0.5"]),
        ({"multi": 3661}, ["YAML reads 1:1:1 as 3661 in base 60"]),
        ({"learning_rate": "1e-5"}, ["the text '1e-5'", "YAML 1.1 reads 1e-5 as a text; write 1.0e-5."]),
        ({"languages": ["en", False]}, ["languages holds False", "YAML reads no, off and false as False", '"no"']),
        ({"encoder": True}, ["encoder is True", "YAML reads yes, on and true as True", '"yes"']),
        ({"languages": "[en,de]"}, ["the text '[en,de]'", "a list of texts"]),
        ({"learning_rat": 0.1}, ["learning_rat was given, which is no parameter; perhaps learning_rate."]),
        ({"languages": languages}, ["hides the parameter"]),
        ({"loss": print}, ["hides the parameter"]),
        ({"mono": 0.25}, ["sum to 0.75"]),
    ],
)
def test_faults_that_reach_a_notebook(namespace, said):
    with pytest.raises(KitError) as caught:
        from_notebook(namespace)
    assert "\n" not in str(caught.value)
    for part in said:
        assert part in str(caught.value)


def test_what_a_notebook_holds_besides_parameters():
    namespace = run_cell("import math\nfrom pathlib import Path\n_x = 1\nPAPERMILL_INPUT_PATH = 'a'\nsteps = 7")
    run = from_notebook(namespace)
    assert run == Parameters(steps=7)
    # A cell run again in JupyterLab finds the names that the rest of the notebook made.
    again = {**namespace, "run": run, "rows": [1, 2], "steps": 8}
    assert from_notebook(again) == Parameters(steps=8)
    assert from_notebook({**again, "run": SimpleNamespace(parameters=run)}) == Parameters(steps=8)
    with pytest.raises(KitError, match="steps is 0"):
        from_notebook({**again, "steps": 0})
    with pytest.raises(KitError, match="rows was given"):
        from_notebook({**namespace, "rows": [1, 2]})


# The model and its key


def test_types_are_strict_and_parameters_do_not_change():
    wrongs = [{"mono": "0.5"}, {"steps": 5.0}, {"steps": True}, {"mono": True, "cross": False}, {"other": 1}]
    for wrong in [*wrongs, {"languages": ("en", "de")}, {"mono": 0.9}]:
        with pytest.raises(ValidationError):
            Parameters(**wrong)
    whole = Parameters(mono=1, cross=0)
    assert type(whole.mono) is float and whole == Parameters(mono=1.0, cross=0.0)
    with pytest.raises(ValidationError):
        whole.steps = 5
    assert all(field.description for field in FIELDS.values())


def test_keys_are_stable():
    # Both were also computed by hashing the JSON typed by hand: names sorted, json.dumps's separators, UTF-8.
    assert Parameters().key() == "92a7ee606a85cad8"
    assert for_run(mixture="mono", seed=1).key() == "ea65474470535736"
    assert Parameters(mono=1, cross=0).key() == Parameters(mono=1.0, cross=-0.0).key()


CHANGED = {
    "seed": 1,
    "languages": ["en", "de"],
    "encoder": "tiny-aligned",
    "training_data": ["x"],
    "benchmarks": ["x"],
    "museum_exhibits": 1501,
    "museum_evaluation_exhibits": 201,
    "dataset_temperature": 2.0,
    "cross_pairs": "batch",
    "batch_size": 65,
    "steps": 1001,
    "gradient_accumulation": 2,
    "learning_rate": 4e-3,
    "warmup_fraction": 0.2,
    "weight_decay": 0.02,
    "max_length": 49,
    "loss": "equation-1",
    "temperature": 0.06,
    "directions": "symmetric",
    "explicit_negatives": 2,
    "query_prefix": "Query:",
    "passage_prefix": "",
    "precision": "bfloat16",
    "checkpoint_every": 0,
    "max_rows": 10,
    "contamination_limit": 0.5,
    "schedule": "cosine",
    "pooling": "cls",
    "missing_negatives": "random",
    "negative_language": "any",
    "cached_texts": 8,
    "gradient_checkpointing": True,
    "validation_data": "x",
    "validate_every": 5,
    "patience": 2,
    "variants": 0.25,
    "end_mono": 0.5,
    "end_cross": 0.75,
    "end_multi": 0.5,
    "mixture_stages": 2,
    "switch_probability": 0.5,
    "switch_query_to": ["de"],
    "switch_passage_to": ["de"],
    "switch_each": "example",
    "switch_by": "phrase",
    "switch_kinds": "all",
    "switch_lexicons": "x",
    "track": "image-text",
    "image_encoder": "x",
    "image_size": 64,
    "patch_size": 16,
    "image_folder": "x",
    "missing_images": "skip",
    "pictures_train": 1501,
    "pictures_evaluation": 201,
    "fusion_layers": 3,
    "projection": 64,
    "image_losses": ["contrast"],
    "caption_contrast": "all",
    "momentum": 0.5,
    "queue": 0,
    "distillation": 0.0,
    "contrast_first": 0.25,
    "rerank": 0,
}
NEEDED = {"validate_every": {"validation_data": "x"}, "patience": {"validation_data": "x", "validate_every": 5}}
NEEDED["validation_data"] = {"validate_every": 7}  # fmt: skip
NEEDED |= {"variants": {"mono": 0.25}, "end_mono": {"end_cross": 0.5}, "end_cross": {"end_multi": 0.25}}
NEEDED |= {"end_multi": {"end_cross": 0.5}, "mixture_stages": {"end_cross": 1.0}}
NEEDED |= {"switch_probability": {"switch_query_to": ["ar"]}}


def test_the_key_ignores_the_two_names_and_nothing_else():
    assert Parameters(profile="x", mixture="y").key() == Parameters().key()
    weights = [{"mono": 0.75, "cross": 0.25}, {"mono": 0.25, "multi": 0.25}, {"cross": 0.25, "multi": 0.25}]
    assert {*CHANGED, "mono", "cross", "multi", "profile", "mixture"} == set(FIELDS)
    keys = [Parameters(**{name: value, **NEEDED.get(name, {})}).key() for name, value in CHANGED.items()]
    keys += [Parameters(**changed).key() for changed in weights]
    assert len({Parameters().key(), *keys}) == len(keys) + 1


@given(settings_of(), settings_of())
@settings(max_examples=30)
def test_equal_settings_are_equal_keys(one, other):
    names = {"profile": "a", "mixture": "b"}
    assert one.model_copy(update=names).key() == one.key()
    assume(one.model_copy(update=names) != other.model_copy(update=names))
    assert one.key() != other.key()


def test_importing_it_brings_no_heavy_library():
    code = "import sys, hybridkit.params; print({'torch', 'numpy', 'pandas', 'papermill'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_mixture_file_must_bear_its_own_name(tmp_path, monkeypatch):
    import shutil

    shutil.copytree(paths.params(), tmp_path / "params")
    (tmp_path / "params" / "mixtures" / "mine.yaml").write_text("mono: 0.2\ncross: 0.8\nmulti: 0.0\n")
    monkeypatch.setenv("HYBRIDKIT_HOME", str(tmp_path))
    with pytest.raises(KitError, match="mine.yaml names its mixture 'hybrid-0.50'; write mixture: \"mine\""):
        for_run("tiny", "mine")
    assert for_run("tiny", "mine", overrides={"mixture": "other"}).mixture == "other"


def test_the_page_of_parameters_lists_each_with_its_default():
    page = (paths.home() / "docs" / "parameters.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | `{params._yaml(field.default)}` | {field.description} |" for name, field in FIELDS.items()]
    assert [row for row in rows if row not in page] == []
    assert sum(line.startswith("| `") for line in page.splitlines()) == len(FIELDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("validate_every: 10", "there is nothing to validate on; name the data in validation_data"),
        ("patience: 3", "patience is 3, but validate_every is 0"),
        ("validation_data: 'x'", "validation_data is 'x', but validate_every is 0"),
        ("loss: equation-1\ncached_texts: 16", "cached_texts is 16, but only the in-batch loss can be cached"),
        (
            "mono: 0.0\ncross: 0.5\nvariants: 0.5\ncached_texts: 4",
            "variants is 0.5 and cached_texts is 4, but the cached loss",
        ),
        ("gradient_checkpointing: yes", "write true or false, without quotes"),
        ("gradient_checkpointing: 1", "must be true or false"),
        ("variants: 0.5", "the weights mono: 0.5, cross: 0.5, multi: 0.0, variants: 0.5 sum to 1.5"),
        ("end_cross: 0.5", "the weights end_mono: 0.0, end_cross: 0.5, end_multi: 0.0 sum to 0.5"),
        ("mixture_stages: 2", "mixture_stages is 2, but no shares of the end are given"),
        ("mixture_stages: 1\nend_cross: 1.0", "there are at least 2 stages, or 0 for every step"),
        ("switch_probability: 0.5", "no language to switch to is given"),
        (
            "switch_probability: 0.5\nswitch_query_to: ['de']\nmono: 0.0\ncross: 1.0",
            "switch_kinds is mono, but mono is 0.0, so nothing would be switched",
        ),
        ("switch_query_to: ['de', 'de']", "switch_query_to: de stands in the list more than once"),
        (
            "track: image-text\nimage_size: 50",
            "image_size is 50, which patches of 8 pixels do not fill; set image_size to 48",
        ),
        ("track: image-text\nqueue: 32", "queue is 32 and batch_size is 64, but the queue takes a whole batch"),
        ("track: image-text\nbatch_size: 1", "an image is compared with the others of its batch; set batch_size to 2"),
        ("track: image-text\nmono: 0.0\nvariants: 0.5", "variants is 0.5 and track is image-text"),
        (
            "track: image-text\nswitch_probability: 0.5\nswitch_query_to: ['de']",
            "set switch_probability to 0.0, or track to text",
        ),
        ("track: image-text\ncached_texts: 8", "set cached_texts to 0, or track to text"),
        (
            "track: image-text\nvalidation_data: 'x'\nvalidate_every: 5",
            "validation_data is 'x' and track is image-text",
        ),
        ("track: image-text\nloss: equation-1", "loss is 'equation-1' and track is image-text"),
        ("image_losses: []", "image_losses is [], but must be a list of texts of length at least 1"),
        ("image_losses: ['contrast', 'contrast']", "contrast stands in the list more than once"),
        ("image_losses: ['captions']", "image_losses holds the text 'captions'"),
        ("track: images", "must be text or image-text"),
    ],
)
def test_what_does_not_go_together(faults, text, said):
    (sentence,) = faults(text)
    assert said in sentence

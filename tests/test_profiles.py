"""The profiles beyond the laptop: valid for every mixture of the paper, a reason on every line, in step with the page."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hybridkit import paths
from hybridkit.cli import main
from hybridkit.corpora.catalogue import CATALOGUE, split_part
from hybridkit.languages import TRAINED
from hybridkit.params import IMAGES, MIXTURE, Parameters, for_run, parse_override, profile_file
from hybridkit.verdict import published
from hybridkit.verdict.comparable import training_obstacles

PAPER = ("paper-xlmr", "paper-xlmr-large", "paper-labse")
SMALL = ("small-minilm", "small-e5")
PAGE = (Path(__file__).parents[1] / "docs" / "open-choices.md").read_text(encoding="utf-8")
#: Without meaning where the museum is no source.
MUSEUM = {"museum_exhibits", "museum_evaluation_exhibits"}


def differing(one, other):
    """The parameters in which two profiles differ."""
    one, other = for_run(one).model_dump(), for_run(other).model_dump()
    return {name for name in one if one[name] != other[name]}


def rows():
    """The rows of the page's table of parameters: name -> its two values."""
    found = re.findall(r"^\| .* \| `(\w+)` \| `(.+?)` \| `(.+?)` \| .+ \|$", PAGE, re.MULTILINE)
    return {name: {"paper-xlmr": xlmr, "paper-labse": labse} for name, xlmr, labse in found}


@pytest.mark.parametrize("mixture", ["mono", "cross", "hybrid-0.50"])
@pytest.mark.parametrize("profile", PAPER + SMALL)
def test_every_profile_is_valid_for_the_papers_mixtures(profile, mixture):
    found = for_run(profile, mixture, seed=2)
    assert (found.profile, found.mixture, found.seed) == (profile, mixture, 2)


@pytest.mark.parametrize("profile", PAPER + SMALL)
def test_every_line_has_its_reason_and_no_parameter_is_left_to_a_default_unseen(profile):
    lines = profile_file(profile).read_text(encoding="utf-8").splitlines()
    named = set()
    for before, line in zip([""] + lines, lines):
        if not line.startswith("#"):
            named.add(line.split(":")[0])
            assert len(line.partition("  # ")[2]) > 3 or before.startswith("# "), line
    of_mixture = {*MIXTURE, "seed"}
    assert named >= set(Parameters.model_fields) - of_mixture - MUSEUM - {*IMAGES, "contamination_limit"}


def test_the_paper_profiles_hold_what_the_paper_states():
    for profile in PAPER:
        found = for_run(profile)
        assert set(TRAINED) - set(found.languages) == {"th", "tr"}, "public data lack these"
        assert training_obstacles(found.model_dump()) == [], "a run of it can be set beside the paper's"
        assert (found.batch_size, found.learning_rate, found.weight_decay) == (100, 3e-5, 1e-2)
        assert (found.query_prefix, found.passage_prefix) == ("Query: ", "Passage: ")
        assert found.validation_data == "squadshifts" and found.patience > 0
        assert found.benchmarks[:2] == ["xquad-r", "mlqa-r"] and found.max_rows == 0
        assert [split_part(name) for name in found.benchmarks[2:]] == [("miracl", tuple(published.languages("miracl")))]
        assert found.explicit_negatives == 1 and found.missing_negatives == "random"


def test_profiles_of_a_kind_differ_only_where_their_headings_say():
    assert differing("paper-xlmr", "paper-xlmr-large") == {"profile", "encoder", "gradient_checkpointing"}
    assert differing("paper-xlmr", "paper-labse") == {"profile", "encoder", "pooling"}
    assert differing("small-minilm", "small-e5") == {"profile", "encoder", "query_prefix", "passage_prefix"}


@pytest.mark.parametrize("profile", PAPER + SMALL)
def test_data_are_in_the_catalogue_in_every_language_and_need_no_hand(profile):
    found = for_run(profile)
    sources = [CATALOGUE[name] for name in [*found.training_data, *filter(None, [found.validation_data])]]
    for source in sources:
        assert not source.by_hand and not source.must_accept, source.name
    training = [source for source in sources if source.name in found.training_data]
    assert all("training pairs" in source.kind for source in training)
    # A plan refuses a language that no source has; and a cross batch needs a source in several.
    assert set(found.languages) <= {code for source in training for code in source.languages}
    assert any(set(found.languages) <= set(source.languages) for source in training)
    assert {name for name in found.benchmarks if CATALOGUE[split_part(name)[0]].must_accept} <= {"mlqa-r"}


def test_a_small_run_reads_as_many_rows_as_it_draws():
    for profile in SMALL:
        found = for_run(profile)
        assert 1 <= found.max_rows / (found.steps * found.batch_size) < 1.1


def test_the_page_of_open_choices_is_in_step_with_the_profiles():
    found = rows()
    for name, values in found.items():
        for profile, value in values.items():
            assert json.loads(value) == getattr(for_run(profile), name), (profile, name)
    for profile in PAPER:
        text = profile_file(profile).read_text(encoding="utf-8")
        assert set(re.findall(r"^(\w+): .*  # open", text, re.MULTILINE)) <= found.keys()
    assert len(found) >= 15


def test_the_loss_bound_that_the_page_names():
    """Without temperature, cosines of 1 and -1 are the best that there is: 100 negatives a query."""
    from math import exp, log

    assert "2.68" in PAGE and round(log(1 + 100 * exp(-1) / exp(1)), 2) == 2.68


def test_the_profiles_are_all_that_ship():
    there = {path.stem for path in (paths.params() / "profiles").glob("*.yaml")}
    assert there == {"tiny", "tiny-pictures", "tiny-emoji", "small-multi30k", "laptop", *PAPER, *SMALL}


def test_the_commands_of_the_page_are_commands_and_its_links_lead_somewhere():
    page = Path(__file__).parents[1] / "docs" / "paper-scale.md"
    text = page.read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s+", "", text).splitlines()
    told = [shlex.split(line, comments=True) for line in lines if line.startswith("    hybridkit ")]
    assert len(told) >= 11
    for _, *arguments in told:
        name, command, rest = arguments[0], main.commands[arguments[0]], arguments[1:]
        if name == "data":
            command, rest = command.commands[rest[0]], rest[1:]
        context = command.make_context(name, rest)
        if "profile" in context.params and "overrides" in context.params:
            given = dict(parse_override(one) for one in context.params["overrides"])
            for mixture in context.params["mixtures"].split(","):
                for_run(context.params["profile"], mixture, 0, given)
    for link in re.findall(r"\]\((\w[\w.-]*\.md)\)", text):
        assert (page.parent / link).is_file(), link


@pytest.mark.parametrize("name", ["FacebookAI/xlm-roberta-large", "intfloat/multilingual-e5-small"])
def test_the_numbers_of_weights_are_those_of_transformers(name, monkeypatch):
    import torch
    from transformers import AutoModel

    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import shapes

    with torch.device("meta"):  # nothing is allocated
        model = AutoModel.from_config(shapes.configuration(name))
    assert shapes.weights(name) == sum(parameter.numel() for parameter in model.parameters())


def test_the_page_of_costs_is_what_the_tool_makes_of_the_results():
    """In a process of its own: the tool reads its shapes from the folder of the benchmarks."""
    home = Path(__file__).parents[1]
    code = "import sys; sys.path.insert(0, 'tools'); import costs; sys.stdout.write(costs.page())"
    made = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True)
    assert made.stdout == (home / "docs" / "costs.md").read_text(encoding="utf-8")
    for profile in PAPER + SMALL:
        assert f"| {profile} |" in made.stdout

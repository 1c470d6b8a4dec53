"""The command line: quick to start, one sentence for each fault, and evaluation from end to end."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from hybridkit.cli import main
from hybridkit.corpora import museum

HEAVY = {"torch", "transformers", "sentence_transformers", "pandas", "numpy", "papermill", "matplotlib"}


def call(*arguments):
    return CliRunner().invoke(main, arguments)


def test_help_imports_nothing_heavy():
    code = "import sys, hybridkit.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sweep" in answer.stdout and not HEAVY & set(answer.stdout.split())


@pytest.mark.parametrize("command", ["sweep", "status", "compare", "train", "evaluate", "transfer", "doctor", "data"])
def test_every_command_has_help(command):
    answer = call(command, "--help")
    assert answer.exit_code == 0 and len(answer.output.splitlines()) > 4


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["train", "--set", "steps=1:3"], "steps is written 1:3, which papermill reads as 63"),
        (["train", "--set", "stepz=3"], "steps"),
        (["train", "--mixture", "hybrid-0.55"], "none of the mixtures"),
        (["train", "--mixture", "mix-0.50-0.50-0.00"], "has the weights of the mixture hybrid-0.50; write hybrid-0.50"),
        (["sweep", "--mixtures", "mono, mix-0.250-0.500-0.250"], "the weights of the mixture mix-0.25-0.50-0.25"),
        (["sweep", "--mixtures", "mix-0.25-0.25-0.25"], "sum to 0.75, but must sum to 1"),
        (["train", "--profile", "tinny"], "perhaps tiny"),
        (["train", "--set", 'languages=["en"]'], "two languages"),
        (["sweep", "--seeds", "0;1"], "write whole numbers with commas between them"),
        (["evaluate", "--model", "x", "--benchmark", "xquadr"], 'perhaps "xquad-r"'),
        (["data", "show", "museum", "--language", "xx"], "no 'xx'"),
        (["data", "show", "xquad-r", "--review"], "Only museum and museum-pictures have a review sheet"),
        (["data", "fetch", "squid"], 'perhaps "squad"'),
        (["train", "--set", 'training_data=["none.jsonl"]'], "neither in the catalogue nor a file"),
        (["evaluate", "--model", "x", "--benchmark", "museum", "--trained", "en,xx"], "--trained names 'xx'"),
        (["data", "audit", "--pairs", "xquad-r", "--benchmark", "museum"], "cannot be trained on"),
    ],
)
def test_faults_are_one_sentence_and_status_1(arguments, told):
    answer = call(*arguments)
    assert answer.exit_code == 1 and told in answer.output and answer.output.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in answer.output and answer.output.count("\n") <= 2


def test_wrong_usage_is_status_2():
    assert call("evaluate", "--benchmark", "museum").exit_code == 2
    assert call("evaluate", "--benchmark", "museum", "--model", "a", "--embeddings", "b").exit_code == 2
    assert call("nonsense").exit_code == 2


def test_catalogue_review_sheet_and_samples():
    listed = call("data", "list").output
    assert "museum" in listed and "CC BY-SA 4.0" in listed and "9bc8c7f" in listed
    assert "Das Museum" in call("data", "show", "museum", "--review", "--language", "de").output
    shown = call("data", "show", "museum", "--language", "ar").output
    assert "machine-written" in shown and "المتحف" in shown
    assert "nothing to download" in call("data", "fetch", "museum").output


@pytest.fixture
def toy_benchmark(tmp_path):
    """Three questions in two languages, an answer each in both."""
    folder = tmp_path / "toy"
    folder.mkdir()
    texts = {"en": ["red house", "green tree", "blue sea"], "de": ["rotes Haus", "grüner Baum", "blaues Meer"]}
    rows = [(f"{code}:{i}", code, text, str(i)) for code, found in texts.items() for i, text in enumerate(found)]
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"id": i, "language": c, "text": t, "question": q}) + "\n" for i, c, t, q in rows)
    )
    (folder / "candidates.jsonl").write_text(
        "".join(json.dumps({"id": i, "language": c, "text": t}) + "\n" for i, c, t, _ in rows)
    )
    pairs = [{"query": i, "candidate": f"{c}:{q}"} for i, _, _, q in rows for c in texts]
    (folder / "relevance.jsonl").write_text("".join(json.dumps(p) + "\n" for p in pairs))
    return folder


def save_embeddings(folder, queries, candidates):
    folder.mkdir(exist_ok=True)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "candidates.npy", candidates)
    return folder


def test_ready_embeddings_are_evaluated_with_the_lexical_baseline(toy_benchmark, tmp_path):
    vectors = np.tile(np.eye(3, dtype=np.float32), (2, 1))
    folder = save_embeddings(tmp_path / "perfect", vectors, vectors)
    arguments = ["evaluate", "--embeddings", str(folder), "--benchmark", str(toy_benchmark)]
    answer = call(*arguments, "--output", str(tmp_path / "ranks"))
    assert answer.exit_code == 0, answer.output
    perfect, lexical = answer.output.split("**BM25**")
    assert "**perfect** on toy (6 queries, 6 candidates)" in perfect
    assert perfect.startswith("note: toy: every one of its 6 candidates is relevant to some query")
    headline = next(line for line in perfect.splitlines() if "all languages" in line).split("|")
    # Parallel answers have the same vector: both rank 1.5 of 6, so average precision is 1 and the distance 0.
    assert [float(v) for v in headline[2:6]] == [1.0, 1.0, 1.0, 0.0]
    assert (tmp_path / "ranks" / "golds.parquet").exists()
    assert "monolingual" in lexical
    assert "BM25" not in call(*arguments, "--no-lexical").output


def test_embeddings_are_evaluated_centred_beside_what_they_are(toy_benchmark, tmp_path):
    """Each language on a place of its own: centred, all parallel answers are found."""
    shift = np.repeat([[9, 0, 0, 3], [0, 9, 3, 0]], 3, axis=0)
    vectors = np.tile(np.eye(3, 4, dtype=np.float32), (2, 1)) + shift
    folder = save_embeddings(tmp_path / "shifted", vectors, vectors)
    arguments = [
        "evaluate",
        "--embeddings",
        str(folder),
        "--benchmark",
        str(toy_benchmark),
        "--no-lexical",
        "--centred",
    ]
    answer = call(*arguments, "--output", str(tmp_path / "ranks"), "--csv", str(tmp_path / "figures.csv"))
    assert answer.exit_code == 0, answer.output
    plain, centred = answer.output.split("**shifted, centred** on toy")
    headlines = [next(line for line in part.splitlines() if "all languages" in line) for part in (plain, centred)]
    first, second = ([float(value) for value in line.split("|")[2:6]] for line in headlines)
    assert first[2] < 1 and first[3] > 0 and second == [1.0, 1.0, 1.0, 0.0]
    assert (tmp_path / "ranks" / "golds.parquet").exists() and (tmp_path / "ranks-centred" / "golds.parquet").exists()
    rows = (tmp_path / "figures.csv").read_text().splitlines()
    assert rows[0].endswith(",embeddings") and sum(row.endswith(",centred") for row in rows) == (len(rows) - 1) / 2 > 0
    assert call(*arguments, "--shards", "2").exit_code == 2


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda q, c: (np.where(np.arange(18).reshape(6, 3) == 4, np.nan, q), c), "en:1"),
        (lambda q, c: (q[:5], c), "5"),
        (lambda q, c: (q, c[:, :2]), "2"),
    ],
)
def test_bad_embeddings_are_told(toy_benchmark, tmp_path, spoil, told):
    vectors = np.tile(np.eye(3, dtype=np.float32), (2, 1))
    folder = save_embeddings(tmp_path / "bad", *spoil(vectors, vectors))
    answer = call("evaluate", "--embeddings", str(folder), "--benchmark", str(toy_benchmark))
    assert answer.exit_code == 1 and told in answer.output and answer.output.splitlines()[-1].startswith("error: ")


def test_unknown_candidate_in_relevance_is_told(toy_benchmark):
    (toy_benchmark / "relevance.jsonl").write_text('{"query": "en:0", "candidate": "en:9"}\n')
    answer = call("evaluate", "--model", "x", "--benchmark", str(toy_benchmark))
    assert answer.exit_code == 1 and "'en:9'" in answer.output and "unknown candidate" in answer.output


def test_train_and_evaluate_own_text(toy_benchmark, tmp_path, small_encoder, monkeypatch):
    """A user's JSONL and a model folder, from end to end, by relative paths as in the README."""
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    lines = [
        {"id": f"q{i}", "query": {"en": f"question {i}", "sw": f"swali {i}"}, "positive": {"en": f"passage {i}"}}
        for i in range(20)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = [
        "train",
        "--profile",
        "laptop",
        "--encoder",
        str(small_encoder),
        "--set",
        'training_data=["pairs.jsonl"]',
    ]
    arguments += ["--set", 'benchmarks=["toy"]', "--set", 'languages=["en","sw"]', "--set", "steps=3"]
    arguments += ["--set", "batch_size=8"]
    for mixture in ("mono", "hybrid-0.50", "cross"):
        answer = call(*arguments, "--mixture", mixture)
        assert answer.exit_code == 0, answer.output
        assert f"{mixture} seed 0** on toy (6 queries" in answer.output
    folders = [p for p in (tmp_path / "outputs" / "laptop" / ".staging").iterdir() if p.is_dir()]
    assert len(folders) == 3 and all((folder / "ranks" / "toy" / "about.json").exists() for folder in folders)
    model = str(folders[0] / "model")
    answer = call("evaluate", "--model", model, "--benchmark", "toy", "--no-lexical")
    assert answer.exit_code == 0 and "on toy (6 queries, 6 candidates)" in answer.output


def test_languages_of_questions_alone_may_be_named_as_trained(toy_benchmark, tmp_path, small_encoder):
    """Questions in two languages, candidates in one: averages over the trained languages are across languages too."""
    for name, german in (("candidates", '"id": "de:'), ("relevance", '"candidate": "de:')):
        path = toy_benchmark / f"{name}.jsonl"
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if german not in line))
    arguments = ["evaluate", "--model", str(small_encoder), "--benchmark", str(toy_benchmark), "--no-lexical"]
    answer = call(*arguments, "--trained", "en,de")
    assert answer.exit_code == 0, answer.output
    within, across, *_ = answer.output.split("| training languages |")[1].split("|")
    assert 0 < float(within) <= 1 and 0 < float(across) <= 1
    answer = call(*arguments, "--trained", "fr")
    assert answer.exit_code == 1 and "'fr'" in answer.output and "de en" in answer.output


def test_results_never_replace_something_else(toy_benchmark, tmp_path, small_encoder):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("data")
    arguments = ["evaluate", "--model", str(small_encoder), "--benchmark", str(toy_benchmark), "--no-lexical"]
    answer = call(*arguments, "--output", str(precious))
    assert answer.exit_code == 1 and "holds something else than gold ranks" in answer.output
    assert (precious / "thesis.txt").read_text() == "data"
    for _ in range(2):  # its own are replaced
        assert call(*arguments, "--output", str(tmp_path / "new")).exit_code == 0


def test_a_place_that_cannot_be_written_is_told_before_the_work(toy_benchmark, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = ["evaluate", "--model", "no/such-model", "--benchmark", str(toy_benchmark)]
    for option in ("--csv", "--output"):
        answer = call(*arguments, option, str(tmp_path / "file" / "x"))
        assert answer.exit_code == 1 and "cannot be written" in answer.output and "no/such-model" not in answer.output


def test_an_archive_of_arrays_is_told(toy_benchmark, tmp_path):
    np.savez(tmp_path / "both.npz", a=np.eye(6), b=np.eye(6))
    for name in ("queries", "candidates"):
        (tmp_path / f"{name}.npy").write_bytes((tmp_path / "both.npz").read_bytes())
    answer = call("evaluate", "--embeddings", str(tmp_path), "--benchmark", str(toy_benchmark))
    assert answer.exit_code == 1 and "is an archive of several arrays" in answer.output


def test_unknown_profiles_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path))
    for command in ("status", "compare", "sweep"):
        for name in ("tinny", "/etc", "../.."):
            answer = call(command, "--profile", name)
            assert answer.exit_code == 1 and "is none of the profiles" in answer.output, (command, name, answer.output)


def test_a_faulty_benchmark_is_told_before_the_training(toy_benchmark, tmp_path, small_encoder, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / "cache"))
    with (toy_benchmark / "relevance.jsonl").open("a") as file:
        file.write('{"query": "en:0", "candidate": "en:9"}\n')
    settings = ["museum_exhibits=100", "steps=2", f'benchmarks=["{toy_benchmark}"]']
    answer = call("train", "--encoder", str(small_encoder), *(part for one in settings for part in ("--set", one)))
    assert answer.exit_code == 1 and "unknown candidate" in answer.output and "step" not in answer.output
    (line,) = call("status").output.splitlines()
    assert line.startswith("failed") and "hybrid-0.50 seed 0" in line and "unknown candidate" in line


def test_audit_finds_what_is_shared(toy_benchmark, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / "cache"))
    line = {"id": "a", "query": {"en": "Red  house"}, "positive": {"en": "something else"}}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(line) + "\n")
    arguments = ["data", "audit", "--pairs", str(tmp_path / "pairs.jsonl"), "--benchmark", str(toy_benchmark)]
    assert call(*arguments).exit_code == 1
    (tmp_path / "pairs.jsonl").write_text(json.dumps(line | {"query": {"en": "quite different"}}) + "\n")
    answer = call(*arguments)
    assert answer.exit_code == 0, answer.output


def test_doctor_finds_faults_and_tells_the_mend(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    sound = call("doctor")
    assert "FAULT" not in sound.output and sound.exit_code == 0, sound.output
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "file" / "outputs"))
    answer = call("doctor")
    assert answer.exit_code == 1 and "FAULT" in answer.output and "mend: set HYBRIDKIT_OUTPUTS" in answer.output


def test_doctor_goes_on_where_a_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setitem(sys.modules, "jupyter_client.kernelspec", None)
    answer = call("doctor")
    assert answer.exit_code == 1 and "jupyter_client.kernelspec cannot be imported" in answer.output
    assert "notebooks and params in" in answer.output and answer.output.count("FAULT") == 1


def test_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / "file" / "cache"))
    for arguments in (["train"], ["data", "audit", "--pairs", "museum", "--benchmark", "museum"]):
        answer = call(*arguments)
        assert answer.exit_code == 1 and answer.output.startswith("error: ") and str(tmp_path) in answer.output


def test_every_setting_can_be_written(toy_benchmark, tmp_path):
    vectors = np.tile(np.eye(3, dtype=np.float32), (2, 1))
    folder = save_embeddings(tmp_path / "perfect", vectors, vectors)
    arguments = ["evaluate", "--embeddings", str(folder), "--benchmark", str(toy_benchmark), "--no-lexical"]
    assert call(*arguments, "--csv", str(tmp_path / "all.csv"), "--trained", "en").exit_code == 0
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 + 2 + 2 and lines[0].startswith("setting,query_language,pool,queries,mAP")


def test_commands_of_the_readme_are_there():
    """Every command and option that the README and the documents name exists."""
    import re
    from pathlib import Path

    home = Path(__file__).parents[1]
    pages = [home / "README.md", *(home / "docs").glob("*.md"), *(home / "notebooks").glob("*.ipynb")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(
        re.findall(
            r"hybridkit ((?:data )?[a-z]+)", "\n".join(re.findall(r"`hybridkit [^`]+`|^ +hybridkit .*$", text, re.M))
        )
    )
    assert len(named) >= 8
    for name in named:
        assert call(*name.split(), "--help").exit_code == 0, name
    for command, options in re.findall(r"hybridkit ((?:data )?[a-z]+)((?:[^\n`|#]| \\\n)*)", text):
        for option in re.findall(r"(?<!\S)--[a-z]+", options):
            assert option in call(*command.split(), "--help").output, (command, option)
    assert call("data", "show", "museum", "--review", "--language", "de").exit_code == 0


def test_status_and_compare_without_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path))
    assert "No runs yet" in call("status").output
    assert "No run of profile tiny is finished" in call("compare").output


def test_museum_names_its_size():
    assert len(museum.benchmark(20).query_ids) == 20 * 6 * 11

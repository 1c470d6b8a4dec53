"""Sweeps with stand-in notebooks: finishing, skipping, failing, being killed, losing workers, clusters."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
from click.testing import CliRunner

from hybridkit import lock, params, simplex, sweep
from hybridkit.cli import main
from hybridkit.display import SweepDisplay, duration
from hybridkit.errors import KitError
from hybridkit.files import digests
from hybridkit.params import Parameters, notebook_cell
from hybridkit.runs import Run, finished_runs, read_manifest

CLI = [sys.executable, "-m", "hybridkit.cli"]
BODIES = {
    "01_data": ["1 + 1"],
    "02_sampling": ["run.save_plan(5)"],
    "03_training": [
        "import json, pathlib, time",
        "gate = pathlib.Path(__import__('os').environ['GATE'])\n"
        "while (gate / f'hold-{run.parameters.mixture}').exists(): time.sleep(0.1)",
        "if (gate / f'fail-{run.parameters.mixture}').exists(): raise ValueError('the wheel came off\\nand more')",
        "if (gate / f'exit-{run.parameters.mixture}').exists(): raise SystemExit(0)",
        "told = {'seconds': 1.0, 'device': 'cpu', 'threads': 1, 'resumed_from': None}\n"
        "_ = (run.folder / 'training.json').write_text(json.dumps(told))",
    ],
    "04_evaluation": ["_ = (run.folder / 'metrics.json').write_text('{}')"],
    "05_bias": ["1 + 1"],
    "06_compare": ["1 + 1"],
    "07_verdict": ["1 + 1"],
    "08_ratio_study": ["1 + 1"],
}


def write_notebooks(folder, bodies):
    """Notebooks with a parameters cell, the run where they need it, and cells of their own."""
    for name, body in bodies.items():
        cells = [nbformat.v4.new_code_cell(notebook_cell(), metadata={"tags": ["parameters"]})]
        if any("run." in source for source in body):
            cells.append(nbformat.v4.new_code_cell("from hybridkit import runs\nrun = runs.from_notebook(globals())"))
        cells += [nbformat.v4.new_code_cell(source) for source in body]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A home with stand-in notebooks, and folders of its own; returns the folder of gates (hold-, fail-, exit-)."""
    home, gate = tmp_path / "home", tmp_path / "gate"
    gate.mkdir()
    (home / "notebooks").mkdir(parents=True)
    shutil.copytree(Path(__file__).parents[1] / "params", home / "params")
    write_notebooks(home / "notebooks", BODIES)
    monkeypatch.setenv("HYBRIDKIT_HOME", str(home))
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("HYBRIDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GATE", str(gate))
    cached = tmp_path / "hub" / "models--ours--no-warm-up" / "snapshots" / ("0" * 40)
    cached.mkdir(parents=True)
    (cached / "config.json").write_text("{}")
    (cached / "model.safetensors").write_text("never loaded")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))
    lock.revision("models", "ours/no-warm-up", lambda: "0" * 40)
    return gate


SMALL = {"museum_exhibits": 100, "museum_evaluation_exhibits": 20, "encoder": "ours/no-warm-up"}


def small(mixture):
    return Run(params.for_run("tiny", mixture, 0, SMALL))


def command(*arguments):
    options = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    return [*CLI, "sweep", *options, *arguments]


def states(outcomes):
    return {outcome.name: outcome.state for outcome in outcomes}


def quiet(name, outcome):
    pass


def carried_out(mixture):
    """One run of a sweep, without the notebooks before and after it."""
    return sweep.execute_run(small(mixture).parameters.model_dump(), sweep.environment(1))


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def test_sweep_finishes_and_then_skips(kit, tmp_path):
    answer = subprocess.run(command("--mixtures", "mono,cross"), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "ours/no-warm-up mono seed 0: finished in" in answer.stdout
    found = dict(finished_runs("tiny"))
    assert [folder.parent.name for folder in found] == ["cross", "mono"]
    folder = tmp_path / "outputs" / "tiny" / "ours--no-warm-up" / "mono" / "seed-0"
    manifest = read_manifest(folder)
    assert manifest["key"] == small("mono").key and manifest["parameters"]["mono"] == 1
    assert set(manifest["notebooks"]) == set(sweep.RUN_NOTEBOOKS)
    assert all(cost["seconds"] > 0 and cost["peak_bytes"] > 2**20 for cost in manifest["notebooks"].values())
    assert manifest["provenance"]["packages"]["torch"]
    assert len({manifest["training_data"]["museum"], manifest["benchmarks"]["museum"]}) == 2
    assert params.load([folder / "params.yaml"]) == small("mono").parameters
    for name in sweep.RUN_NOTEBOOKS:
        assert sweep.is_complete(folder / f"{name}.ipynb")
        text = (folder / f"{name}.ipynb").read_text()
        assert json.loads(text)["metadata"]["hybridkit"]["python"] and str(tmp_path) not in text
    assert not list((tmp_path / "outputs" / "tiny" / ".staging").glob("????????????????"))
    for name in ("01_data", *sweep.LAST_NOTEBOOKS):
        assert sweep.is_complete(tmp_path / "outputs" / "tiny" / f"{name}.ipynb")
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    answer = subprocess.run(command("--mixtures", "mono,cross"), capture_output=True, text=True)
    assert answer.returncode == 0 and answer.stdout.count(": skipped") == 2
    assert written == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status = subprocess.run([*CLI, "status"], capture_output=True, text=True).stdout
    assert status.count("finished") == 2 and "stopped" not in status


def test_failed_run_is_told_and_the_others_go_on(kit, tmp_path):
    (kit / "fail-cross").touch()
    answer = subprocess.run(command("--mixtures", "cross,mono"), capture_output=True, text=True)
    assert answer.returncode == 1
    assert "03_training, cell 6: ValueError: the wheel came off (kept as" in answer.stderr
    assert "1 of 7 tasks failed" in answer.stderr and "Traceback" not in answer.stderr
    assert small("mono").finished and not small("cross").finished
    staging = small("cross").staging
    assert (staging / "03_training.failed.ipynb").exists() and not (staging / "03_training.ipynb").exists()
    status = subprocess.run([*CLI, "status"], capture_output=True, text=True).stdout
    assert "failed" in status and "the wheel came off" in status
    done = (staging / "02_sampling.ipynb").stat().st_mtime_ns
    (kit / "fail-cross").unlink()
    assert carried_out("cross").state == "finished"
    assert (small("cross").final / "02_sampling.ipynb").stat().st_mtime_ns == done


def test_notebook_that_exits_early_is_not_finished(kit):
    (kit / "exit-mono").touch()
    with pytest.raises(KitError, match="03_training stopped before its last cell"):
        sweep.execute("03_training", small("mono").staging / "03_training.ipynb", small("mono").parameters)


def test_killed_sweep_leaves_nothing_that_looks_finished_and_goes_on(kit):
    (kit / "hold-mono").touch()
    run = small("mono")
    process = subprocess.Popen(command("--mixtures", "mono"), start_new_session=True, stdout=subprocess.DEVNULL)
    wait_for((run.staging / "02_sampling.ipynb").exists)
    assert "running" in subprocess.run([*CLI, "status"], capture_output=True, text=True).stdout
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not run.finished and not list(finished_runs()) and (run.staging / "02_sampling.ipynb").exists()
    status = subprocess.run([*CLI, "status"], capture_output=True, text=True).stdout
    assert "stopped" in status
    (kit / "hold-mono").unlink()
    answer = subprocess.run(command("--mixtures", "mono"), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert small("mono").finished


def test_interrupted_sweep_stops_at_once_and_goes_on(kit):
    (kit / "hold-mono").touch()
    process = subprocess.Popen(
        command("--mixtures", "mono,cross,multi", "--jobs", "1"),
        start_new_session=True,
        # Tests that a shell runs in the background inherit that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((small("mono").staging / "02_sampling.ipynb").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130 and "interrupted" in process.stderr.read()
    assert not list(finished_runs()) and not small("cross").staging.exists()
    (kit / "hold-mono").unlink()
    assert carried_out("mono").state == "finished"


def test_kill_while_finishing_loses_nothing(kit, monkeypatch):
    run = small("mono")

    def stopped(source, target):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        run.staging.mkdir(parents=True)
        for name in sweep.RUN_NOTEBOOKS[:1]:
            cost = sweep.execute(name, run.staging / f"{name}.ipynb", run.parameters)
        (run.staging / "training.json").write_text(
            '{"seconds": 1, "device": "cpu", "threads": 1, "resumed_from": null}'
        )
        patch.setattr(sweep.os, "replace", stopped)
        with pytest.raises((OSError, KitError)):
            sweep.finish(run, {"02_sampling": cost})
    assert not run.finished
    assert sweep.execute("02_sampling", run.staging / "02_sampling.ipynb", run.parameters) == cost
    sweep.finish(run, {"02_sampling": cost})
    assert run.finished and not list(run.final.glob("*.cost.json"))


def die_once(marker):
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return sweep.Outcome("mortal", "finished", 0.0)


def die_always():
    os.kill(os.getpid(), signal.SIGKILL)


def test_lost_worker_is_tried_again(tmp_path):
    tasks = [("mortal", die_once, (str(tmp_path / "died"),))]
    assert states(sweep.run_tasks(tasks, lambda: sweep.local_executor(1), quiet)) == {"mortal": "finished"}


def test_worker_that_always_dies_is_given_up(tmp_path):
    outcomes = sweep.run_tasks([("doomed", die_always, ())], lambda: sweep.local_executor(1), quiet)
    assert outcomes[0].state == "failed" and "its worker was lost 4 times" in outcomes[0].message


def test_worker_that_always_dies_takes_no_other_with_it(tmp_path):
    tasks = [("doomed", die_always, ()), ("mortal", die_once, (str(tmp_path / "died"),))]
    assert states(sweep.run_tasks(tasks, lambda: sweep.local_executor(2), quiet)) == {
        "doomed": "failed",
        "mortal": "finished",
    }


def test_failed_preparation_stops_the_sweep_with_its_sentence(kit, monkeypatch):
    run = Run(params.for_run("tiny", "mono", 0, {**SMALL, "training_data": ["xquad-r"]}))
    outcomes = sweep.sweep([run], lambda: sweep.local_executor(2), 1, quiet)
    assert outcomes[0].state == "failed" and "cannot be trained on" in outcomes[0].message
    assert len(outcomes) == 2


def test_sweep_on_a_cluster(kit, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        outcomes = sweep.sweep([small("mono")], lambda: sweep.cluster_executor(cluster.scheduler_address), 1, quiet)
        lost = sweep.run_tasks(
            [("mortal", die_once, (str(tmp_path / "died"),))],
            lambda: sweep.cluster_executor(cluster.scheduler_address),
            quiet,
        )
    assert set(states(outcomes).values()) == {"finished"}, outcomes
    assert states(lost) == {"mortal": "finished"}
    assert small("mono").finished


def test_no_scheduler_is_told():
    with pytest.raises(KitError, match="No dask scheduler answers at tcp://127.0.0.1:9"):
        sweep.cluster_executor("tcp://127.0.0.1:9")


def test_outputs_that_cannot_be_written_are_told_before_any_work(kit, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "file" / "outputs"))
    answer = subprocess.run(command("--mixtures", "mono"), capture_output=True, text=True)
    assert answer.returncode == 1 and "cannot be written" in answer.stderr and "HYBRIDKIT_OUTPUTS" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.slow
def test_real_notebooks_in_a_sweep(tmp_path, monkeypatch):
    """The kit's own notebooks and tiny encoder, at a small size, from nothing to the comparison."""
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.delenv("HYBRIDKIT_CACHE", raising=False)
    small_ = ["museum_exhibits=100", "museum_evaluation_exhibits=20", "steps=20", "checkpoint_every=10"]
    options = [part for setting in small_ for part in ("--set", setting)]
    command_ = [*CLI, "sweep", "--mixtures", "mono,hybrid-0.50,uniform", *options]
    answer = subprocess.run(command_, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert len(list(finished_runs("tiny"))) == 3 and "BM25" in answer.stdout


def killed(process):
    """Kill a process and all below it, as a machine that goes down does."""
    below = psutil.Process(process.pid).children(recursive=True)
    for one in (process, *below):
        with suppress(psutil.Error):
            one.kill()
    process.wait()


@pytest.mark.slow
def test_sweep_killed_three_times_ends_with_the_same_results(kit, tmp_path, monkeypatch, small_encoder):
    """Three runs trained and evaluated for real, in stand-in notebooks, killed at random shares of the undisturbed time."""
    write_notebooks(
        tmp_path / "home" / "notebooks", {"03_training": ["run.train()"], "04_evaluation": ["run.metrics()"]}
    )
    given = {"steps": 100, "batch_size": 16, "checkpoint_every": 5, "validation_data": "museum", "validate_every": 10}
    options = [part for name, value in (SMALL | given).items() for part in ("--set", f"{name}={value}")]
    command_ = [*CLI, "sweep", "--mixtures", "mono,hybrid-0.50,cross", "--jobs", "2", *options]
    command_ += ["--encoder", str(small_encoder)]

    def results(place):
        monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / place))
        answer = subprocess.run(command_, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        found = {}
        for folder, manifest in finished_runs("tiny"):
            assert not (folder / "checkpoints").exists()
            held = [*digests(folder / "model").items(), *digests(folder / "ranks", "*.parquet").items()]
            found[manifest["parameters"]["mixture"]] = (*held, (folder / "metrics.json").read_text())
        return found

    started = time.monotonic()
    whole = results("whole")
    lasted = time.monotonic() - started
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "killed"))
    times = random.Random("kill a sweep")
    for _ in range(3):
        process = subprocess.Popen(command_, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(lasted * times.uniform(0.15, 0.35))
        killed(process)
    assert results("killed") == whole and len(whole) == 3


def test_other_parameters_never_overwrite(kit):
    run = small("mono")
    finish(run)
    other = Run(params.for_run("tiny", "mono", 0, {**SMALL, "steps": 7}))
    assert run.finished and not other.finished and other.final.name == f"seed-0-{other.key[:8]}"
    finish(other)
    assert run.finished and other.finished and other.folder != run.folder
    again = Run(params.for_run("tiny", "mono", 0, {**SMALL, "steps": 7}))
    assert again.finished and again.final == other.final


def finish(run):
    run.staging.mkdir(parents=True)
    (run.staging / "training.json").write_text('{"seconds": 1, "device": "cpu", "threads": 1, "resumed_from": null}')
    sweep.finish(run, {})


def numbers_of(run):
    """Stands for training and evaluation: writes what they leave, with figures that follow from the weights."""
    p, gate = run.parameters, Path(os.environ["GATE"])
    if (gate / f"fail-{p.mixture}").exists():
        raise ValueError("the wheel came off")
    with (gate / "worked").open("a") as file:
        file.write(f"{p.mixture} {p.seed}\n")
    told = {"seconds": 1, "device": "cpu", "provenance": {"machine": "a made-up machine", "commit": "c0"}}
    (run.staging / "training.json").write_text(json.dumps(told))
    figures = dict(zip(simplex.GOALS, (p.mono, p.cross, p.cross / 2 + p.seed / 100), strict=True)) | {
        simplex.DISTANCE: 9 - p.cross
    }
    (run.staging / "metrics.json").write_text(json.dumps({"museum": {"training languages": figures}}))
    return {"seconds": 2.0, "peak_bytes": 3}


@pytest.fixture
def numbers(kit, monkeypatch):
    """Sweeps without notebooks, in this process and with stand-ins for training; returns a function that does one."""
    monkeypatch.setattr(sweep, "_only_numbers", numbers_of)
    monkeypatch.setattr(sweep, "prepare", lambda *_: sweep.Outcome("warm-up", "finished", 0.0))
    monkeypatch.setattr(sweep, "local_executor", ThreadPoolExecutor)

    def run(*arguments):
        options = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
        return CliRunner().invoke(main, ["sweep", "--no-notebooks", "--jobs", "1", *options, *arguments])

    return run


def worked(gate):
    return (gate / "worked").read_text().splitlines()


def test_numbers_alone_are_finished_skipped_and_told_apart(kit, numbers, tmp_path):
    answer = numbers("--mixtures", "mono,mix-0.25-0.50-0.25")
    assert answer.exit_code == 0, answer.output
    assert "mix-0.25-0.50-0.25 seed 0: finished in" in answer.stdout and "(2 of 2 runs)" in answer.stdout
    run = small("mono")
    manifest = read_manifest(run.final)
    assert manifest["key"] == run.key and manifest["notebooks"] == {}
    assert manifest["without_notebooks"] == {"seconds": 2.0, "peak_bytes": 3}
    assert manifest["training"]["machine"] == "a made-up machine" and manifest["training"]["commit"] == "c0"
    assert not (tmp_path / "outputs" / "tiny" / "06_compare.ipynb").exists()
    answer = numbers("--mixtures", "mono, mix-0.25-0.50-0.25,mono")  # spaces do not matter, nor a name that comes again
    assert answer.stdout.count(": skipped") == 2 and len(worked(kit)) == 2
    status = CliRunner().invoke(main, ["status"]).stdout
    assert status.count("(2 s, numbers only, ") == 2


def test_notebooks_are_added_to_a_run_of_numbers(kit, numbers, monkeypatch):
    monkeypatch.setattr(sweep, "RUN_NOTEBOOKS", ("03_training", "04_evaluation"))
    numbers("--mixtures", "mono")
    run = small("mono")
    trained = (run.final / "training.json").stat().st_mtime_ns
    (kit / "fail-mono").touch()
    around = sweep.environment(1)
    outcome = sweep.execute_run(run.parameters.model_dump(), around)
    assert outcome.state == "failed" and sweep.lacks_notebooks(read_manifest(run.final)) and run.finished
    status = CliRunner().invoke(main, ["status"]).stdout
    assert "numbers only" in status and "failed" in status and "the wheel came off" in status
    (kit / "fail-mono").unlink()
    notebooks = kit.parent / "home" / "notebooks"
    write_notebooks(notebooks, {"03_training": ["assert (run.folder / 'training.json').exists()"]})
    outcome = sweep.execute_run(run.parameters.model_dump(), around)
    assert outcome.state == "finished", outcome
    assert all(sweep.is_complete(run.final / f"{name}.ipynb") for name in sweep.RUN_NOTEBOOKS)
    assert (run.final / "training.json").stat().st_mtime_ns == trained and not run.staging.exists()
    manifest = read_manifest(run.final)
    assert set(manifest["notebooks"]) == set(sweep.RUN_NOTEBOOKS) and manifest["without_notebooks"]["seconds"] == 2.0
    assert "numbers only" not in CliRunner().invoke(main, ["status"]).stdout
    assert sweep.execute_run(run.parameters.model_dump(), around).state == "skipped"
    assert numbers("--mixtures", "mono").stdout.count(": skipped") == 1


def test_simplex_is_swept_and_refined_within_its_budget(kit, numbers, monkeypatch):
    command_ = ("--mixtures", "simplex,cross-then-mono", "--grid", "1", "--seeds", "0,1", "--budget", "16")
    (kit / "fail-multi").touch()
    answer = numbers(*command_)
    assert answer.exit_code == 1 and "multi seed 1: ValueError: the wheel came off" in answer.output
    assert len(worked(kit)) == 8  # nothing is refined while something is missing
    (kit / "fail-multi").unlink()
    answer = numbers(*command_)
    assert answer.exit_code == 0, answer.output
    order = worked(kit)
    assert len(set(order)) == len(order) == 16
    assert {"mono 0", "cross 1", "uniform 0", "cross-then-mono 1", "multi 1"} <= set(order[:10])
    assert len([one for one in order[10:] if one.endswith((" 0", " 1"))]) == 2  # one new mixture, with both seeds
    assert set(order[12:]) == {"hybrid-0.50 2", "mono 2", "cross 2", "uniform 2"}  # where it decides
    assert "(16 of 16 runs)" in answer.stdout
    answer = numbers(*command_)
    assert answer.stdout.count(": skipped") == 16 and worked(kit) == order
    assert numbers(*command_[:-1], "10").exit_code == 0 and worked(kit) == order
    monkeypatch.setattr(simplex, "SEEDS", 2)  # every mixture has them, and one run is too few for a new mixture
    answer = numbers(*command_[:-1], "11")
    assert "1 of the 11 runs of the budget were not needed: nothing is left to refine that fits." in answer.stdout


@pytest.mark.parametrize("seeds, budget, luck", [("3", "17", True), ("3", "16", False), ("0,1", "40", False)])
def test_a_refinement_from_one_seed_is_told_to_hang_on_luck(numbers, monkeypatch, seeds, budget, luck):
    monkeypatch.setattr(sweep, "sweep", lambda *_: [])
    answer = numbers("--mixtures", "simplex", "--seeds", seeds, "--budget", budget)
    assert answer.exit_code == 0, answer.output
    assert ("note: with one seed the Pareto front" in answer.output) == luck


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("--mixtures", "simplex", "--budget", "15"), "--budget is 15, but 16 mixtures with 1 seed each are 16 runs"),
        (("--mixtures", "simplex", "--grid", "0"), "The grid is 0; give the number of steps"),
        (("--mixtures", "simplex", "--grid", "0", "--budget", "9"), "The grid is 0; give the number of steps"),
        (("--mixtures", "mono,simplex"), "write simplex first"),
        (("--mixtures", "mono", "--grid", "4"), "--grid and --budget belong to the simplex"),
        (("--budget", "40"), "--grid and --budget belong to the simplex"),
        (("--mixtures", "simplex,nonsense"), "'nonsense' is none of the mixtures"),
    ],
)
def test_what_is_no_study_is_told_before_any_work(kit, numbers, arguments, told):
    answer = numbers(*arguments)
    assert answer.exit_code == 1 and told in answer.stderr and not (kit / "worked").exists()


def test_run_trained_before_is_only_finished(kit, small_encoder):
    """A real, very small training by `Run.train`, as `hybridkit train` does it, and then a sweep for numbers."""
    given = {"museum_exhibits": 100, "museum_evaluation_exhibits": 20, "steps": 2, "batch_size": 8}
    run = Run(params.for_run("tiny", "mono", 0, given | {"encoder": str(small_encoder)}))
    run.train()
    record = (run.staging / "training.json").read_bytes()
    weights = digests(run.staging / "model", "*.safetensors")
    outcome = sweep.execute_run(run.parameters.model_dump(), sweep.environment(1), notebooks=False)
    assert outcome.state == "finished", outcome
    assert (run.final / "training.json").read_bytes() == record
    assert digests(run.final / "model", "*.safetensors") == weights and (run.final / "model" / "README.md").exists()
    manifest = read_manifest(run.final)
    assert manifest["training"]["machine"] == manifest["provenance"]["machine"] and manifest["notebooks"] == {}
    assert manifest["without_notebooks"]["peak_bytes"] > 2**20
    for name in ("plan.yaml", "audit.md", "params.yaml", "metrics.json", "ranks/museum/golds.parquet"):
        assert (run.final / name).exists(), name
    (figures,) = json.loads((run.final / "metrics.json").read_text()).values()
    assert 0 < figures["training languages"]["monolingual mAP"] < 1


def test_progress_tells_how_many_and_how_long():
    runs = [Run(params.for_run("tiny", name, seed)) for name in ("mono", "cross", "multi") for seed in range(10)]
    display = SweepDisplay(runs[:10], total=60, jobs=2)
    assert display.progress() == "0 of 60 runs"
    for run in runs[:4]:
        display.report(run.title, None)
    display.report(runs[0].title, sweep.Outcome(runs[0].title, "skipped", 0.0))
    display.report(runs[1].title, sweep.Outcome(runs[1].title, "finished", 90.0))
    display.report(runs[2].title, sweep.Outcome(runs[2].title, "finished", 110.0))
    display.report(runs[3].title, sweep.Outcome(runs[3].title, "failed", 1.0, "why"))
    assert display.progress() == "3 of 60 runs, 1 failed, about 47 min left"  # 56 runs of 100 s, two at a time
    list(display.following([runs[10:]]))
    for run in runs[4:]:
        display.report(run.title, None)
    assert len(display._table().rows) < 25  # fits a terminal, whatever the number of runs
    assert [duration(s) for s in (40, 600, 7260, 100_000)] == ["40 s", "10 min", "2 h 1 min", "1 day 4 h"]


def test_key_follows_parameters_and_data(kit, tmp_path):
    one, other = small("mono"), small("cross")
    assert one.key == small("mono").key != other.key
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"id": "a", "query": {"en": "a"}, "positive": {"en": "A"}}\n')
    mine = Run(Parameters(training_data=[str(pairs)], languages=["en"], mono=1.0, cross=0.0))
    before = mine.key
    pairs.write_text('{"id": "a", "query": {"en": "b"}, "positive": {"en": "A"}}\n')
    assert Run(mine.parameters).key != before


@pytest.mark.parametrize(
    "change, complete",
    [
        (lambda nb: None, True),
        (lambda nb: nb["metadata"]["papermill"].update(end_time=None), False),
        (lambda nb: nb["metadata"]["papermill"].update(exception=True), False),
        (lambda nb: nb["cells"][0]["metadata"]["papermill"].update(status="pending"), False),
    ],
)
def test_completeness_is_read_from_every_cell(tmp_path, change, complete):
    content = {
        "metadata": {"papermill": {"end_time": "2026-01-01", "exception": None}},
        "cells": [{"cell_type": "code", "source": ["1"], "metadata": {"papermill": {"status": "completed"}}}],
    }
    change(content)
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content))
    assert sweep.is_complete(path) is complete
    path.write_text(json.dumps(content)[:-9])
    assert not sweep.is_complete(path) and not sweep.is_complete(tmp_path / "none.ipynb")


def test_a_cluster_is_left_without_clients():
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        for wait in (True, False):
            executor = sweep.cluster_executor(cluster.scheduler_address)
            assert executor.submit(abs, -3).result() == 3
            before = list(cluster.scheduler.clients)
            executor.shutdown(wait)
            assert len(before) == len(cluster.scheduler.clients) + 1

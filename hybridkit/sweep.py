"""Execute the notebooks for many runs through papermill, in parallel, so that a killed sweep loses nothing.

Each run is one task of a `concurrent.futures` executor: local processes, or the workers of a
dask.distributed cluster. A task executes its notebooks one after the other in the run's staging folder
and moves the finished run into place. Where only the numbers are wanted it trains and evaluates without them.
"""

import json
import os
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from filelock import FileLock

from hybridkit import model_card, paths
from hybridkit.errors import KitError, KitWarning, in_a_line
from hybridkit.files import remove, write_text
from hybridkit.launch import PROCESSES
from hybridkit.params import Parameters, to_yaml
from hybridkit.runs import MANIFEST, Run, encoder_label, provenance, read_manifest

RUN_NOTEBOOKS = ("02_sampling", "03_training", "04_evaluation", "05_bias")
DATA_NOTEBOOK = "01_data"
#: What looks at all finished runs of a profile, after them.
LAST_NOTEBOOKS = ("06_compare", "07_verdict", "08_ratio_study")
#: What the paper's comparison needs, in its order.
MIXTURES = ("mono", "hybrid-0.75", "hybrid-0.50", "hybrid-0.25", "cross")
#: A run whose worker was lost is started again this many times.
RETRIES = 3
_QUIET = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


@dataclass(frozen=True)
class Outcome:
    """How one task ended: `state` is "finished", "skipped" or "failed"; `message` says what failed and where."""

    name: str
    state: str
    seconds: float
    message: str = ""


class NotebookFailed(KitError):
    """A notebook stopped: the message names notebook, cell and error."""


def execute(notebook: str, output: Path, parameters: Parameters) -> dict:
    """Execute one notebook into `output`; return seconds and peak memory (bytes) of its kernel.

    The output appears under its name only when every code cell completed; a failed one is kept beside it
    as `<name>.failed.ipynb`. A finished output is never executed again.
    """
    if is_complete(output):
        return json.loads(output.with_suffix(".cost.json").read_text())
    import logging

    import papermill
    from papermill.exceptions import PapermillException

    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ.update(_QUIET)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial.ipynb")
    source = paths.notebooks() / f"{notebook}.ipynb"
    started = time.perf_counter()
    write_text(output.parent / "progress.json", json.dumps({"notebook": notebook, "started": time.time()}))
    with _PeakMemory() as memory:
        try:
            papermill.execute_notebook(
                str(source),
                str(partial),
                parameters=parameters.model_dump(),
                progress_bar=False,
                cwd=str(paths.notebooks()),
                start_timeout=300,
                extra_arguments=["--IPKernelApp.log_level=50"],  # else kernels report that they talk over TCP and end
                request_save_on_cell_execute=False,
                autosave_cell_every=0,
            )
        except (PapermillException, RuntimeError) as fault:
            failed = output.with_suffix(".failed.ipynb")
            if partial.exists():
                os.replace(partial, failed)
            raise NotebookFailed(_what_failed(notebook, fault, failed)) from None
    _stamp(partial)
    if not is_complete(partial):
        raise NotebookFailed(f"{notebook} stopped before its last cell; its output is kept as {partial.name}.")
    cost = {"seconds": round(time.perf_counter() - started, 1), "peak_bytes": memory.peak}
    write_text(output.with_suffix(".cost.json"), json.dumps(cost))
    os.replace(partial, output)
    return cost


def _what_failed(notebook: str, fault: Exception, failed: Path) -> str:
    cell = getattr(fault, "exec_count", None)
    if cell is None:
        return f"{notebook} could not be executed: {(str(fault).strip().splitlines() or [type(fault).__name__])[-1]}"
    value = next((line for line in str(fault.evalue).splitlines() if line.strip()), "")
    return f"{notebook}, cell {cell}: {fault.ename}: {value} (kept as {_shown(failed)})"


def _shown(path: Path) -> str:
    home = paths.home()
    return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


def is_complete(notebook: Path) -> bool:
    """Whether an executed notebook ran to its end: a file in outputs/ alone proves nothing."""
    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    told = content["metadata"].get("papermill", {})
    cells = [c for c in content["cells"] if c["cell_type"] == "code"]
    statuses = [c["metadata"].get("papermill", {}).get("status") for c in cells if "".join(c["source"]).strip()]
    return bool(told.get("end_time")) and not told.get("exception") and set(statuses) == {"completed"}


def _stamp(notebook: Path) -> None:
    """Write the provenance into the notebook, and take machine paths out of it."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    content["metadata"]["hybridkit"] = provenance()
    told = content["metadata"].get("papermill", {})
    for name in ("input_path", "output_path"):
        told[name] = Path(told.get(name) or "").name
    write_text(notebook, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


class _PeakMemory:
    """Watches the memory of the processes below this one, or with `own` of this one too, and keeps the peak, in bytes
    (sampled 5 times a second)."""

    def __init__(self, own: bool = False):
        self._own = own

    def __enter__(self):
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        import psutil

        here = psutil.Process()
        while not self._stop.wait(0.2):
            try:
                watched = [*here.children(recursive=True), *([here] if self._own else [])]
                used = [p.memory_info().rss for p in watched]
            except psutil.Error:
                continue
            self.peak = max(self.peak, sum(used))

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def environment(threads: int) -> dict[str, str]:
    """What a worker must know of this process: folders, threads, and how many processes train one model.

    A worker of a cluster has another environment.
    """
    places = {"HYBRIDKIT_OUTPUTS": paths.outputs(), "HYBRIDKIT_CACHE": paths.cache()}
    places |= {"HYBRIDKIT_DOWNLOADS": paths.downloads(), "HYBRIDKIT_LOCK": paths.lock_file()}
    chosen = {PROCESSES: os.environ[PROCESSES]} if PROCESSES in os.environ else {}
    return {name: str(place) for name, place in places.items()} | {"OMP_NUM_THREADS": str(threads)} | chosen


def execute_run(values: dict, surroundings: dict[str, str], notebooks: bool = True) -> Outcome:
    """One task: execute the notebooks of a run in its staging folder and move it into place; or without `notebooks`
    train and evaluate, and no more.

    A run that was finished without notebooks gets them added. Runs in a worker process; takes plain data, so that any
    executor can send it.
    """
    os.environ.update(surroundings)
    run = Run(Parameters(**values))
    started = time.perf_counter()
    run.lock.parent.mkdir(parents=True, exist_ok=True)
    # Held for the life of this process only: the lock of a killed worker is free again at once.
    with FileLock(run.lock):
        if is_done(run, notebooks):
            return Outcome(run.title, "skipped", 0.0)
        try:
            with run.noted():
                if run.finished:  # its notebooks are added; for `hybridkit status`
                    write_text(run.staging / "params.yaml", to_yaml(run.parameters))
                if notebooks:
                    costs = {n: execute(n, run.staging / f"{n}.ipynb", run.parameters) for n in RUN_NOTEBOOKS}
                    add_notebooks(run, costs) if run.finished else finish(run, costs)
                else:
                    finish(run, {}, without_notebooks=_only_numbers(run))
        except Exception as fault:
            return Outcome(run.title, "failed", time.perf_counter() - started, in_a_line(fault))
    return Outcome(run.title, "finished", time.perf_counter() - started)


def is_done(run: Run, notebooks: bool = True) -> bool:
    """Whether a run is finished: with its notebooks, or, where those are not asked for, with or without them."""
    return run.finished and not (notebooks and lacks_notebooks(read_manifest(run.final)))


def lacks_notebooks(manifest: dict) -> bool:
    """Whether a run was finished for its numbers alone and no notebooks were executed since."""
    return "without_notebooks" in manifest and not manifest.get("notebooks")


def _only_numbers(run: Run) -> dict:
    """Train and evaluate a run in its staging folder, or find that done; what this took: seconds, peak memory (bytes).

    Of this sitting alone: what was done before an interruption is not counted.
    """
    os.environ.update(_QUIET)
    started = time.perf_counter()
    with _PeakMemory(own=True) as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", KitWarning)  # what the audit found is kept in audit.md
        if not (run.staging / "plan.yaml").is_file():
            run.save_plan()
        run.train()
        run.metrics()
    return {"seconds": round(time.perf_counter() - started, 1), "peak_bytes": memory.peak}


def finish(run: Run, costs: dict, without_notebooks: dict | None = None) -> None:
    """Write the model card and the manifest and move the run from staging into its final place, in one step.

    `costs`: of each notebook; `without_notebooks`: what a run cost of which only the numbers were wanted.
    """
    training = json.loads((run.staging / "training.json").read_text())
    made = training.get("provenance", {})  # a run may be trained on one machine and finished on another
    training["commit"] = made.get("commit")
    training["machine"] = made.get("machine") or _machine_of(run.staging / "03_training.ipynb")
    kept = ("seconds", "device", "machine", "commit", "threads", "processes", "resumed_from")
    manifest = {
        "key": run.key,
        "parameters": run.parameters.model_dump(),
        "training_data": {d.name: d.fingerprint for d in run.datasets},
        "benchmarks": {name: benchmark.fingerprint for name, benchmark in run.benchmarks.items()},
        "provenance": provenance(),
        "training": {k: training.get(k) for k in kept},
        "notebooks": costs,
        **({"without_notebooks": without_notebooks} if without_notebooks else {}),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    if (run.staging / "model").is_dir():
        model_card.write(run, json.loads((run.staging / "metrics.json").read_text(encoding="utf-8")))
    # Hidden files are what a killed process left half-written.
    for path in (run.staging / "progress.json", run.staging / "failure.json", *run.staging.glob(".*")):
        remove(path)
    write_text(run.staging / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
    final = run.final
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(run.staging, final)
    for path in final.glob("*.cost.json"):
        path.unlink()


def add_notebooks(run: Run, costs: dict) -> None:
    """Move executed notebooks from staging to a run that was finished without them, and say so in its manifest."""
    for name in costs:
        os.replace(run.staging / f"{name}.ipynb", run.final / f"{name}.ipynb")
    shutil.rmtree(run.staging)
    manifest = read_manifest(run.final) | {"notebooks": costs}
    write_text(run.final / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))


def _machine_of(notebook: Path) -> str | None:
    """The machine on which a notebook was executed, from its stamp: a run may be finished on another. None without one."""
    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content["metadata"].get("hybridkit", {}).get("machine")


def prepare(values: dict, surroundings: dict[str, str]) -> Outcome:
    """What all runs of an encoder share, done before them: data and its audits, the encoder warmed up or downloaded."""
    os.environ.update(surroundings | _QUIET)
    from hybridkit import encoders

    started = time.perf_counter()
    run = Run(Parameters(**values))
    name = f"{encoder_label(run.parameters.encoder)} warm-up"
    try:
        for audit in run.audits():  # loads the data, too
            audit.refuse(run.parameters.contamination_limit)
        if run.of_images:
            from hybridkit.imagetext import work

            work.audit(run)
        encoders.folder(run.parameters.encoder)
    except Exception as fault:
        return Outcome(name, "failed", time.perf_counter() - started, in_a_line(fault))
    return Outcome(name, "finished", time.perf_counter() - started)


def execute_single(notebook: str, values: dict, surroundings: dict[str, str]) -> Outcome:
    """Execute a notebook that belongs to the whole profile (01, 06, 07 and 08), always anew."""
    os.environ.update(surroundings)
    parameters = Parameters(**values)
    output = paths.outputs() / parameters.profile / f"{notebook}.ipynb"
    started = time.perf_counter()
    work = output.parent / ".staging" / notebook
    work.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work.with_suffix(".lock")):
            shutil.rmtree(work, ignore_errors=True)
            execute(notebook, work / output.name, parameters)
            os.replace(work / output.name, output)
            shutil.rmtree(work)
    except Exception as fault:
        return Outcome(notebook, "failed", time.perf_counter() - started, in_a_line(fault))
    return Outcome(notebook, "finished", time.perf_counter() - started)


def check_writable(folder: Path) -> None:
    """Raise KitError, before any work, if results could not be written."""
    probe = folder / ".writable"
    write_text(probe, "")
    probe.unlink(missing_ok=True)


class LocalExecutor(ThreadPoolExecutor):
    """Worker processes on this machine, one a task: a process that dies takes no other task with it.

    Spawned, since a forked process must not inherit threads of libraries.
    """

    def submit(self, function, /, *arguments):
        """Run the function in a process of its own, as soon as one of the jobs is free."""
        return super().submit(self._in_own_process, function, arguments)

    @staticmethod
    def _in_own_process(function, arguments):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(function, *arguments).result()


def local_executor(jobs: int) -> Executor:
    """An executor of so many worker processes on this machine."""
    return LocalExecutor(jobs)


def _stop_children() -> None:
    """End worker processes and their kernels, for a sweep that is interrupted.

    A worker that is in a notebook takes a polite request as a wish to shut down its kernel, which can last.
    """
    import psutil

    for end in (psutil.Process.terminate, psutil.Process.kill):
        children = psutil.Process().children(recursive=True)
        for child in children:
            with suppress(psutil.Error):
                end(child)
        psutil.wait_procs(children, timeout=3)


class ClusterExecutor(Executor):
    """The workers of a dask.distributed cluster; its connection is closed with it."""

    def __init__(self, address: str):
        from distributed import Client

        self._client = Client(address, timeout=20)
        self._executor = self._client.get_executor(retries=0)

    def submit(self, function, /, *arguments):
        """Run the function on some worker."""
        return self._executor.submit(function, *arguments)

    def shutdown(self, wait: bool = True) -> None:
        """Wait for the tasks, or cancel them, and close the connection."""
        self._executor.shutdown(wait)
        self._client.close()


def cluster_executor(address: str) -> Executor:
    """The workers of a dask.distributed cluster, which must see the same folders. Raises KitError if it cannot be reached."""
    try:
        return ClusterExecutor(address)
    except (OSError, ValueError, TimeoutError) as fault:
        raise KitError(
            f"No dask scheduler answers at {address} ({type(fault).__name__}); "
            "start one with `dask scheduler` and give its address, such as tcp://host:8786."
        ) from fault


def sweep(
    runs: Sequence[Run],
    make_executor: Callable[[], Executor],
    threads: int,
    report: Callable,
    notebooks: bool = True,
    later: Iterable[Sequence[Run]] = (),
) -> list[Outcome]:
    """The whole sweep over runs that share data and encoder: what they share, the runs, what sums them up.

    Without `notebooks` only what gives numbers, and so for runs of images, which the notebooks do not train. `later`
    holds more rounds of runs, each asked for when the round before it is done. Returns how each task ended.
    """
    check_writable(paths.outputs())
    check_writable(paths.cache())
    notebooks = notebooks and not runs[0].of_images
    if notebooks:
        _check_notebooks()
    around = environment(threads)
    values = runs[0].parameters.model_dump()
    tasks = [(f"{encoder_label(runs[0].parameters.encoder)} warm-up", prepare, (values, around))]
    if notebooks:
        tasks.append((DATA_NOTEBOOK, execute_single, (DATA_NOTEBOOK, values, around)))
    outcomes = run_tasks(tasks, make_executor, report)
    if outcomes[0].state == "failed":  # no run could do better
        return outcomes
    for round_ in chain([runs], later):
        outcomes += _one_round(round_, make_executor, around, report, notebooks)
    if not notebooks:
        return outcomes
    last = [(notebook, execute_single, (notebook, values, around)) for notebook in LAST_NOTEBOOKS]
    return outcomes + run_tasks(last, make_executor, report)


def _check_notebooks() -> None:
    for notebook in (DATA_NOTEBOOK, *RUN_NOTEBOOKS, *LAST_NOTEBOOKS):
        if not (paths.notebooks() / f"{notebook}.ipynb").is_file():
            raise KitError(
                f"There is no notebook {notebook}.ipynb in {paths.notebooks()}; set HYBRIDKIT_HOME to a clone of the "
                "repository, with notebooks/ and params/."
            )


def _one_round(
    runs: Sequence[Run], make_executor: Callable, around: dict[str, str], report: Callable, notebooks: bool
) -> list[Outcome]:
    """Carry out runs side by side; no worker is started for those that are done."""
    done = {run.title: Outcome(run.title, "skipped", 0.0) for run in runs if is_done(run, notebooks)}
    for name, outcome in done.items():
        report(name, outcome)
    left = [run for run in runs if run.title not in done]
    tasks = [(run.title, execute_run, (run.parameters.model_dump(), around, notebooks)) for run in left]
    return [*done.values(), *run_tasks(tasks, make_executor, report)]


def progress_of(run: Run) -> str:
    """What a run is doing now, from what it wrote last: its notebook, and the step while it trains."""
    try:
        told = json.loads((run.staging / "progress.json").read_text())
        return told["notebook"] + (f", step {told['step']} of {told['steps']}" if "step" in told else "")
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def run_tasks(
    tasks: Sequence[tuple[str, Callable, tuple]],
    make_executor: Callable[[], Executor],
    report: Callable[[str, Outcome | None], None],
) -> list[Outcome]:
    """Run (name, function, arguments) tasks; one that fails does not stop the others.

    `report(name, None)` is called when a task is handed over, `report(name, outcome)` when it ends. If a
    worker is lost, the tasks that were not done are handed to a new executor, up to RETRIES times.
    """
    outcomes: dict[str, Outcome] = {}
    for attempt in range(RETRIES + 1):
        left = [task for task in tasks if task[0] not in outcomes]
        if not left:
            break
        if attempt:
            print(f"A worker was lost; starting {len(left)} unfinished tasks again ({attempt} of {RETRIES}).")
        executor, futures = make_executor(), {}
        try:
            for name, function, arguments in left:
                futures[executor.submit(function, *arguments)] = name
                report(name, None)
            _collect(futures, outcomes, report)
        except BaseException:
            for future in futures:
                future.cancel()
            executor.shutdown(wait=False)
            _stop_children()
            raise
        executor.shutdown()
    for name, *_ in tasks:
        lost = f"its worker was lost {RETRIES + 1} times; see whether memory ran out and run the same command again"
        outcomes.setdefault(name, Outcome(name, "failed", 0.0, lost))
    return [outcomes[name] for name, *_ in tasks]


def _collect(futures: dict, outcomes: dict[str, Outcome], report: Callable) -> None:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            name = futures[future]
            try:
                outcome = future.result()
            except BrokenExecutor:
                continue
            except Exception as fault:
                if type(fault).__name__ == "KilledWorker":
                    continue
                outcome = Outcome(name, "failed", 0.0, in_a_line(fault))
            outcomes[name] = outcome
            report(name, outcome)

"""What the command line shows: the sweep's progress, the status of runs, the catalogue, texts of a source."""

import json
import sys
import time

from filelock import FileLock, Timeout

from hybridkit import params, paths, runs
from hybridkit.errors import KitError
from hybridkit.sweep import Outcome, progress_of


class SweepDisplay:
    """Progress, one line a task: a live table on a terminal, plain lines where output goes to a file."""

    def __init__(self, planned: list[runs.Run]):
        self.by_name = {run.title: run for run in planned}
        self.states: dict[str, str] = {}
        self.started: dict[str, float] = {}
        self.live = None

    def __enter__(self) -> "SweepDisplay":
        if sys.stdout.isatty():
            from rich.live import Live

            self.live = Live(get_renderable=self._table, refresh_per_second=2)
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.live:
            self.live.stop()

    def report(self, name: str, outcome: Outcome | None) -> None:
        """Take note that a task was handed over (None) or how it ended."""
        if outcome is None:
            self.started.setdefault(name, time.time())
            self.states[name] = ""
            return
        self.states[name] = outcome.state + (f" in {outcome.seconds:.0f} s" if outcome.state == "finished" else "")
        if not self.live:
            print(f"{name}: {self.states[name]}" + (f": {outcome.message}" if outcome.message else ""), flush=True)

    def _table(self):
        from rich.table import Table

        table = Table(box=None, show_header=False)
        for name, state in self.states.items():
            run = self.by_name.get(name)
            table.add_row(name, state or (progress_of(run) if run else "") or "waiting or running")
        return table


def status_table(profile: str | None) -> str:
    """Every run below outputs/ and its state, a line each.

    "trained" is a model that was trained and whose notebooks are not all executed; "stopped" goes on when it
    is started again.
    """
    lines = []
    for folder, manifest in runs.finished_runs(profile):
        seconds = sum(cost["seconds"] for cost in manifest.get("notebooks", {}).values())
        lines.append(f"finished  {folder.relative_to(paths.outputs())}  ({seconds:.0f} s, {manifest.get('finished')})")
    for folder in sorted(paths.outputs().glob(f"{profile or '*'}/.staging/{'[0-9a-f]' * 16}/")):
        state = f"{_state_of(folder):8}  {folder.relative_to(paths.outputs())}"
        lines.append("  ".join(filter(None, [state, _which(folder), _doing(folder)])))
    return "\n".join(lines) or "No runs yet; start with `hybridkit sweep`."


def _state_of(folder) -> str:
    for lock in (folder.with_name(f"{folder.name}.lock"), folder / "training.lock"):
        try:
            if lock.exists():
                FileLock(lock, timeout=0).acquire().lock.release()
        except Timeout:
            return "running"
    if (folder / "failure.json").exists():
        return "failed"
    return "trained" if (folder / "training.json").exists() else "stopped"


def _doing(folder) -> str:
    for name in ("failure.json", "progress.json"):
        try:
            told = json.loads((folder / name).read_text())
            step = f" step {told['step']} of {told['steps']}" if "step" in told else ""
            return told.get("message") or told["notebook"] + step
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return ""


def _which(folder) -> str:
    """Which run works in a staging folder; "" where it does not say."""
    try:
        return runs.Run(params.load([folder / "params.yaml"])).title
    except KitError:
        return ""


def catalogue_table() -> str:
    """The catalogue, a paragraph a source: what it is, its licence, how its revision is verified, what needs a hand."""
    from hybridkit.corpora.catalogue import CATALOGUE
    from hybridkit.corpora.downloads import pin_state

    parts = []
    for source in CATALOGUE.values():
        parts.append(
            f"{source.name}: {source.what}\n  {source.kind}; {' '.join(source.languages)}; {source.size}\n"
            f"  licence {source.licence}; revision {source.revision}; checksum {source.checksum}\n"
            f"  {pin_state(source)}; {source.loader}"
        )
        if source.must_accept:
            parts.append(f"  its licence must be accepted: {_accepted(source.name)}")
        if source.by_hand:
            parts.append(f"  its files come by hand: {source.by_hand}")
    return "\n".join(parts)


def _accepted(name: str) -> str:
    from hybridkit import lock

    if not lock.is_accepted(name):
        return f"read it, then `hybridkit data fetch {name} --accept-licence`"
    return f"you did on {lock.read()['accepted'][name]['accepted']}"


def show_source(name: str, language: str, review: bool) -> str:
    """Some texts of a source in one language, or the museum's review sheet."""
    from hybridkit.corpora import catalogue
    from hybridkit.params import Parameters

    if review:
        if name != "museum":
            raise KitError(f"Only the museum has a review sheet, not {name}; leave --review out.")
        from hybridkit.museum.review import sheet

        return sheet(language)
    benchmark = catalogue.benchmark(name, Parameters())
    if language not in benchmark.languages:
        raise KitError(f"{name} has no {language!r}; it has {' '.join(benchmark.languages)}.")
    lines = [f"{name} in {language} (licence {benchmark.licence}):"]
    if name == "museum":
        from hybridkit.museum.lexicon import lexicon

        lines.append(f"texts of the museum in {language}: {lexicon(language).status}")
    asked = [i for i, code in enumerate(benchmark.query_languages) if code == language][:5]
    for query in asked:
        lines += ["", f"question  {benchmark.query_texts[query]}"]
        for candidate in benchmark.gold_candidate[benchmark.gold_query == query]:
            if benchmark.candidate_languages[candidate] == language:
                lines.append(f"answer    {benchmark.candidate_texts[candidate]}")
    return "\n".join(lines)

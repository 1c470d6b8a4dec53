"""What the command line shows: the sweep's progress, the status of runs, the catalogue, texts of a source."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hybridkit import params, paths, runs
from hybridkit.errors import KitError
from hybridkit.sweep import Outcome, lacks_notebooks, progress_of

#: A live table with more lines than this shows only what is at work, what failed, and what was finished last.
_MOST_LINES = 20
_LAST_DONE = 5


class SweepDisplay:
    """Progress, one line a task: a live table on a terminal, plain lines where output goes to a file.

    `planned`: the first runs; more come by `following`. `total`: how many runs there will be at most, where more than
    the first are to come. `jobs`: how many run side by side; None where that is not known, as on a cluster.
    """

    def __init__(self, planned: list[runs.Run], total: int | None = None, jobs: int | None = None):
        self.by_name = {run.title: run for run in planned}
        self.total, self.jobs = total, jobs
        self.states: dict[str, str] = {}
        self.seconds: list[float] = []  # of the runs finished here
        self.begun = time.monotonic()
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

    def following(self, later: Iterable[list[runs.Run]]) -> Iterator[list[runs.Run]]:
        """The rounds of runs that come later, each taken note of when it is planned."""
        for more in later:
            self.by_name |= {run.title: run for run in more}
            yield more

    def report(self, name: str, outcome: Outcome | None) -> None:
        """Take note that a task was handed over (None) or how it ended."""
        if outcome is None:
            self.states[name] = ""
            return
        self.states[name] = outcome.state + (f" in {outcome.seconds:.0f} s" if outcome.state == "finished" else "")
        if name in self.by_name and outcome.state == "finished":
            self.seconds.append(outcome.seconds)
        if not self.live:
            told = f": {outcome.message}" if outcome.message else ""
            print(f"{name}: {self.states[name]}{self._place(name, outcome.state)}{told}", flush=True)

    def _place(self, name: str, state: str) -> str:
        """How far the sweep is, in brackets, for the line of a run that was worked on."""
        return f" ({self.progress()})" if name in self.by_name and state != "skipped" else ""

    def progress(self) -> str:
        """How many runs of how many are done, how many failed, and how long the rest will take about."""
        ended = [self.states[name] for name in self.by_name if self.states.get(name)]
        failed = ended.count("failed")
        total = max(self.total or 0, len(self.by_name))
        told = [f"{len(ended) - failed} of {total} runs", *([f"{failed} failed"] if failed else [])]
        return ", ".join([*told, *filter(None, [self._left(total - len(ended))])])

    def _left(self, left: int) -> str:
        """About how long so many runs will take, from those finished so far; "" where none was or none is left."""
        if not (left and self.seconds):
            return ""
        # Where the number of workers is not known, it shows in how much work was done in the time so far.
        workers = self.jobs or max(1, sum(self.seconds) / max(1, time.monotonic() - self.begun))
        seconds = sum(self.seconds) / len(self.seconds) * left / min(workers, left)
        return f"about {duration(seconds)} left"

    def _table(self):
        from rich.table import Table

        shown = list(self.states.items())
        if len(shown) > _MOST_LINES:
            shown = self._most_telling(shown)
        table = Table(box=None, show_header=False)
        for name, state in shown:
            table.add_row(name, state or self._doing(name) or "waiting or running")
        if self.states.keys() & self.by_name.keys():
            table.add_row("", self.progress())
        return table

    def _doing(self, name: str) -> str:
        run = self.by_name.get(name)
        return progress_of(run) if run else ""

    def _most_telling(self, shown: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The tasks that failed or are at work, and the last that were finished."""
        done = [(name, state) for name, state in shown if state.startswith("finished")]
        failed = [(name, state) for name, state in shown if state == "failed"]
        running = [
            (name, state) for name, state in shown if not state and (name not in self.by_name or self._doing(name))
        ]
        return [*failed[-_LAST_DONE:], *done[-_LAST_DONE:], *running[: _MOST_LINES - 2 * _LAST_DONE]]


def duration(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3 h 20 min, 2 days 4 h."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    days, hours = divmod(round(minutes / 60), 24)
    return f"{days} day{'s' * (days > 1)} {hours} h"


def status_table(profile: str | None) -> str:
    """Every run below outputs/ and its state, a line each.

    "trained" is a model that was trained and whose notebooks are not all executed; "stopped" goes on when it
    is started again; "numbers only" was finished without notebooks.
    """
    lines = []
    for folder, manifest in runs.finished_runs(profile):
        told = [f"{_seconds(manifest):.0f} s", *(["numbers only"] if lacks_notebooks(manifest) else [])]
        told.append(str(manifest.get("finished")))
        lines.append(f"finished  {folder.relative_to(paths.outputs())}  ({', '.join(told)})")
    for folder in _staged(profile):
        state = f"{_state_of(folder):8}  {folder.relative_to(paths.outputs())}"
        lines.append("  ".join(filter(None, [state, _which(folder), _doing(folder)])))
    return "\n".join(lines) or "No runs yet; start with `hybridkit sweep`."


def waiting(profile: str) -> str:
    """How many runs of a profile are trained and not finished, and what finishes them, in a line; "" for none."""
    count = [_state_of(folder) for folder in _staged(profile)].count("trained")
    if not count:
        return ""
    return (
        f"Trained, but not finished, and so not in these tables: {count} run{'s' * (count > 1)} (named by `hybridkit "
        f"status`). `hybridkit sweep --profile {profile}` with the same mixtures, seeds and settings finishes them: with "
        "executed notebooks, or with --no-notebooks without."
    )


def _staged(profile: str | None) -> list[Path]:
    """The staging folders of runs."""
    return sorted(paths.outputs().glob(f"{profile or '*'}/.staging/{'[0-9a-f]' * 16}/"))


def _seconds(manifest: dict) -> float:
    """What a finished run took, in its notebooks and without them."""
    costs = [*manifest.get("notebooks", {}).values(), manifest.get("without_notebooks", {})]
    return sum(cost.get("seconds", 0) for cost in costs)


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


def _review_sheet(name: str, language: str) -> str:
    if name == "museum":
        from hybridkit.museum.review import sheet

        return sheet(language)
    if name == "museum-pictures":
        from hybridkit.pictures.review import check_sheet

        return check_sheet(language)
    raise KitError(f"Only museum and museum-pictures have a review sheet, not {name}; leave --review out.")


def show_source(name: str, language: str, review: bool, png: Path | None = None) -> str:
    """Some texts of a source in one language, or a review sheet of the museum; with `png` its pictures are drawn there."""
    from hybridkit.corpora import catalogue
    from hybridkit.imagetext.sources import named
    from hybridkit.params import Parameters

    if review:
        return _review_sheet(name, language)
    if name in named():
        from hybridkit.imagetext.showing import show

        return show(name, language, png)
    if png:
        raise KitError(f"{name} has no pictures; leave --png out.")
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

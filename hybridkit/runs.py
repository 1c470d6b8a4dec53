"""Run folders: where a run works, how it is found again, what it leaves, and where its results came from.

A run works in a staging folder of its own, named by its key. When everything in it is complete it is
moved into its final place in one step, so a folder in its final place is a finished run.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path

from pydantic import ValidationError

from hybridkit import __version__, codeswitch, encoders, paths
from hybridkit.corpora import catalogue
from hybridkit.errors import KitError, KitWarning, in_a_line
from hybridkit.files import write_text
from hybridkit.params import MIXTURE, Parameters, to_yaml
from hybridkit.params import from_notebook as parameters_of_notebook

MANIFEST = "manifest.json"
#: The parameters in which the runs of one comparison differ.
VARIED = {*MIXTURE, "seed"}
# Benchmarks of which the audit takes all languages: a translation of a question that was trained on gives it away.
_SMALL = {"xquad-r", "mlqa-r"}
#: Where a run keeps its gold ranks: those of its embeddings as trained, and centred.
RANKS = ("ranks", "ranks-centred")
#: And the figures of both.
FIGURES = ("metrics.json", "metrics-centred.json")
_PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers", "numpy", "bm25s", "papermill")


def encoder_label(name: str) -> str:
    """How tables call an encoder: by its id, or by a folder's name and a hash of its path."""
    folder = Path(name).expanduser()
    if folder.is_absolute() or folder.is_dir():
        return f"{folder.name}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:6]}"
    return name


def _key(parameters: Parameters, contents: list[str]) -> str:
    """The key of a run whose data and encoder have these contents; that of lexicons counts where words are switched."""
    contents = [*contents, *filter(None, [codeswitch.check_lexicons(parameters)])]
    return hashlib.sha256(repr((parameters.key(), contents)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """One run: parameters, and everything that follows from them."""

    parameters: Parameters

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits over the parameters and the content of data and encoder: equal keys are equal runs."""
        return _key(self.parameters, self.contents)

    @cached_property
    def contents(self) -> list[str]:
        """What decides the content of the data and of the encoder: the same for every mixture and seed.

        The lexicons of code-switching are no part of it: they differ from mixture to mixture, and `key` adds them.
        """
        p = self.parameters
        names = [*p.training_data, *p.benchmarks, *filter(None, [p.validation_data])]
        contents = [*(catalogue.content_key(name, p) for name in names), encoders.content_key(p.encoder)]
        if self.of_images:
            from hybridkit.imagetext import tiny_vit, work

            contents += [tiny_vit.content_key(p.image_encoder, p.image_size, p.patch_size), f"recipe {work.RECIPE}"]
        return contents

    @property
    def of_images(self) -> bool:
        """Whether it is a run of images and captions (`imagetext.work`)."""
        return self.parameters.track == "image-text"

    @property
    def profile_folder(self) -> Path:
        return paths.outputs() / self.parameters.profile

    @property
    def staging(self) -> Path:
        """Where the run works until it is finished."""
        return self.profile_folder / ".staging" / self.key

    @property
    def lock(self) -> Path:
        """The file that whoever works on the run holds; outside the staging folder, which is renamed at the end."""
        return self.staging.with_name(f"{self.key}.lock")

    @property
    def final(self) -> Path:
        """Where the finished run goes: a readable place, with the key appended if another run has it already."""
        p = self.parameters
        place = self.profile_folder / encoder_label(p.encoder).replace("/", "--") / p.mixture / f"seed-{p.seed}"
        held = read_manifest(place)
        return place if held is None or held["key"] == self.key else place.with_name(f"{place.name}-{self.key[:8]}")

    @property
    def finished(self) -> bool:
        held = read_manifest(self.final)
        return held is not None and held["key"] == self.key

    @property
    def folder(self) -> Path:
        """Where the run's files are now."""
        return self.final if self.finished else self.staging

    @cached_property
    def datasets(self) -> list:
        """The training pairs."""
        return [catalogue.training_pairs(name, self.parameters) for name in self.parameters.training_data]

    @cached_property
    def benchmarks(self) -> dict:
        """The benchmarks by name."""
        if self.of_images:
            from hybridkit.imagetext import work

            return work.benchmarks(self)
        loaded = [catalogue.benchmark(name, self.parameters) for name in self.parameters.benchmarks]
        by_name = {benchmark.name: benchmark for benchmark in loaded}
        if len(by_name) < len(loaded):
            raise KitError(f"Two benchmarks of {self.parameters.benchmarks} have the same name; rename a folder.")
        return by_name

    @cached_property
    def plan(self):
        """The batch plan (`sampling.BatchPlan`)."""
        from hybridkit.sampling import BatchPlan

        return BatchPlan.from_parameters(self.parameters, self.datasets)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keep beside the work which run it is, and if it fails, why: what `hybridkit status` shows."""
        failure = self.staging / "failure.json"
        if not self.finished:
            write_text(self.staging / "params.yaml", to_yaml(self.parameters))
        failure.unlink(missing_ok=True)
        try:
            yield
        except Exception as fault:
            if self.staging.is_dir():
                write_text(failure, json.dumps({"message": in_a_line(fault)}))
            raise

    def save_plan(self, steps: int = 100) -> None:
        """Write what decides the plan, the fingerprint of its first steps, and the share of words that are switched in
        them, to plan.yaml."""
        names = (
            "seed mono cross multi languages batch_size steps gradient_accumulation dataset_temperature cross_pairs "
        )
        names += "explicit_negatives missing_negatives negative_language max_rows"
        decided = {name: getattr(self.parameters, name) for name in [*names.split(), *MIXTURE[4:]]}
        steps = min(steps, self.parameters.steps)
        lines = [f"{name}: {json.dumps(value)}" for name, value in decided.items()]
        lines.append(f"data: {json.dumps({d.name: d.fingerprint for d in self.datasets})}")
        lines.append(f"fingerprint_of_first_{steps}_steps: {self.plan.fingerprint(range(steps))}")
        if switching := codeswitch.Switching.from_parameters(self.parameters):
            share = codeswitch.realised(self.plan, switching, range(steps)).round(4).to_json(orient="records")
            lines.append(f"switched_in_first_{steps}_steps: {share}")
        write_text(self.folder / "plan.yaml", "\n".join(lines) + "\n")

    def audits(self) -> list:
        """The audit of every training source and of the validation data against every benchmark, the whole of it
        where the run uses a part (`corpora.audit.audit`), from the cache if there. Of a run of images none (`audit`)."""
        if self.of_images:
            return []
        from hybridkit.corpora.audit import audit

        used = [(pairs, "training data") for pairs in self.datasets]
        if name := self.parameters.validation_data:
            used.append((catalogue.training_pairs(name, self.parameters), "validation data"))
        tested = [self._whole(*one) for one in zip(self.parameters.benchmarks, self.benchmarks.values(), strict=True)]
        tested = {benchmark.name: benchmark for benchmark in tested}.values()
        return [replace(audit(pairs, benchmark, full=False), use=use) for benchmark in tested for pairs, use in used]

    def _whole(self, name: str, part):
        """The benchmark of which `part` is the part `name`, if it is small; else, or where it cannot be had, `part`."""
        base, languages = catalogue.split_part(name)
        if not languages or base not in _SMALL:
            return part
        try:
            return catalogue.benchmark(base, self.parameters)
        except KitError as fault:
            told = f"The audit compares with {name} alone and not with all of {base}: {fault}"
            warnings.warn(told, KitWarning, stacklevel=4)
            return part

    def audit(self) -> None:
        """Keep the audits as audit.md and audit.json, and see whether they allow the training.

        Raises KitError where a source holds more of a benchmark than the parameter contamination_limit, and
        gives a KitWarning where it holds less. Of a run of images, KitError where an image is in both.
        """
        if self.of_images:
            from hybridkit.imagetext import work

            write_text(self.folder / "audit.md", work.audit(self))
            return
        audits = self.audits()
        write_text(self.folder / "audit.md", "\n".join(one.to_markdown() for one in audits))
        kept = {"limit": self.parameters.contamination_limit, "audits": [asdict(one) for one in audits]}
        write_text(self.folder / "audit.json", json.dumps(kept, ensure_ascii=False, indent=1))
        for one in audits:
            one.refuse(self.parameters.contamination_limit)
        for note in filter(None, (one.note() for one in audits)):
            warnings.warn(f"{note} The report is {self.folder / 'audit.md'}.", KitWarning, stacklevel=2)

    def train(self, on_step=None) -> dict:
        """Train the run's model into `folder/model`, or find it trained; see `training.train`.

        In as many processes as `launch.chosen` says.
        """
        from hybridkit import launch, processes

        if processes.rank() == 0:
            self.audit()  # what is wrong with the benchmarks is told before the training too, and not after it
        if self.of_images:
            from hybridkit.imagetext import work

            return work.train(self, self.telling(on_step))
        return launch.train(self, self.telling(on_step))

    def telling(self, on_step=None) -> Callable[[int, int], None]:
        """A function to call after every step: it keeps for `hybridkit status` how far training is, and calls `on_step`."""

        def tell(step: int, steps: int) -> None:
            if step % 20 == 0 or step == steps:
                told = {"notebook": "03_training", "step": step, "steps": steps}
                write_text(self.staging / "progress.json", json.dumps(told))
            if on_step:
                on_step(step, steps)

        return tell

    def gold_ranks(self, benchmark: str, centred: bool = False):
        """The gold ranks of the run's model on one of its benchmarks: read, or computed and kept.

        With `centred` those of its embeddings without the mean of each language (`centring`). Whichever is asked for
        first, the texts are encoded once and both are kept; raises KitError where a benchmark is too large for the second.
        """
        if self.of_images:
            raise KitError(f"{self.title} is a run of images: its gold ranks are those of `imagetext.work.gold_ranks`.")
        from hybridkit.ranks import GoldRanks

        folder = self.folder / RANKS[centred] / benchmark
        if (folder / "about.json").exists():
            try:
                return GoldRanks.open(folder)
            except KitError:
                shutil.rmtree(folder)  # damaged: evaluated anew below
        ranks, _ = self._evaluated(benchmark, centred)
        return ranks[centred]

    def ranked_lists(self, benchmark: str):
        """The best candidates for some questions (`ranked_lists.RankedLists`): read, or computed and kept.

        The first `gold_ranks` of a benchmark keeps them from the same encoding. KitError for a benchmark that has none.
        """
        from hybridkit.ranked_lists import RankedLists

        folder = self.folder / "lists" / benchmark
        if (folder / "about.json").exists():
            try:
                return RankedLists.open(folder)
            except KitError:
                shutil.rmtree(folder)  # damaged: made anew below
        _, lists = self._evaluated(benchmark)
        if lists is None:
            told = "it is too large, or ranks each query in its own language alone; its gold ranks are there"
            raise KitError(f"No ranked lists are made of {benchmark}: {told}.")
        return lists

    def _evaluated(self, benchmark: str, centred: bool = False):
        """Gold ranks (as they are, and centred where that can be) and ranked lists (or None) of the run's model, kept."""
        if not (self.folder / "model").exists():
            raise KitError(f"{self.title} has no trained model yet; run notebook 03_training or `hybridkit train`.")
        from hybridkit import evaluation

        data = self.benchmarks[benchmark]
        if centred:
            evaluation.check_can_be_centred(data)
        ranks, lists = evaluation.evaluate_run(str(self.folder / "model"), data, self.title)
        kept = {self.folder / place / benchmark: found for place, found in zip(RANKS, ranks, strict=False)}
        if lists is not None:
            kept[self.folder / "lists" / benchmark] = lists
        for folder, found in kept.items():
            if not (folder / "about.json").exists():  # figures that were told stay as they are
                found.save(folder)
        return ranks, lists

    def has_centred(self, benchmark: str) -> bool:
        """Whether `gold_ranks` of a benchmark can be had centred: they are there, or the model is and it is not too large."""
        if self.of_images:
            return False
        from hybridkit.evaluation import can_be_centred

        there = (self.folder / RANKS[True] / benchmark / "about.json").exists()
        return there or ((self.folder / "model").exists() and can_be_centred(self.benchmarks[benchmark]))

    def metrics(self) -> dict:
        """Every summary figure by benchmark and scope (`comparison.measure`), also kept as metrics.json.

        Those of centred embeddings, where they can be had, are kept in the same form as metrics-centred.json. Of a run
        of images by set of images and scope (`imagetext.work.metrics`).
        """
        if self.of_images:
            from hybridkit.imagetext import work

            return work.metrics(self)
        from hybridkit.comparison import measure

        trained = self.parameters.languages
        measured = {name: measure(self.gold_ranks(name), trained) for name in self.benchmarks}
        write_text(self.folder / FIGURES[False], json.dumps(measured, indent=1))
        some = [name for name in self.benchmarks if self.has_centred(name)]
        if centred := {name: measure(self.gold_ranks(name, centred=True), trained) for name in some}:
            write_text(self.folder / FIGURES[True], json.dumps(centred, indent=1))
        return measured

    @property
    def title(self) -> str:
        """A name for tables, figures and progress lines."""
        p = self.parameters
        return f"{encoder_label(p.encoder)} {p.mixture} seed {p.seed}"

    def _repr_markdown_(self) -> str:
        p = self.parameters
        state = "finished" if self.finished else "not finished"
        beyond = f", {p.beyond_weights()}" if p.beyond_weights() else ""
        return (
            f"**Run** {p.mixture} (mono {p.mono:g}, cross {p.cross:g}, multi {p.multi:g}{beyond}), "
            f"encoder {encoder_label(p.encoder)}, seed {p.seed}, profile {p.profile}, {p.steps} steps of {p.batch_size}; "
            f"key `{self.key}`, {state}"
        )


def from_notebook(namespace: Mapping[str, object]) -> Run:
    """The run that a notebook's parameters ask for; checks their names, types and ranges."""
    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm, where ipywidgets is not installed
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return Run(parameters_of_notebook(namespace))


def read_manifest(folder: Path) -> dict | None:
    """The manifest of a finished run, or None where there is none. KitError for a damaged one."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not {"key", "parameters"} <= found.keys():
            raise ValueError("key and parameters are missing")
        return found
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as fault:
        raise KitError(
            f"The manifest {folder / MANIFEST} is damaged ({fault}); move {folder} out of the way (its model and ranks "
            "may still be sound), and run the same command again."
        ) from fault


def finished_runs(profile: str | None = None) -> Iterator[tuple[Path, dict]]:
    """Every finished run below outputs/, as its folder and manifest, in the order of their folders.

    A run with a damaged manifest is left out with a KitWarning.
    """
    pattern = f"{profile or '*'}/*/*/seed-*/{MANIFEST}"
    for path in sorted(paths.outputs().glob(pattern)):
        try:
            yield path.parent, read_manifest(path.parent)
        except KitError as fault:
            warnings.warn(str(fault), KitWarning, stacklevel=2)


def finished_like(run: Run) -> list[tuple[Path, dict]]:
    """Finished runs that differ from `run` in mixture and seed alone, and whose data and encoder are still the same."""
    wanted = run.parameters.model_dump(exclude=VARIED)
    found = []
    for folder, manifest in finished_runs(run.parameters.profile):
        try:
            parameters = Parameters(**manifest["parameters"])
            same = parameters.model_dump(exclude=VARIED) == wanted
            if same and _key(parameters, run.contents) == manifest["key"]:
                found.append((folder, manifest))
        except (ValidationError, KitError):  # of another version of the kit; of lexicons that are gone
            continue
    return found


def provenance() -> dict:
    """Where a result came from: commit, versions, machine."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(paths.home()), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return answer.stdout.strip() if answer.returncode == 0 else None

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:
        commit, changes = None, None
    return {
        "hybridkit": __version__,
        "commit": commit,
        "changed_since_commit": bool(changes),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "machine": machine(),
    }


@cache
def machine() -> str:
    """Processor, memory and GPUs of this machine, in words."""
    import psutil

    gpus = [f"{count} x {name}" for name, count in Counter(_gpus()).items()]
    parts = [
        f"{platform.system()} {platform.machine()}",
        f"{os.cpu_count()} processors ({_processor()})",
        f"{psutil.virtual_memory().total / 2**30:.0f} GB of memory",
        ", ".join(gpus) or "no GPU found",
    ]
    return ", ".join(parts)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "of unknown name"


def _gpus() -> list[str]:
    """Names of NVIDIA GPUs; nothing where their tool is not installed or fails."""
    if not (tool := shutil.which("nvidia-smi")):
        return []
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.splitlines() if answer.returncode == 0 else []

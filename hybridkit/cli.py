"""The command line: `hybridkit --help`. Imports nothing heavy until a command needs it."""

import os
import sys
import warnings
from pathlib import Path

import click

from hybridkit import __version__
from hybridkit.errors import KitError, KitWarning

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


class _Group(click.Group):
    """A group whose commands print a KitError as one sentence and exit with status 1."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KitError as fault:
            click.echo(f"error: {fault}", err=True)
            sys.exit(1)
        except BrokenPipeError:  # the reader, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except OSError as fault:
            where = f"{fault.filename}: " if fault.filename else ""
            click.echo(
                f"error: {where}{fault.strerror or fault}; see `hybridkit doctor` for the folders in use.", err=True
            )
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted: what was finished is kept; the same command goes on from there.", err=True)
            sys.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Learn, run and reproduce hybrid batch training of multilingual dense retrievers."""
    shown = warnings.showwarning

    def show(message, category, *rest):
        if issubclass(category, KitWarning):
            click.echo(f"note: {message}", err=True)
        else:
            shown(message, category, *rest)

    warnings.showwarning = show
    warnings.simplefilter("always", KitWarning)


def _parameter_options(function):
    """Options that choose a run: profile, encoder, and single parameters."""
    for option in (
        click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Override one parameter."),
        click.option("--encoder", help="tiny-mlm, tiny-aligned, tiny-flores, a model id, or a folder."),
        click.option("--profile", default="tiny", show_default=True, help="A file of params/profiles."),
    ):
        function = option(function)
    return function


def _processes_option(function):
    """How many processes carry out a training: a choice of the machine, not of the run."""

    def choose(context, parameter, count):
        if count:
            from hybridkit.launch import PROCESSES

            os.environ[PROCESSES] = str(count)
        return count

    help = "Processes that train one model, each with a GPU of its own.  [default: one a GPU, if they divide the batch]"
    return click.option("--processes", type=click.IntRange(1), callback=choose, help=help)(function)


def _parameters(profile, mixture, seed, encoder, overrides):
    from hybridkit import params, simplex

    given = dict(params.parse_override(text) for text in overrides)
    if encoder:
        given["encoder"] = encoder
    found = params.for_run(profile, mixture, seed, given)
    if (weights := params.weights_of_name(mixture)) and (known := simplex.named(*weights.values()).name) != mixture:
        raise KitError(
            f"{mixture!r} has the weights of the mixture {known}; write {known}, so that it is one and the same."
        )
    # Notebooks run in a folder of their own, so a file or folder of the user's is passed on by its whole path.
    whole = {
        "training_data": [_whole_path(name) for name in found.training_data],
        "benchmarks": [_whole_path(name) for name in found.benchmarks],
        "validation_data": _whole_path(found.validation_data),
        "encoder": _whole_path(found.encoder),
        "switch_lexicons": _whole_path(found.switch_lexicons),
    }
    return found.model_copy(update=whole)


def _whole_path(name: str) -> str:
    from hybridkit.corpora.catalogue import CATALOGUE
    from hybridkit.encoders import OWN

    known = name in CATALOGUE or name in OWN or not name
    return name if known or not Path(name).exists() else str(Path(name).absolute())


@main.command()
@_parameter_options
@click.option("--mixtures", help="Comma-separated names, `all`, or `simplex` and more names.  [default: five mixtures]")
@click.option("--seeds", default="0", show_default=True, help="Comma-separated seeds.")
@click.option("--grid", type=int, help="Of the simplex: steps from corner to corner.  [default: 4]")
@click.option("--budget", type=int, metavar="RUNS", help="Of the simplex: refine it, up to so many runs in all.")
@click.option("--no-notebooks", is_flag=True, help="Train and evaluate only: numbers without executed notebooks.")
@click.option("--jobs", type=click.IntRange(1), help="Runs at the same time.  [default: one a processor; 1 with GPUs]")
@_processes_option
@click.option("--scheduler", metavar="ADDRESS", help="A dask.distributed scheduler to run on instead of here.")
def sweep(profile, encoder, overrides, mixtures, seeds, grid, budget, no_notebooks, jobs, processes, scheduler) -> None:
    """Execute the notebooks for every mixture and seed, and compare them.

    Finished runs are skipped; an interrupted one goes on where it was. docs/ratio-study.md tells of the simplex.
    """
    from hybridkit import params
    from hybridkit import sweep as sweeping
    from hybridkit.display import SweepDisplay
    from hybridkit.processes import processors
    from hybridkit.runs import Run

    params.profile_file(profile)

    def run(name, seed):
        return Run(_parameters(profile, name, seed, encoder, overrides))

    numbers = _seeds(seeds)
    names, later = _mixtures(mixtures, run, numbers, grid, budget)
    runs = [run(name, seed) for seed in numbers for name in names]
    available = processors()
    if not jobs:
        from hybridkit.launch import gpus

        jobs = 1 if gpus() else max(1, available // (processes or 1))

    def executor():
        return sweeping.cluster_executor(scheduler) if scheduler else sweeping.local_executor(jobs)

    if runs[0].of_images and not no_notebooks:
        click.echo("Runs of images are trained and evaluated without notebooks, as with --no-notebooks.", err=True)
    threads = max(1, available // jobs)
    with SweepDisplay(runs, budget, None if scheduler else jobs) as display:
        outcomes = sweeping.sweep(runs, executor, threads, display.report, not no_notebooks, display.following(later))
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    for outcome in failed:
        click.echo(f"failed: {outcome.name}: {outcome.message}", err=True)
    _compare_table(profile)
    if failed:
        click.echo(f"{len(failed)} of {len(outcomes)} tasks failed; run the same command again to go on.", err=True)
        sys.exit(1)
    if budget and (unused := budget - len(display.by_name)):
        click.echo(f"{unused} of the {budget} runs of the budget were not needed: nothing is left to refine that fits.")


def _mixtures(mixtures, run, seeds, grid, budget):
    """Names of the mixtures of a sweep; and the runs that come after them, round by round."""
    from hybridkit import params, simplex, sweep

    named = [name.strip() for name in mixtures.split(",")] if mixtures else sweep.MIXTURES
    names = list(dict.fromkeys(named))
    if "simplex" not in names:
        if grid is not None or budget is not None:
            raise KitError("--grid and --budget belong to the simplex; add --mixtures simplex, or leave them out.")
        return params.mixture_names() if names == ["all"] else names, ()
    if names[0] != "simplex":
        raise KitError(f"--mixtures is {mixtures}; write simplex first, and names that are to come on top after it.")
    divisions = 4 if grid is None else grid
    points = simplex.grid(divisions)
    names = list(dict.fromkeys([*(point.name for point in points), *names[1:]]))
    if budget is None:
        return names, ()
    simplex.check_budget(budget, len(names), len(seeds))
    left = budget - len(names) * len(seeds)
    if left and len(seeds) == 1:
        told = "with one seed the Pareto front, and so where the budget goes, hangs on luck; better give --seeds 0,1,2."
        warnings.warn(told, KitWarning, stacklevel=2)
    return names, simplex.refinement(run, points, seeds, left, divisions)


def _seeds(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(seed) for seed in text.split(",")))
    except ValueError:
        raise KitError(f"--seeds is {text!r}; write whole numbers with commas between them, such as 0,1,2.") from None


@main.command()
@click.option("--profile", help="Only this profile.")
def status(profile) -> None:
    """List the runs: finished, running, failed or stopped, and where they are."""
    from hybridkit.display import status_table

    _check_profile(profile)
    click.echo(status_table(profile))


@main.command()
@click.option("--profile", default="tiny", show_default=True)
@click.option("--baseline", metavar="MIXTURE", help="Test every other mixture against this one (docs/statistics.md).")
@click.option("--metric", "metrics", multiple=True, help='With --baseline, such as "multilingual mAP"; repeatable.')
@click.option("--csv", "csv_file", type=_FILE, help="Also write every figure, or every difference, here.")
def compare(profile, baseline, metrics, csv_file) -> None:
    """Set finished runs side by side: three settings and rank distance, by mixture.

    With --baseline: every difference from it, with interval, p, effect size and verdict. Runs that are trained and
    evaluated count there, whether or not they are finished; without it a line tells how many runs wait to be.
    """
    from hybridkit import display

    if metrics and not baseline:
        raise click.UsageError("--metric goes with --baseline.")
    _check_places(csv_file)
    table = _differences(profile, baseline, metrics) if baseline else _compare_table(profile)
    if not baseline and (told := display.waiting(profile)):
        click.echo(told)
    if csv_file:
        _write_csv(csv_file, table)


def _differences(profile: str, baseline: str, names: tuple[str, ...]):
    from hybridkit import comparison, replicates, statistics

    _check_profile(profile)
    table = statistics.compare_with(baseline, replicates.of_profile(profile), names or statistics.METRICS)
    if len(table):
        click.echo(comparison.differences_to_markdown(table))
    else:
        click.echo(f"No run of profile {profile} can be compared with {baseline}: train another mixture, same seeds.")
    return table


def _check_places(csv_file: Path | None, *outputs: Path | None) -> None:
    """Say before the work, and not after it, that a result could not be written."""
    from hybridkit.ranks import check_replaceable
    from hybridkit.sweep import check_writable

    for place in filter(None, (csv_file, *outputs)):
        check_writable(place.absolute().parent)
    for place in filter(None, outputs):
        check_replaceable(place)


def _write_csv(path: Path, table) -> None:
    from hybridkit.files import write_text

    write_text(path, table.to_csv(index=False))


def _check_profile(profile: str | None) -> None:
    """A profile that has a file or a folder of runs; KitError for any other name."""
    from hybridkit import params, paths

    outputs = paths.outputs()
    if outputs.exists() and not outputs.is_dir():
        raise KitError(f"{outputs} is a file; set HYBRIDKIT_OUTPUTS to a folder.")
    there = [p.name for p in outputs.iterdir() if p.is_dir()] if outputs.exists() else []
    if profile and profile not in there:
        params.profile_file(profile)


def _compare_table(profile: str):
    from hybridkit import comparison

    _check_profile(profile)
    table = comparison.collect(profile, centred=True)
    if len(table):
        click.echo(comparison.to_markdown(table))
    else:
        click.echo(f"No run of profile {profile} is finished; start one with `hybridkit sweep --profile {profile}`.")
    return table


@main.command()
@click.option("--profile", "profiles", multiple=True, help="Only this profile; can be given several times.")
@click.option("--cells", type=_FILE, help="Results without questions behind them, in the form of --template.")
@click.option("--html", "html_file", type=_FILE, help="Also write a page here.")
@click.option("--json", "json_file", type=_FILE, help="Also write everything here as JSON.")
@click.option("--log", is_flag=True, help="Print an entry for docs/reproductions.md instead.")
@click.option("--template", type=_FILE, help="Write the paper's numbers here in the form of --cells, and nothing else.")
def verdict(profiles, cells, html_file, json_file, log, template) -> None:
    """Set every number of the paper beside those of finished runs, and say what reproduces (docs/verdict.md)."""
    from hybridkit.files import write_text
    from hybridkit.verdict import estimates, page, reporting

    if template:
        estimates.write_cells(template)
        return
    for profile in profiles:
        _check_profile(profile)
    report = reporting.make(profiles, cells)
    click.echo(reporting.log_entry(report) if log else reporting.to_markdown(report))
    for path, write in ((html_file, page.to_html), (json_file, reporting.to_json)):
        if path:
            write_text(path, write(report))


@main.command()
@_parameter_options
@click.option("--mixture", default="hybrid-0.50", show_default=True, help="A file of params/mixtures.")
@click.option("--seed", default=0, show_default=True)
@_processes_option
@click.option("--cross-encoder", is_flag=True, help="Train a cross-encoder on the same plan (docs/reranking.md).")
def train(profile, encoder, overrides, mixture, seed, processes, cross_encoder) -> None:
    """Train one model without notebooks, evaluate it, and say where it is.

    A cross-encoder is trained alone: `hybridkit rerank` evaluates it.

    Also under torchrun or `accelerate launch`: `torchrun --nproc-per-node 4 -m hybridkit.cli train`.
    """
    from filelock import FileLock

    from hybridkit import model_card, paths
    from hybridkit.processes import rank
    from hybridkit.runs import Run
    from hybridkit.sweep import check_writable

    run = Run(_parameters(profile, mixture, seed, encoder, overrides))
    if cross_encoder:
        if processes:
            raise click.UsageError("--processes is for retrievers; share a cross-encoder's batch with torchrun.")
        if run.of_images:
            raise click.UsageError(
                "--cross-encoder is for runs of texts; one of images has a matching head of its own."
            )
        _train_cross_encoder(run)
        return
    if rank():  # of several processes, the first alone writes and evaluates
        run.train()
        return
    for folder in (paths.cache(), run.lock.parent):
        check_writable(folder)
    with FileLock(run.lock), run.noted():  # a sweep that reaches this run waits, and then finds it trained
        run.save_plan()
        record = run.train(on_step=_print_steps)
        for sentence in record["left_out"]:
            click.echo(f"note: {sentence}", err=True)
        click.echo(f"model: {run.folder / 'model'} ({record['seconds']} s of training)\n")
        model_card.write(run, _evaluated_images(run) if run.of_images else _evaluated(run))


def _evaluated(run) -> dict:
    """Evaluate a run of texts and print it; its figures by benchmark."""
    from hybridkit import comparison

    measured = {}
    for name, benchmark in run.benchmarks.items():
        own, trained = run.gold_ranks(name), run.parameters.languages
        measured[name] = comparison.measure(own, trained)
        click.echo(comparison.evaluation_markdown(own, trained))
        if run.has_centred(name):
            click.echo(comparison.evaluation_markdown(run.gold_ranks(name, centred=True), trained, brief=True))
        if lexical := comparison.lexical_baseline(benchmark):
            click.echo(comparison.evaluation_markdown(lexical, trained))
    return measured


def _evaluated_images(run) -> dict:
    """Evaluate a run of images and print it; its figures by set of images."""
    from hybridkit.imagetext import work

    measured = work.metrics(run)
    click.echo(work.markdown(measured))
    return measured


def _train_cross_encoder(run) -> None:
    from hybridkit import cross_encoders, processes
    from hybridkit.sweep import check_writable

    if not processes.rank():
        check_writable(run.profile_folder)
        for audit in run.audits():
            audit.refuse(run.parameters.contamination_limit)
    folder = cross_encoders.folder_of(run)
    record = cross_encoders.train_cross_encoder(run.parameters, run.plan, folder, _print_steps)
    if not processes.rank():
        click.echo(f"cross-encoder: {folder / 'model'} ({record['seconds']} s of training)")


def _print_steps(step: int, steps: int) -> None:
    if step % max(1, steps // 10) == 0:
        click.echo(f"step {step} of {steps}", err=True)


@main.command()
@click.option("--model", help="A sentence-transformers model: a folder or an id.")
@click.option("--embeddings", type=_FOLDER, help="A folder with queries.npy and candidates.npy.")
@click.option(
    "--benchmark", required=True, help="xquad-r, miracl:sw ... (docs/benchmarks.md), or a folder (docs/data.md)."
)
@click.option("--trained", help="Comma-separated languages trained on: averages over them and over the others too.")
@click.option("--csv", "csv_file", type=_FILE, help="Also write every setting, a row each, here.")
@click.option("--output", type=_FOLDER, help="Also keep the gold ranks in this folder.")
@click.option("--no-lexical", is_flag=True, help="Leave out the lexical baseline (BM25).")
@click.option("--shards", type=click.IntRange(1), help="Parts of the corpus, each kept when done (docs/evaluation.md).")
@click.option("--scheduler", metavar="ADDRESS", help="A dask.distributed scheduler to run the shards on.")
@click.option("--keep-embeddings", is_flag=True, help="Keep a model's embeddings in half precision, to use again.")
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True, help="Texts encoded at a time.")
@click.option("--centred", is_flag=True, help="Also with each language's mean taken away (docs/evaluation.md).")
def evaluate(
    model,
    embeddings,
    benchmark,
    trained,
    csv_file,
    output,
    no_lexical,
    shards,
    scheduler,
    keep_embeddings,
    batch_size,
    centred,
) -> None:
    """Evaluate a model, or ready embeddings, in every monolingual, cross-lingual and multilingual setting."""
    if bool(model) == bool(embeddings):
        raise click.UsageError("Give either --model or --embeddings.")
    if embeddings and keep_embeddings:
        raise click.UsageError("--keep-embeddings goes with --model: ready embeddings are kept already.")
    if centred and (shards or scheduler or keep_embeddings):
        raise click.UsageError(
            "--centred is not offered over shards: leave out --shards, --scheduler, --keep-embeddings."
        )
    from hybridkit import comparison, encoders, evaluation, metrics
    from hybridkit.corpora import catalogue
    from hybridkit.params import Parameters

    other = output.with_name(f"{output.name}-centred") if centred and output else None
    _check_places(csv_file, output, other)
    if model and not encoders.is_id(model):
        encoders.folder(model)  # a misspelt model is told before a large benchmark is fetched
    data = catalogue.benchmark(benchmark, Parameters())
    codes = trained.split(",") if trained else None
    known = sorted({*data.languages, *data.query_languages.tolist()})
    for code in codes or []:
        if code not in known:
            raise KitError(f"--trained names {code!r}, but {data.name} has {' '.join(known)}; leave it out.")
    if centred:
        systems = evaluation.evaluate_both(data, model, embeddings, batch_size=batch_size)
    else:
        options = (shards, scheduler, keep_embeddings, _print_part, batch_size)
        systems = (evaluation.evaluate(data, model, embeddings, *options),)
    for gold, place in zip(systems, (output, other)):
        click.echo(comparison.evaluation_markdown(gold, codes))
        if place:
            gold.save(place)
    if csv_file:
        tables = [metrics.table(gold) for gold in systems]
        if centred:
            import pandas

            named = zip(tables, comparison.EMBEDDINGS, strict=True)
            tables = [pandas.concat(table.assign(embeddings=name) for table, name in named)]
        _write_csv(csv_file, tables[0])
    if not no_lexical and (lexical := comparison.lexical_baseline(data)):
        click.echo(comparison.evaluation_markdown(lexical, codes))


@main.command()
@click.argument("run", type=_FOLDER)
@click.option("--benchmark", default="", help="One of the run's sets of images.  [default: the first]")
@click.option("--language", default="en", show_default=True, help="The language of the captions.")
@click.option(
    "--passed-on", default="1,2,5,10,20,50,100,all", show_default=True, help="Candidates that a first stage passes on."
)
@click.option("--csv", "csv_file", type=_FILE, help="Also write both tables, one below the other, here.")
def scorers(run, benchmark, language, passed_on, csv_file) -> None:
    """Compare binary codes, dual encoder and matching head of a run of images: what they find, and what it costs.

    FiCo-ITR's comparison (arXiv 2407.20114), and the two stages that it proposes (docs/image-evaluation.md).
    """
    import pandas as pd

    from hybridkit.imagetext import fico

    _check_places(csv_file)
    counts = [_passed_on(one) for one in passed_on.split(",")]
    found = fico.of_run(run, benchmark, language)
    table, pipelines = found.table(), found.pipelines(counts)
    told = f"{found.seen.images.shape[0]} images with captions in {language}; {fico.measured_on(found.seen.model)}"
    click.echo(fico.to_markdown(table, pipelines, told))
    if csv_file:
        _write_csv(csv_file, pd.concat([table, pipelines]))


def _passed_on(text: str) -> int:
    """A number of candidates; 0 for all."""
    if text != "all" and not (text.isdecimal() and int(text)):
        raise click.BadParameter(f"{text!r} is neither a number of 1 or more nor all.", param_hint="--passed-on")
    return 0 if text == "all" else int(text)


@main.command()
@click.option("--model", required=True, help="A cross-encoder: a folder or an id.")
@click.option("--benchmark", required=True, help="As of `evaluate`.")
@click.option(
    "--first-stage",
    default="bm25",
    show_default=True,
    help="bm25, a sentence-transformers model, or a run file of trec_eval.",
)
@click.option("--top", type=click.IntRange(1), default=100, show_default=True, help="Candidates for every query.")
@click.option(
    "--settings", default="paper", show_default=True,
    help="Languages of queries and passages, such as en-en,de-en,mixed-mixed; or those of the paper.",
)  # fmt: skip
@click.option(
    "--lists-in", default="en", show_default=True, help="Find lists in this language; `each`: in each setting."
)
@click.option("--mix", help="Comma-separated languages of mixed lists.  [default: all of the benchmark]")
@click.option("--questions", type=click.IntRange(0), default=0, help="So many, drawn at random.  [default: all]")
@click.option("--seed", default=0, show_default=True, help="Of that draw, and of the languages in mixed lists.")
@click.option("--csv", "csv_file", type=_FILE, help="Also write the table here.")
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True, help="Pairs scored at a time.")
def rerank(model, benchmark, first_stage, top, settings, lists_in, mix, questions, seed, csv_file, batch_size) -> None:
    """Re-rank the first candidates for every query with a cross-encoder: MRR@10 before and after (docs/reranking.md)."""
    from hybridkit import cross_encoders, encoders, reranking
    from hybridkit.corpora import catalogue
    from hybridkit.params import Parameters

    _check_places(csv_file)
    score = cross_encoders.scorer(model, batch_size)
    data = catalogue.benchmark(benchmark, Parameters())
    chosen = reranking.parse_settings(settings, data)
    if first_stage == "bm25":
        stage = reranking.bm25(data)
    elif Path(first_stage).is_file():
        stage = reranking.from_run(Path(first_stage), data)
    else:
        stage = reranking.dense(data, encoders.load(first_stage))
    lists = reranking.candidate_lists(
        data,
        chosen,
        stage,
        top,
        "" if lists_in == "each" else lists_in,
        mix.split(",") if mix else None,
        questions,
        seed,
    )
    table = reranking.evaluate(data, lists, score, lambda done: click.echo(f"{'-'.join(done)} done", err=True))
    click.echo(
        f"**{model}** re-ranks the first {top} of {first_stage} on {data.name}\n\n{reranking.to_markdown(table)}"
    )
    if csv_file:
        _write_csv(csv_file, table)


@main.command()
@click.option(
    "--model", required=True, help="A sentence-transformers model, a folder or an id; or the folder of a run."
)
@click.option("--task", required=True, help="museum-inference, museum-topics ... (docs/transfer.md).")
@click.option(
    "--train-language", default="en", show_default=True, help="Of the head; `each`: a head for every language."
)
@click.option("--trained", help="Comma-separated languages that the model was trained in.  [default: those of the run]")
@click.option("--most", type=click.IntRange(10), default=20_000, show_default=True, help="Training examples at most.")
@click.option(
    "--fine-tune", "into", type=_FOLDER, help="Instead of a head, fine-tune the whole encoder into this folder."
)
@click.option("--epochs", type=click.IntRange(1), default=2, show_default=True, help="With --fine-tune.")
@click.option("--learning-rate", type=float, default=2e-5, show_default=True, help="With --fine-tune.")
@click.option("--csv", "csv_file", type=_FILE, help="Also write the table here.")
def transfer(model, task, train_language, trained, most, into, epochs, learning_rate, csv_file) -> None:
    """Train a linear head on a model's frozen vectors in one language, and test it in all (docs/transfer.md)."""
    from hybridkit import comparison, encoders
    from hybridkit.corpora import catalogue
    from hybridkit.params import Parameters
    from hybridkit.sweep import check_writable
    from hybridkit.transfer import features, fine_tuned, heads

    _check_places(csv_file)
    if into:
        check_writable(into.absolute().parent)
    folder, languages = features.encoder_of(model)
    if not encoders.is_id(folder):
        encoders.folder(folder)
    languages = trained.split(",") if trained else languages
    data = catalogue.labelled(task, Parameters())
    if into:
        tuning = {"epochs": epochs, "learning_rate": learning_rate}
        table = fine_tuned.fine_tune(folder, data, into, train_language, languages, most, **tuning)
    else:
        table = heads.transfer(encoders.load(folder), data, train_language, languages, most)
    how = f"fine-tuned into {into}" if into else "a linear head on frozen vectors"
    click.echo(f"**{model}** on {data.name}: {how} (licence {data.licence})\n")
    for shown in (heads.summary(table), table):
        click.echo("\n".join([*comparison.markdown_lines(shown.round(4)), ""]))
    if csv_file:
        _write_csv(csv_file, table)


@main.command()
@click.option("--model", required=True, help="A sentence-transformers model: a folder or an id.")
@click.option("--benchmark", required=True, help="As of `evaluate`.")
@click.option("--language", default="en", show_default=True, help="That of the questions and of the candidates.")
def mteb(model, benchmark, language) -> None:
    """Compute one monolingual number here and by MTEB (pip install "hybridkit[mteb]"), as a cross-check."""
    from hybridkit import mteb_adapter
    from hybridkit.corpora import catalogue
    from hybridkit.params import Parameters

    found = mteb_adapter.check(model, catalogue.benchmark(benchmark, Parameters()), language)
    click.echo(f"nDCG@10 within {language}: {found['hybridkit']:.5f} here, {found['mteb']:.5f} by MTEB")


@main.command()
@click.argument("run", type=_FOLDER)
@click.option("--trec", "folder", type=_FOLDER, required=True, help="A new folder for run and qrels files.")
@click.option("--top", default=100, show_default=True, help="Length of the lists.")
@click.option("--benchmark", "names", multiple=True, help="Only this benchmark of the run; may be given again.")
@click.option("--embeddings", type=_FOLDER, help="Ready embeddings instead of the run's model.")
@click.option("--cross-lingual", is_flag=True, help="Also a pair of files for each pool in one language.")
def export(run, folder, top, names, embeddings, cross_lingual) -> None:
    """Write the ranked lists of the run in the folder RUN as run and qrels files of trec_eval."""
    from hybridkit import trec

    for path in trec.export_run(run, folder, top, names, embeddings, cross_lingual):
        click.echo(f"{path} and {path.stem}.qrels")
    click.echo(f"Gold ranks are tables already: {run / 'ranks'}/<benchmark>/golds.parquet and queries.parquet.")


def _print_part(name: str, outcome) -> None:
    if outcome:
        click.echo(f"{name}: {outcome.state}, {outcome.seconds:.0f} s", err=True)


@main.group(cls=_Group)
def data() -> None:
    """The corpora: what there is, download, look, and check for contamination."""


@data.command("list")
def data_list() -> None:
    """List the catalogue: what each source is, its languages, size, licence and revision."""
    from hybridkit.display import catalogue_table

    click.echo(catalogue_table())


@data.command("fetch")
@click.argument("names", nargs=-1, required=True)
@click.option("--accept-licence", is_flag=True, help="Record that you accept the licences of these sources.")
@click.option("--languages", metavar="CODES", help="Comma-separated: only the files that these languages need.")
def data_fetch(names, accept_licence, languages) -> None:
    """Download sources, or check the copies that are there against their checksums."""
    from hybridkit.corpora import catalogue

    for name in names:
        click.echo(catalogue.fetch(name, accept_licence, languages.split(",") if languages else ()))


@data.command("show")
@click.argument("name")
@click.option("--language", default="en", show_default=True)
@click.option("--review", is_flag=True, help="For the museum: every word and template, to proofread or print.")
@click.option("--png", type=_FILE, metavar="FILE", help="For images: draw those that are shown into a PNG file.")
def data_show(name, language, review, png) -> None:
    """Show some of a source's texts; with --review the museum's review sheet of a language."""
    from hybridkit.display import show_source

    click.echo(show_source(name, language, review, png))


@data.command("audit")
@click.option("--pairs", required=True, help="Training pairs: museum, or a JSONL file.")
@click.option("--benchmark", required=True, help="xquad-r, museum, or a folder.")
@click.option("--near", default=0.9, show_default=True, help="Share of 5-grams that counts as near.")
@click.option("--quick", is_flag=True, help="As before a training: nothing below `near`, only names that are given.")
def data_audit(pairs, benchmark, near, quick) -> None:
    """Look for texts and names that training pairs share with a benchmark. Exit status 1 if any are found."""
    from hybridkit.corpora import catalogue
    from hybridkit.corpora.audit import audit
    from hybridkit.params import Parameters

    defaults = Parameters()
    source, tested = catalogue.training_pairs(pairs, defaults), catalogue.benchmark(benchmark, defaults)
    report = audit(source, tested, near=near, full=not quick)
    click.echo(report.to_markdown())
    sys.exit(0 if report.clean else 1)


@data.command("mine")
@click.option("--pairs", required=True, help="Training pairs: museum, a JSONL file, or a folder.")
@click.option("--model", required=True, help="The sentence-transformers model that ranks: a folder or an id.")
@click.option("--output", required=True, type=_FOLDER, help="A new folder, to be named under training_data.")
@click.option("--languages", help="Comma-separated languages to mine in, the first that a row has.  [default: all]")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="Negatives a row.")
@click.option("--ranks", type=(int, int), default=(1, 100), show_default=True, help="First and last rank to take from.")
@click.option("--margin", default=0.05, show_default=True, help="How far below the positive a negative must score.")
def data_mine(pairs, model, output, languages, count, ranks, margin) -> None:
    """Write training pairs with hard negatives: passages that a model ranks high and that answer nothing."""
    from hybridkit import encoders, search
    from hybridkit.corpora import catalogue
    from hybridkit.params import Parameters

    codes = languages.split(",") if languages else None
    first, last = ranks
    found = search.mine_negatives(
        catalogue.training_pairs(pairs, Parameters()), encoders.load(model), output,
        languages=codes, count=count, first=first, last=last, margin=margin,
    )  # fmt: skip
    click.echo(f"{output}: {len(found):,} rows with {len(found.negatives):,} negatives")


@main.command()
def doctor() -> None:
    """Check the environment; every fault comes with its mend. Exit status 1 if there is a fault."""
    from hybridkit.doctor import checks

    faults = 0
    for ok, what, mend in checks():
        click.echo(f"{'ok   ' if ok else 'FAULT'}  {what}" + ("" if ok else f"\n       mend: {mend}"))
        faults += not ok
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

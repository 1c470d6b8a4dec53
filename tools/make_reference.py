"""Make hybridkit/reference/ from trained runs of the tiny profile.

    hybridkit sweep --seeds 0,1,2
    hybridkit sweep --encoder tiny-aligned --seeds 0,1,2
    python tools/make_reference.py

Takes the runs' metrics and gold ranks as they are; trains nothing. Runs that are still in staging count if they
are trained and evaluated (`hybridkit train`).
"""

import json
import shutil

import pandas as pd

from hybridkit import comparison, reference, runs
from hybridkit.encoders import TINY
from hybridkit.params import for_run, mixture_names
from hybridkit.runs import Run


def main(seeds=range(3)) -> None:
    """Write figures.csv (all encoders, mixtures and seeds that are there), and gold ranks of tiny-mlm's seed 0."""
    every = [for_run("tiny", name, seed, {"encoder": e}) for e in TINY for name in mixture_names() for seed in seeds]
    made = [run for run in map(Run, every) if (run.folder / "ranks" / "museum" / "about.json").exists()]
    shutil.rmtree(reference.FOLDER, ignore_errors=True)
    rows = [row for run in made for row in comparison.rows_of(run.parameters, run.metrics(), "reference")]
    rows += comparison.baseline_rows(made[0], "reference")
    base = [run for run in made if run.parameters.seed == 0 and run.parameters.encoder == "tiny-mlm"]
    reference.FOLDER.mkdir()
    table = pd.DataFrame(rows)
    table["value"] = table["value"].round(6)
    table.to_csv(reference.FOLDER / "figures.csv", index=False)
    for run in base:
        reference.select(run.gold_ranks("museum")).save(reference.FOLDER / run.parameters.mixture)
    lexical = comparison.lexical_baseline(base[0].benchmarks["museum"])
    reference.select(lexical).save(reference.FOLDER / "BM25")
    about = {
        "profile": "tiny",
        "mixtures": [run.parameters.mixture for run in base],
        "runs": {run.title: run.key for run in made},
        "provenance": runs.provenance(),
    }
    (reference.FOLDER / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

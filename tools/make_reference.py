"""Make hybridkit/reference/ from trained runs of the tiny profile.

    hybridkit sweep --seeds 0,1,2
    hybridkit sweep --seeds 0,1,2 --encoder tiny-aligned
    hybridkit sweep --seeds 0,1 --mixtures mono,hybrid-0.50,cross --set steps=1200
    hybridkit sweep --seeds 0,1,2 --mixtures hybrid-0.50,cross --set warmup_fraction=0.5
    python tools/make_reference.py

Takes the runs' metrics and gold ranks as they are; trains nothing. Runs that are still in staging count if they
are trained and evaluated (`hybridkit train`).
"""

import json
from itertools import product

import numpy as np
import pandas as pd

from hybridkit import comparison, reference, runs
from hybridkit.encoders import TINY
from hybridkit.files import remove
from hybridkit.params import for_run, mixture_names
from hybridkit.ranked_lists import drawn
from hybridkit.runs import Run


def main(seeds=range(3)) -> None:
    """Write figures.csv (every run that there is), gold ranks of tiny-mlm's seed 0 and of BM25, and ranked lists."""
    rows, made, base = [], {}, []
    for encoder, variant, mixture, seed in product(TINY, reference.VARIANTS, mixture_names(), seeds):
        run = Run(for_run("tiny", mixture, seed, {"encoder": encoder, **reference.VARIANTS[variant]}))
        if (run.folder / "ranks" / "museum" / "about.json").exists():
            rows += comparison.rows_of(run.parameters, run.metrics(), variant)
            made[f"{run.title}, {variant}"] = run.key
            shown = (encoder, variant, seed) == ("tiny-mlm", "tiny profile", 0) and mixture in reference.RANKED
            base += [run] if shown else []
    rows += comparison.baseline_rows(base[0], "lexical")
    for path in reference.FOLDER.glob("*"):
        if path.name != "study" and not path.name.startswith("transfer"):  # of make_study.py and make_transfer.py
            remove(path)
    reference.FOLDER.mkdir(exist_ok=True)
    table = pd.DataFrame(rows)
    table["value"] = table["value"].round(6)
    table.to_csv(reference.FOLDER / "figures.csv", index=False)
    for run in base:
        reference.select(run.gold_ranks("museum")).save(reference.FOLDER / run.parameters.mixture)
        save_lists(run)
    lexical = comparison.lexical_baseline(base[0].benchmarks["museum"])
    reference.select(lexical).save(reference.FOLDER / "BM25")
    about = {
        "profile": "tiny",
        "mixtures": [run.parameters.mixture for run in base],
        "runs": made,
        "provenance": runs.provenance(),
    }
    (reference.FOLDER / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def save_lists(run: Run) -> None:
    """Keep the ranked lists of some questions; they are made from the run's model where the run has none yet."""
    lists = run.ranked_lists("museum")
    kept = np.isin(lists.questions, drawn(lists.questions, reference.LISTED))
    lists.select(kept).save(reference.FOLDER / "lists" / run.parameters.mixture)


if __name__ == "__main__":
    main()

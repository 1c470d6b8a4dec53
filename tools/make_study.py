"""Make hybridkit/reference/study/ from finished runs: the study over all ratios, at the tiny profile and on real text.

    hybridkit sweep --mixtures simplex,hybrid-0.40,hybrid-0.60 --seeds 0,1,2 --no-notebooks
    hybridkit sweep --mixtures simplex,hybrid-0.40,hybrid-0.60 --seeds 0,1,2 --no-notebooks --encoder tiny-aligned
    python tools/make_study.py tiny

docs/findings.md has the other commands. Takes the runs as they are and trains nothing: all finished ones of the profile
that differ from it in encoder, in how the batches are filled and in seed alone.
"""

import sys

from hybridkit import comparison, replicates, runs, study
from hybridkit.encoders import TINY
from hybridkit.errors import KitError
from hybridkit.params import for_run


def main(profile: str, *encoders: str) -> None:
    """Write the study of a profile: the museum's with both tiny encoders, or that of `encoders` (ids or folders)."""
    found = []
    for encoder in encoders or TINY:
        found += runs.finished_like(runs.Run(for_run(profile, overrides={"encoder": encoder})))
    if not found:
        raise KitError(f"There is no finished run of the profile {profile}; see the commands in {__file__}.")
    rows = comparison.figures_of(found, centred=True)
    told = {
        "profile": profile,
        "runs": {str(folder.relative_to(folder.parents[2])): manifest["key"] for folder, manifest in found},
        "seconds": round(sum(manifest["training"]["seconds"] for _, manifest in found)),
        "provenance": runs.provenance(),
    }
    study.FOLDER.mkdir(parents=True, exist_ok=True)
    study.save(study.FOLDER / profile, rows, replicates.of_folders(found), told)
    size = (study.FOLDER / f"{profile}.parquet").stat().st_size
    print(f"{len(found)} runs, {len(rows):,} figures, {size / 2**20:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])

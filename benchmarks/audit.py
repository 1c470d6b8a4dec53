"""What the contamination audit costs: training texts a second on one core, and from that the time for a large source.

    python benchmarks/audit.py [--texts 20000] [--cores 16] [--language en]

The benchmark is XQuAD-R in one language. Training texts are passages of AfriQA (English, of Wikipedia) cut or repeated to
350 characters, some words of each in another order, so that no two are the same. Both are read from the downloads
folder. "texts" is how many of them are compared. A quick audit is the one before training; a full one also finds the
highest similarity of all. Names are not looked for. Seconds are of the processor, so that other work counts little.
"""

import argparse
import resource
import sys
import time

import numpy as np

from hybridkit.corpora import afriqa, xquad_r
from hybridkit.corpora.audit import _FLOOR, _SAMPLE, _checked
from hybridkit.corpora.similar import MostSimilar

LENGTH = 350  # characters
MMARCO = 62_000_000  # its passages in seven languages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--language", default="en")
    asked = parser.parse_args()
    questions, passages = _checked(xquad_r.load([asked.language]), asked.language)
    trained = training_texts(asked.texts)
    print(f"{len(questions):,} questions and {len(passages):,} passages of XQuAD-R in {asked.language},")
    print(f"{len(trained):,} training texts of {LENGTH} characters.\n")
    print(f"| audit | index, s | texts a second and core | {MMARCO / 1e6:.0f} million texts on {asked.cores} cores |")
    print("|---|---|---|---|")
    for name, floor in (("quick", 0.9), ("full", _FLOOR)):
        started = time.process_time()
        search = MostSimilar([*questions, *passages], 0.9, floor, trained[:: max(1, len(trained) // _SAMPLE)])
        ready = time.process_time()
        search.see(trained)
        rate = len(trained) / (time.process_time() - ready)
        print(f"| {name} | {ready - started:.2f} | {rate:,.0f} | {MMARCO / rate / asked.cores / 60:.0f} minutes |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"\nPeak memory of the process: {peak / 2**30:.2f} GiB.")


def training_texts(count: int) -> list[str]:
    """Texts of `LENGTH` characters, no two the same."""
    pairs, random = afriqa.training_pairs(), np.random.default_rng(0)
    passages = pairs.passages.texts("en", np.arange(len(pairs.passages)))
    texts = []
    for number in range(count):
        words = passages[number % len(passages)].split()
        order = np.arange(len(words))
        moved = random.choice(len(words), len(words) // 3, replace=False)
        order[np.sort(moved)] = moved
        text = " ".join(words[i] for i in order)
        texts.append((f"{text} " * (LENGTH // len(text) + 1))[:LENGTH])
    return texts


if __name__ == "__main__":
    main()

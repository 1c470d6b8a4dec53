"""How often the intervals of `statistics` hold the true value, and how often its tests find what is not there.

    python benchmarks/coverage.py [--repeats 2000] [--questions 200]

Made-up differences between two mixtures, of so many seeds and questions, with a known mean: of 0 and of 1 standard
deviation of the seeds. What is due to seeds, to questions and to single questions of single seeds is drawn anew in
every repeat; its shares of the variance of the mean are those of the columns. "Skewed" questions follow an exponential
distribution; "right or wrong" answers are 0 or 1. "Percentile" is the plain hierarchical bootstrap, seeds and questions
drawn with replacement: the middle 95 % of 1,000 draws. Fewer than 95 % for it with few seeds is why the kit corrects it.
"""

import argparse
from itertools import product

import numpy as np
import pandas as pd

from hybridkit import statistics

#: What varies -> standard deviation of the mean over all that is due to seeds, questions, and single answers.
SOURCES = {
    "seeds": (1.0, 0.0, 0.1),
    "questions": (0.0, 1.0, 0.1),
    "seeds and questions": (1.0, 1.0, 0.1),
    "mostly questions": (1.0, 3.0, 0.3),
    "seeds, skewed questions": (1.0, 1.0, 0.3),
    "single answers": (0.0, 0.0, 1.0),
    "right or wrong": (0.3, 0.3, 0.0),
}
DRAWS = 1000
MIXTURES = 20


def differences(random: np.random.Generator, what: str, seeds: int, questions: int) -> np.ndarray:
    """Made-up differences (seeds, questions) between two mixtures that are alike: their true mean is 0."""
    of_seeds, of_questions, single = SOURCES[what]
    if what == "right or wrong":
        return _right_or_wrong(random, of_seeds, of_questions, (seeds, questions))
    skewed = what == "seeds, skewed questions"
    by_question = random.exponential(size=questions) - 1 if skewed else random.normal(size=questions)
    by_answer = single * np.sqrt(seeds * questions) * random.normal(size=(seeds, questions))
    by_seed = of_seeds * np.sqrt(seeds) * random.normal(size=(seeds, 1))
    return by_seed + of_questions * np.sqrt(questions) * by_question + by_answer


def _right_or_wrong(random, of_seeds: float, of_questions: float, shape: tuple[int, int]) -> np.ndarray:
    """The difference of two systems that answer with equal chance, which a seed and a question move up or down."""
    answers = []
    hard = random.normal(size=shape[1])
    for _ in range(2):
        taste = of_questions * random.normal(size=shape[1])
        chance = 1 / (1 + np.exp(-hard - taste - of_seeds * random.normal(size=(shape[0], 1))))
        answers.append(random.random(shape) < chance)
    return answers[0].astype(float) - answers[1]


def weights(random: np.random.Generator, things: int) -> np.ndarray:
    """How often each of so many things is drawn with replacement (DRAWS, things), as shares."""
    return random.multinomial(things, np.full(things, 1 / things), size=DRAWS) / things


def percentile(values: np.ndarray, drawn: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """The middle 95 % of the draws of the plain hierarchical bootstrap."""
    low, high = np.quantile(((drawn[0] @ values) * drawn[1]).sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def coverage(what: str, seeds: int, questions: int, repeats: int) -> dict[str, float]:
    """Shares of the repeats: intervals that hold the truth, with and without an effect, and false alarms."""
    random = np.random.default_rng([seeds, questions, list(SOURCES).index(what)])
    drawn = weights(random, seeds), weights(random, questions)
    counts = np.zeros(5)
    for _ in range(repeats):
        none = differences(random, what, seeds, questions)
        some = differences(random, what, seeds, questions) + 1
        found, shifted = statistics.estimate(none), statistics.estimate(some)
        low, high = percentile(none, drawn)
        flipped = statistics.sign_flip_p(none.mean(axis=1))
        counts += (
            found.p(0) > statistics.LEVEL,  # that is, 0 lies in the interval
            shifted.p(1) > statistics.LEVEL,
            low <= 0 <= high,
            flipped <= statistics.LEVEL,
            found.p() <= statistics.LEVEL and flipped <= statistics.LEVEL,
        )
    names = ("interval, no effect", "interval, an effect", "percentile", "sign flips", "both tests")
    return dict(zip(names, counts / repeats, strict=True))


def alarms(seeds: int, questions: int, repeats: int) -> tuple[float, float]:
    """How often any of MIXTURES mixtures that all equal the baseline has an adjusted p of 0.05, and is called different."""
    random = np.random.default_rng([seeds, questions])
    found = np.zeros(2)
    for _ in range(repeats):
        base = differences(random, "seeds and questions", seeds, questions)
        rows = []
        for _ in range(MIXTURES):
            values = differences(random, "seeds and questions", seeds, questions) - base
            difference = statistics.estimate(values)
            flipped = statistics.sign_flip_p(values.mean(axis=1))
            rows.append((seeds, "mAP", difference.value, difference.p(), flipped))
        table = pd.DataFrame(rows, columns=["seeds", "metric", "difference", "p", "sign_flip_p"])
        table = statistics.judged(table)
        found += (table["adjusted_p"] <= statistics.LEVEL).any(), table["verdict"].str.startswith("real").any()
    return tuple(found / repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=200)
    asked = parser.parse_args()
    rows = [
        {"what varies": what, "seeds": seeds} | coverage(what, seeds, asked.questions, asked.repeats)
        for what, seeds in product(SOURCES, (3, 6, 10))
    ]
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()) + " |")
    low, real = alarms(6, asked.questions, asked.repeats // 2)
    print(
        f"\nTables of {MIXTURES} mixtures that equal their baseline, 6 seeds: an adjusted p of {statistics.LEVEL} or less in"
    )
    print(f"{low:.1%}, a difference called real in {real:.1%}.")


if __name__ == "__main__":
    main()

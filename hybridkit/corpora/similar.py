"""The training text most similar to each text of a benchmark, by character 5-grams, without comparing all pairs.

How similar a training text is to a benchmark's is the share of the benchmark text's 5-grams that it has: 1 where it holds
that text word for word, however much stands around it. A benchmark text of few grams may stand in a long passage by
chance; for it the Jaccard index of both sets of grams counts. Where similarities from 0.9 up are looked for, a training
text that lacks more than a tenth of the benchmark text's grams is out of the question, by either measure. So of each
benchmark text only the grams that are rarest in training are indexed, just enough of them that a training text without
some of these is out (prefix filtering: Bayardo, Ma and Srikant, Scaling up all pairs similarity search, WWW 2007). What
is left is compared in full, so nothing is missed.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np

GRAM = 5  # characters
#: Benchmark texts of fewer distinct grams are compared by their Jaccard index.
SHORT = 10
#: Training texts at a time; bounds the memory, and keeps most arrays in the processor's cache.
BLOCK = 1_000
# So many indexed grams, and a twentieth of the text's, must be shared before two texts are compared. With fewer more
# texts are compared, with more commoner grams are indexed; from 2 to 8 it makes little difference.
_SHARED = 4
_BITS = 22
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd, with no pattern in its bits


def normal(text: str) -> str:
    """The text as it is compared: Unicode NFKC, case folded, white space as single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    # Twice NFKC: folding the case can undo it.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def likeness(own: str, trained: str) -> float:
    """Share of the distinct 5-grams of `own` that `trained` has; below `SHORT` of them the Jaccard index of both sets.

    Both normalised. 0 where neither is as long as a gram.
    """
    a, b = ({text[i : i + GRAM] for i in range(len(text) - GRAM + 1)} for text in (own, trained))
    shared = len(a & b)
    return shared / (len(a) if len(a) >= SHORT else max(len(a | b), 1))


class MostSimilar:
    """For each of `texts` the most similar training text seen so far, where its similarity reaches `near`.

    `best`: (texts,) float64, that similarity, and 1 for an equal text. Below `near` a value says little, but the
    highest of all is right from `floor` up (at most `near`). `exact`: (texts,) bool. `partner`: the training text; of
    several the one seen first. `sample`: some training texts, which decide how fast the search is, and not what it finds.
    """

    def __init__(self, texts: Sequence[str], near: float, floor: float, sample: Sequence[str] = ()):
        self._near, self._floor = near, floor
        self._normal = [normal(text) for text in texts]
        self._rows: dict[str, list[int]] = {}
        for row, text in enumerate(self._normal):
            self._rows.setdefault(text, []).append(row)
        self.best = np.zeros(len(texts))
        self.exact = np.zeros(len(texts), dtype=bool)
        self.partner = [""] * len(texts)
        self._index([normal(text) for text in sample])

    def see(self, block: Sequence[str]) -> None:
        """Compare with training texts."""
        for start in range(0, len(block), BLOCK):
            self._see_block(block[start : start + BLOCK])

    def found(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """`best`, `exact` and `partner`, to be added to another search for the same texts."""
        return self.best, self.exact, self.partner

    def add(self, best: np.ndarray, exact: np.ndarray, partner: list[str]) -> None:
        """Take over what a search for the same texts has found in training texts that come later."""
        for row in np.flatnonzero((exact & ~self.exact) | (best > self.best)):
            self.best[row], self.exact[row], self.partner[row] = best[row], exact[row], partner[row]

    def _index(self, sample: list[str]) -> None:
        """Choose the grams to look for, and make the tables to find them by."""
        characters = np.unique(_codes("".join(self._normal)))
        # Digits from 1 up; 0 is any other character. Keys are distinct up to 7,130 characters; beyond that, two grams
        # may share one, which costs a comparison and changes nothing.
        self._digit = np.zeros(0x110000, dtype=np.uint32)
        self._digit[characters] = np.arange(1, len(characters) + 1)
        self._base = np.uint64(len(characters) + 1)
        own = [_distinct(self._keys(text)) for text in self._normal]
        self._size = np.array([len(keys) for keys in own], dtype=np.int64)
        keys, number = np.unique(np.concatenate([np.zeros(0, np.uint64), *own]), return_inverse=True)
        parts = np.split(number, np.cumsum(self._size)[:-1]) if own else []
        often = self._frequency(keys, sample)
        rare = [part[np.argsort(often[part], kind="stable")[: _enough(len(part), self._floor)]] for part in parts]
        self._post(keys, rare)

    def _post(self, keys: np.ndarray, rare: list[np.ndarray]) -> None:
        """Which text has which of the chosen grams, as a sparse matrix."""
        from scipy.sparse import csr_array

        kept = np.array([len(grams) for grams in rare], dtype=np.int64)
        self._left_out = self._size - kept
        used, gram = np.unique(np.concatenate([np.zeros(0, np.int64), *rare]), return_inverse=True)
        self._known = keys[used]
        row = np.repeat(np.arange(len(rare)), kept)
        self._holds = csr_array((np.ones(len(row), np.int32), (gram, row)), shape=(len(used), len(rare)))
        self._maybe = np.zeros(1 << _BITS, dtype=bool)
        self._maybe[_spread(self._known)] = True

    def _keys(self, text: str) -> np.ndarray:
        """One number a position: the digits of the gram that begins there."""
        digits = self._digit[_codes(text)].astype(np.uint64)
        count = max(len(digits) - GRAM + 1, 0)
        keys = digits[:count].copy()
        for place in range(1, GRAM):
            keys *= self._base
            keys += digits[place : place + count]
        return keys

    def _frequency(self, keys: np.ndarray, sample: list[str]) -> np.ndarray:
        """How often each of the keys (sorted) is in the sample."""
        place, _ = _places(keys, self._keys("\n".join(sample)))
        return np.bincount(place, minlength=len(keys))

    def _see_block(self, block: Sequence[str]) -> None:
        texts = [normal(text) for text in block]
        for place, text in enumerate(texts):
            for row in self._rows.get(text, ()):
                if not self.exact[row]:
                    self.best[row], self.exact[row], self.partner[row] = 1.0, True, block[place]
        place, row, bound = self._candidates(texts)
        while len(place):
            # For each benchmark text the likeliest candidate; of equal ones the first.
            order = np.lexsort((place, -bound, row))
            likeliest = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
            for one in likeliest:
                similarity = likeness(self._normal[row[one]], texts[place[one]])
                if similarity > self.best[row[one]]:
                    self.best[row[one]], self.partner[row[one]] = similarity, block[place[one]]
            left = self._matters(row, bound)
            left[likeliest] = False
            place, row, bound = place[left], row[left], bound[left]

    def _matters(self, row: np.ndarray, similarity: np.ndarray) -> np.ndarray:
        """Whether such a similarity would be the best of that benchmark text, or the highest of all."""
        best = (similarity >= self._near) & (similarity > self.best[row])
        return best | ((similarity >= self._floor) & (similarity > self.best.max(initial=0)))

    def _candidates(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of a training and a benchmark text that may matter: their numbers, and how similar they are at most."""
        from scipy.sparse import csr_array

        place, gram = self._hits(texts)
        ones = np.ones(len(place), np.int32)
        shared = csr_array((ones, (place, gram)), shape=(len(texts), len(self._known))) @ self._holds
        # First as if the training text had no other grams than the shared; half a gram allows for rounding.
        least = np.minimum(np.maximum(self.best, self._near), max(self.best.max(initial=0), self._floor))
        needed = least * self._size - self._left_out - 0.5
        some = np.flatnonzero(shared.data > needed[shared.indices])
        place, row = np.searchsorted(shared.indptr, some, side="right") - 1, shared.indices[some]
        most = shared.data[some] + self._left_out[row]
        # For short ones with as many as it has at least: characters that no benchmark text has are one and the same here.
        size, short = np.zeros(len(texts), dtype=np.int64), self._size[row] < SHORT
        for one in np.flatnonzero(np.bincount(place[short], minlength=len(texts))):
            size[one] = len(_distinct(self._keys(texts[one])))
        others = np.where(short, np.maximum(size[place] - most, 0), 0)
        bound = most / (self._size[row] + others)
        good = self._matters(row, bound)
        return place[good], row[good], bound[good]

    def _hits(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Which training text has which of the known grams, each pair once."""
        # A line feed is in no normalised text, so no gram that reaches over one is known.
        keys = self._keys("\n".join(texts))
        maybe = np.flatnonzero(self._maybe[_spread(keys)])
        gram, right = _places(self._known, keys[maybe])
        ends = np.cumsum([len(text) + 1 for text in texts])
        place = np.searchsorted(ends, maybe[right], side="right")
        return np.divmod(_distinct(place * len(self._known) + gram), max(len(self._known), 1))


def _enough(size: int, floor: float) -> int:
    """How many of a text's grams to index, so that a text with the others alone is less similar than `floor`."""
    out = int(size * floor)
    while out and out / size >= floor:
        out -= 1
    return min(size, size - out + _SHARED - 1 + size // 20)


def _places(known: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in `known` (sorted) those of the keys stand that are there, and which of the keys these are."""
    place = np.searchsorted(known, keys)
    there = np.flatnonzero(place < len(known))
    there = there[known[place[there]] == keys[there]]
    return place[there], there


def _distinct(numbers: np.ndarray) -> np.ndarray:
    """Sorted and each once; np.unique hashes, which takes several times as long for so few."""
    numbers = np.sort(numbers)
    new = np.ones(len(numbers), dtype=bool)
    np.not_equal(numbers[1:], numbers[:-1], out=new[1:])
    return numbers[new]


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _spread(keys: np.ndarray) -> np.ndarray:
    return (keys * _SPREAD) >> np.uint64(64 - _BITS)

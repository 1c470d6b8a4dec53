"""ALBEF's losses against slow loops in float64, the slow copies and the queue by hand, and what is drawn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybridkit.errors import KitError
from hybridkit.imagetext import losses
from hybridkit.imagetext.momentum import EMPTY, Queue, follow, slow_copy

INFINITE = -math.inf


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def slow_softmax(row):
    """The softmax of a list, a number at a time; minus infinity gets nothing."""
    top = max(row)
    parts = [math.exp(value - top) for value in row]
    return [part / sum(parts) for part in parts]


def slow_contrast(similarities, ids, all_ids, allowed, slow=None, alpha=0.0):
    """The loss of one direction, a pair at a time."""
    total = 0.0
    for r, row in enumerate(similarities):
        row = [value if fits else INFINITE for value, fits in zip(row, allowed, strict=True)]
        found = slow_softmax(row)
        own = [fits and ids[r] == other for other, fits in zip(all_ids, allowed, strict=True)]
        believed = [0.0] * len(row)
        if slow is not None:
            believed = slow_softmax([v if fits else INFINITE for v, fits in zip(slow[r], allowed, strict=True)])
        for c in range(len(row)):
            wanted = alpha * believed[c] + (1 - alpha) * own[c] / sum(own)
            if wanted:
                total -= wanted * math.log(found[c])
    return total / len(similarities)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(-1, 4), st.booleans()), max_size=8),
    st.floats(0, 1),
)
def test_contrast_is_that_of_a_slow_loop(ids, queued, alpha):
    """With captions of the same image twice, a queue of which some columns are of another language, and distilled."""
    all_ids = [*ids, *(other for other, _ in queued)]
    allowed = [True] * len(ids) + [fits for _, fits in queued]
    now, before = 3 * random(len(ids), len(all_ids)), 3 * random(len(ids), len(all_ids), seed=1)
    wanted = losses.targets(torch.tensor(ids), torch.tensor(all_ids), torch.tensor(allowed))
    found = losses.contrast(losses.excluded(now, torch.tensor(allowed)), wanted.double())
    assert found.item() == pytest.approx(slow_contrast(now.tolist(), ids, all_ids, allowed), abs=1e-6)
    believed = losses.excluded(before, torch.tensor(allowed))
    distilled = losses.mixed(wanted.double(), believed, alpha)
    found = losses.contrast(losses.excluded(now, torch.tensor(allowed)), distilled)
    oracle = slow_contrast(now.tolist(), ids, all_ids, allowed, before.tolist(), alpha)
    assert found.item() == pytest.approx(oracle, abs=1e-6)


def test_excluded_columns_get_no_gradient():
    similarities = random(2, 4).requires_grad_()
    allowed = torch.tensor([True, True, False, True])
    wanted = losses.targets(torch.tensor([1, 2]), torch.tensor([1, 2, 1, 1]), allowed).double()
    assert wanted.tolist() == [[0.5, 0, 0, 0.5], [0, 1, 0, 0]]
    losses.contrast(losses.excluded(similarities, allowed), wanted).backward()
    assert torch.isfinite(similarities.grad).all()
    assert similarities.grad[:, 2].tolist() == [0, 0] and (similarities.grad[:, [0, 1, 3]] != 0).all()


def test_hard_negatives_are_never_the_same_image_and_follow_the_similarities():
    similarities = torch.tensor([[9.0, 1.0, 0.0, 0.0, -1.0], [0.5, 0.0, 7.0, 7.0, 0.5]])
    same = torch.tensor([[True, False, False, True, False], [False, False, True, True, False]])
    draws = 10_000
    drawn = losses.hard_negatives(similarities.repeat(draws, 1), same.repeat(draws, 1), generator()).view(draws, 2)
    for row in range(2):
        counts = np.bincount(drawn[:, row], minlength=5)
        assert counts[same[row].numpy()].sum() == 0
        wanted = [p + 1e-4 for p in slow_softmax(similarities[row].tolist())]
        wanted = np.array([0.0 if own else p for p, own in zip(wanted, same[row], strict=True)])
        wanted *= draws / wanted.sum()
        some = wanted > 0
        assert ((counts[some] - wanted[some]) ** 2 / wanted[some]).sum() < 13.8  # chi-square of 2 degrees, p = 0.001


@given(st.lists(st.integers(0, 4), min_size=2, max_size=8), st.integers(0, 50))
def test_hard_negatives_of_any_batch(ids, seed):
    ids = torch.tensor(ids)
    same = ids[:, None] == ids.repeat(2)
    if same.all():
        with pytest.raises(KitError, match="raise batch_size to 2"):
            losses.hard_negatives(torch.zeros(same.shape), same, generator(seed))
        return
    drawn = losses.hard_negatives(100 * same.double(), same, generator(seed))
    assert (ids.repeat(2)[drawn] != ids).all()


def test_matching_is_the_cross_entropy_of_its_pairs():
    logits = random(6, 2)
    oracle = -sum(math.log(slow_softmax(row)[place < 2]) for place, row in enumerate(logits.tolist())) / 6
    assert losses.matching(logits, 2).item() == pytest.approx(oracle, abs=1e-9)


def test_words_are_hidden_by_the_shares_of_bert():
    ids = torch.randint(5, 1000, (400, 50), generator=generator(3))
    special = torch.zeros_like(ids, dtype=torch.bool)
    special[:, 0] = special[:, 40:] = True
    ordinary = torch.arange(1000, 2000)
    masked, hidden = losses.mask_words(ids, special, 4, ordinary, generator())
    assert not (hidden & special).any() and torch.equal(masked[~hidden], ids[~hidden])
    words, count = 400 * 39, hidden.sum().item()

    def near(found, of, share):
        return abs(found - of * share) < 4 * math.sqrt(of * share * (1 - share))

    assert near(count, words, 0.15)
    assert near((masked[hidden] == 4).sum().item(), count, 0.8)
    assert near((masked[hidden] == ids[hidden]).sum().item(), count, 0.1)
    assert near((masked[hidden] >= 1000).sum().item(), count, 0.1)


@given(st.integers(1, 6), st.integers(0, 40))
def test_every_text_has_a_hidden_word(length, seed):
    ids = torch.full((3, length + 2), 7)
    special = torch.zeros_like(ids, dtype=torch.bool)
    special[:, 0] = special[:, -1] = True
    special[2] = True  # a text without a word: nothing to hide
    _, hidden = losses.mask_words(ids, special, 4, torch.tensor([8, 9]), generator(seed))
    assert hidden[:2].any(1).all() and not hidden[2].any() and not (hidden & special).any()


def test_masked_words_are_distilled():
    logits, slow, words = random(5, 7), random(5, 7, seed=1), torch.tensor([0, 6, 2, 2, 5])
    total = 0.0
    for row, other, word in zip(logits.tolist(), slow.tolist(), words.tolist(), strict=True):
        found, believed = slow_softmax(row), slow_softmax(other)
        wanted = [0.3 * p + 0.7 * (place == word) for place, p in enumerate(believed)]
        total -= sum(w * math.log(p) for w, p in zip(wanted, found, strict=True))
    assert losses.masked_words(logits, words, slow, 0.3).item() == pytest.approx(total / 5, abs=1e-9)
    plain = -sum(math.log(slow_softmax(row)[w]) for row, w in zip(logits.tolist(), words.tolist(), strict=True)) / 5
    assert losses.masked_words(logits, words).item() == pytest.approx(plain, abs=1e-9)


def test_slow_copy_by_hand():
    """0.995 * 1 + 0.005 * 2 = 1.005, then 0.995 * 1.005 + 0.005 * 2 = 1.009975; the model itself does not move."""
    fast = torch.nn.Linear(1, 1, bias=False).double()
    fast.weight.data.fill_(1.0)
    slow = slow_copy(fast)
    fast.weight.data.fill_(2.0)
    follow(slow, fast, 0.995)
    assert slow.weight.item() == pytest.approx(1.005, abs=1e-12)
    follow(slow, fast, 0.995)
    assert slow.weight.item() == pytest.approx(1.009975, abs=1e-12) and fast.weight.item() == 2.0
    assert not slow.weight.requires_grad and fast.weight.requires_grad
    follow(slow, fast, 0.0)
    assert slow.weight.item() == 2.0


def test_queue_by_hand():
    """Places for four images, batches of two, then one of three: what stands where after each, ids and languages with it."""
    queue = Queue(4, 1)

    def add(*numbers):
        column = torch.tensor([[float(n)] for n in numbers])
        languages = torch.tensor([*(n % 2 for n in numbers), *(n % 3 for n in numbers)])
        queue.add(column, torch.cat([column + 0.1, column + 0.2]), torch.tensor(numbers), languages)
        return queue.ids.tolist()

    assert queue.ids.tolist() == [EMPTY] * 4
    assert add(10, 11) == [10, 11, EMPTY, EMPTY]
    assert add(12, 13) == [10, 11, 12, 13]
    assert add(14, 15) == [14, 15, 12, 13]
    assert queue.images[:, 0].tolist() == [14, 15, 12, 13]
    assert queue.texts[:, 0].tolist() == pytest.approx([14.1, 15.1, 12.1, 13.1, 14.2, 15.2, 12.2, 13.2])
    assert queue.text_ids.tolist() == [14, 15, 12, 13] * 2
    assert queue.languages.tolist() == [0, 1, 0, 1, 2, 0, 0, 1]
    assert add(16, 17, 18) == [18, 15, 16, 17]
    other = Queue(4, 1)
    other.load_state_dict(queue.state_dict())  # with the place of the next, or a resumed training would differ
    assert other.next.item() == 1


def test_no_queue_takes_nothing():
    queue = Queue(0, 2)
    queue.add(torch.ones(3, 2), torch.ones(6, 2), torch.arange(3), torch.zeros(6, dtype=torch.long))
    assert queue.images.shape == (0, 2) and queue.text_ids.shape == (0,)

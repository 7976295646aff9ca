"""The distance that has fresh real images at 1: its formula, its error, and what it says of copies and numbers."""

import itertools
import math
import statistics

import pytest
import torch

from handful.metrics import closeness
from handful.metrics.closeness import relative_distance


def cloud(n: int, d: int, seed: int, mean: float = 0.0) -> torch.Tensor:
    """Return rows whose columns vary less and less, as those of a network's features do."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64) / torch.arange(1, d + 1).sqrt() + mean


def energy(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the energy distance of two finite sets, pairs of equal rows included."""

    def mean(rows: torch.Tensor, others: torch.Tensor) -> float:
        return statistics.fmean(float((x - y).norm()) for x, y in itertools.product(rows, others))

    return 2 * mean(first, second) - mean(first, first) - mean(second, second)


def test_it_is_the_mean_over_all_sets_of_a_size(monkeypatch):
    monkeypatch.setattr(closeness, "SET", 2)
    samples, reference = cloud(4, 3, 0, mean=0.7), cloud(5, 3, 1)
    drawn = list(itertools.combinations(range(4), 2))
    kept = list(itertools.combinations(range(5), 2))
    mean = statistics.fmean(energy(samples[[*a]], reference[[*b]]) for a in drawn for b in kept)
    pairs = [(a, b) for a in kept for b in kept if not {*a} & {*b}]
    unit = statistics.fmean(energy(reference[[*a]], reference[[*b]]) for a, b in pairs)
    assert relative_distance(samples, reference)[0] == pytest.approx(mean / unit, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "mean"), [(20, 20, 0.0), (60, 20, 0.0), (60, 40, 0.0), (60, 40, 0.4)])
def test_fresh_rows_are_at_1_and_the_error_is_how_far_repeats_spread(n, m, mean):
    repeats = [relative_distance(cloud(n, 30, 2 * seed, mean), cloud(m, 30, 2 * seed + 1)) for seed in range(150)]
    values, errors = zip(*repeats, strict=True)
    spread = statistics.stdev(values)
    assert math.sqrt(statistics.fmean(error**2 for error in errors)) == pytest.approx(spread, rel=1 / 3)
    if mean == 0:
        assert statistics.fmean(values) == pytest.approx(1, abs=3 * spread / math.sqrt(len(values)))
    else:
        assert statistics.fmean(values) > 1.5


def test_it_does_not_depend_on_the_number_of_images():
    few, many = (
        statistics.fmean(relative_distance(cloud(n, 30, seed, 0.3), cloud(m, 30, 99 + seed))[0] for seed in range(20))
        for n, m in ((30, 30), (200, 200))
    )
    assert few == pytest.approx(many, rel=0.1)


def test_copies_are_nearer_than_fresh_rows_and_never_below_0():
    rows = cloud(100, 30, 0)
    assert relative_distance(rows, rows)[0] == pytest.approx(1 - 50 / 100)
    assert relative_distance(rows[:20], rows[:20])[0] == 0


def test_a_scale_changes_nothing():
    samples, reference = cloud(30, 8, 0, 0.5), cloud(25, 8, 1)
    expected = relative_distance(samples, reference)
    assert relative_distance(samples * 1000 + 7, reference * 1000 + 7) == pytest.approx(expected, rel=1e-6)


def test_equal_reference_rows_have_no_finite_distance():
    assert relative_distance(cloud(5, 4, 0), torch.ones(5, 4, dtype=torch.float64)) == (math.inf, math.inf)


def test_of_many_rows_evenly_spaced_ones_count(monkeypatch):
    monkeypatch.setattr(closeness, "MAX_ROWS", 10)
    samples, reference = cloud(35, 4, 0), cloud(20, 4, 1)
    assert relative_distance(samples, reference) == relative_distance(samples[::4], reference[::2])


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="samples has 2 images, but this score needs at least 3"):
        relative_distance(cloud(2, 4, 0), cloud(5, 4, 1))

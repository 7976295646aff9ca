"""The Vendi score as a share of the reference's own: known numbers of kinds, its error, and what it must not see."""

import math
import statistics

import pytest
import torch

from handful.metrics import diversity
from handful.metrics.diversity import likenesses, log_vendi, relative_variety


def cloud(n: int, d: int, seed: int) -> torch.Tensor:
    """Return rows whose columns vary less and less, as those of a network's features do."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64) / torch.arange(1, d + 1).sqrt()


@pytest.mark.parametrize("kinds", [1, 3, 12])
def test_it_counts_kinds_that_have_nothing_in_common(kinds):
    rows = 100 * torch.eye(12, dtype=torch.float64)[torch.arange(24) % kinds]
    assert log_vendi(likenesses(rows, 1.0)).exp() == pytest.approx(kinds)


def test_it_is_the_entropy_of_the_spectrum_of_the_kernel():
    rows = cloud(9, 5, 0)
    kernel = torch.tensor([[math.exp(-float((a - b).square().sum()) / (2 * 0.7**2)) for b in rows] for a in rows])
    values = torch.linalg.svdvals(kernel / 9).tolist()
    assert float(log_vendi(likenesses(rows, 0.7))) == pytest.approx(-sum(v * math.log(v) for v in values), rel=1e-4)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (120, 40)])
def test_fresh_rows_are_as_varied_and_the_error_is_how_far_repeats_spread(n, m):
    repeats = [relative_variety(cloud(n, 60, 2 * seed), cloud(m, 60, 2 * seed + 1)) for seed in range(40)]
    values, errors = zip(*repeats, strict=True)
    assert statistics.fmean(values) == pytest.approx(1, abs=0.03)
    assert math.sqrt(statistics.fmean(error**2 for error in errors)) == pytest.approx(statistics.stdev(values), rel=0.4)


def test_repeated_and_alike_rows_are_less_varied():
    reference, fresh = cloud(100, 60, 0), cloud(100, 60, 1)
    versions = {times: fresh[: 100 // times].repeat(times, 1) for times in (2, 10, 100)}
    half, tenth, one = (relative_variety(rows, reference)[0] for rows in versions.values())
    assert half == pytest.approx(0.5, abs=0.1)
    assert tenth == pytest.approx(0.1, abs=0.04)
    assert one < 0.03
    assert relative_variety(fresh[:1] + 0.1 * fresh, reference)[0] < 0.05
    assert relative_variety(fresh[:1].expand(100, -1), reference) == pytest.approx((one, 0), abs=0.01)


def test_what_all_samples_have_in_common_changes_nothing():
    reference, fresh = cloud(50, 60, 0), cloud(50, 60, 1)
    expected = relative_variety(fresh, reference)
    assert relative_variety(fresh + 3 * cloud(1, 60, 2), reference) == pytest.approx(expected)
    assert relative_variety(fresh * 7, reference * 7) == pytest.approx(expected)


def test_a_folder_whose_equal_images_follow_each_other_is_as_varied_as_one_whose_do_not():
    reference, fresh = cloud(30, 60, 0), cloud(30, 60, 1)
    together, apart = fresh.repeat_interleave(10, dim=0), fresh.repeat(10, 1)
    assert relative_variety(together, reference)[0] == pytest.approx(relative_variety(apart, reference)[0], rel=0.1)


def test_the_number_of_samples_changes_only_the_error():
    reference = cloud(60, 60, 0)
    few, many = (relative_variety(cloud(count, 60, 7), reference) for count in (60, 1200))
    assert few[0] == pytest.approx(many[0], abs=2 * few[1])
    assert few[1] > many[1]


def test_sets_are_no_larger_than_the_limit(monkeypatch):
    monkeypatch.setattr(diversity, "MAX_VENDI_ROWS", 25)
    sizes = []
    usual = diversity.log_vendi
    monkeypatch.setattr(diversity, "log_vendi", lambda likeness: (sizes.append(len(likeness)), usual(likeness))[1])
    relative_variety(cloud(100, 20, 0), cloud(90, 20, 1))
    assert max(sizes) == 25


def test_equal_reference_rows_have_no_finite_variety():
    assert relative_variety(cloud(9, 4, 0), torch.ones(9, 4, dtype=torch.float64)) == (math.inf, math.inf)

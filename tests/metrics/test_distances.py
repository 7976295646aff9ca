"""The scores on feature matrices and on patches, against other implementations, their formulas and known answers."""

import itertools
import statistics

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from handful.images.grid import from_bytes
from handful.metrics import distances, wasserstein
from handful.metrics.distances import fid, kid, nearest, within
from handful.metrics.manifold import density_coverage, precision_recall, precision_recall_in_equal_numbers
from handful.metrics.wasserstein import Patches, enlarge, pyramid, swd

SIZES = [(20, 30, 50), (200, 90, 12), (30, 150, 40), (64, 64, 64)]
"""Samples, reference, features: fewer rows than features, more, and one of each."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(n: int, d: int, seed: int = 0, mean: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(n, d, generator=seeded(seed), dtype=torch.float64) * scale + mean


def pair(n: int, m: int, d: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets of different kinds that overlap, with correlated features."""
    mix = cloud(d, d, seed + 2) / d**0.5
    return cloud(n, d, seed, mean=0.2, scale=1.3) @ mix, cloud(m, d, seed + 1) @ mix


def exact_distances(rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (rows[:, None] - targets).square().sum(dim=2).sqrt()


some_sets = st.tuples(st.integers(2, 12), st.integers(2, 12), st.integers(1, 8), st.integers(0, 1000))


@pytest.mark.parametrize(("n", "m", "d"), SIZES)
def test_fid_is_the_formula_with_the_square_root_of_a_symmetric_matrix(n, m, d):
    samples, reference = pair(n, m, d)
    first, second = samples.T.cov().numpy(), reference.T.cov().numpy()
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    offset = float((samples.mean(0) - reference.mean(0)).square().sum())
    expected = offset + np.trace(first) + np.trace(second) - 2 * overlap
    assert fid(samples, reference) == pytest.approx(expected, rel=1e-5)


def test_fid_agrees_with_scipy_where_the_covariances_have_full_rank():
    linalg = pytest.importorskip("scipy.linalg")
    samples, reference = pair(200, 90, 12)
    first, second = samples.T.cov().numpy(), reference.T.cov().numpy()
    offset = float((samples.mean(0) - reference.mean(0)).square().sum())
    expected = offset + np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert fid(samples, reference) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), SIZES)
def test_fid_agrees_with_torchmetrics(n, m, d):
    published = pytest.importorskip("torchmetrics.image.fid")._compute_fid
    samples, reference = pair(n, m, d)
    expected = published(samples.mean(0), samples.T.cov(), reference.mean(0), reference.T.cov())
    assert fid(samples, reference) == pytest.approx(float(expected), rel=1e-5)


def test_fid_of_a_shifted_copy_is_the_squared_shift():
    samples = cloud(40, 64)
    assert fid(samples + 0.5, samples) == pytest.approx(64 * 0.25, rel=1e-9)


def test_fid_of_two_large_gaussian_clouds_is_what_theory_says():
    samples, reference = cloud(20_000, 4, 0, mean=1.0, scale=3.0), cloud(20_000, 4, 1)
    assert fid(samples, reference) == pytest.approx(4 * (1**2 + (3 - 1) ** 2), rel=0.02)


@given(some_sets)
@settings(deadline=None, max_examples=40)
def test_fid_is_symmetric_never_negative_and_blind_to_the_order_of_rows(sets):
    n, m, d, seed = sets
    samples, reference = pair(n, m, d, seed)
    score = fid(samples, reference)
    assert score >= 0
    assert score == pytest.approx(fid(reference, samples), rel=1e-9, abs=1e-12)
    assert score == pytest.approx(fid(samples[torch.randperm(n, generator=seeded())], reference), rel=1e-9, abs=1e-12)
    assert 0 <= fid(samples, samples.flip(0)) < 1e-12


def test_fid_is_never_negative_by_rounding():
    scores = [fid(rows, rows) for rows in (cloud(30, 20, seed, scale=100.0) for seed in range(50))]
    assert min(scores) == 0
    assert max(scores) < 1e-9


def kernel(samples: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    return (samples @ reference.T / samples.shape[1] + 1) ** 3


def plain_kid(samples: torch.Tensor, reference: torch.Tensor) -> float:
    def within(rows: torch.Tensor) -> float:
        return statistics.fmean(float(kernel(x[None], y[None])) for x, y in itertools.permutations(rows, 2))

    across = statistics.fmean(float(kernel(x[None], y[None])) for x, y in itertools.product(samples, reference))
    return within(samples) + within(reference) - 2 * across


def test_kid_agrees_with_torchmetrics_on_sets_of_one_size():
    published = pytest.importorskip("torchmetrics.image.kid").poly_mmd
    samples, reference = pair(60, 60, 30)
    assert kid(samples, reference)[0] == pytest.approx(float(published(reference, samples)), rel=1e-9)


def test_kid_is_the_mean_over_pairs_on_sets_of_two_sizes():
    samples, reference = pair(25, 14, 10)
    assert kid(samples, reference)[0] == pytest.approx(plain_kid(samples, reference), rel=1e-9)


def test_the_error_of_kid_is_the_jackknife_recomputed_without_each_row():
    samples, reference = pair(9, 6, 5)

    def variance(estimates: list[float]) -> float:
        return (len(estimates) - 1) * statistics.pvariance(estimates)

    def without(rows: torch.Tensor, row: int) -> torch.Tensor:
        return torch.cat([rows[:row], rows[row + 1 :]])

    expected = variance([plain_kid(without(samples, row), reference) for row in range(9)])
    expected += variance([plain_kid(samples, without(reference, row)) for row in range(6)])
    assert kid(samples, reference)[1] == pytest.approx(expected**0.5, rel=1e-9)


def test_the_error_of_kid_is_how_much_kid_varies():
    draws = [kid(cloud(80, 6, 2 * seed, mean=0.5), cloud(50, 6, 2 * seed + 1)) for seed in range(300)]
    estimates, errors = zip(*draws, strict=True)
    assert statistics.fmean(errors) == pytest.approx(statistics.stdev(estimates), rel=0.25)


def test_kid_has_no_bias_at_few_images():
    estimates = [kid(cloud(8, 6, 2 * seed), cloud(5, 6, 2 * seed + 1))[0] for seed in range(300)]
    assert abs(statistics.fmean(estimates)) < 3 * statistics.stdev(estimates) / 300**0.5


def test_blocks_change_nothing(monkeypatch):
    samples, reference = pair(50, 33, 8)

    def scores() -> list[float]:
        found = [kid(samples, reference), precision_recall(samples, reference), density_coverage(samples, reference)]
        return list(itertools.chain.from_iterable(found))

    whole = scores()
    monkeypatch.setattr(distances, "ROWS_PER_BLOCK", 7)
    monkeypatch.setattr(distances, "PAIRS_PER_BLOCK", 3)
    assert scores() == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("block", [1, 7, 256])
@pytest.mark.parametrize("k", [1, 4, 33])
def test_the_nearest_targets_are_found_with_their_distances(k, block):
    queries, targets = pair(50, 33, 8)
    found, indices = nearest(queries, targets, k, block)
    expected, order = exact_distances(queries, targets).sort(dim=1)
    assert torch.equal(indices, order[:, :k])
    assert torch.allclose(found, expected[:, :k], rtol=1e-12, atol=0)


@pytest.mark.parametrize("block", [1, 7, 256])
@pytest.mark.parametrize("k", [1, 4, 39])
def test_a_row_is_not_its_own_neighbour_but_its_equal_is(k, block):
    rows = cloud(40, 8)
    rows[7] = rows[30]
    found, indices = nearest(rows, rows, k, block, exclude_self=True)
    expected = exact_distances(rows, rows).fill_diagonal_(torch.inf).sort(dim=1).values
    assert torch.allclose(found, expected[:, :k], rtol=1e-12, atol=0)
    assert (indices != torch.arange(40)[:, None]).all()
    assert (indices[7, 0], found[7, 0]) == (30, 0)


@given(some_sets, st.sampled_from([1e-3, 1.0, 1e6]))
@settings(deadline=None, max_examples=40)
def test_a_query_among_the_targets_is_at_distance_zero(sets, scale):
    n, m, d, seed = sets
    queries, targets = pair(n, m, d, seed)
    queries, targets = queries * scale + 100, targets * scale + 100
    found, indices = nearest(queries, torch.cat([targets, queries]), 1)
    assert torch.equal(found, torch.zeros(n, 1, dtype=torch.float64))
    assert torch.equal(indices[:, 0], torch.arange(m, m + n))


def test_neighbours_too_close_for_the_matrix_product_are_told_apart():
    # Squared, these distances are far below the rounding of |x|^2, and all 60 rows look equally near.
    rows = 1 + 1e-9 * cloud(60, 32)
    found, indices = nearest(rows, rows, 3, exclude_self=True)
    expected, order = exact_distances(rows, rows).fill_diagonal_(torch.inf).sort(dim=1)
    assert torch.equal(indices, order[:, :3])
    assert torch.allclose(found, expected[:, :3], rtol=1e-12, atol=0)


def test_a_point_is_within_a_ball_strictly_and_to_the_last_bit():
    points, centres = cloud(40, 32, 0, mean=5.0), cloud(30, 32, 1, mean=5.0)
    radii = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")[
        torch.arange(30), torch.arange(30)
    ]
    beyond = radii.nextafter(torch.tensor(torch.inf, dtype=torch.float64))
    assert not within(points, centres, radii)[torch.arange(30), torch.arange(30)].any()
    assert within(points, centres, beyond)[torch.arange(30), torch.arange(30)].all()
    assert torch.equal(within(points, centres, radii * 1.01), exact_distances(points, centres) < radii * 1.01)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m", "d"), SIZES)
def test_the_manifold_scores_agree_with_prdc(n, m, d, k):
    published = pytest.importorskip("prdc").compute_prdc
    samples, reference = pair(n, m, d)
    expected = published(reference.numpy(), samples.numpy(), nearest_k=k)
    found = *precision_recall(samples, reference, k), *density_coverage(samples, reference, k)
    assert found == pytest.approx([expected[name] for name in ("precision", "recall", "density", "coverage")], rel=1e-9)


def test_recall_is_that_of_as_many_samples_as_the_reference_has_rows():
    samples, reference = cloud(65, 6, 0), cloud(20, 6, 1)
    thirds = [precision_recall(samples[start : start + 20], reference)[1] for start in (0, 20, 40)]
    assert precision_recall_in_equal_numbers(samples, reference) == pytest.approx(
        (precision_recall(samples, reference)[0], sum(thirds) / 3)
    )
    assert precision_recall_in_equal_numbers(reference, samples) == precision_recall(reference, samples), (
        "where there are fewer"
    )
    # Beside the reference, the more samples the fewer of it lie in their balls.
    beside, images = (F.pad(cloud(rows, 2, rows), (0, 1), value=at) for rows, at in ((2_000, 0.3), (100, 0.0)))
    assert precision_recall(beside, images)[1] < precision_recall_in_equal_numbers(beside, images)[1] - 0.1


def test_a_set_fills_its_own_manifold():
    rows = cloud(300, 16, mean=5.0)
    assert precision_recall(rows, rows) == (1, 1)
    assert density_coverage(rows, rows) == (1, 1)


def test_samples_far_away_are_outside_the_manifold():
    assert precision_recall(cloud(40, 6, 0, mean=50.0), cloud(30, 6, 1)) == (0, 0)
    assert density_coverage(cloud(40, 6, 0, mean=50.0), cloud(30, 6, 1)) == (0, 0)


def test_samples_that_repeat_one_image_have_precision_without_recall_and_coverage():
    reference = cloud(60, 6)
    samples = reference[:1].repeat(50, 1)
    assert precision_recall(samples, reference) == (1, 0)
    assert density_coverage(samples, reference)[1] < 0.3


@pytest.mark.parametrize(
    ("score", "least"),
    [(fid, 2), (kid, 3), (precision_recall, 4), (precision_recall_in_equal_numbers, 4), (density_coverage, 6)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_set_too_small_for_a_score_is_named_with_the_number_it_needs(score, least):
    assert score(cloud(least, 4), cloud(least, 4, 1))
    with pytest.raises(ValueError, match=f"samples has {least - 1} images, but this score needs at least {least}"):
        score(cloud(least - 1, 4), cloud(50, 4))
    with pytest.raises(ValueError, match=f"reference has {least - 1} images, but this score needs at least {least}"):
        score(cloud(50, 4), cloud(least - 1, 4))


def pictures(n: int, size: int = 32, seed: int = 0) -> torch.Tensor:
    """Smooth coloured blobs with some detail, uint8."""
    coarse = torch.nn.functional.interpolate(
        torch.rand(n, 3, 4, 4, generator=seeded(seed)), (size, size), mode="bilinear", align_corners=False
    )
    fine = torch.rand(n, 3, size, size, generator=seeded(seed + 1))
    return (50 + 120 * coarse + 40 * fine).to(torch.uint8)


def patches(images: torch.Tensor, batch: int = 16, seed: int = 0) -> Patches:
    gathered = Patches(len(images), tuple(images.shape[1:]), seed)
    for some in images.split(batch):
        gathered.add(some)
    return gathered


@pytest.fixture
def few_patches(monkeypatch):
    monkeypatch.setattr(wasserstein, "PATCHES", 2048)


def changed(images: torch.Tensor, how: str, strength: float) -> torch.Tensor:
    values = images.float()
    if how == "blur":
        blurred = torch.nn.functional.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
        values = values + strength * (blurred - values)
    elif how == "noise":
        values = values + 60 * strength * torch.randn(values.shape, generator=seeded(9))
    elif how == "recolour":
        values = values + 60 * strength * torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)
    else:
        values = 128 + (1 - 0.8 * strength) * (values - 128)
    return values.round().clamp(0, 255).to(torch.uint8)


def test_the_distance_of_projections_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    first, second = torch.randn(5, 200, generator=seeded(0)), torch.randn(5, 200, generator=seeded(1)) * 2 + 1
    expected = [stats.wasserstein_distance(*rows) for rows in zip(first.numpy(), second.numpy(), strict=True)]
    assert wasserstein.wasserstein(first, second).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_pyramid_gives_the_image_back():
    images = from_bytes(pictures(3, 64)).double()
    *bands, image = pyramid(images, 3)
    assert [band.shape[-1] for band in bands] == [64, 32]
    assert image.shape[-1] == 16
    for band in reversed(bands):
        image = enlarge(image) + band
    assert torch.allclose(image, images, rtol=0, atol=1e-12)


def test_a_flat_image_has_no_detail_up_to_its_edges():
    *bands, image = pyramid(torch.full((1, 3, 64, 64), 200.0), 3)
    assert all((band == 0).all() for band in bands)
    assert (image == 200).all()


def test_a_level_of_the_pyramid_agrees_with_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = pictures(1)[0, 0].double()
    row = np.array([1, 4, 6, 4, 1]) / 16
    half = ndimage.convolve(image.numpy(), np.outer(row, row), mode="mirror")[::2, ::2]
    spread = np.zeros((32, 32))
    spread[::2, ::2] = half
    band = image.numpy() - ndimage.convolve(spread, 4 * np.outer(row, row), mode="mirror")
    found, smaller = pyramid(image[None, None], 2)
    assert np.allclose(found[0, 0], band, rtol=0, atol=1e-10)
    assert np.allclose(smaller[0, 0], half, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("size", "sides"), [(16, [16]), (64, [64, 32, 16]), (48, [48, 24]), (66, [66, 33])])
def test_the_levels_are_halves_of_at_least_16_pixels_as_far_as_a_side_is_even(size, sides):
    assert list(Patches(1, (3, size, size)).levels) == sides


@pytest.mark.usefixtures("few_patches")
def test_patches_come_evenly_from_all_images_however_they_are_batched():
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).repeat(1, 3, 16, 16)
    gathered = patches(images, batch=7)
    numbers = torch.arange(2048) * 20 // 2048
    assert torch.equal(gathered.levels[16], numbers.float().view(-1, 1, 1, 1).expand(-1, 3, 7, 7))
    assert torch.equal(gathered.levels[16], patches(images, batch=20).levels[16])


@pytest.mark.usefixtures("few_patches")
def test_patches_are_pieces_of_the_last_level_at_positions_all_over_it():
    columns = torch.arange(16, dtype=torch.uint8).expand(3, 3, 16, 16)
    image = columns + 16 * columns.transpose(2, 3)
    gathered = patches(image).levels[16]
    step = gathered - gathered[:, :, :1, :1]
    assert torch.equal(step, (torch.arange(7.0) + 16 * torch.arange(7.0)[:, None]).expand(2048, 3, 7, 7))
    corner = gathered[:, 0, 0, 0].long()
    assert set((corner // 16).tolist()) == set((corner % 16).tolist()) == set(range(10))


@pytest.mark.usefixtures("few_patches")
def test_more_images_than_patches_are_thinned_out_evenly():
    images = torch.arange(4096).remainder(256).to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 3, 16, 16)
    assert torch.equal(patches(images, batch=100).levels[16][:, 0, 0, 0], (torch.arange(2048) * 2 % 256).float())


@pytest.mark.usefixtures("few_patches")
def test_a_set_is_at_distance_zero_from_itself_and_not_from_another():
    images = pictures(20, 64)
    assert swd(patches(images), patches(images, batch=3)) == {64: 0, 32: 0, 16: 0}
    assert min(swd(patches(pictures(20, 64, seed=5)), patches(images)).values()) > 0


@pytest.mark.usefixtures("few_patches")
@pytest.mark.parametrize("how", ["blur", "noise", "recolour", "contrast"])
def test_the_stronger_a_change_the_larger_its_distance(how):
    images = pictures(20)
    reference = patches(images)
    scores = [swd(patches(changed(images, how, strength)), reference) for strength in (0.0, 0.25, 0.5, 1.0)]
    means = [statistics.fmean(score.values()) for score in scores]
    assert means[0] == 0
    assert means == sorted(set(means))


@pytest.mark.usefixtures("few_patches")
def test_the_distance_is_in_deviations_of_the_reference_times_1000():
    # Adding a deviation to each channel shifts each projection by the sum of a random unit direction's 147 parts.
    images = pictures(20, 16)
    shifted = patches(images)
    level = shifted.levels[16]
    level += 2 * level.std(dim=(0, 2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(512, 147, generator=generator))
    expected = 1000 * 2 * float(directions.sum(dim=1).abs().mean())
    assert swd(shifted, patches(images))[16] == pytest.approx(expected, rel=1e-4)


@pytest.mark.usefixtures("few_patches")
def test_both_sets_are_normalised_by_the_reference():
    images = patches(pictures(20, 16))
    tripled = patches(pictures(20, 16))
    tripled.levels[16] *= 3
    assert swd(tripled, images)[16] == pytest.approx(3 * swd(images, tripled)[16], rel=1e-4)


@pytest.mark.usefixtures("few_patches")
def test_a_reference_with_a_flat_channel_gives_a_number():
    images = pictures(20)
    images[:, 0] = 255
    score = swd(patches(changed(images, "noise", 0.5)), patches(images))
    assert all(np.isfinite(value) and value > 0 for value in score.values())


@pytest.mark.usefixtures("few_patches")
def test_a_set_that_is_not_complete_is_not_compared():
    unfinished = Patches(20, (3, 32, 32))
    unfinished.add(pictures(12))
    with pytest.raises(AssertionError, match="12 of 20 images were added"):
        swd(unfinished, patches(pictures(20)))

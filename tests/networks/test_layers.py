"""Layers against their formulas: each fast way of computing one equals the plain way."""

import pytest
import torch
import torch.nn.functional as F
from steps import config, run, step_of

from handful.networks import pixel_blocks
from handful.networks.conv import (
    PixelConv,
    SmoothDownConv,
    UpConv,
    down_conv,
    fuse_upsampling,
    upsample,
    upsample_bilinear,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_smooth_enlarging_is_the_binomial_1_3_3_1():
    x = torch.randn(2, 3, 6, 6, generator=seeded())
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = (line[:, None] * line).expand(3, 1, 4, 4)
    spread = F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=3)
    inner = (..., slice(1, -1), slice(1, -1))  # at the edges bilinear repeats the last pixel
    assert torch.allclose(upsample_bilinear(x)[inner], spread[inner], atol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs", "size"), [(3, 4, 8), (5, 2, 5), (8, 6, 16), (6, 4, 4), (4, 2, 2)])
def test_upsampling_and_convolving_in_one_is_exact(inputs, outputs, size):
    random = torch.Generator().manual_seed(1)
    layer = UpConv(inputs, outputs).double()
    x = torch.randn(2, inputs, size, size, dtype=torch.float64, generator=random, requires_grad=True)
    upstream = torch.randn(2, outputs, 2 * size, 2 * size, dtype=torch.float64, generator=random)
    plain = F.conv2d(upsample(x), layer.weight, padding=1)
    folded = F.conv_transpose2d(x, fuse_upsampling(layer.weight), stride=2, padding=1)
    for made in (folded, layer(x)):
        torch.testing.assert_close(made, plain, rtol=0, atol=1e-12)
        for inputs_of in (x, layer.weight):
            (expected,) = torch.autograd.grad(plain, inputs_of, upstream, retain_graph=True)
            (gradient,) = torch.autograd.grad(made, inputs_of, upstream, retain_graph=True)
            torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("inputs", "outputs", "size"), [(3, 4, 8), (5, 2, 6), (6, 4, 2)])
def test_convolving_and_averaging_in_one_is_exact(inputs, outputs, size):
    layer = SmoothDownConv(inputs, outputs).double()
    x = torch.randn(2, inputs, size, size, dtype=torch.float64, requires_grad=True)
    plain = F.avg_pool2d(F.conv2d(x, layer.weight, padding=1), 2)
    assert (layer(x) - plain).abs().max() < 1e-12
    weights = torch.randn_like(plain)
    found, wanted = (torch.autograd.grad((y * weights).sum(), [x, layer.weight]) for y in (layer(x), plain))
    for one, two in zip(found, wanted, strict=True):
        assert (one - two).abs().max() < 1e-12


def require_equal(made, plain, *inputs):
    """Both, and the gradients of ``inputs`` through both."""
    assert (made - plain).abs().max() < 1e-12
    weights = torch.randn_like(plain)
    found, wanted = (torch.autograd.grad((y * weights).sum(), inputs) for y in (made, plain))
    for one, two in zip(found, wanted, strict=True):
        assert (one - two).abs().max() < 1e-12


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 3), (5, 6), (4, 4)])
def test_convolving_on_blocks_of_pixels_is_exact(inputs, outputs):
    x = torch.randn(2, inputs, 8, 12, dtype=torch.float64, requires_grad=True)
    for size in (3, 4):
        kernel = torch.randn(outputs, inputs, size, size, dtype=torch.float64, requires_grad=True)
        plain = F.conv2d(x, kernel, stride=size - 2, padding=1)
        require_equal(pixel_blocks.conv_by_blocks(x, kernel), plain, x, kernel)
    kernel = torch.randn(inputs, outputs, 4, 4, dtype=torch.float64, requires_grad=True)
    require_equal(
        pixel_blocks.up_conv_by_blocks(x, kernel), F.conv_transpose2d(x, kernel, stride=2, padding=1), x, kernel
    )


@pytest.mark.parametrize("smooth", [False, True])
def test_a_step_on_blocks_of_pixels_is_the_plain_one(monkeypatch, smooth):
    # Adam's first step goes by signs, which rounding turns where there is next to nothing: so small steps.
    options = {"size": 64, "smooth_discriminator": smooth, "learning_rate": 2e-4}
    (plain,) = run(step_of(config(**options)), 1)
    used = []

    def is_faster(x, few, limit):
        used.append(few <= limit and min(x.shape[2:]) >= 8)
        return used[-1]

    monkeypatch.setattr(pixel_blocks, "is_faster", is_faster)
    (on_blocks,) = run(step_of(config(**options)), 1)
    assert sum(used) > 20
    assert on_blocks == pytest.approx(plain, rel=1e-4, abs=1e-4)


def test_averaging_takes_out_what_alternates_from_pixel_to_pixel():
    stripes = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 3, 16, 16)
    inner = (..., slice(1, -1), slice(1, -1))  # at the border the padding is seen too
    smooth, strided = (down_conv(3, 4, smooth=smooth)(stripes)[inner] for smooth in (True, False))
    assert smooth.abs().max() < 1e-6 < 1e-3 < strided.abs().max()


@pytest.mark.parametrize("channels_last", [False, True])
def test_one_pixel_as_a_product_is_the_transposed_convolution(channels_last):
    layer = PixelConv(5, 6, (4, 6)).double()
    if channels_last:
        layer.weight.data = layer.weight.data.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
        assert layer.weight.flatten(1).data_ptr() == layer.weight.data_ptr()
    z = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    plain = F.conv_transpose2d(z[:, :, None, None], layer.weight)
    towards = torch.randn_like(plain)
    assert torch.allclose(layer(z), plain, rtol=0, atol=1e-13)
    fast, slow = (torch.autograd.grad(made, (z, layer.weight), towards) for made in (layer(z), plain))
    for quick, exact in zip(fast, slow, strict=True):
        assert torch.allclose(quick, exact, rtol=0, atol=1e-12)

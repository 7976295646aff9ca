"""Truncation: latents and gates are drawn towards their mean."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.explore.neighbours import neighbours
from handful.images.grid import from_bytes
from handful.metrics.evaluation import evaluate
from handful.metrics.protocol import PROTOCOLS
from handful.networks import latent
from handful.networks.folded import FoldedGenerator
from handful.networks.generator import Generator
from handful.progress import Quiet
from handful.sampling.generate import generate
from handful.sampling.model import Model
from handful.sampling.truncation import Truncation
from support.models import CPU, made, trained


def spread(images) -> float:
    return float(from_bytes(images).var(dim=0).mean())


@pytest.fixture(scope="module")
def model() -> Model:
    return made(noise=0.0, size=64)


def test_one_changes_no_bit_and_less_makes_pictures_more_alike(model):
    seeds = range(12)
    assert torch.equal(model.sample(seeds, truncation=1.0), model.sample(seeds))
    spreads = [spread(model.sample(seeds, truncation=share)) for share in (1.0, 0.7, 0.4, 0.0)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[2] < 0.9 * spreads[0]


def test_a_truncated_picture_is_the_same_with_others_from_a_file_and_from_the_command(model, tmp_path):
    together = model.sample([3, 4, 5], truncation=0.5)
    assert torch.equal(together[1:2], model.sample([4], truncation=0.5))
    assert torch.equal(together, model.sample(model.latents([3, 4, 5]), truncation=0.5))
    model.save(tmp_path / "model")
    sheets = [tmp_path / f"{share}.png" for share in (1.0, 0.5)]
    for sheet, share in zip(sheets, (1.0, 0.5), strict=True):
        generate(tmp_path / "model", [3], grid=sheet, device="cpu", truncation=share, progress=Quiet())
    assert sheets[0].read_bytes() != sheets[1].read_bytes()


def test_gates_go_towards_their_mean_in_a_straight_line():
    model = Model(trained(256))
    z, noise = latent.from_seeds([1, 2], 256, model.folded.noise_shapes, CPU)
    own, mean = model.folded.compute_gates(z, noise, None), model.truncation.mean_gates(None)
    assert own.keys() == mean.keys() == {"64", "128", "256"}
    half, none = (model.truncation.gates(z, noise, None, share) for share in (0.5, 0.0))
    for name in own:
        torch.testing.assert_close(half[name], (own[name] + mean[name]) / 2)
        torch.testing.assert_close(none[name], mean[name].expand_as(own[name]))
        assert own[name].std() > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**40), st.floats(0, 1))
def test_latents_keep_their_length_and_come_nearer_where_the_low_map_answers(model, seed, truncation):
    z = model.latents([seed]).z
    drawn = model.truncation.latents(z, truncation)
    assert float(drawn.norm()) == pytest.approx(float(z.norm()), rel=1e-5)
    directions = torch.linalg.eigh(model.response).eigenvectors.float()
    before, after = (z @ directions).abs()[0], (drawn @ directions).abs()[0]
    assert after[-1] <= before[-1] + 1e-5
    assert after[0] >= before[0] - 1e-5
    assert torch.allclose(model.truncation.latents(z, 1.0), z, atol=1e-6)


def test_half_of_a_direction_is_drawn_in_where_the_map_answers_twice_as_far(model):
    axes = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    answers = torch.tensor([4.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    pull = Truncation(model.folded, axes @ torch.diag(answers * 3) @ axes.T).pull.double()
    found = torch.diagonal(axes.T @ pull @ axes)
    torch.testing.assert_close(found, answers / (answers + 4), atol=1e-6, rtol=0)


def test_an_image_with_its_own_gates_given_is_the_same_bit_for_bit():
    folded = FoldedGenerator(trained(128))
    z, noise = latent.from_seeds([1], 256, folded.noise_shapes, CPU)
    assert torch.equal(folded(z, noise, None, folded.compute_gates(z, noise, None)), folded(z, noise))


def test_the_mean_is_that_of_the_class():
    model = Model(trained(64, classes=("cats", "dogs")))
    cats, dogs = (model.truncation.mean_gates(label)["64"] for label in (0, 1))
    assert not torch.allclose(cats, dogs, atol=1e-3)
    z, noise = latent.from_seeds([1, 2], 256, model.folded.noise_shapes, CPU)
    found = model.truncation.gates(z, noise, torch.tensor([1, 0]), 0.0)["64"]
    torch.testing.assert_close(found, torch.cat([dogs, cats]))


def test_it_has_an_effect_without_gates():
    model = made(noise=0.0, size=64, sle=False)
    assert spread(model.sample(range(8), truncation=0.5)) < 0.95 * spread(model.sample(range(8)))


@pytest.mark.parametrize(
    ("truncation", "remedy"),
    [(-0.1, "from 0, the mean, to 1"), (1.5, "from 0, the mean, to 1"), (float("nan"), "a number")],
)
def test_what_is_not_from_0_to_1_is_refused(truncation, remedy):
    with pytest.raises(UsageError, match=f"truncation {truncation:g}: must be {remedy}"):
        Model(Generator(GeneratorConfig(size=32, width=8))).sample([0], truncation=truncation)


@pytest.mark.slow
def test_scores_and_neighbours_are_those_of_truncated_pictures(model, tmp_path, monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "quick", dataclasses.replace(PROTOCOLS["quick"], samples=24, paths=2))
    model.save(tmp_path / "model")
    generate(tmp_path / "model", range(100, 112), tmp_path / "photos", device="cpu", progress=Quiet())
    generate(tmp_path / "model", range(24), tmp_path / "drawn", device="cpu", truncation=0.5, progress=Quiet())
    result = evaluate(tmp_path / "model", tmp_path / "photos", truncation=0.5, device="cpu", progress=Quiet())
    of_files = evaluate(tmp_path / "drawn", tmp_path / "photos", device="cpu", progress=Quiet())
    for name in ("kid", "precision", "recall", "swd", "novelty"):
        assert getattr(result.scores, name) == pytest.approx(getattr(of_files.scores, name), abs=1e-6)
    assert (result.setup.truncation, of_files.setup.truncation) == (0.5, None)
    assert result.scores.path_length is None
    assert "leave --truncation out" in result.why["path_length"]

    def ratios(source, truncation):
        how = {"samples": 4, "show": 4, "device": "cpu", "truncation": truncation, "progress": Quiet()}
        found = neighbours(source, tmp_path / "photos", tmp_path / "sheet.png", **how)
        return sorted(row.neighbours[0].ratio for row in found.rows)

    assert ratios(tmp_path / "model", 0.5) != ratios(tmp_path / "model", 1.0)
    for wrong in (
        lambda: evaluate(tmp_path / "drawn", tmp_path / "photos", truncation=0.5),
        lambda: ratios(tmp_path / "drawn", 0.5),
    ):
        with pytest.raises(UsageError, match=r"truncation 0\.5: .*drawn is a folder of images"):
            wrong()
    with pytest.raises(UsageError, match=r"truncation 2: must be from 0"):
        evaluate(tmp_path / "model", tmp_path / "photos", truncation=2.0)

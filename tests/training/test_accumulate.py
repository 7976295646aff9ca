"""Micro-batches add up to the step of the whole batch."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import CPU, apart, log_of, require_same, saved, small

from handful.compute import shared_batch
from handful.compute.memory import smaller_micro_batch
from handful.compute.processes import Processes
from handful.config.presets import default
from handful.errors import UsageError
from handful.objective.losses import absolute_difference
from handful.optim.spectral_adam import SpectralAdam
from handful.progress import Quiet
from handful.training.loop import train
from handful.training.state import State
from handful.training.step import Step
from parts import EVERY_PART

SEED = 4
"""Seed 0 has a LeakyReLU that turns over by rounding (see test_processes.KINKS): 3e-4 where other seeds have 1e-7."""


def take_step(options: dict, micro_batch: int, state: State | None = None) -> tuple[dict[str, torch.Tensor], State]:
    config = small("-", "-", **{"batch": 8, "seed": SEED} | options)
    images = torch.randint(0, 255, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    state = state or State.fresh(config, CPU)
    state.micro_batch = micro_batch
    return Step(config, state, images, absolute_difference)(), state


@pytest.mark.parametrize("micro_batch", [2, 4])
@pytest.mark.parametrize("options", [{}, EVERY_PART])
def test_micro_batches_compute_what_the_whole_batch_computes(options, micro_batch, without_statistics):
    losses, whole = take_step(options, 8)
    others, divided = take_step(options, micro_batch)
    assert losses.keys() == others.keys()
    for name, value in losses.items():
        assert others[name].item() == pytest.approx(value.item(), abs=1e-5), name
    one, other = whole.tensors(), divided.tensors()
    for player in ("discriminator", "generator"):
        for kind in ("exp_avg.", "exp_avg_sq."):
            assert apart(one, other, f"{player}_optimizer.{kind}") < (1e-4 if player == "generator" else 1e-5)
    require_same(*({k: v for k, v in tensors.items() if k.startswith("controls.st")} for tensors in (one, other)))
    assert apart(one, other, "average.") < 1e-3


def test_batch_statistics_are_those_of_a_micro_batch():
    """Else the memory of the whole batch would be needed; this is what --micro-batch changes."""
    (whole, _), (divided, _) = take_step({}, 8), take_step({}, 2)
    assert abs(whole["discriminator"] - divided["discriminator"]) > 1e-5


def test_weights_are_normalised_and_averaged_once_a_step_whatever_the_micro_batches(monkeypatch):
    calls = []
    for name in ("step", "update_sigma", "write_weights"):
        usual = getattr(SpectralAdam, name)
        monkeypatch.setattr(
            SpectralAdam, name, lambda self, *names, usual=usual, name=name: calls.append(name) or usual(self, *names)
        )
    state = take_step({}, 8)[1]
    calls.clear()
    take_step({}, 2, state)
    assert calls == ["step", "update_sigma", "write_weights"] * 2
    assert state.controls.steps == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gradients_of_micro_batches_add_up_in_float32(dtype):
    random = torch.Generator().manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1, bias=False), torch.nn.BatchNorm2d(4))
    optimizer = SpectralAdam(net, 1e-3, (0.5, 0.99), random, dtype)
    x = torch.randn(2, 3, 2, 2, generator=random).to(dtype)
    optimizer.accumulate_grads(net[0](x).float().sum() * 3e-3)
    (gradient,) = (master.grad.clone() for master in optimizer.masters.values())
    optimizer.accumulate_grads(net[0](x).float().sum() * 1e-3)
    for _ in range(2):
        optimizer.accumulate_grads(net[0](x).float().sum() * 1e-3, more=True)
    (added,) = (master.grad for master in optimizer.masters.values())
    torch.testing.assert_close(added, gradient, rtol=1e-2 if dtype == torch.bfloat16 else 2e-3, atol=0)
    assert added.dtype == torch.float32


@given(processes=st.integers(1, 4), parts=st.integers(1, 4), images=st.integers(1, 3), dim=st.integers(0, 1))
def test_parts_of_shares_make_up_what_one_process_draws_at_once(processes, parts, images, dim):
    def draw(count: int) -> torch.Tensor:
        shape = [2, 2]
        shape[dim] = count
        return shared_batch.normal(shape, torch.Generator().manual_seed(5), dim=dim)

    whole, pieces = draw(processes * parts * images), {}
    for rank in range(processes):
        with shared_batch.shared_among(Processes(rank, processes)):
            for number in range(parts):
                with shared_batch.micro_batches(parts, number):
                    pieces[number, rank] = draw(images)
            with shared_batch.micro_batches(parts):
                mine = draw(parts * images)
        assert torch.equal(mine, torch.cat([pieces[number, rank] for number in range(parts)], dim))
    assert torch.equal(torch.cat([pieces[key] for key in sorted(pieces)], dim), whole)


def test_a_resumed_run_in_micro_batches_ends_with_the_same_bits(photos, tmp_path):
    recipe = EVERY_PART | {"micro_batch": 2, "precision": "fp16", "steps": 2}
    whole, parted = small(photos, tmp_path / "whole", **recipe), small(photos, tmp_path / "parted", **recipe)
    train(whole, Quiet())
    train(dataclasses.replace(parted, steps=1), Quiet())
    train(parted, Quiet())
    require_same(saved(whole), saved(parted))
    assert {line["micro_batch"] for line in log_of(whole)} == {2}


@given(batch=st.integers(2, 200), micro_batch=st.integers(2, 200))
def test_fewer_at_once_is_the_next_part_of_the_batch(batch, micro_batch):
    less = smaller_micro_batch(micro_batch, batch)
    fitting = [part for part in range(2, micro_batch // 2 + 1) if batch % part == 0]
    assert less == (max(fitting) if fitting else None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"micro_batch": 3}, "micro_batch 3: does not divide batch 8 evenly; use 2, 4 or 8"),
        ({"micro_batch": 16}, "micro_batch 16: does not divide batch 8"),
        ({"micro_batch": 1}, "micro_batch 1: must be at least 2"),
        ({"batch": 1}, "batch 1: must be at least 2"),
        ({"batch": "auto", "micro_batch": 5}, "micro_batch 5: does not divide batch 8 evenly"),
    ],
)
def test_what_cannot_be_divided_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        default("-", **options)


def test_what_processes_cannot_share_out_is_refused():
    Processes(0, 2).check(8, CPU, 4)
    with pytest.raises(UsageError, match="micro_batch 2: cannot be shared out equally among 4 processes"):
        Processes(0, 4).check(8, CPU, 2)

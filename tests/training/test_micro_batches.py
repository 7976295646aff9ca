"""Micro-batches add up to the step of the whole batch, and are halved where memory runs out."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from handful.compute import shared_batch
from handful.compute.memory import is_out_of_memory, smaller_micro_batch
from handful.compute.processes import Processes
from handful.config.presets import default, tiny
from handful.config.train import TrainConfig
from handful.errors import TrainingError, UsageError
from handful.networks.layers import BatchNorm
from handful.objective.losses import Objective, absolute_difference
from handful.optim.spectral_adam import SpectralAdam
from handful.progress import Quiet
from handful.training import step as step_module
from handful.training.accumulate import Accumulator
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.state import State
from handful.training.step import Step
from notes import Notes
from parts import EVERY_PART

CPU = torch.device("cpu")
NO_MEMORY = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    " 1099511627776 bytes. Error code 12 (Cannot allocate memory)"
)
PLAIN = {"size": 32, "width": 8, "channels": 3, "device": "cpu", "precision": "fp32", "compile": "off", "seed": 4}
"""Seed 0 has a LeakyReLU that turns over by rounding (see test_processes.KINKS): 3e-4 where other seeds have 1e-7."""
DIVIDED = {"augment_probability": 0.8, "steps": 3, "checkpoint_every": 2}


def small(photos: Path, run: Path, **options) -> TrainConfig:
    short = {"size": 32, "width": 8, "steps": 4, "batch": 4, "log_every": 1, "sample_every": 100, "device": "cpu"}
    short |= {"precision": "fp32", "compile": "off", "report": False, "checkpoint_every": 100}
    return tiny(photos, run=run, **short | options)


def saved(config: TrainConfig) -> dict[str, torch.Tensor]:
    return load_file(every(config.folder / "checkpoints")[-1] / "state.safetensors")


def require_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], kind: str) -> float:
    """Say how far all tensors of a kind are from others, relative to their norm."""
    names = [name for name in one if name.startswith(kind)]
    assert names, kind
    first, second = (torch.cat([each[name].double().flatten() for name in names]) for each in (one, other))
    return float((first - second).norm() / first.norm())


@pytest.fixture
def without_statistics(monkeypatch):
    """Take the statistics of a batch out of the networks: then a part's images do not see each other."""

    def forward(norm, x):
        shape = (1, -1, 1, 1)
        return x * norm.weight.view(shape).to(x.dtype) + norm.bias.view(shape).to(x.dtype)

    monkeypatch.setattr(BatchNorm, "forward", forward)


def a_step(options: dict, micro_batch: int, state: State | None = None) -> tuple[dict[str, torch.Tensor], State]:
    config = tiny("-", **PLAIN | options)
    images = torch.randint(0, 255, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    state = state or State.fresh(config, CPU)
    state.micro_batch = micro_batch
    return Step(config, state, images, absolute_difference)(), state


@pytest.mark.parametrize("micro_batch", [2, 4])
@pytest.mark.parametrize("options", [{}, EVERY_PART])
def test_parts_compute_what_the_whole_batch_computes(options, micro_batch, without_statistics):
    losses, whole = a_step(options, 8)
    others, divided = a_step(options, micro_batch)
    assert losses.keys() == others.keys()
    for name, value in losses.items():
        assert others[name].item() == pytest.approx(value.item(), abs=1e-5), name
    one, other = whole.tensors(), divided.tensors()
    for player in ("discriminator", "generator"):
        for kind in ("exp_avg.", "exp_avg_sq."):
            assert apart(one, other, f"{player}_optimizer.{kind}") < (1e-4 if player == "generator" else 1e-5)
    require_same(*({k: v for k, v in each.items() if k.startswith("controls.st")} for each in (one, other)))
    assert apart(one, other, "average.") < 1e-3


def test_batch_statistics_are_those_of_a_part():
    """Else the memory of the whole batch would be needed; this is what micro_batch changes."""
    (whole, _), (divided, _) = a_step({}, 8), a_step({}, 2)
    assert abs(whole["discriminator"] - divided["discriminator"]) > 1e-5


def test_weights_are_normalised_and_averaged_once_a_step_whatever_the_parts(monkeypatch):
    calls = []
    for name in ("step", "iterate", "write"):
        usual = getattr(SpectralAdam, name)
        monkeypatch.setattr(
            SpectralAdam, name, lambda self, *names, usual=usual, name=name: calls.append(name) or usual(self, *names)
        )
    state = a_step({}, 8)[1]
    calls.clear()
    a_step({}, 2, state)
    assert calls == ["step", "iterate", "write"] * 2
    assert state.controls.steps == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gradients_of_parts_add_up_in_float32(dtype):
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


def test_a_resumed_run_in_parts_ends_with_the_same_bits(photos, tmp_path):
    recipe = EVERY_PART | {"micro_batch": 2, "precision": "fp16", "steps": 3}
    whole, parted = small(photos, tmp_path / "whole", **recipe), small(photos, tmp_path / "parted", **recipe)
    train(whole, Quiet())
    train(dataclasses.replace(parted, steps=2), Quiet())
    train(parted, Quiet())
    require_same(saved(whole), saved(parted))
    lines = [json.loads(line) for line in (whole.folder / "log.jsonl").read_text().splitlines()]
    assert {line["micro_batch"] for line in lines} == {2}


class Failing:
    """A function that runs out of memory at its nth call from when it is armed, and once only."""

    def __init__(self, usual, call: int, error: Exception):
        self.usual, self.left, self.error, self.armed = usual, call, error, False

    def __call__(self, *arguments, **named):
        self.left -= self.armed
        if self.armed and self.left == 0:
            raise self.error
        return self.usual(*arguments, **named)


PLACES = [
    (Step, "draw", 1, "anew"),
    (Step, "generate", 1, "before"),
    (Objective, "discriminator", 1, "before"),
    (torch.autograd, "grad", 1, "before"),
    (torch.autograd, "grad", 2, "between"),
    (Objective, "generator", 1, "between"),
    (SpectralAdam, "pull_gradients", 1, "anew"),
    (SpectralAdam, "write", 1, "anew"),
    (SpectralAdam, "iterate", 2, "anew"),
    (step_module, "blend", 1, "anew"),
]


@pytest.fixture(scope="module")
def by_hand(photos, tmp_path_factory) -> dict[bool, TrainConfig]:
    """Runs that are divided at step 3 before all of it, and between its halves."""
    runs = {}
    for between in (False, True):
        runs[between] = small(photos, tmp_path_factory.mktemp("by hand") / "run", **DIVIDED)
        home = Accumulator if between else Step
        usual = home.__call__

        def halved(self, *arguments, between=between, usual=usual):
            accumulate = self if between else self.accumulate
            due = not between or arguments[1] is self.state.generator_optimizer
            if due and self.state.step == 2 and accumulate.count == 1:
                accumulate.halve(NO_MEMORY)
            return usual(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(home, "__call__", halved)
            train(runs[between], Quiet())
    return runs


@pytest.mark.parametrize(("home", "name", "call", "when"), PLACES, ids=[f"{place[1]} {place[2]}" for place in PLACES])
def test_a_step_that_ran_out_of_memory_is_that_of_a_run_divided_there_by_hand(
    photos, by_hand, tmp_path, monkeypatch, home, name, call, when
):
    """Step 3 fails. ``before``: it is divided as a whole. ``between``: the generator's half of it. ``anew``: what was
    half done is undone, back to the checkpoint after step 2."""
    config = small(photos, tmp_path / "failing", **DIVIDED)
    failing = Failing(getattr(home, name), call, NO_MEMORY)
    notes, usual = Notes(), Step.__call__

    def armed(step):
        failing.armed = step.state.step == 2
        return usual(step)

    with monkeypatch.context() as patch:
        patch.setattr(home, name, lambda *arguments, **named: failing(*arguments, **named))
        patch.setattr(Step, "__call__", armed)
        train(config, notes)
    assert failing.left <= 0
    assert any(
        "step 3: memory ran out with 4 images at once; the step was taken again with 2" in x for x in notes.lines
    )

    require_same(saved(config), saved(by_hand[when == "between"]))
    assert [path.name[-1] for path in every(config.folder / "checkpoints")] == ["2", "3"]


def test_a_run_that_ran_out_of_memory_stays_near_one_that_did_not(photos, tmp_path, monkeypatch, without_statistics):
    whole, config = (small(photos, tmp_path / run, steps=1, batch=8) for run in ("whole", "failing"))
    train(whole, Quiet())
    failing = Failing(Objective.generator, 1, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    failing.armed = True
    monkeypatch.setattr(Objective, "generator", lambda *arguments: failing(*arguments))
    train(config, Quiet())
    assert apart(saved(whole), saved(config), "discriminator_optimizer.") == 0
    assert apart(saved(whole), saved(config), "generator_optimizer.exp_avg.") < 1e-4


def test_a_resumed_run_stays_divided_and_ends_with_the_same_bits(photos, tmp_path, monkeypatch):
    whole, parted = (small(photos, tmp_path / run, steps=3) for run in ("whole", "parted"))
    for config, stops in ((whole, [3]), (parted, [2, 3])):
        failing = Failing(Objective.discriminator, 2, NO_MEMORY)
        failing.armed = True
        with monkeypatch.context() as patch:
            patch.setattr(Objective, "discriminator", lambda *a, failing=failing, **n: failing(*a, **n))
            for steps in stops:
                train(dataclasses.replace(config, steps=steps), Quiet())
    require_same(saved(whole), saved(parted))
    lines = [json.loads(line) for line in (parted.folder / "log.jsonl").read_text().splitlines()]
    assert [line["micro_batch"] for line in lines] == [4, 2, 2]


def test_a_run_that_cannot_be_divided_further_stops_and_keeps_its_checkpoint(photos, tmp_path, monkeypatch):
    config = small(photos, tmp_path / "run", checkpoint_every=1)
    usual, states = Objective.discriminator, []

    def greedy(self, *arguments, **named):
        states.append(None)
        if len(states) > 2:
            raise MemoryError
        return usual(self, *arguments, **named)

    monkeypatch.setattr(Objective, "discriminator", greedy)
    with pytest.raises(TrainingError, match=r"step 3: memory ran out with micro-batches of 2 images.*recompute"):
        train(config, Quiet())
    assert len(states) == 4  # four at once, then two
    assert every(config.folder / "checkpoints")[-1].name == "step-00000002"


def test_other_errors_are_not_taken_for_a_lack_of_memory(photos, tmp_path, monkeypatch):
    def broken(self, *arguments, **named):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Objective, "discriminator", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(small(photos, tmp_path / "run"), Quiet())
    assert is_out_of_memory(NO_MEMORY)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(real.value)


def test_several_processes_say_what_to_give():
    config = tiny("-", **PLAIN)
    accumulate = Accumulator(config, State.fresh(config, CPU), Processes(1, 2))
    error = MemoryError()
    with pytest.raises(MemoryError):
        accumulate.halve(error)
    assert "--micro-batch 8; give a lower one" in error.__notes__[0]


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

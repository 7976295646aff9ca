"""A step that runs out of memory is repeated in smaller micro-batches, bit for bit as if it had begun with them."""

import dataclasses

import pytest
import torch
from small_runs import CPU, apart, log_of, require_same, saved, small

from handful.compute.memory import is_out_of_memory
from handful.compute.processes import Processes
from handful.config.train import TrainConfig
from handful.errors import TrainingError
from handful.objective.losses import Objective
from handful.optim.spectral_adam import SpectralAdam
from handful.progress import Quiet
from handful.training import step as step_module
from handful.training.accumulate import Accumulator
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.state import State
from handful.training.step import Step
from notes import Notes

NO_MEMORY = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    " 1099511627776 bytes. Error code 12 (Cannot allocate memory)"
)
HALVED = {"augment_probability": 0.8, "steps": 3, "checkpoint_every": 2}


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
    (SpectralAdam, "convert_gradients", 1, "anew"),
    (SpectralAdam, "write_weights", 1, "anew"),
    (SpectralAdam, "update_sigma", 2, "anew"),
    (step_module, "blend", 1, "anew"),
]


@pytest.fixture(scope="module")
def by_hand(photos, tmp_path_factory) -> dict[bool, TrainConfig]:
    """Runs that are halved at step 3 before all of it, and between its halves."""
    runs = {}
    for between in (False, True):
        runs[between] = small(photos, tmp_path_factory.mktemp("by hand") / "run", **HALVED)
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


@pytest.mark.slow
@pytest.mark.parametrize(("home", "name", "call", "when"), PLACES, ids=[f"{place[1]} {place[2]}" for place in PLACES])
def test_a_step_that_ran_out_of_memory_is_that_of_a_run_halved_there_by_hand(
    photos, by_hand, tmp_path, monkeypatch, home, name, call, when
):
    """Step 3 fails. ``before``: it is halved as a whole. ``between``: the generator's half of it. ``anew``: what was
    half done is undone, back to the checkpoint after step 2."""
    config = small(photos, tmp_path / "failing", **HALVED)
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
        "step 3: memory ran out with micro-batches of 4 images; repeated the step with 2" in x for x in notes.lines
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


def test_a_resumed_run_stays_halved_and_ends_with_the_same_bits(photos, tmp_path, monkeypatch):
    whole, parted = (small(photos, tmp_path / run, steps=3) for run in ("whole", "parted"))
    for config, stops in ((whole, [3]), (parted, [2, 3])):
        failing = Failing(Objective.discriminator, 2, NO_MEMORY)
        failing.armed = True
        with monkeypatch.context() as patch:
            patch.setattr(Objective, "discriminator", lambda *a, failing=failing, **n: failing(*a, **n))
            for steps in stops:
                train(dataclasses.replace(config, steps=steps), Quiet())
    require_same(saved(whole), saved(parted))
    assert [line["micro_batch"] for line in log_of(parted)] == [4, 2, 2]


def test_a_run_that_cannot_be_halved_further_stops_and_keeps_its_checkpoint(photos, tmp_path, monkeypatch):
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
    config = small("-", "-", batch=8)
    accumulate = Accumulator(config, State.fresh(config, CPU), Processes(1, 2))
    error = MemoryError()
    with pytest.raises(MemoryError):
        accumulate.halve(error)
    assert "--micro-batch 8; start a new run with a lower one" in error.__notes__[0]

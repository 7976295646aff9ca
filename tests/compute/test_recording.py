"""A step can be recorded once and replayed, as a CUDA graph does it."""

import pytest
import torch
from steps import config, run, step_of
from tape import Taped

from handful.config.presets import PUBLISHED
from handful.objective import losses
from handful.training import step as step_module
from parts import EVERY_PART


@pytest.mark.slow
@pytest.mark.parametrize("options", [PUBLISHED, {"precision": "fp16"}, EVERY_PART | {"precision": "bf16"}])
def test_a_recorded_step_can_be_replayed_in_the_same_memory(options):
    """No waiting for the device, no number from the host, nothing that moves: what a CUDA graph needs."""
    plain, captured = (step_of(config(**{"batch": 2} | options)) for _ in range(2))
    captured.captured = Taped(captured.take, captured.random)
    assert run(plain, 3) == run(captured, 3)  # taken, recorded, replayed
    for name, value in plain.state.tensors().items():
        assert torch.equal(value, captured.state.tensors()[name]), name


def test_a_step_that_waits_for_the_device_is_noticed(monkeypatch):
    usual = losses.generator_loss

    def waiting(logits):
        loss = usual(logits)
        return loss if loss.item() < 1e9 else -loss

    monkeypatch.setattr(losses, "generator_loss", waiting)
    step = step_of(config())
    step.captured = Taped(step.take, step.random)
    with pytest.raises(AssertionError, match="waits for the device"):
        run(step, 2)


def test_a_number_of_the_host_in_a_step_is_noticed(monkeypatch):
    usual = step_module.blend
    monkeypatch.setattr(
        step_module,
        "blend",
        lambda average, latest, keep: usual(average, latest, torch.tensor(0.5 + captured.state.step / 10)),
    )
    captured = step_of(config(batch=2))
    run(captured, 3)
    expected = {name: value.clone() for name, value in captured.state.tensors().items()}
    captured = step_of(config(batch=2))
    captured.captured = Taped(captured.take, captured.random)
    run(captured, 3)
    assert not all(torch.equal(value, expected[name]) for name, value in captured.state.tensors().items())

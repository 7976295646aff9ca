"""Memory: what a step keeps for its backward pass, and what stays allocated between steps."""

import gc
import subprocess
import sys

import pytest
import torch
from steps import config, run, step_of
from torch.utils.weak import WeakTensorKeyDictionary

from handful.training.step import Step


def test_recomputing_changes_no_bit_of_a_step():
    kept, recomputed = (step_of(config(batch=2, recompute=recompute)) for recompute in (False, True))
    assert recomputed.state.generator.blocks["16"].recompute
    assert run(kept, 2) == run(recomputed, 2)
    for name, value in kept.state.tensors().items():
        assert torch.equal(value, recomputed.state.tensors()[name]), name


def saved_for_backward(step: Step) -> int:
    """Bytes that a step keeps for its backward passes, each memory counted once."""
    kept = WeakTensorKeyDictionary()
    seen: dict[int, int] = {}

    def pack(tensor):
        kept[tensor] = True
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(seen.values())


def test_recomputing_keeps_less():
    size = {"size": 64, "batch": 8}
    assert saved_for_backward(step_of(config(recompute=True, **size))) < 0.6 * saved_for_backward(
        step_of(config(**size))
    )


def test_nothing_grows_from_step_to_step():
    step = step_of(config(precision="bf16", batch=2))

    def living() -> int:
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    run(step, 2)
    before = living()
    run(step, 4)
    assert living() == before


@pytest.mark.soak
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_memory_does_not_grow_over_thousands_of_steps(precision):
    script = f"""
import torch
from handful.compute.memory import keep_freed_memory
from handful.training.state import State
from handful.config.presets import tiny
from handful.objective.losses import absolute_difference
from handful.training.step import Step
from pathlib import Path
keep_freed_memory()
options = {{"size": 32, "channels": 3, "batch": 4, "device": "cpu", "compile": "off", "projected_weight": 0.0}}
config = tiny("-", precision="{precision}", **options)
images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
step = Step(config, State.fresh(config, torch.device("cpu")), images, absolute_difference)
def steps(count):
    for _ in range(count):
        step()
        step.state.step += 1
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024
start = steps(300)
print(start, steps(4_000))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    start, end = map(float, done.stdout.split())
    assert end - start < 16, (start, end)

"""What only a CUDA device shows: recorded and compiled steps against plain ones, memory, resuming, pictures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from handful.compute.compiling import can_compile
from handful.compute.precision import arithmetic
from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.losses import absolute_difference
from handful.sampling.generate import generate
from handful.sampling.load import load
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.state import State
from handful.training.step import Step
from notes import Notes
from parts import EVERY_PART

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),
]
GPU = torch.device("cuda")
FIRST = 5
"""Steps after which a step is recorded."""


def config(**options) -> TrainConfig:
    usual = {"size": 64, "channels": 3, "width": 16, "batch": 4, "precision": "fp32", "compile": "off"}
    usual |= {"projected_weight": 0.0}
    return tiny("-", **usual | {"device": "cuda"} | options)


def images(count: int = 16, size: int = 64) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=random)


def step_of(options: TrainConfig, where: torch.device = GPU) -> Step:
    device = torch.device(options.device)
    made = images(size=options.shape[0]).to(where)
    backbone = EfficientNet() if options.projected_weight else None
    return Step(options, State.fresh(options, device, backbone), made, absolute_difference)


def steps(step: Step, count: int) -> list[dict[str, float]]:
    losses = []
    with arithmetic(step.config.precision):
        for _ in range(count):
            losses.append(step())
            step.state.step += 1
    return [{name: float(value) for name, value in each.items()} for each in losses]


def plain(step: Step) -> Step:
    step.captured = None
    return step


def require_same(one: State, other: State) -> None:
    for name, value in one.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "tf32"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "bf16", "recompute": True},
    ],
)
def test_a_recorded_step_is_the_plain_one_bit_for_bit(options):
    one, other = step_of(config(**options)), plain(step_of(config(**options)))
    assert steps(one, FIRST + 3) == steps(other, FIRST + 3)
    assert one.captured.calls == FIRST + 3
    require_same(one.state, other.state)


def test_every_part_can_be_recorded():
    options = EVERY_PART | {"precision": "bf16", "projected_weight": 0.5}
    one, other = step_of(config(**options)), plain(step_of(config(**options)))
    count = FIRST + 4
    recorded, taken = steps(one, count), steps(other, count)
    for name in recorded[0].keys() - {"accuracy_real", "accuracy_fake"}:  # signs, which rounding turns over
        assert recorded[0][name] == pytest.approx(taken[0][name], rel=0.05, abs=0.05), name
    assert all(np.isfinite(list(losses.values())).all() for losses in recorded)
    assert one.captured.calls == count


def test_images_in_main_memory_are_fetched_while_a_step_is_recorded():
    one, other = step_of(config(), torch.device("cpu")), step_of(config())
    assert steps(one, FIRST + 3) == steps(other, FIRST + 3)
    require_same(one.state, other.state)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_step_never_waits_for_the_device(recorded):
    step = step_of(config(precision="bf16", projected_weight=0.5))
    if not recorded:
        plain(step)
    steps(step, FIRST + 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with arithmetic("bf16"):
            losses = step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(value.isfinite() for value in losses.values())


def test_the_first_step_is_that_of_the_cpu():
    gpu, cpu = step_of(config()), step_of(config(device="cpu"), torch.device("cpu"))
    for name, value in cpu.state.generator.named_parameters():
        assert torch.allclose(value, dict(gpu.state.generator.named_parameters())[name].cpu(), atol=1e-5), name


COMPILED = """
import torch
from handful.networks import latent
from handful.networks.calibrate import calibrate
from handful.training.state import State
from handful.config.presets import tiny
from handful.objective.losses import absolute_difference
from handful.compute.precision import arithmetic
from handful.sampling.model import Model
from handful.training.step import Step

GPU = torch.device("cuda")

def run(compile, precision, count):
    usual = {"device": "cuda", "precision": precision, "compile": compile, "projected_weight": 0.0}
    config = tiny("-", size=64, channels=3, width=16, batch=4, **usual)
    images = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    step = Step(config, State.fresh(config, GPU), images.to(GPU), absolute_difference)
    losses = []
    with arithmetic(precision):
        for _ in range(count):
            losses.append({name: float(value) for name, value in step().items()})
            step.state.step += 1
    return losses, step.state

for precision, close in (("fp32", 1e-3), ("bf16", 0.06)):
    plain, state = run("off", precision, 1)
    compiled, other = run("on", precision, 8)
    for name in ("discriminator", "generator", "reconstruction"):
        one, two = plain[0][name], compiled[0][name]
        assert abs(one - two) < close * max(1, abs(one)), (precision, name, one, two)
    for player in ("generator_optimizer", "discriminator_optimizer"):
        _, first = run("on", precision, 1)
        for name, master in getattr(first, player).masters.items():
            wanted = getattr(state, player)
            likeness = torch.nn.functional.cosine_similarity(
                master.grad.flatten(), wanted.masters[name].grad.flatten(), dim=0)
            assert likeness > (0.999 if precision == "fp32" else 0.9), (precision, player, name, likeness)
            # Adam's first step goes by signs, which rounding turns over: bf16 alone moves sigma by 0.002 (on a CPU).
            near = 2e-3 if precision == "fp32" else 1e-2
            one, two = (each.sigma[name] for each in (getattr(first, player), wanted))
            assert torch.allclose(one, two, rtol=near), (precision, player, name, one, two)
    again, third = run("on", precision, 8)
    assert again == compiled, precision
    assert all(torch.equal(value, third.tensors()[name]) for name, value in other.tensors().items()), precision

calibrate(state.average)
z, noise = latent.from_seeds(range(4), state.average.config.latent, state.average.noise_shapes, GPU)
exact = Model(state.average, "fp32").draw(z, noise)
for precision, close in (("fp32", 1e-3), ("bf16", 0.03), ("fp16", 0.01)):
    drawn = Model(state.average, precision, compile=True).draw(z, noise)
    assert (drawn - exact).abs().mean() < close, (precision, (drawn - exact).abs().mean())
print("equal")
"""


def test_what_is_compiled_equals_the_plain_and_repeats_itself():
    """In a process of its own, where nothing checks the shapes at each call: the compiler would compile that too."""
    if not can_compile(GPU):
        pytest.skip("there is no Triton")
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip().endswith("equal"), done.stderr[-3000:]


def test_memory_does_not_grow():
    step = step_of(config(precision="bf16"))
    steps(step, FIRST + 5)
    before = torch.cuda.memory_allocated()
    steps(step, 300)
    assert torch.cuda.memory_allocated() == before


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(random.integers(0, 255, (4, 4, 3), np.uint8)).resize((64, 64)).save(folder / f"{index:02d}.png")
    return folder


def options(photos: Path, run: Path, **more) -> TrainConfig:
    short = {"size": 64, "width": 16, "steps": 16, "batch": 4, "log_every": 1, "sample_every": 100, "report": False}
    return tiny(photos, run=run, **short | {"device": "cuda", "checkpoint_every": 7, "keep": 3} | more)


@pytest.mark.parametrize("more", [{}, {"precision": "fp32"}])
def test_a_run_goes_on_with_the_bits_of_one_that_never_stopped(photos, tmp_path, more):
    train(options(photos, tmp_path / "whole", **more))
    train(options(photos, tmp_path / "parts", **more | {"steps": 9}))
    train(options(photos, tmp_path / "parts", **more))
    one, other = (
        load_file(every(tmp_path / name / "checkpoints")[-1] / "state.safetensors") for name in ("whole", "parts")
    )
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_a_seed_means_the_same_picture_as_on_the_cpu(photos, tmp_path):
    train(options(photos, tmp_path / "run", score_every=8))
    exact = load(tmp_path / "run", "cpu").sample(range(6)).float()
    for precision, close in (("fp32", 0.2), ("bf16", 2), ("fp16", 1)):
        drawn = load(tmp_path / "run", "cuda", precision).sample(range(6)).float()
        assert (drawn - exact).abs().mean() < close, precision
    generate(tmp_path / "run", seeds="0-40", out=tmp_path / "out", device="cuda")
    assert len(list((tmp_path / "out").glob("*.png"))) == 41


def test_memory_that_runs_out_is_met_by_parts(photos, tmp_path):
    """Of a GPU with little memory: the run goes on, with smaller_micro_batch images at once."""
    run = {"size": 256, "batch": 32, "steps": 3, "width": 32, "precision": "bf16", "compile": "off"}
    torch.cuda.empty_cache()
    least = torch.cuda.memory_reserved() + 2_000 * 2**20
    torch.cuda.set_per_process_memory_fraction(least / torch.cuda.get_device_properties(0).total_memory)
    notes = Notes()
    try:
        train(options(photos, tmp_path / "run", **run), notes)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("memory ran out with micro-batches of 32 images" in line for line in notes.lines)

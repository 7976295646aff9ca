"""Measure how fast this machine trains and generates, relative to its own matrix multiplication.

Training, generation and matrix multiplication are timed in turn, so that disturbances affect all of them. Rounds in
which matrix multiplication was unusually slow or fast are left out.
"""

from __future__ import annotations

import dataclasses
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, final

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from handful.compute.device import choose_device, hardware, prepare_device
from handful.compute.memory import peak_memory
from handful.compute.precision import PRECISIONS, arithmetic, seconds
from handful.config.checks import checked
from handful.config.choices import Precision, Preset, SamplingPrecision
from handful.config.presets import configure
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.networks import latent
from handful.networks.calibrate import calibrate
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.losses import Distance, absolute_difference
from handful.progress import Progress, advance, note, shown_on
from handful.sampling.model import Model
from handful.training.benchmark_result import Benchmark
from handful.training.resolve import choose_compile, choose_precision
from handful.training.state import State
from handful.training.step import Step

IMAGES = 32
"""Random images to train on; a step takes as long on any others."""

WARM_UP_STEPS = 5
"""Steps before the timed ones; they allocate memory, and on CUDA capture the step."""

BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes tried for generation."""

MAX_PIXELS = 2**24
"""Pixels generated at once: 16 images of 1024 px."""

MIN_PIECE_SECONDS = 0.2
"""A piece that takes less is repeated within a round."""

MAX_DRIFT = 0.1
"""Relative difference of a round's matrix multiplication from the median, above which it is left out."""

MATRIX_SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}
"""Rows and columns of the matrices."""


@checked
def bench(
    size: int | str | None = None,
    batch: int | None = None,
    preset: Preset = "default",
    perceptual: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
    compile: Literal["auto", "on", "off"] = "auto",
    recompute: bool = False,
    rounds: int = 7,
    progress: Progress | None = None,
) -> Benchmark:
    """Measure training and generation on this machine. Takes from half a minute to several minutes; writes nothing.

    Args:
        size: Image size in pixels: a number for squares, or width x height as in 768x512. Default: the
            preset's.
        batch: Images in a step. Default: the preset's.
        preset: Source of the networks and other defaults.
        perceptual: Include LPIPS in the step, with random weights, which take as long.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: auto, fp32, tf32, bf16 or fp16; auto as in training.
        compile: auto: as a long run does.
        recompute: Recompute activations in the backward pass instead of storing them.
        rounds: Number of measurements; medians are reported.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: An option makes no sense, or the device or precision is not available.
    """
    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: must be at least 1")
    chosen = choose_device(device)
    given: dict[str, Any] = {"precision": precision, "compile": compile, "recompute": recompute}
    given |= {name: value for name, value in {"size": size, "batch": batch}.items() if value is not None}
    config = configure("-", preset, channels=3, **given)
    config = dataclasses.replace(config, device=str(chosen), precision=choose_precision(config, chosen))
    config = dataclasses.replace(config, compile=choose_compile(config, chosen))
    prepare_device(chosen)
    with shown_on(progress), arithmetic(config.precision):
        return measure(config, chosen, perceptual, rounds)


@final
class Bench:
    """A run on random images, ready to be timed.

    Args:
        config: Options, none automatic.
        device: Where to measure.
        perceptual: Whether LPIPS is part of the step, with random weights.
    """

    def __init__(self, config: TrainConfig, device: torch.device, perceptual: bool) -> None:
        self.config, self.device, self.perceptual = config, device, perceptual
        precision = PRECISIONS[config.precision]
        self.distance: Distance = absolute_difference
        if perceptual:
            self.distance = Perceptual().to(device).for_training(precision, config.recompute)
        random = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (IMAGES, 3, *config.shape), dtype=torch.uint8, generator=random).to(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        start = time.perf_counter()
        self.state = fresh_state(config, device)
        self.step = Step(config, self.state, self.images, self.distance)
        build_seconds = time.perf_counter() - start
        self.first_step_seconds = build_seconds + seconds(self.train)
        for done in range(1, WARM_UP_STEPS):
            advance("warming up", done, WARM_UP_STEPS - 1)
            self.train()
        self.peak_memory_mb = peak_memory(device)
        calibrate(self.state.average)

    def train(self) -> None:
        """Take a training step."""
        self.step()
        self.state.step += 1

    def sampler(self, batch: int, compile: bool) -> Callable[[], object]:
        """Return a function that generates a batch of images."""
        name = self.config.precision
        precision: SamplingPrecision = name if name in ("bf16", "fp16") else "fp32"
        model = Model(self.state.average, precision, compile=compile)
        random = torch.Generator(self.device).manual_seed(0)
        z, noise = latent.draw(batch, self.config.generator.latent, self.state.average.noise_shapes, random)
        return lambda: model.draw(z, noise)

    def best_batch(self) -> int:
        """Return the batch size that generates the most images per second."""
        pixels = math.prod(self.config.shape)
        sizes = [size for size in BATCHES if size == 1 or size * pixels <= MAX_PIXELS]
        samplers = {size: self.sampler(size, compile=False) for size in sizes}
        rates = {size: size / min(seconds(sample) for _ in range(3)) for size, sample in samplers.items()}
        return max(rates, key=lambda size: rates[size])


@dataclass(frozen=True)
class Timing:
    """Median seconds of each piece over the steady rounds."""

    train: float
    single: float
    best: float
    multiply: float
    unsteady_rounds: int
    """Rounds left out because matrix multiplication took unusually long or short."""


def time_rounds(bench: Bench, best: int, rounds: int) -> Timing:
    """Time training, generation and matrix multiplication in turn, round after round."""
    compile, multiply = bench.config.compile == "on", multiplication(bench.device, PRECISIONS[bench.config.precision])
    multiply()
    pieces = {
        "before": multiply,
        "train": bench.train,
        "single": bench.sampler(1, compile),
        "best": bench.sampler(best, compile),
        "after": multiply,
    }
    repeats = {name: max(1, round(MIN_PIECE_SECONDS / seconds(piece))) for name, piece in pieces.items()}
    table: list[dict[str, float]] = []
    for done in range(rounds):
        advance("measuring", done + 1, rounds)
        table.append({name: mean_seconds(piece, repeats[name]) for name, piece in pieces.items()})
    usual = statistics.median(row[when] for row in table for when in ("before", "after"))
    steady = [row for row in table if all(abs(row[when] / usual - 1) <= MAX_DRIFT for when in ("before", "after"))]
    if not steady:
        note("the machine was not steady in any round; the figures are of all rounds, and not reliable")
    median = {name: statistics.median(row[name] for row in steady or table) for name in pieces}
    multiply_seconds = statistics.median([median["before"], median["after"]])
    return Timing(median["train"], median["single"], median["best"], multiply_seconds, rounds - len(steady))


def measure(config: TrainConfig, device: torch.device, perceptual: bool, rounds: int) -> Benchmark:
    """Measure what ``bench`` promises, for options that are settled."""
    note(f"measuring on {hardware(config.device)}, {config.precision}, {config.size} px, batch {config.whole_batch}")
    bench = Bench(config, device, perceptual)
    gflop = count_flop(config, device, bench.images, bench.distance) / 1e9
    best = bench.best_batch()
    timing = time_rounds(bench, best, rounds)
    peak = 2 * MATRIX_SIDE[device.type] ** 3 / timing.multiply / 1e9
    return Benchmark(
        hardware=hardware(config.device),
        versions=f"handful {version('handful')}, PyTorch {torch.__version__}, Python {platform.python_version()}",
        preset=config.preset,
        size=config.size,
        batch=config.whole_batch,
        precision=config.precision,
        compiled=config.compile == "on",
        perceptual=perceptual,
        train_images_per_second=round(config.whole_batch / timing.train, 3),
        train_seconds_per_step=round(timing.train, 5),
        train_gflop_per_step=round(gflop, 2),
        train_share_of_peak=round(gflop / timing.train / peak, 4),
        generate_images_per_second=round(1 / timing.single, 3),
        generate_images_per_second_best=round(best / timing.best, 3),
        generate_best_batch=best,
        peak_gflops=round(peak, 1),
        peak_memory_mb=round(bench.peak_memory_mb, 1),
        import_seconds=round(import_time(), 3),
        first_step_seconds=round(bench.first_step_seconds, 2),
        rounds=rounds,
        rounds_left_out=timing.unsteady_rounds,
    )


def count_flop(config: TrainConfig, device: torch.device, images: UInt8[Tensor, "n c h w"], distance: Distance) -> int:
    """Count the floating-point operations of a plain step.

    Counts at two small batches and extrapolates, since a plain step at the run's batch may not fit into memory. Both
    are even, as projected heads look at half of a batch.
    """
    counts: list[int] = []
    for batch in (2, 4):
        # In float32 no layer uses pixel blocks, whose zeros would count.
        plain = dataclasses.replace(config, batch=batch, precision="fp32", compile="off", recompute=False)
        step = Step(plain, fresh_state(plain, device), images, distance)
        with FlopCounterMode(display=False) as counter:
            step.take()
        counts.append(int(counter.get_total_flops()))
    return counts[0] + (config.whole_batch - 2) * (counts[1] - counts[0]) // 2


def fresh_state(config: TrainConfig, device: torch.device) -> State:
    """Build a run's state; projected heads look through a network with random weights, which takes as long."""
    return State.fresh(config, device, EfficientNet() if config.projected_weight else None)


def mean_seconds(function: Callable[[], object], times: int) -> float:
    """Return the mean seconds of several calls, after one that warms the caches."""

    def call_repeatedly() -> None:
        for _ in range(times):
            function()

    function()
    return seconds(call_repeatedly) / times


def multiplication(device: torch.device, precision: torch.dtype) -> Callable[[], object]:
    """Return a function that multiplies two large matrices."""
    side = MATRIX_SIDE[device.type]
    random = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(side, side, device=device, generator=random).to(precision) for _ in range(2))
    return lambda: left @ right


def import_time() -> float:
    """Return the seconds that Python takes to start and import all that training needs."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import handful.training.loop"], check=True)
    return time.perf_counter() - start

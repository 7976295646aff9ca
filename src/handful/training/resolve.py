"""Choose what is automatic in a run's options, and load the frozen networks that it needs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, final

import torch

from handful.compute.compiling import COMPILE_STEPS, COMPILERS, can_compile
from handful.compute.device import choose_device, hardware, prepare_device
from handful.compute.precision import PRECISIONS, best_precision
from handful.compute.processes import ALONE, Processes
from handful.config.choices import FeatureName, Precision
from handful.config.train import TrainConfig
from handful.data.survey import resolve_geometry
from handful.errors import MissingWeightsError, UsageError, WeightsError
from handful.metrics.features import Extractor, load_extractor, load_second, vgg16
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.feature_distance import FeatureDistance
from handful.objective.losses import Distance, absolute_difference
from handful.progress import note
from handful.tracking.tracker import require_tracker

NARROW = 32
"""Below this width, steps on a CPU are too cheap for compiling to pay off (dev/LOG.md, 2026-11-24)."""


@final
@dataclass(frozen=True)
class FrozenNetworks:
    """Networks that a run uses and does not train."""

    distance: Distance
    """How far a reconstruction is from its image."""
    extractor: Extractor
    """What scores compare features of."""
    second: Extractor | None
    """Another network that scores compare features of, if its weight file is there."""
    backbone: EfficientNet | None
    """What projected heads look through."""


NETWORKS = ("vgg16", "efficientnet")
"""That a reconstruction can be judged by."""


def resolve(config: TrainConfig, processes: Processes = ALONE) -> tuple[TrainConfig, FrozenNetworks]:
    """Choose device, precision, compiling, size, channels and features; load the frozen networks; tell the user.

    Raises:
        UsageError: The device, the precision or the tracker is not available.
        WeightsError: A weight file that was asked for cannot be had.
    """
    require_tracker(config.track)
    device = choose_device(config.device)
    prepare_device(device)
    precision = choose_precision(config, device)
    compile = choose_compile(config, device, processes)
    config = resolve_geometry(config, device)
    config = dataclasses.replace(config, device=str(device), precision=precision, compile=compile)
    describe_machine(config, processes)
    if config.perceptual in NETWORKS and not config.reconstruction:
        note(f"--perceptual {config.perceptual} has no effect with --no-reconstruction")
    network = load_perceptual(config, device)
    features, extractor = choose_features(config, network, device)
    second, why_none = (None, "") if features == "random" else load_second(features, device, config.weights)
    if config.projected_weight and features == "efficientnet" and second is None:
        note(f"scores by efficientnet flatter a run whose projected heads look through it too; {why_none}")
    distance: Distance = absolute_difference
    if network is not None:
        distance = network.for_training(PRECISIONS[precision], config.recompute)
    backbone = EfficientNet.pretrained(config.weights) if config.projected_weight else None
    perceptual: Literal["vgg16", "efficientnet", "none"] = "none"
    if not config.reconstruction and config.perceptual != "auto":
        perceptual = config.perceptual  # what was asked for stays in the options, as a resume compares them
    elif network is not None:
        perceptual = "vgg16" if isinstance(network, Perceptual) else "efficientnet"
    config = dataclasses.replace(config, perceptual=perceptual, score_features=features, learning_rate=config.step_size)
    config = dataclasses.replace(config, reconstruction_weight=config.weight_of_reconstruction)
    return config, FrozenNetworks(distance, extractor, second, backbone)


def describe_machine(config: TrainConfig, processes: Processes) -> None:
    """Tell the user where and how the run computes."""
    compiled = "compiled" if config.compile == "on" and processes.count == 1 else "not compiled"
    note(f"computing on {hardware(config.device)}, in {config.precision}, {compiled}")
    if processes.count > 1:
        share = config.whole_batch // processes.count
        note(f"{processes.count} processes, each with {share} of the {config.whole_batch} images of a batch")
    elif config.compile == "on":
        note("the first step compiles the networks, which takes a minute or two")


def load_perceptual(config: TrainConfig, device: torch.device) -> Perceptual | FeatureDistance | None:
    """Load the network of the perceptual loss; None if the run has none.

    Raises:
        WeightsError: A network was asked for by name, and its weights cannot be had.
    """
    if config.perceptual == "none" or not config.reconstruction:
        return None
    if config.perceptual != "efficientnet":
        try:
            return Perceptual.pretrained(config.weights).to(device)
        except WeightsError as error:
            if config.perceptual == "vgg16":
                raise
            missing = error.on_command_line
    try:
        distance = FeatureDistance(EfficientNet.pretrained(config.weights)).to(device)
    except WeightsError as error:
        if config.perceptual == "efficientnet":
            raise
        note(f"--perceptual auto: using none, the mean absolute difference, because {error.on_command_line}")
        return None
    if config.perceptual == "auto":
        note(f"--perceptual auto: using efficientnet, because {missing}")
    return distance


def choose_features(
    config: TrainConfig, network: Perceptual | FeatureDistance | None, device: torch.device
) -> tuple[FeatureName, Extractor]:
    """Choose and load the network that scores compare features of.

    Raises:
        WeightsError: It was asked for by name, and cannot be had.
    """
    named = config.score_features
    if isinstance(network, Perceptual) and named in ("auto", "vgg16"):
        return "vgg16", vgg16(network, device)
    if named != "auto":
        return named, load_extractor(named, device, config.weights)
    try:
        return "efficientnet", load_extractor("efficientnet", device, config.weights)
    except MissingWeightsError as error:
        note(f"--score-features auto: using random, an untrained network, because {error.on_command_line}")
        return "random", load_extractor("random", device)


def choose_precision(config: TrainConfig, device: torch.device) -> Precision:
    """Return the precision to compute in.

    Raises:
        UsageError: The device does not have the one that was asked for.
    """
    if config.precision == "auto":
        return best_precision(device)
    if config.precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32: needs CUDA, and the device is {device}; use fp32 or auto")
    return config.precision


def choose_compile(config: TrainConfig, device: torch.device, processes: Processes = ALONE) -> Literal["on", "off"]:
    """Return whether to compile the networks; by default, if the run is long enough to pay it back.

    Raises:
        UsageError: It was asked for and is not possible.
    """
    if processes.count > 1:
        if config.compile == "on":
            note("--compile on has no effect with several processes")
        return "on" if config.compile == "on" else "off"
    short = config.steps < COMPILE_STEPS.get(device.type, 0) or (device.type == "cpu" and config.width < NARROW)
    if config.compile == "off" or (config.compile == "auto" and short):
        return "off"
    if can_compile(device):
        return "on"
    if config.compile == "on":
        raise UsageError(f"--compile on: {device} needs a {COMPILERS}; install it, or use --compile off")
    note(f"networks are not compiled, because there is no {COMPILERS}")
    return "off"

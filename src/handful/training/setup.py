"""What a run starts from: the automatic choices settled, the images parted and placed, and the user told of both."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch

from handful.compute import device as machine
from handful.compute.compiling import COMPILE_STEPS, COMPILERS, can_compile
from handful.compute.device import choose_device, hardware
from handful.compute.precision import PRECISIONS, best_precision
from handful.compute.processes import ALONE, Processes
from handful.config.choices import FeatureName, Precision
from handful.config.train import TrainConfig, size_in_words
from handful.data.checkup.examine import quick_check
from handful.data.checkup.terminal import one_line
from handful.data.dataset import Dataset
from handful.data.survey import resolve_geometry
from handful.errors import MissingWeightsError, UsageError, WeightsError
from handful.files import printable
from handful.images.channels import CHANNEL_NAMES
from handful.metrics.features import Extractor, load_extractor, vgg16
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.losses import Distance, absolute_difference
from handful.progress import note
from handful.training import tensorboard as track

NARROW = 32
"""Width of networks whose steps are too cheap for compiling them to pay on a CPU (dev/LOG.md, 2026-11-24)."""


NAMED = 20
"""Files named in a message before the rest is only counted."""


def resolve(config: TrainConfig, processes: Processes = ALONE) -> tuple[TrainConfig, Distance, Extractor]:
    """Settle what is automatic: device, precision, compiling, how reconstructions are judged, what scores look through.

    Raises:
        UsageError: if the device or TensorBoard is not there, or the device has not the precision.
        WeightsError: if weight files were asked for and cannot be had.
    """
    if config.track:
        track.require()
    device = choose_device(config.device)
    machine.prepare_device(device)
    precision = choose_precision(config, device)
    compiled = choose_compile(config, device, processes)
    config = resolve_geometry(config, device)
    config = dataclasses.replace(config, device=str(device), precision=precision, compile=compiled)
    words = (
        "compiled in the first step, a minute or two" if compiled == "on" and processes.count == 1 else "not compiled"
    )
    note(f"computing on {hardware(config.device)}, in {precision}, {words}")
    if processes.count > 1:
        share = config.whole_batch // processes.count
        note(f"{processes.count} processes, each with {share} of the {config.whole_batch} images of a batch")
    for line in in_vain(config):
        note(line)
    reconstructs = config.reconstruction and config.discriminator != "projected"
    perceptual = config.perceptual if reconstructs or config.perceptual == "vgg16" else "none"
    network: Perceptual | None = None
    if reconstructs and perceptual != "none":
        try:
            network = Perceptual.pretrained(config.weights).to(device)
            perceptual = "vgg16"
        except WeightsError as error:
            if perceptual == "vgg16":
                raise
            note(f"--perceptual auto: taking none, the mean absolute difference, since {error.on_command_line}")
            perceptual = "none"
    features, extractor = score_features(config, network, device)
    distance: Distance = absolute_difference
    if network is not None:
        distance = network.for_training(PRECISIONS[precision], config.recompute)
    config = dataclasses.replace(config, perceptual=perceptual, score_features=features, learning_rate=config.step_size)
    return dataclasses.replace(config, reconstruction_weight=config.weight_of_reconstruction), distance, extractor


def score_features(
    config: TrainConfig, network: Perceptual | None, device: torch.device
) -> tuple[FeatureName, Extractor]:
    """Choose and load what scores look through.

    Raises:
        WeightsError: if what was asked for by name cannot be had.
    """
    named = config.score_features
    if network is not None and named in ("auto", "vgg16"):
        return "vgg16", vgg16(network, device)
    if named != "auto":
        return named, load_extractor(named, device, config.weights)
    if config.discriminator != "projected":  # which has seen ImageNet too
        try:
            return "efficientnet", load_extractor("efficientnet", device, config.weights)
        except MissingWeightsError as error:
            note(f"--score-features auto: taking random, which has never seen a photo, since {error.on_command_line}")
    return "random", load_extractor("random", device)


def in_vain(config: TrainConfig) -> list[str]:
    """Say which options have no effect beside the others, or another one than one might think."""
    lines = []
    if config.discriminator == "projected":
        idle = ["--reconstruction"] * config.reconstruction
        idle += ["--sharpen"] * (config.sharpen not in (0, TrainConfig.sharpen))
        idle += ["--perceptual vgg16"] * (config.perceptual == "vgg16")
        if idle:
            lines.append(f"without effect with --discriminator projected: {', '.join(idle)}")
        if config.score_features in ("efficientnet", "inception", "vgg16"):
            lines.append(
                f"--score-features {config.score_features} comes from ImageNet, as does what --discriminator projected"
                " looks through, so its scores flatter the run; those of random and dino do so less"
            )
    elif config.perceptual == "vgg16" and not config.reconstruction:
        lines.append("--perceptual vgg16 has no effect with --no-reconstruction")
    return lines


def pretrained(config: TrainConfig) -> EfficientNet | None:
    """Load what a projected discriminator looks through; none for another one.

    Raises:
        WeightsError: if its file cannot be had.
    """
    if config.discriminator != "projected":
        return None
    return EfficientNet.pretrained(config.weights)


def choose_precision(config: TrainConfig, device: torch.device) -> Precision:
    """Give the precision to compute in.

    Raises:
        UsageError: if the device has not the one that was asked for.
    """
    if config.precision == "auto":
        return best_precision(device)
    if config.precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32: is for CUDA, and the device is {device}; use fp32 or auto")
    return config.precision


def choose_compile(config: TrainConfig, device: torch.device, processes: Processes = ALONE) -> Literal["on", "off"]:
    """Say whether to compile: in runs long enough to repay it, where it can be done.

    Raises:
        UsageError: if it was asked for and cannot be done.
    """
    if processes.count > 1:
        if config.compile == "on":
            note("--compile on has no effect in several processes")
        return "on" if config.compile == "on" else "off"
    short = config.steps < COMPILE_STEPS.get(device.type, 0) or (device.type == "cpu" and config.width < NARROW)
    if config.compile == "off" or (config.compile == "auto" and short):
        return "off"
    if can_compile(device):
        return "on"
    if config.compile == "on":
        raise UsageError(f"--compile on: {device} needs a {COMPILERS}; install that, or train with off")
    note(f"not compiled, since there is no {COMPILERS}")
    return "off"


def tell(dataset: Dataset, config: TrainConfig) -> None:
    """Say what was found in the image folder, and name what the user may want to look after."""
    kind = CHANNEL_NAMES[dataset.images.shape[1]]
    note(f"{len(dataset.images)} images from {printable(config.images)}, at {size_in_words(config)}, {kind}")
    name_some("skipped, since it cannot be read", [str(problem) for problem in dataset.skipped])
    small = [printable(name) for name in dataset.small]
    name_some(f"enlarged, since it is smaller than {size_in_words(config)}", small)
    if dataset.ignored:
        endings = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in dataset.ignored.items())
        note(f"not looked at, by ending: {endings}")
    findings = quick_check(dataset, config)
    for finding in findings:
        note(f"  {finding.severity}: {one_line(finding)}")
    if findings:
        note(f"  handful check {printable(config.images)} says what to do about that")


def name_some(what: str, names: list[str]) -> None:
    """Name the first few of a list of files, and count the rest."""
    for name in names[:NAMED]:
        note(f"  {what}: {name}")
    if len(names) > NAMED:
        note(f"  {what}: {len(names) - NAMED} more")

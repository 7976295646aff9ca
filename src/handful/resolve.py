"""What a run starts from: the automatic choices settled, the images parted and placed, and the user told of both."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import re
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from handful import machine, track
from handful.channels import KINDS
from handful.classes import LEFT_OUT, Classes
from handful.config import Precision, TrainConfig, option
from handful.data import Dataset
from handful.doctor.examine import in_brief
from handful.doctor.words import in_a_line
from handful.efficientnet import EfficientNet
from handful.errors import MissingWeightsError, UsageError, WeightsError
from handful.latent import Purpose, fold
from handful.log import Watch
from handful.losses import Distance, absolute_difference
from handful.metrics.features import Extractor, load_extractor, vgg16
from handful.metrics.protocol import FeatureName
from handful.model import choose_device
from handful.perceptual import Perceptual
from handful.photos import readable
from handful.ranks import ALONE, Ranks
from handful.survey import fitted
from handful.weights import Progress

NARROW = 32
"""Width of networks whose steps are too cheap for compiling them to pay on a CPU (LOG.md, 2026-11-24)."""
FEWEST_TO_HOLD_BACK = 40
MOST_HELD_BACK = 32
NAMED = 20
"""Files named in a message before the rest is only counted."""


def resolve(config: TrainConfig, watch: Watch, ranks: Ranks = ALONE) -> tuple[TrainConfig, Distance, Extractor]:
    """Settle what is automatic: device, precision, compiling, how reconstructions are judged, what scores look through.

    Raises:
        UsageError: if the device or TensorBoard is not there, or the device has not the precision.
        WeightsError: if weight files were asked for and cannot be had.
    """
    if config.track:
        track.require()
    device = choose_device(config.device)
    machine.prepare(device)
    precision = choose_precision(config, device)
    compiled = choose_compile(config, device, watch, ranks)
    config = fitted(config, device, watch)
    config = dataclasses.replace(config, device=str(device), precision=precision, compile=compiled)
    words = "compiled in the first step, a minute or two" if compiled == "on" and ranks.count == 1 else "not compiled"
    watch.note(f"computing on {hardware(config.device)}, in {precision}, {words}")
    if ranks.count > 1:
        share = config.whole_batch // ranks.count
        watch.note(f"{ranks.count} processes, each with {share} of the {config.whole_batch} images of a batch")
    for line in in_vain(config):
        watch.note(line)
    reconstructs = config.reconstruction and config.discriminator != "projected"
    perceptual = config.perceptual if reconstructs or config.perceptual == "vgg16" else "none"
    network: Perceptual | None = None
    bar = downloading(watch)
    if reconstructs and perceptual != "none":
        try:
            network = Perceptual.pretrained(config.weights, progress=bar).to(device)
            perceptual = "vgg16"
        except WeightsError as error:
            if perceptual == "vgg16":
                raise
            watch.note(f"--perceptual auto: taking none, the mean absolute difference, since {error}")
            perceptual = "none"
    features, extractor = score_features(config, network, device, watch)
    distance: Distance = absolute_difference
    if network is not None:
        distance = network.reduced(machine.PRECISIONS[precision], config.recompute)
    config = dataclasses.replace(config, perceptual=perceptual, score_features=features, learning_rate=config.step_size)
    return dataclasses.replace(config, reconstruction_weight=config.weight_of_reconstruction), distance, extractor


def score_features(
    config: TrainConfig, network: Perceptual | None, device: torch.device, watch: Watch
) -> tuple[FeatureName, Extractor]:
    """Choose and load what scores look through.

    Raises:
        WeightsError: if what was asked for by name cannot be had.
    """
    bar = downloading(watch)
    named = config.score_features
    if network is not None and named in ("auto", "vgg16"):
        return "vgg16", vgg16(network, device)
    if named != "auto":
        return named, load_extractor(named, device, config.weights, progress=bar)
    if config.discriminator != "projected":  # which has seen ImageNet too
        try:
            return "efficientnet", load_extractor("efficientnet", device, config.weights, progress=bar)
        except MissingWeightsError as error:
            watch.note(f"--score-features auto: taking random, which has never seen a photo, since {error}")
    return "random", load_extractor("random", device)


def in_vain(config: TrainConfig) -> list[str]:
    """Say which options have no effect beside the others, or another one than one might think."""
    lines = []
    if config.discriminator == "projected":
        idle = [option(name) for name in ("reconstruction", "augment_together") if getattr(config, name)]
        idle += ["--emphasis"] * (config.emphasis not in (0, TrainConfig.emphasis))
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


def pretrained(config: TrainConfig, watch: Watch) -> EfficientNet | None:
    """Load what a projected discriminator looks through; none for another one.

    Raises:
        WeightsError: if its file cannot be had.
    """
    if config.discriminator != "projected":
        return None
    return EfficientNet.pretrained(config.weights, progress=downloading(watch))


def downloading(watch: Watch) -> Progress:
    """Show how a download goes."""
    return lambda name, done, total: watch.advance(f"downloading {name}", done, total)


def choose_precision(config: TrainConfig, device: torch.device) -> Precision:
    """Give the precision to compute in.

    Raises:
        UsageError: if the device has not the one that was asked for.
    """
    if config.precision == "auto":
        best = machine.best_precision(device)
        # Gradients that are remembered must not change their scale.
        return "fp32" if best == "fp16" and config.normalisation == "chain-cumulative" else best
    if config.precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32: is for CUDA, and the device is {device}; use fp32 or auto")
    return config.precision


def choose_compile(
    config: TrainConfig, device: torch.device, watch: Watch, ranks: Ranks = ALONE
) -> Literal["on", "off"]:
    """Say whether to compile: in runs long enough to repay it, where it can be done.

    Raises:
        UsageError: if it was asked for and cannot be done.
    """
    if ranks.count > 1:
        if config.compile == "on":
            watch.note("--compile on has no effect in several processes")
        return "on" if config.compile == "on" else "off"
    short = config.steps < machine.COMPILE_STEPS.get(device.type, 0) or (device.type == "cpu" and config.width < NARROW)
    remembers = config.normalisation == "chain-cumulative"  # which is not for compiling
    if config.compile == "off" or (config.compile == "auto" and (short or remembers)):
        return "off"
    if machine.can_compile(device):
        return "on"
    if config.compile == "on":
        raise UsageError(f"--compile on: {device} needs a {machine.COMPILERS}; install that, or train with off")
    watch.note(f"not compiled, since there is no {machine.COMPILERS}")
    return "off"


def hold_back(classes: Classes, config: TrainConfig) -> tuple[list[int], list[int]]:
    """Say which images are trained on, and which are held back to see what is learned by heart; the seed says which.

    Of a class at most half is held back. Images that are of no class are neither.
    """
    images = [place for place, number in enumerate(classes.numbers) if number != LEFT_OUT]
    count = min(round(config.hold_back * len(images)), MOST_HELD_BACK)
    if len(images) < FEWEST_TO_HOLD_BACK or count < 2:
        return images, []
    left = Counter(classes.numbers[place] for place in images)
    most = {number: size // 2 for number, size in left.items()}
    random = np.random.default_rng(fold(Purpose.HOLD_BACK, config.seed))
    unseen: list[int] = []
    for place in random.permutation(len(images)).tolist():
        number = classes.numbers[images[place]]
        if len(unseen) < count and most[number] > 0:
            unseen.append(images[place])
            most[number] -= 1
    return sorted(set(images) - set(unseen)), sorted(unseen)


def part(
    images: UInt8[Tensor, "n c h w"], kept: list[int], unseen: list[int]
) -> tuple[UInt8[Tensor, "t c h w"], UInt8[Tensor, "u c h w"]]:
    """Take some images, and some others, out of all.

    Works in the memory of ``images``, since a second copy of the set may not fit.
    """
    others = images[unseen]
    pixels = images.numpy()  # a torch copy of an image starts threads that take longer than the copy
    for place, index in enumerate(kept):
        if place != index:
            pixels[place] = pixels[index]
    return images[: len(kept)], others


def place(images: UInt8[Tensor, "n c h w"], device: torch.device) -> UInt8[Tensor, "n c h w"]:
    """Put the images on the device if they take less than half of its free memory; otherwise steps fetch them."""
    if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return images.to(device)
    return images


def hardware(device: str) -> str:
    """Name the GPU, or the processor and how many threads work on it."""
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(torch.device(device))
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # only Linux has the file, and only there is the name above no name
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else name
    threads = torch.get_num_threads()
    return f"{device}, {name}, {threads} thread{'s' * (threads != 1)}"


def tell(dataset: Dataset, config: TrainConfig, watch: Watch) -> None:
    """Say what was found in the image folder, and name what the user may want to look after."""
    kind = KINDS[dataset.images.shape[1]]
    watch.note(f"{len(dataset.images)} images from {readable(config.images)}, at {size_in_words(config)}, {kind}")
    name_some(watch, "skipped, since it cannot be read", [str(problem) for problem in dataset.skipped])
    name_some(
        watch, f"enlarged, since it is smaller than {size_in_words(config)}", [readable(name) for name in dataset.small]
    )
    if dataset.ignored:
        endings = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in dataset.ignored.items())
        watch.note(f"not looked at, by ending: {endings}")
    findings = in_brief(dataset, config)
    for finding in findings:
        watch.note(f"  {finding.severity}: {in_a_line(finding)}")
    if findings:
        watch.note(f"  handful check {readable(config.images)} says what to do about that")


def size_in_words(config: TrainConfig) -> str:
    """Write the size of the images, width first."""
    height, width = config.shape
    return f"{width} x {height} px"


def name_some(watch: Watch, what: str, names: list[str]) -> None:
    """Name the first few of a list of files, and count the rest."""
    for name in names[:NAMED]:
        watch.note(f"  {what}: {name}")
    if len(names) > NAMED:
        watch.note(f"  {what}: {len(names) - NAMED} more")

"""Score a generator, or a folder of images that any tool made, against its training images."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path

import torch

from handful.compute.device import choose_device
from handful.config.checks import checked
from handful.config.choices import FeatureName, Fit, ProtocolName, Resize
from handful.config.geometry import Geometry
from handful.config.sizes import read_size, spelled
from handful.data.dataset import Dataset
from handful.errors import MissingWeightsError
from handful.files import printable
from handful.metrics.by_class import like_training, scores_by_class
from handful.metrics.features import Extractor, load_extractor, load_second
from handful.metrics.gather import batches, gather
from handful.metrics.measure import (
    copy_scores,
    copying,
    diversity_score,
    feature_scores,
    held_out,
    path_score,
    pixel_scores,
    second_scores,
)
from handful.metrics.protocol import PROTOCOLS, Protocol
from handful.metrics.reference import Reference
from handful.metrics.results import Evaluation, Setup
from handful.metrics.samples import Samples, open_samples
from handful.metrics.scores import scores_and_reasons
from handful.metrics.training_images import amount, load_images, require_scorable
from handful.metrics.wasserstein import swd
from handful.progress import Progress, shown_on
from handful.records.settings import fit_of_run


@checked
def evaluate(
    source: Path | str,
    images: Path | str,
    protocol: ProtocolName = "quick",
    features: FeatureName | None = None,
    resize: Resize | None = None,
    holdout: Path | str | None = None,
    size: int | str | None = None,
    fit: Fit | None = None,
    truncation: float = 1.0,
    weights: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Evaluation:
    """Score ``source`` against the training images.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a folder of images from any tool.
        images: The training images: a folder, a zip archive, or a dataset of the Hub.
        protocol: Fixes all choices. quick: 1,000 samples, no download. 5k-train: the published few-shot scores.
            50k-full: those of larger sets.
        features: Feature network, in place of the protocol's: efficientnet, squeezenet, inception, vgg16, dino (pip
            install 'handful[dino]'), or random, which was never trained.
        resize: Resizing to the 299 px of inception, in place of the protocol's: tf (published few-shot scores),
            pytorch (pytorch-fid) or clean (clean-fid).
        holdout: Folder of similar images that were not trained on: shows what a perfect generator would score.
        size: Size at which images of a folder are compared, in pixels: a number for squares, or width x height
            as in 768x512. Default: their own.
        fit: How images get these proportions: crop or squash. Default: as the run did, or crop.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
            Improves precision and lowers recall.
        weights: Folder with weight files of other networks. Default: $HANDFUL_WEIGHTS, then torch's cache.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: if there is nothing to score, there are fewer than 10 images on a side, or images differ in size.
        WeightsError: if a weight file is damaged. Without a weight file, only the scores that need it are missing.
    """
    start = time.monotonic()
    plan = PROTOCOLS[protocol]
    plan = dataclasses.replace(plan, features=features or plan.features, resize=resize or plan.resize)
    fit = fit or fit_of_run(Path(source))
    shape = read_size(size) if size is not None else None
    with shown_on(progress):
        samples = open_samples(Path(source), plan.samples, shape, fit, device, truncation)
        require_scorable(samples)
        load = partial(load_images, geometry=Geometry(samples.shape, samples.channels, fit))
        training, unseen = load(Path(images)), load(Path(holdout)) if holdout is not None else None
        samples = like_training(samples, training.names)
        setup = describe(samples, f"{amount(training)} of {printable(images)}, none mirrored", plan, fit)
        evaluation = score(setup, samples, training, unseen, plan, weights, choose_device(device))
    return dataclasses.replace(evaluation, seconds=round(time.monotonic() - start, 1))


def describe(samples: Samples, reference: str, protocol: Protocol, fit: Fit) -> Setup:
    """Write down everything that the scores will depend on."""
    size = spelled(samples.shape)
    generated = samples.model is not None
    return Setup(
        source=samples.label,
        samples=samples.count,
        reference=reference,
        protocol=protocol.name,
        features=protocol.features,
        size=int(size) if size.isdigit() else size,
        fit=fit,
        seeds=f"0-{samples.count - 1}" if generated else None,
        truncation=samples.truncation if generated else None,
    )


def score(
    setup: Setup,
    samples: Samples,
    training: Dataset,
    unseen: Dataset | None,
    protocol: Protocol,
    weights: Path | None,
    device: torch.device,
) -> Evaluation:
    """Return every score that can be computed, and why the others cannot."""
    extractor, missing = extractor_or_reason(protocol, weights, device)
    second, no_second = load_second(protocol.features, device, weights, protocol.fetch)
    if extractor is not None:
        setup = dataclasses.replace(setup, features=extractor.name)
    shape = (samples.channels, *samples.shape)
    reference = Reference.of(training.images, extractor, second)
    task = "measuring samples" if samples.model is None else "drawing and measuring samples"
    drawn = gather(samples.stream(), samples.count, shape, extractor, task, second)
    real = gather(batches(training.images), len(training.images), shape, None, "measuring the training images")
    matches = reference.originals.match(drawn.thumbnails)
    swd_levels = swd(drawn.patches, real.patches)
    scores, why = scores_and_reasons(
        feature_scores(drawn, reference, missing)
        | second_scores(drawn, reference, no_second)
        | pixel_scores(drawn, real, swd_levels)
        | copy_scores(matches)
        | path_score(samples, extractor, reference, protocol.paths, missing)
        | diversity_score(drawn, real, protocol, weights, device)
    )
    return Evaluation(
        setup=setup,
        scores=scores,
        copying=copying(reference, matches, samples, training.names),
        swd_levels=swd_levels,
        holdout=held_out(unseen, reference, drawn, extractor) if unseen is not None else None,
        classes=scores_by_class(samples, training.names, matches, drawn.features, reference.features),
        why=why,
    )


def extractor_or_reason(protocol: Protocol, weights: Path | None, device: torch.device) -> tuple[Extractor | None, str]:
    """Return the extractor of a protocol, or the reason why there is none."""
    try:
        return load_extractor(protocol.features, device, weights, protocol.resize), ""
    except MissingWeightsError as error:
        return None, error.on_command_line

"""Score a generator, or a folder of images of any other tool, against a folder of training images."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float64
from torch import Tensor

from handful.compute.device import choose_device
from handful.compute.memory import most_compared
from handful.config.choices import FeatureName, Fit, ProtocolName, Resize
from handful.config.geometry import Geometry
from handful.config.sizes import read_size, spelled
from handful.data.dataset import Dataset, load_folder
from handful.errors import MissingWeightsError, UsageError
from handful.files import printable
from handful.metrics import diversity
from handful.metrics.by_class import FEWEST, drawn_like, scores_by_class
from handful.metrics.copying import COPY, Matches
from handful.metrics.distances import fid, kid
from handful.metrics.evenness import excess_unevenness
from handful.metrics.features import Extractor, load_extractor
from handful.metrics.gather import Gathered, batches, gather
from handful.metrics.latents import path_length
from handful.metrics.manifold import density_coverage, precision_recall_in_equal_numbers
from handful.metrics.periodicity import excess_detail, excess_periodicity
from handful.metrics.protocol import PROTOCOLS, Protocol
from handful.metrics.reference import Reference
from handful.metrics.sources import Source, open_source
from handful.metrics.wasserstein import SMALLEST_SIDE, swd
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import Progress, advance, note, shown_on
from handful.records.settings import read_settings

CLOSEST = 24
"""Pairs of samples and training images that are listed."""


FEATURE_SCORES = ("kid", "kid_error", "fid", "precision", "recall", "density", "coverage", "spread", "path_length")


@final
@dataclass
class Evaluation:
    """Every score of one set of samples, and all that was chosen to get it; None where ``why`` has the reason."""

    source: str
    samples: int
    """How many."""
    reference: str
    protocol: str
    features: str
    """The network whose vectors were compared, with the way images were resized for it."""
    size: int | str
    """At which images were compared, in pixels: the side of a square, or width and height as in 768x512."""
    fit: Fit
    """How training images got these proportions."""
    seeds: str | None
    """Which pictures, if a generator drew them."""
    truncation: float | None = None
    """With which they were drawn."""
    kid: float | None = None
    kid_error: float | None = None
    fid: float | None = None
    precision: float | None = None
    recall: float | None = None
    density: float | None = None
    coverage: float | None = None
    diversity: float | None = None
    """Mean LPIPS of two samples over that of two training images."""
    spread: float | None = None
    """The same in the features: the root of the ratio of the mean squared distances."""
    swd: float | None = None
    """Mean over the levels, times 1,000."""
    swd_levels: dict[int, float] = field(default_factory=dict)
    periodicity: float | None = None
    """Decibels by which grids stand out beyond those of the training images."""
    unevenness: float | None = None
    """Decibels by which detail differs from place to place in the lattice of pixels, beyond the training images."""
    detail: float | None = None
    """Decibels by which the finest octave has more power than that of the training images."""
    path_length: float | None = None
    copies: float | None = None
    """Share of samples, 0 to 1."""
    copies_among_training: float | None = None
    """The share of training images that would pass for copies of other training images."""
    novelty: float | None = None
    novelty_among_training: float | None = None
    copies_seen_in: list[str] = field(default_factory=list)
    closest: list[dict[str, Any]] = field(default_factory=list)
    holdout: dict[str, Any] | None = None
    """How images that the generator has not seen fare, where a folder of them was given."""
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    """Scores of each class by itself, where there are classes (``scores_by_class``)."""
    why: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Give all fields as JSON has them."""
        return dataclasses.asdict(self)


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
        features: Feature network, in place of the protocol's: efficientnet, inception, vgg16, dino (pip install
            'handful[dino]'), or random, which was never trained.
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
        UsageError: if there is nothing to score, fewer than 10 images on a side, or images of different sizes.
        WeightsError: if a weight file is damaged. A missing one costs the scores that need it, which then are None.
    """
    start = time.monotonic()
    plan = PROTOCOLS[protocol]
    plan = dataclasses.replace(plan, features=features or plan.features, resize=resize or plan.resize)
    with shown_on(progress):
        fit = fit or fit_of(Path(source))
        shape = read_size(size) if size is not None else None
        opened = open_source(Path(source), plan.samples, shape, fit, device, truncation)
        enough(opened.count, opened.label)
        own_size = spelled(opened.shape)
        if min(opened.shape) < SMALLEST_SIDE:
            raise UsageError(f"{opened.label}: images of {own_size} px are too small; {SMALLEST_SIDE} px are needed")
        load = partial(load_images, geometry=Geometry(opened.shape, opened.channels, fit))
        training, unseen = load(Path(images)), load(Path(holdout)) if holdout is not None else None
        opened = drawn_like(opened, training.names)
        scores = Evaluation(
            source=opened.label,
            samples=opened.count,
            reference=f"{amount(training)} of {printable(images)}, none mirrored",
            protocol=plan.name,
            features=plan.features,
            size=int(own_size) if own_size.isdigit() else own_size,
            fit=fit,
            seeds=f"0-{opened.count - 1}" if opened.model is not None else None,
            truncation=truncation if opened.model is not None else None,
        )
        score(scores, opened, training, unseen, Tools(plan, choose_device(device), weights))
        scores.seconds = round(time.monotonic() - start, 1)
        return scores


def fit_of(source: Path) -> Fit:
    """Find out how the run that ``source`` is, or lies in, made its images square; ``crop`` if there is none."""
    for folder in (source, source.parent):
        try:
            settings = read_settings(folder)
        except UsageError:
            continue  # the config.json of a model folder, or of another tool
        if settings is not None:
            return settings.config.fit
    return "crop"


@dataclass(frozen=True)
class Tools:
    """What the scores are made with."""

    plan: Protocol
    device: torch.device
    weights: Path | None

    def bar(self, task: str) -> Callable[[int, int], None]:
        """Give a progress bar of that name."""
        return partial(advance, task)


def score(scores: Evaluation, source: Source, training: Dataset, unseen: Dataset | None, tools: Tools) -> None:
    """Fill in every score that can be had, and why the others cannot."""
    plan = tools.plan
    extractor = None
    try:
        extractor = load_extractor(plan.features, tools.device, tools.weights, plan.resize)
        scores.features = extractor.name
    except MissingWeightsError as error:
        scores.why |= dict.fromkeys(FEATURE_SCORES, str(error))
    reference = Reference.of(training.images, extractor, tools.bar("looking at the training images"))
    task = "looking at the samples" if source.model is None else "drawing and looking"
    shape = (source.channels, *source.shape)
    samples = gather(source.stream(), source.count, shape, extractor, tools.bar(task))

    if samples.features is not None and reference.features is not None:
        compare(scores, samples.features, reference.features)
    of_training = gather(batches(training.images), len(training.images), shape, None, tools.bar("patches"))
    scores.swd_levels = swd(samples.patches, of_training.patches)
    scores.swd = statistics.fmean(scores.swd_levels.values())
    scores.periodicity = excess_periodicity(samples.spectrum, of_training.spectrum)
    scores.unevenness = excess_unevenness(samples.detail, of_training.detail)
    for name in ("periodicity", "unevenness"):
        if getattr(scores, name) is None:
            scores.why[name] = f"images of {scores.size} px are too small to tell a grid from what they show"
    scores.detail = excess_detail(samples.spectrum, of_training.spectrum)

    matches, among = reference.match(samples.features, samples.thumbnails), reference.among
    scores.copies, scores.novelty = matches.share, matches.novelty
    scores.copies_among_training, scores.novelty_among_training = among.share, among.novelty
    scores.copies_seen_in = list(reference.spaces)
    scores.closest = closest(matches, source, training.names)
    scores.classes = scores_by_class(source, training.names, matches, samples.features, reference.features)

    if source.model is None:
        scores.why["path_length"] = "a folder of images has no latent space"
    elif source.truncation != 1:
        scores.why["path_length"] = "walks between whole latents, so leave --truncation out for it"
    elif extractor is not None and reference.features is not None:
        unit = diversity.spread(reference.features)
        scores.path_length = path_length(source.model, extractor, plan.paths, unit, tools.bar("walking"))
    measure_diversity(scores, samples, of_training, tools)
    if unseen is not None:
        scores.holdout = hold_against(unseen, reference, samples, extractor, tools)
    for name, value in vars(scores).items():
        if isinstance(value, float) and not math.isfinite(value):
            setattr(scores, name, None)
            scores.why[name] = "not finite: the training images do not differ from each other in this respect"


def compare(scores: Evaluation, samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> None:
    """Fill in what compares two sets of vectors."""
    scores.kid, scores.kid_error = kid(samples, reference)
    scores.fid = fid(samples, reference)
    scores.precision, scores.recall = precision_recall_in_equal_numbers(samples, reference)
    scores.density, scores.coverage = density_coverage(samples, reference)
    scores.spread = diversity.relative_spread(samples, reference)


def measure_diversity(scores: Evaluation, samples: Gathered, training: Gathered, tools: Tools) -> None:
    """Fill in the LPIPS diversity, or why there is none."""
    try:
        perceptual = Perceptual.pretrained(tools.weights, tools.plan.fetch).to(tools.device)
    except MissingWeightsError as error:
        scores.why["diversity"] = str(error)
        return
    distance = partial(diversity.mean_distance, perceptual, pairs=tools.plan.pairs)
    within = distance(images=samples.kept, progress=tools.bar("diversity of the samples"))
    unit = distance(images=training.kept, progress=tools.bar("diversity of the training images"))
    scores.diversity = within / unit if unit > 0 else math.inf


def hold_against(
    unseen: Dataset, reference: Reference, samples: Gathered, extractor: Extractor | None, tools: Tools
) -> dict[str, Any]:
    """Score images that were not trained on as if they were samples: what a perfect generator could reach."""
    task = "looking at the held-out images"
    channels, height, width = unseen.images.shape[1:]
    shape = (channels, height, width)
    seen = gather(batches(unseen.images), len(unseen.images), shape, extractor, tools.bar(task))
    matches = reference.match(seen.features, seen.thumbnails)
    answer: dict[str, Any] = {"images": len(unseen.images), "copies": matches.share, "novelty": matches.novelty}
    if samples.features is not None and seen.features is not None and reference.features is not None:
        answer["kid"], answer["kid_error"] = kid(samples.features, seen.features)
        answer["kid_to_training"], answer["kid_to_training_error"] = kid(seen.features, reference.features)
    return answer


def closest(matches: Matches, source: Source, training: Sequence[str]) -> list[dict[str, Any]]:
    """List the samples nearest to a training image, nearest first."""
    order = matches.ratio.argsort(stable=True)[:CLOSEST].tolist()
    return [
        {
            "sample": source.name(place),
            "class": source.class_of(place),
            "training": training[int(matches.index[place])],
            "mirrored": bool(matches.mirrored[place]),
            "novelty": float(matches.ratio[place]),
            "copy": bool(matches.ratio[place] < COPY),
        }
        for place in order
        if matches.ratio[place].isfinite()
    ]


def load_images(folder: Path, geometry: Geometry) -> Dataset:
    """Load a folder to compare with, naming files that cannot be read.

    Raises:
        UsageError: if it holds fewer than 10 images.
    """
    most = most_compared(geometry.bytes_per_image)
    dataset = load_folder(folder, geometry, f"reading {printable(folder)}", most)
    if dataset.left_out:
        note(f"{printable(folder)}: {amount(dataset)}, since no more fit or help")
    for problem in dataset.skipped:
        note(f"skipped, since it cannot be read: {problem}")
    enough(len(dataset.images), printable(folder))
    return dataset


def amount(dataset: Dataset) -> str:
    """Say how many images are compared with."""
    count = len(dataset.images)
    return (
        f"{count} of {count + dataset.left_out} images, evenly spread," if dataset.left_out else f"all {count} images"
    )


def enough(count: int, label: str) -> None:
    """Refuse a set of too few images.

    Raises:
        UsageError: if there are fewer than 10.
    """
    if count < FEWEST:
        raise UsageError(f"{label}: holds {count} images, but scores need {FEWEST} or more to say anything; add some")

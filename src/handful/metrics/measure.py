"""One function for each group of scores. Each returns, by name, the score or the reason why there is none."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from handful.data.dataset import Dataset
from handful.errors import MissingWeightsError
from handful.metrics import diversity
from handful.metrics.closeness import relative_distance
from handful.metrics.copying import Matches, Originals
from handful.metrics.distances import fid, kid
from handful.metrics.evenness import excess_unevenness
from handful.metrics.features import Extractor
from handful.metrics.gather import Gathered, batches, gather
from handful.metrics.manifold import density_coverage, precision_recall_in_equal_numbers
from handful.metrics.path_length import path_length
from handful.metrics.periodicity import excess_detail, excess_periodicity
from handful.metrics.protocol import Protocol
from handful.metrics.reference import Reference
from handful.metrics.results import Copying, HeldOut
from handful.metrics.samples import Samples
from handful.metrics.scores import Outcome
from handful.networks.pretrained.lpips import Perceptual

CLOSEST_PAIRS = 24
"""Pairs of samples and training images that are listed."""

COMPARED = ("kid", "kid_error", "distance", "distance_error", "variety", "variety_error")
"""Scores that every network gives."""

FEATURE_SCORES = (*COMPARED, "fid", "precision", "recall", "density", "coverage", "spread")

SECOND = "squeezenet_"
"""Begins the names of the scores through the second network."""

TOO_SMALL = "the images are too small to tell a grid from what they show"


def feature_scores(samples: Gathered, reference: Reference, missing: str) -> dict[str, Outcome]:
    """Compare features with those of the training images; ``missing`` is the reason if there are none."""
    if samples.features is None or reference.features is None:
        return dict.fromkeys(FEATURE_SCORES, missing)
    return {
        **compare(samples.features, reference.features),
        **region_scores(samples.features, reference.features),
        "fid": fid(samples.features, reference.features),
        "spread": diversity.relative_spread(samples.features, reference.features),
    }


def second_scores(samples: Gathered, reference: Reference, missing: str) -> dict[str, Outcome]:
    """Compare the features of a second network; ``missing`` is the reason if there are none."""
    if samples.second is None or reference.second is None:
        return dict.fromkeys((f"{SECOND}{name}" for name in COMPARED), missing)
    return {f"{SECOND}{name}": value for name, value in compare(samples.second, reference.second).items()}


def compare(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> dict[str, float]:
    """Compare features by the scores that are given through every network, with their errors."""
    numbers = (
        *kid(samples, reference),
        *relative_distance(samples, reference),
        *diversity.relative_variety(samples, reference),
    )
    return dict(zip(COMPARED, numbers, strict=True))


def scores_of_few(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> dict[str, float]:
    """Compare features by the scores that mean something even for the few images of one class."""
    distance, error = kid(samples, reference)
    return {"kid": distance, "kid_error": error, **region_scores(samples, reference)}


def region_scores(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> dict[str, float]:
    """Say how far samples and training images lie in the same region."""
    precision, recall = precision_recall_in_equal_numbers(samples, reference)
    density, coverage = density_coverage(samples, reference)
    return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


def pixel_scores(samples: Gathered, training: Gathered, swd_levels: dict[int, float]) -> dict[str, Outcome]:
    """Compare patches, spectra and where detail lies."""
    periodicity = excess_periodicity(samples.spectrum, training.spectrum)
    unevenness = excess_unevenness(samples.detail, training.detail)
    return {
        "swd": statistics.fmean(swd_levels.values()),
        "periodicity": TOO_SMALL if periodicity is None else periodicity,
        "unevenness": TOO_SMALL if unevenness is None else unevenness,
        "detail": excess_detail(samples.spectrum, training.spectrum),
    }


def copy_scores(matches: Matches) -> dict[str, Outcome]:
    """Say how near samples are to training images."""
    return {"copies": matches.share, "novelty": float(matches.novelty.median())}


def path_score(
    samples: Samples, extractor: Extractor | None, reference: Reference, paths: int, missing: str
) -> dict[str, Outcome]:
    """Walk between latents; ``missing`` is the reason if there are no features."""
    if samples.model is None:
        return {"path_length": "a folder of images has no latent space"}
    if samples.truncation != 1:
        return {"path_length": "is measured between whole latents; leave --truncation out to get it"}
    if extractor is None or reference.features is None:
        return {"path_length": missing}
    unit = diversity.mean_squared_distance(reference.features)
    return {"path_length": path_length(samples.model, extractor, paths, unit)}


def diversity_score(
    samples: Gathered, training: Gathered, protocol: Protocol, weights: Path | None, device: torch.device
) -> dict[str, Outcome]:
    """Return the mean LPIPS of two samples over that of two training images."""
    try:
        perceptual = Perceptual.pretrained(weights, protocol.fetch).to(device)
    except MissingWeightsError as error:
        return {"diversity": error.on_command_line}
    distance = partial(diversity.mean_lpips, perceptual, pairs=protocol.pairs)
    within = distance(images=samples.kept, task="diversity of the samples")
    unit = distance(images=training.kept, task="diversity of the training images")
    return {"diversity": within / unit if unit > 0 else math.inf}


def held_out(unseen: Dataset, reference: Reference, samples: Gathered, extractor: Extractor | None) -> HeldOut:
    """Score images that were not trained on as if they were samples."""
    channels, height, width = unseen.images.shape[1:]
    shape, count = (channels, height, width), len(unseen.images)
    seen = gather(batches(unseen.images), count, shape, extractor, "measuring the held-out images")
    matches = reference.originals.match(seen.thumbnails)
    novelty = float(matches.novelty.median())
    if samples.features is None or seen.features is None or reference.features is None:
        return HeldOut(count, matches.share, novelty)
    to_samples, to_training = kid(samples.features, seen.features), kid(seen.features, reference.features)
    return HeldOut(count, matches.share, novelty, *to_samples, *to_training)


def copying(reference: Reference, matches: Matches, samples: Samples, training: Sequence[str]) -> Copying:
    """Say how near training images, of these names, are to each other, and list the samples nearest to one."""
    originals = reference.originals
    return Copying(
        copies_among_training=originals.among.share,
        novelty_among_training=float(originals.among.novelty.median()),
        copy_limit=originals.limit,
        copy_limit_of_parts=originals.parts_limit,
        closest=closest(matches, originals, samples, training),
    )


def closest(matches: Matches, originals: Originals, samples: Samples, training: Sequence[str]) -> list[dict[str, Any]]:
    """List the training images nearest to any sample, each once, with its nearest sample; nearest first."""
    nearest: list[int] = matches.index.tolist()
    sharing = Counter(nearest)
    pairs: dict[int, int] = {}
    for sample in originals.likeness(matches).argsort(stable=True).tolist():
        pairs.setdefault(nearest[sample], sample)
    return [
        {
            "sample": samples.name(sample),
            "class": samples.class_of(sample),
            "training": training[image],
            "mirrored": bool(matches.mirrored[sample]),
            "novelty": float(matches.nearest[sample]),
            "copy": bool(matches.copied[sample]),
            "composite": bool(matches.composite[sample]),
            "sharing": sharing[image],
        }
        for image, sample in itertools.islice(pairs.items(), CLOSEST_PAIRS)
    ]

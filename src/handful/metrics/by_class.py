"""Scores of each class by itself, where samples and training images are sorted into classes."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float64
from torch import Tensor

from handful.data.classes import class_names_of, in_proportion
from handful.metrics.copying import COPY, Matches
from handful.metrics.distances import kid
from handful.metrics.manifold import density_coverage, precision_recall_in_equal_numbers
from handful.metrics.sources import Source, drawn

FEWEST = 10
"""Images; of fewer no score says anything."""


def drawn_like(source: Source, training: Sequence[str]) -> Source:
    """Have a generator draw each class as often as it is among the training images, which have these names.

    Otherwise that it draws all as often would count as a fault. Other samples, and those of a generator that was
    trained on other folders, stay as they are.
    """
    if source.model is None or not source.model.config.classes:
        return source
    known = [name for name in class_names_of(training, source.model.config.classes) if name is not None]
    if len(set(known)) < len(source.model.config.classes):
        return source
    share = in_proportion(known, source.count)
    return drawn(source.model, source.label, range(source.count), share, source.truncation)


def scores_by_class(
    source: Source,
    training: Sequence[str],
    matches: Matches,
    samples: Float64[Tensor, "n d"] | None,
    reference: Float64[Tensor, "m d"] | None,
) -> dict[str, dict[str, float]]:
    """Score the samples of each class against the training images of the same class.

    ``of_class`` is the share of samples whose nearest training image is of the class that they are to be of.

    Args:
        source: The samples.
        training: Names of the training images.
        matches: The nearest training image of each sample.
        samples: Vectors of the samples; without them fewer scores can be had.
        reference: Vectors of the training images.
    """
    names = [source.class_of(place) for place in range(source.count)]
    known = sorted({name for name in names if name is not None})
    theirs = class_names_of(training, known)
    if len(set(theirs) - {None}) < 2:
        return {}
    found = {}
    for name in known:
        mine = [place for place, each in enumerate(names) if each == name]
        others = [place for place, each in enumerate(theirs) if each == name]
        if min(len(mine), len(others)) < FEWEST:
            continue
        nearest = [theirs[place] == name for place in matches.index[mine].tolist()]
        score = {
            "samples": float(len(mine)),
            "images": float(len(others)),
            "of_class": sum(nearest) / len(mine),
            "copies": float((matches.ratio[mine] < COPY).double().mean()),
            "novelty": float(matches.ratio[mine].median()),
        }
        if samples is not None and reference is not None:
            score["kid"], score["kid_error"] = kid(samples[mine], reference[others])
            both = precision_recall_in_equal_numbers(samples[mine], reference[others])
            score["precision"], score["recall"] = both
            score["density"], score["coverage"] = density_coverage(samples[mine], reference[others])
        found[name] = score
    return found

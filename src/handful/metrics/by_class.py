"""Scores of each class by itself, where samples and training images are sorted into classes."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float64
from torch import Tensor

from handful.data.classes import class_names_of, in_proportion
from handful.metrics.copying import Matches
from handful.metrics.measure import scores_of_few
from handful.metrics.samples import Samples, from_model
from handful.metrics.training_images import MIN_IMAGES


def like_training(samples: Samples, training: Sequence[str]) -> Samples:
    """Draw each class as often as it occurs among the training images, which have these names.

    Drawing all classes equally often would count against the generator. Samples of a folder stay as they are, and so
    do those of a generator whose classes are not all among these training images.
    """
    if samples.model is None or not samples.model.config.classes:
        return samples
    known = [name for name in class_names_of(training, samples.model.config.classes) if name is not None]
    if len(set(known)) < len(samples.model.config.classes):
        return samples
    classes = in_proportion(known, samples.count)
    return from_model(samples.model, samples.label, range(samples.count), classes, samples.truncation)


def scores_by_class(
    samples: Samples,
    training: Sequence[str],
    matches: Matches,
    features: Float64[Tensor, "n d"] | None,
    reference: Float64[Tensor, "m d"] | None,
) -> dict[str, dict[str, float]]:
    """Score the samples of each class against the training images of that class.

    Classes with fewer than 10 samples or training images are left out.

    Args:
        samples: The samples.
        training: Names of the training images.
        matches: The nearest training image of each sample.
        features: Of the samples; without them, fewer scores are returned.
        reference: Features of the training images.
    """
    sample_classes = [samples.class_of(index) for index in range(samples.count)]
    names = sorted({name for name in sample_classes if name is not None})
    training_classes = class_names_of(training, names)
    if len(set(training_classes) - {None}) < 2:
        return {}
    scores = {}
    for name in names:
        own = [index for index, other in enumerate(sample_classes) if other == name]
        real = [index for index, other in enumerate(training_classes) if other == name]
        if min(len(own), len(real)) < MIN_IMAGES:
            continue
        hits = [training_classes[index] == name for index in matches.index[own].tolist()]
        scores[name] = {
            "samples": float(len(own)),
            "images": float(len(real)),
            # Share of samples whose nearest training image is of their class.
            "of_class": sum(hits) / len(own),
            "copies": float(matches.copied[own].double().mean()),
            "novelty": float(matches.novelty[own].median()),
        }
        if features is not None and reference is not None:
            scores[name] |= scores_of_few(features[own], reference[real])
    return scores

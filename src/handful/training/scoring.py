"""Score a run while it trains, on the same seeds each time, for a small share of its time."""

from __future__ import annotations

import time
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from handful.config import budget
from handful.config.train import TrainConfig
from handful.data.classes import in_proportion
from handful.data.training_set import TrainingSet
from handful.images.grid import from_bytes
from handful.metrics.copying import thumbnails
from handful.metrics.distances import kid
from handful.metrics.diversity import relative_spread
from handful.metrics.features import Extractor
from handful.metrics.gather import batches, in_batches
from handful.metrics.reference import Reference
from handful.networks.build import AnyDiscriminator
from handful.networks.conv import shrink
from handful.networks.generator import small_shape
from handful.objective.augment import augment
from handful.progress import advance, note
from handful.records.scores import Score
from handful.sampling.model import Model
from handful.seeds import Purpose, fold

MOST_COMPARED = 5_000
"""Training images that are looked at for scores; of more, every second, third or so."""


VIEWS = 4
"""Augmented views of each image that the discriminator is asked about."""


@final
class RunScorer:
    """Scores checkpoints of one run against the images that it trains on."""

    def __init__(
        self,
        config: TrainConfig,
        training_set: TrainingSet,
        extractor: Extractor,
    ) -> None:
        self.config, self.extractor = config, extractor
        images = training_set.images
        self.training, self.unseen = images, training_set.held_out
        self.classes = training_set.classes
        self.labels = torch.tensor(training_set.labels)
        self.unseen_labels = torch.tensor(training_set.held_out_labels, dtype=torch.int64)
        self.compared = images[:: -(-len(images) // MOST_COMPARED)]
        if len(self.compared) < len(images) and config.score_every != 0:
            note(f"scores compare with {len(self.compared):,} of the {len(images):,} images, evenly spread")
        self.reference: Reference | None = None

    def score(
        self,
        model: Model,
        discriminator: AnyDiscriminator,
        step: int,
        since: float,
        probability: Float[Tensor, ""] | None = None,
    ) -> Score:
        """Score the averaged generator and the discriminator; neither is changed.

        Args:
            model: The averaged generator.
            discriminator: As it is after the step.
            step: Steps done.
            since: When the work for this score began, by ``time.monotonic``.
            probability: How often the discriminator sees each change of augmentation; none for always.
        """
        if self.reference is None:
            self.reference = Reference.of(self.compared, self.extractor)
        reference = self.reference
        assert reference.features is not None
        rows, small = [], []
        for batch in in_batches(model.stream(budget.current.scored_seeds, class_name=self.like_training())):
            rows.append(self.extractor(batch))
            small.append(thumbnails(batch))
            advance("scoring", sum(map(len, rows)), len(budget.current.scored_seeds))
        features = torch.cat(rows)
        matches = reference.match(features, torch.cat(small))
        distance, error = kid(features, reference.features)
        seen, unseen = self.accuracies(discriminator, step, probability)
        return Score(
            step=step,
            kid=distance,
            kid_error=error,
            copies=matches.share,
            copies_among_training=reference.among.share,
            novelty=matches.novelty,
            spread=relative_spread(features, reference.features),
            accuracy_seen=seen,
            accuracy_unseen=unseen,
            score_seconds=round(time.monotonic() - since, 3),
        )

    def like_training(self) -> list[str] | None:
        """Name a class for each sample, each as often as it is among the images that are trained on."""
        if not self.classes:
            return None
        return in_proportion(
            [self.classes[number] for number in self.labels.tolist()], len(budget.current.scored_seeds)
        )

    @torch.no_grad()
    def accuracies(
        self, discriminator: AnyDiscriminator, step: int, probability: Float[Tensor, ""] | None = None
    ) -> tuple[float | None, float | None]:
        """Say how often patches of images that were trained on, and of images that were held back, pass for real.

        A discriminator that has learned to see what is real is as often right on both; one that has learned its
        images by heart is not. Both are shown as in training: augmented, and normalised by the statistics of a batch.

        Source: StyleGAN2-ADA (Karras et al. 2020), section 3 and figure 1, with accuracies in place of mean outputs.
        """
        count = len(self.unseen) - len(self.unseen) % 2  # BatchNorm takes no batch of one
        if count == 0:
            return None, None
        size = self.config.whole_batch - self.config.whole_batch % 2
        device = next(discriminator.parameters()).device
        random = torch.Generator(device).manual_seed(fold(Purpose.SCORE, self.config.seed, step))
        right: dict[str, list[Tensor]] = {"seen": [], "unseen": []}
        for view in range(VIEWS):
            chosen = [(view * count + place) % len(self.training) for place in range(count)]
            sides = {
                "seen": (self.training[chosen], self.labels[chosen]),
                "unseen": (self.unseen[:count], self.unseen_labels[:count]),
            }
            for name, (images, labels) in sides.items():
                for batch, of in zip(batches(images, size), torch.split(labels, size), strict=True):
                    shown = augment(from_bytes(batch.to(device)), self.config.augment, random, probability)
                    # Not called as a module: that would compile it anew for other batches, a minute each.
                    small = shrink(shown, small_shape(self.config.generator))
                    window = discriminator.draw_window(random)
                    numbers = of.to(device) if self.classes else None
                    logits = discriminator.forward(shown, small, numbers, window).logits
                    right[name].append((logits > 0).double().flatten().cpu())
        return float(torch.cat(right["seen"]).mean()), float(torch.cat(right["unseen"]).mean())

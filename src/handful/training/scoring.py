"""Score a run while it trains: the same seeds each time, for a small share of the training time."""

from __future__ import annotations

import time
from typing import final

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from handful.config import budget
from handful.config.train import TrainConfig
from handful.data.classes import in_proportion
from handful.data.training_set import TrainingSet
from handful.images.grid import from_bytes
from handful.metrics.copying import thumbnails
from handful.metrics.diversity import relative_spread
from handful.metrics.features import Extractor
from handful.metrics.gather import batches, in_batches
from handful.metrics.measure import SECOND, compare
from handful.metrics.reference import Reference
from handful.networks.conv import shrink
from handful.networks.discriminator import Discriminator
from handful.networks.generator import small_shape
from handful.objective.augment import augment
from handful.progress import advance, note
from handful.records.scores import Score
from handful.sampling.model import Model
from handful.seeds import Purpose, fold

MAX_COMPARED_IMAGES = 5_000
"""Training images that scores compare with; of a larger set, every second, third and so on."""

VIEWS = 4
"""Augmented views of each image whose logits count."""


@final
class RunScorer:
    """Scores the generator and the discriminator of one run against its images.

    Args:
        config: The run's options.
        training_set: Its images.
        extractor: The network that scores compare features of.
        second: Another network whose features are compared too.
    """

    def __init__(
        self, config: TrainConfig, training_set: TrainingSet, extractor: Extractor, second: Extractor | None = None
    ) -> None:
        self.config, self.extractor, self.second, self.training_set = config, extractor, second, training_set
        self.labels = torch.tensor(training_set.labels)
        self.held_out_labels = torch.tensor(training_set.held_out_labels, dtype=torch.int64)
        images = training_set.images
        self.compared = images[:: -(-len(images) // MAX_COMPARED_IMAGES)]
        if len(self.compared) < len(images) and config.score_every != 0:
            note(f"scores compare with {len(self.compared):,} of {len(images):,} images, evenly spaced")
        self.reference: Reference | None = None

    def score(
        self,
        model: Model,
        discriminator: Discriminator,
        step: int,
        since: float,
        probability: Float[Tensor, ""] | None = None,
    ) -> Score:
        """Score the averaged generator and the discriminator; neither changes.

        Args:
            model: The averaged generator.
            discriminator: The discriminator after the step.
            step: Steps done.
            since: ``time.monotonic()`` when the work for this score began.
            probability: Probability of each augmentation; None if every image is always augmented.
        """
        if self.reference is None:
            self.reference = Reference.of(self.compared, self.extractor, self.second)
        reference = self.reference
        assert reference.features is not None
        rows, others, small, seeds = [], [], [], budget.current.scored_seeds
        for batch in in_batches(model.stream(seeds, class_name=self.sample_classes())):
            rows.append(self.extractor(batch))
            if self.second is not None:
                others.append(self.second(batch))
            small.append(thumbnails(batch))
            advance("scoring", sum(map(len, rows)), len(seeds))
        features = torch.cat(rows)
        matches = reference.originals.match(torch.cat(small))
        seen, unseen = self.accuracies(discriminator, step, probability)
        return Score(
            step=step,
            **compare(features, reference.features),
            **self.compare_second(others, reference),
            copies=matches.share,
            copies_among_training=reference.originals.among.share,
            novelty=float(matches.novelty.median()),
            spread=relative_spread(features, reference.features),
            accuracy_seen=seen,
            accuracy_unseen=unseen,
            score_seconds=round(time.monotonic() - since, 3),
        )

    def compare_second(self, rows: list[Float64[Tensor, "b e"]], reference: Reference) -> dict[str, float]:
        """Return the scores through the second network, by their names; none without it."""
        if reference.second is None:
            return {}
        return {f"{SECOND}{name}": value for name, value in compare(torch.cat(rows), reference.second).items()}

    def sample_classes(self) -> list[str] | None:
        """Return a class for each scored image, in the proportions of the training images."""
        classes = self.training_set.classes
        if not classes:
            return None
        return in_proportion([classes[label] for label in self.labels.tolist()], len(budget.current.scored_seeds))

    @torch.no_grad()
    def accuracies(
        self, discriminator: Discriminator, step: int, probability: Float[Tensor, ""] | None = None
    ) -> tuple[float | None, float | None]:
        """Return the shares of patches of training images and of held-out images that the discriminator calls real.

        They are alike until the discriminator memorises the training images. It sees both as in training: augmented,
        and normalised by the statistics of a batch. Without held-out images, both are None.

        Source: StyleGAN2-ADA (Karras et al. 2020), section 3 and figure 1, with accuracies in place of mean outputs.
        """
        training, held_out = self.training_set.images, self.training_set.held_out
        count = len(held_out) - len(held_out) % 2  # BatchNorm takes no batch of one
        if count == 0:
            return None, None
        device = next(discriminator.parameters()).device
        random = torch.Generator(device).manual_seed(fold(Purpose.SCORE, self.config.seed, step))
        seen: list[Tensor] = []
        unseen: list[Tensor] = []
        for view in range(VIEWS):
            indices = [(view * count + offset) % len(training) for offset in range(count)]
            pairs = (
                (seen, training[indices], self.labels[indices]),
                (unseen, held_out[:count], self.held_out_labels[:count]),
            )
            for called_real, images, labels in pairs:
                called_real += self.call_real(discriminator, images, labels, random, probability)
        return float(torch.cat(seen).mean()), float(torch.cat(unseen).mean())

    def call_real(
        self,
        discriminator: Discriminator,
        images: UInt8[Tensor, "n c h w"],
        labels: Int64[Tensor, " n"],
        random: torch.Generator,
        probability: Float[Tensor, ""] | None,
    ) -> list[Float64[Tensor, " _"]]:
        """Return 1 for each patch that the discriminator calls real, 0 for the others, batch by batch."""
        size = self.config.whole_batch - self.config.whole_batch % 2
        called_real = []
        for batch, numbers in zip(batches(images, size), torch.split(labels, size), strict=True):
            shown = augment(from_bytes(batch.to(random.device)), self.config.augment, random, probability)
            small = shrink(shown, small_shape(self.config.generator))
            # ``forward``, as calling the module would compile it again for each size of batch, a minute each.
            own = numbers.to(random.device) if self.training_set.classes else None
            logits = discriminator.forward(shown, small, own).logits
            called_real.append((logits > 0).double().flatten().cpu())
        return called_real

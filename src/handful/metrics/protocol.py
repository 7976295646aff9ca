"""Named protocols: scores under one protocol can be compared. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from handful.config.choices import FeatureName, ProtocolName, Resize


@dataclass(frozen=True)
class Protocol:
    """Everything that is chosen for a score.

    Common to all: seeds count from 0, images are uint8 as in a PNG file, and all images of the folder are the
    reference. None of them is mirrored, even if training mirrored them.
    """

    name: ProtocolName
    samples: int
    """Images drawn by a generator, or taken from a folder (evenly spaced; all of them if it has fewer)."""
    features: FeatureName
    resize: Resize
    """How images are resized to the 299 px of ``inception``."""
    pairs: int
    """Pairs of images for the diversity."""
    paths: int
    """Paths through the latent space for the path length."""
    fetch: bool
    """Whether LPIPS (528 MB), for the diversity, and SqueezeNet (0.7 MB), the second network, may be downloaded.
    Otherwise they are used if they are there."""


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "quick": Protocol("quick", 1_000, "efficientnet", "tf", pairs=200, paths=16, fetch=False),
    # Published few-shot scores (DiffAugment's fid5k-train and its successors).
    "5k-train": Protocol("5k-train", 5_000, "inception", "tf", pairs=1_000, paths=64, fetch=True),
    # Published scores of larger sets (StyleGAN2-ADA's fid50k_full).
    "50k-full": Protocol("50k-full", 50_000, "inception", "tf", pairs=1_000, paths=64, fetch=True),
}

"""Named protocols: every choice behind a score, so that two figures with one name can be compared. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from handful.config.choices import FeatureName, ProtocolName, Resize


@dataclass(frozen=True)
class Protocol:
    """How many samples are drawn and how they are looked at.

    Common to all: seeds from 0 up, images as PNG would hold them (uint8), and all images of the folder as the
    reference, none of them mirrored even where training mirrored them.
    """

    name: ProtocolName
    samples: int
    """Images drawn, or taken from a folder of images (evenly spread over it, all of them where it has fewer)."""
    features: FeatureName
    resize: Resize
    """How images come to the 299 px of ``inception``."""
    pairs: int
    """Pairs of images behind the diversity."""
    paths: int
    """Paths through the latent space behind the path length."""
    fetch: bool
    """Whether LPIPS, for the diversity, may be downloaded (528 MB); otherwise it is used where it is found."""


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "quick": Protocol("quick", 1_000, "efficientnet", "tf", pairs=200, paths=16, fetch=False),
    # The published few-shot figures (DiffAugment's fid5k-train and all that followed it).
    "5k-train": Protocol("5k-train", 5_000, "inception", "tf", pairs=1_000, paths=64, fetch=True),
    # The published figures of larger sets (StyleGAN2-ADA's fid50k_full).
    "50k-full": Protocol("50k-full", 50_000, "inception", "tf", pairs=1_000, paths=64, fetch=True),
}

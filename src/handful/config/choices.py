"""The values that options may take."""

from __future__ import annotations

from typing import Literal

Augmentation = Literal["color", "translation"]


Fit = Literal["crop", "squash"]


Channels = Literal[1, 3, 4]


Preset = Literal["default", "paper", "tiny"]


Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]


Format = Literal["png", "webp"]
"""Of the files that pictures are written to."""


SamplingPrecision = Literal["fp32", "bf16", "fp16"]


Easing = Literal["none", "smooth"]


Spacing = Literal["plain", "features", "lpips"]


NoiseMode = Literal["moving", "fixed"]
"""Precisions to draw pictures in; none is automatic, since the same seed is to be the same picture."""


FeatureName = Literal["inception", "efficientnet", "vgg16", "dino", "random"]


DistanceName = Literal["auto", "lpips", "pixels"]
"""What ``handful project`` makes small."""


Resize = Literal["tf", "pytorch", "clean"]


DirectionSource = Literal["maps", "weights"]
"""What directions in the latent space are found from, without examples."""


ProtocolName = Literal["quick", "5k-train", "50k-full"]

"""The values that options may take."""

from __future__ import annotations

from typing import Literal

Augmentation = Literal["color", "translation"]

Fit = Literal["crop", "squash"]

Filter = Literal["lanczos", "bilinear"]

Channels = Literal[1, 3, 4]

Preset = Literal["default", "paper", "tiny"]
"""How large: sizes, widths and steps."""

Recipe = Literal["default", "scratch", "published"]
"""What the networks are trained by, at any size."""

Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]

Format = Literal["png", "webp"]
"""Of the files that pictures are written to."""

SamplingPrecision = Literal["fp32", "bf16", "fp16"]
"""Precisions to draw pictures in; none is automatic, since the same seed must give the same picture."""

TrackerName = Literal["none", "tensorboard", "wandb", "trackio", "mlflow"]
"""Each but ``none`` is the name of a package and of the extra that installs it."""

ExportFormat = Literal["onnx", "web", "space"]

ExportPrecision = Literal["fp32", "fp16"]
"""What an export stores large kernels in."""

OnnxOutput = Literal["uint8", "float"]

Easing = Literal["none", "smooth"]

Spacing = Literal["plain", "features", "lpips"]

NoiseMode = Literal["moving", "fixed"]

FeatureName = Literal["inception", "efficientnet", "squeezenet", "vgg16", "dino", "random"]

DistanceName = Literal["auto", "lpips", "pixels"]
"""What ``handful project`` makes small."""

Shell = Literal["bash", "zsh"]

Resize = Literal["tf", "pytorch", "clean"]

DirectionSource = Literal["maps", "weights"]
"""What directions in the latent space are found from, without examples."""

ProtocolName = Literal["quick", "5k-train", "50k-full"]

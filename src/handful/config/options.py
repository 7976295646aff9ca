"""The options of a training run in four groups, each with its default, range and help. ``TrainConfig`` has them all.

``handful train --help`` leaves out those marked ``Advanced``; ``--help-all`` shows them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from handful.config.checks import Range
from handful.config.choices import Augmentation, Channels, FeatureName, Filter, Fit, Precision, Preset, TrackerName
from handful.config.generator import Width

RECIPE_BATCH = 8
"""Images in a step of the published recipe, and the default."""

LEAK_FREE = 0.8
"""Probability up to which no augmentation shows in generated images (ADA, section 2.2)."""

ADVANCED = "advanced"

T = TypeVar("T")

Advanced = Annotated[T, ADVANCED]

Count = Annotated[int, Range(least=1)]

Images = Annotated[int, Range(least=2, reason="batch normalisation needs them")]

Weight = Annotated[float, Range(least=0)]

Decay = Annotated[float, Range(least=0, below=1)]


@dataclass(frozen=True)
class DataOptions:
    """Which images are trained on, and how they are read."""

    images: Path
    """Training images: a folder (searched recursively), a zip archive, or a dataset of the Hugging Face Hub,
    hf:owner/name[:split][:column] (pip install 'handful[hub]'). Any sizes and formats that Pillow reads."""
    size: int | str = 256
    """Size of the generated images in pixels: one number for squares, or width x height as in 768x512. Sides are 3 to 8
    times a common power of two, at least 32. auto: like the images, up to 256 x 256 pixels on a CPU and 1024 x 1024 on
    a GPU."""
    channels: Literal["auto"] | Channels = "auto"
    """1: grey, 3: RGB, 4: RGBA. auto: grey if all images are grey, RGBA if at least half have transparency, otherwise
    RGB."""
    fit: Fit = "crop"
    """How images get the proportions of ``size``. crop: keep the centre. squash: scale the sides separately."""
    resize_filter: Advanced[Filter] = "lanczos"
    """How images are resized for training, antialiased. bilinear: as in the published code, softer."""
    labels: Literal["none", "folders"] = "none"
    """folders: sub-folders are classes, and pictures of one class can be drawn by its name."""
    mirror: bool = True
    """Also train on mirrored images. Turn off for writing, logos and anatomy."""
    hold_back: Advanced[Annotated[float, Range(least=0, most=0.5)]] = 0.05
    """Share of the images held out to measure memorisation: at most 32 images, and none of fewer than 40. 0 trains on
    all."""


@dataclass(frozen=True)
class RecipeOptions:
    """What the networks are, and how they are trained."""

    preset: Preset = "default"
    """Sizes, widths and steps to start from. default: any size. paper: the published networks at 256, 512 or 1024 px,
    with ``recipe`` published. tiny: small networks that learn in minutes on a CPU."""
    steps: Count = 50_000
    """Steps of the whole run. Each trains both networks on one batch."""
    minutes: Annotated[float, Range(above=0)] | None = None
    """Minutes of the whole run, without pauses. Training ends at ``steps`` or ``minutes``, whichever comes first."""
    stop_when: Literal["never", "plateau"] = "never"
    """plateau: end the run when no score has improved for long."""
    batch: Images | Literal["auto"] = RECIPE_BATCH
    """Images in a step. auto: 8, in micro-batches as large as memory allows."""
    seed: Annotated[int, Range(least=0)] = 0
    """Seed of everything random. The same seed, device and thread count give the same weights, bit for bit."""
    width: Width = 64
    """Channels of both networks at 128 px. Other resolutions follow in the paper's proportions."""
    from_: Path | None = None
    """Trained model to start from: a run folder or one of its checkpoints; or a model folder or a .safetensors file,
    which have no discriminator. Width, channels and proportions must be the same; the size may differ."""
    perceptual: Literal["auto", "vgg16", "efficientnet", "none"] = "none"
    """Reconstruction loss. none: mean absolute difference. vgg16: LPIPS, as in the paper; needs weight files.
    efficientnet: mean absolute difference, and the distance of features of EfficientNet-Lite0. auto: vgg16 if its files
    are found or can be downloaded, otherwise efficientnet."""
    projected_weight: Advanced[Weight] = 0.5
    """Weight of projected heads: small networks beside the discriminator, which judge images by the features of
    EfficientNet-Lite0, a frozen network trained on photos. 0: none, as in the paper."""
    sle: Advanced[bool] = True
    """Skip-Layer Excitation: low-resolution maps gate the channels of high-resolution ones (paper, section 3.1)."""
    reconstruction: Advanced[bool] = True
    """Train the discriminator to reconstruct real images from its features (paper, section 3.2)."""
    reconstruction_weight: Advanced[Weight | Literal["auto"]] = "auto"
    """Weight of the reconstruction loss, a mean over images. auto: 8 with LPIPS, as in the published code at a batch of
    8; 2 without."""
    augment: Advanced[tuple[Augmentation, ...]] = ("color", "translation")
    """How real and generated images are augmented before the discriminator sees them (DiffAugment)."""
    augment_probability: Advanced[Annotated[float, Range(above=0, most=1)]] = LEAK_FREE
    """Probability of each augmentation; with the adaptive schedule, its maximum."""
    augment_schedule: Advanced[Literal["constant", "adaptive"]] = "adaptive"
    """adaptive: the probability rises while the discriminator is sure of the training images, and falls while it is not
    (ADA). constant: it stays, as in the paper."""
    augment_target: Advanced[Annotated[float, Range(above=-1, below=1)]] = 0.3
    """Mean sign of real logits, -1 to 1, that adaptive aims at: the lower, the more augmentation. At 0.3 the
    discriminator takes 65 % of real patches for real. ADA's own value is 0.6."""
    augment_ramp: Advanced[Count] = 1_000
    """Steps in which adaptive can raise the probability from 0 to its maximum."""
    spectrum_penalty: Advanced[Weight] = 0.3
    """Weight of the spectrum penalty: punishes frequencies at which generated images have more power than training
    images (grain, grids). 0 disables it, as in the paper."""
    lattice_penalty: Advanced[Weight] = 1.0
    """Weight of the lattice penalty: punishes detail that depends on a pixel's position (dots, checkers from
    upsampling). 0 disables it, as in the paper."""
    smooth_discriminator: Advanced[bool] = True
    """Halve the discriminator's maps by averaging. The paper uses strided convolutions, which cost the same."""
    learning_rate: Advanced[Annotated[float, Range(above=0)] | Literal["auto"]] = "auto"
    """Learning rate of Adam, for both networks. auto: the paper's 2e-4 at its width of 64, higher in narrower networks
    (8e-4 at width 8)."""
    betas: Advanced[tuple[Decay, Decay]] = (0.5, 0.999)
    """Adam's decay rates of the mean and the square of the gradient, per step."""
    average_decay: Advanced[Decay] = 0.999
    """Decay of the averaged generator, per step; lower in the first steps, so that the start is forgotten."""


@dataclass(frozen=True)
class MachineOptions:
    """Where and how fast the run is computed."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps. auto: a GPU if there is one."""
    precision: Precision = "auto"
    """Precision of convolutions; weights stay in fp32. auto: bf16 where the hardware is fast at it, fp16 on older GPUs,
    otherwise fp32. tf32: fp32 on the tensor cores of CUDA."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the networks, which takes a minute or two at the start. auto: in long runs."""
    micro_batch: Images | Literal["auto"] = "auto"
    """Images computed at once; gradients are accumulated over the batch. Fewer take less memory, but batch
    normalisation sees only these. Must divide the batch. auto: the whole batch, or with ``batch`` auto, what fits.
    Halved if memory runs out."""
    recompute: Advanced[bool] = False
    """Recompute activations in the backward pass instead of storing them: less memory, about a quarter more time."""
    image_memory: Advanced[Weight | None] = None
    """Memory for the images, in GB. More are read from a file in the run folder; 0: always. Default: half of the free
    memory."""
    weights: Advanced[Path | None] = None
    """Folder with weight files of other networks (vgg16). Default: $HANDFUL_WEIGHTS, then torch's cache."""


@dataclass(frozen=True)
class RecordOptions:
    """What the run writes, and how often."""

    run: Path | None = None
    """Folder of the run: settings, log, samples, checkpoints, model. Default: runs/ and the name of the images."""
    sample_every: Count = 1_000
    """Steps between two sample grids."""
    score_every: Annotated[int, Range(least=0)] | None = None
    """Steps between two scores; 0 disables them. Default: 500, or as many as keep them under 5 % of the time. The end
    of the run is scored too."""
    report: bool = True
    """Write report.html when training ends."""
    score_features: Advanced[Literal["auto", FeatureName]] = "auto"
    """Feature network of the scores. auto: vgg16 if training uses it anyway, otherwise efficientnet."""
    log_every: Advanced[Count] = 100
    """Steps between two lines of log.jsonl."""
    checkpoint_every: Advanced[Count] = 1_000
    """Steps between two checkpoints."""
    checkpoint_minutes: Advanced[Annotated[float, Range(above=0)]] = 10.0
    """Minutes after which a checkpoint is written even if fewer steps have passed."""
    keep: Advanced[Count] = 2
    """Checkpoints to keep; older ones are deleted."""
    track: TrackerName = "none"
    """Also write numbers and sample grids to a tracker (pip install 'handful[tensorboard]', and so on). wandb sends
    them to its servers if you are logged in there; the others stay on this machine unless you set them up otherwise."""

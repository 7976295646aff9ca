"""Every option of a training run, with its unit and default. Imports no torch, so ``--help`` is quick."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from handful.config import sizes as shapes
from handful.config.choices import Augmentation, Channels, Fit, Precision, Preset
from handful.config.generator import GeneratorConfig
from handful.config.geometry import Geometry
from handful.config.sizes import Shape
from handful.config.text import option, title
from handful.errors import UsageError

PAPER_SIZES = (256, 512, 1024)


MAY_CHANGE = frozenset(
    [
        "images",
        "run",
        "steps",
        "device",
        "image_memory",
        "weights",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "checkpoint_minutes",
        "keep",
        "minutes",
        "stop_when",
        "score_every",
        "report",
        "track",
    ]
)
"""Options that a resumed run takes anew; the others would make it another run."""


RECIPE_BATCH = 8
"""Images a step sees in the published recipe, and so by default."""


LEAK_FREE = 0.8
"""Probability up to which no kind of change finds its way into generated images (ADA, section 2.2)."""


@dataclass(frozen=True)
class TrainConfig:
    """What a run is made of.

    Raises:
        UsageError: if a value makes no sense; the message names the option.
    """

    images: Path
    """Folder of training images, searched recursively; any sizes, any formats that Pillow reads. Or a zip archive, or a
    dataset of the Hugging Face Hub: hf:owner/name[:split][:column], with pip install 'handful[hub]'."""
    run: Path | None = None
    """Folder of the run: settings, log, samples, checkpoints, model. Default: runs/ and the name of the images."""
    preset: Preset = "default"
    """Where the other defaults come from. paper: the published method, 256 to 1024 px. tiny: small networks that learn
    in minutes on a CPU. default: the paper's with what we found to be better, at any size."""
    size: int | str = 256
    """Of the generated images, in pixels: one number for squares, or width x height as in 768x512. Sides are 3 to 8
    times the same power of two, from 32 up. auto: like the images, up to 256 x 256 pixels on a CPU and 1024 x 1024 on a
    GPU."""
    channels: Literal["auto"] | Channels = "auto"
    """1: grey, 3: RGB, 4: RGBA, with transparency. auto: grey if all images are, RGBA if at least half of them have
    something transparent, otherwise RGB."""
    fit: Fit = "crop"
    """How an image gets the proportions of --size: its middle is kept (crop) or its sides are scaled apart (squash)."""
    labels: Literal["none", "folders"] = "none"
    """folders: the sub-folders of the images are classes, of which pictures can then be asked for by name."""
    mirror: bool = True
    """Show each image also mirrored left to right. Turn off for writing, logos and anatomy with a side."""
    steps: int = 50_000
    """Steps to train for, in all; each shows one batch to both networks."""
    minutes: float | None = None
    """Minutes to train for, over all sittings; whichever of this and --steps comes first ends the run."""
    stop_when: Literal["never", "plateau"] = "never"
    """plateau: end the run when no score has improved for long."""
    batch: int | Literal["auto"] = RECIPE_BATCH
    """Images a step sees. auto: 8, as many of them at once as there is memory for."""
    micro_batch: int | Literal["auto"] = "auto"
    """Images computed at once; gradients are accumulated over the batch. Fewer take less memory, but batch
    normalisation sees only these. Must divide the batch. auto: the whole batch, or with --batch auto, what fits. Halved
    if memory runs out."""
    seed: int = 0
    """Seed of everything random. Same seed, device and thread count: same weights, bit for bit."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps. auto takes a GPU where there is one."""
    image_memory: float | None = None
    """GB of memory that the images may take; more are kept in a file in the run folder and read from there while it
    trains. Default: half of what is free."""
    precision: Precision = "auto"
    """What convolutions compute in; weights are kept in fp32 beside. auto: bf16 where the machine is fast at it, fp16
    on older GPUs, otherwise fp32. tf32: fp32 on the tensor cores of CUDA."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the networks for this machine, which takes a minute or two at the start. auto: in long runs."""
    recompute: bool = False
    """Compute maps again in the backward pass instead of keeping them: less memory, about a quarter more time."""
    from_: Path | None = None
    """A trained model to start from: a run folder or one of its checkpoints; or a model folder or a .safetensors file,
    which have no discriminator. Width, channels and proportions must be the same; the size may differ."""
    width: int = 64
    """Channels of both networks at 128 px; the other resolutions follow in the paper's proportions."""
    discriminator: Literal["fastgan", "projected"] = "fastgan"
    """What the generator is trained against. fastgan: the paper's. projected: small networks that look through a
    frozen EfficientNet-Lite0, which was trained on photos, so that scores by such features flatter it."""
    sle: bool = True
    """Skip-Layer Excitation: low-resolution maps gate the channels of high-resolution ones (paper, section 3.1)."""
    reconstruction: bool = True
    """Make the discriminator reconstruct the real images from its features (paper, section 3.2)."""
    perceptual: Literal["auto", "vgg16", "none"] = "auto"
    """How a reconstruction is judged. vgg16: LPIPS, as published, with weight files. none: mean absolute difference.
    auto: vgg16 where its files are found or can be downloaded, otherwise none, and says which."""
    reconstruction_weight: float | Literal["auto"] = "auto"
    """Weight of the reconstruction loss, mean over images. 8 is what the published code has at its batch of 8, with
    LPIPS. auto: 8 with that, 2 without."""
    weights: Path | None = None
    """Folder with the weight files of other networks (vgg16). Default: $HANDFUL_WEIGHTS, then torch's own
    cache."""
    augment: tuple[Augmentation, ...] = ("color", "translation")
    """How real and generated images are augmented before the discriminator sees them (DiffAugment)."""
    augment_probability: float = LEAK_FREE
    """Probability of each augmentation; with the adaptive schedule, its maximum."""
    augment_schedule: Literal["constant", "adaptive"] = "adaptive"
    """adaptive: the probability rises while the discriminator is sure of the training images, and falls while it is not
    (ADA). constant: it stays, as in the paper."""
    augment_target: float = 0.3
    """Mean sign of real logits, -1 to 1, that adaptive aims at: the lower, the more augmentation. At 0.3 the
    discriminator takes 65 % of real patches for real. ADA's own value is 0.6."""
    augment_ramp: int = 1_000
    """Steps in which adaptive can raise the probability from 0 to its maximum."""
    spectrum_penalty: float = 0.3
    """Weight of the spectrum penalty: punishes frequencies at which generated images have more power than training
    images (grain, grids). 0 disables it, as in the paper."""
    lattice_penalty: float = 1.0
    """Weight of the lattice penalty: punishes detail that depends on a pixel's position (dots, checkers from
    upsampling). 0 disables it, as in the paper."""
    smooth_discriminator: bool = True
    """Halve the discriminator's maps by averaging. The paper uses strided convolutions, which cost the same."""
    sharpen: float = 2.0
    """Sharpens the discriminator's input: x + strength * (x - blur(x)). Spectral norm makes it insensitive to fine
    detail otherwise. 0 disables it, as in the paper."""
    learning_rate: float | Literal["auto"] = "auto"
    """Learning rate of Adam, for both networks. auto: the paper's 2e-4 at its width of 64, higher in narrower networks
    (8e-4 at width 8)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates of the mean and the square of the gradient, per step."""
    average_decay: float = 0.999
    """Share of the averaged generator kept at each step; lower in the first steps, so that the start is forgotten."""
    log_every: int = 100
    """Steps between two lines of log.jsonl."""
    sample_every: int = 1_000
    """Steps between two sample grids."""
    checkpoint_every: int = 1_000
    """Steps between two checkpoints."""
    checkpoint_minutes: float = 10.0
    """Minutes after which a checkpoint is written even if fewer steps have passed."""
    keep: int = 2
    """Checkpoints kept; older ones are deleted."""
    score_every: int | None = None
    """Steps between two scores, 0 for none. Default: 500, or as many as take under 5 % of the time, and the end."""
    score_features: Literal["auto", "efficientnet", "inception", "vgg16", "dino", "random"] = "auto"
    """The network that scores look through. auto: vgg16 where training uses it anyway, otherwise efficientnet; random,
    which has never seen a photo, where --discriminator projected has seen as many."""
    hold_back: float = 0.05
    """Share of the images that is not trained on, at most 32 and none of fewer than 40 images: only with these can be
    seen whether the discriminator learns the others by heart. 0 trains on all."""
    report: bool = True
    """Write report.html when training ends."""
    track: bool = False
    """Write TensorBoard events into the run folder; needs pip install 'handful[track]'."""

    def __post_init__(self) -> None:
        """Take paths given as text too, and refuse values that make no sense, naming the option."""
        for name in ("images", "run", "from_", "weights"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        for name, known in limited().items():
            value = getattr(self, name)
            wrong = [each for each in (value if isinstance(value, tuple) else (value,)) if each not in known]
            if wrong:
                raise UsageError(f"{option(name)} {wrong[0]}: choose from {', '.join(map(str, known))}")
        if self.size != "auto":
            # Written in one way, so that a resumed run finds the size it had.
            spelled = shapes.spelled(shapes.parse(self.size))
            object.__setattr__(self, "size", int(spelled) if spelled.isdigit() else spelled)
        if self.preset == "paper" and self.size not in PAPER_SIZES:
            raise UsageError(f"--size {self.size}: the paper has networks for 256, 512 and 1024; use --preset default")
        for name in (
            "width",
            "steps",
            "augment_ramp",
            "log_every",
            "sample_every",
            "checkpoint_every",
            "keep",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"{option(name)} {getattr(self, name)}: must be at least 1")
        if self.whole_batch < 2:
            raise UsageError(f"--batch {self.batch}: batch normalisation needs at least 2 images")
        if self.micro_batch != "auto" and self.micro_batch < 2:
            raise UsageError(f"--micro-batch {self.micro_batch}: batch normalisation needs at least 2 images")
        if self.micro_batch != "auto" and self.whole_batch % self.micro_batch:
            fitting = [count for count in range(2, self.whole_batch + 1) if self.whole_batch % count == 0]
            use = " or ".join(
                [", ".join(map(str, fitting[:-1])), str(fitting[-1])] if len(fitting) > 1 else map(str, fitting)
            )
            raise UsageError(
                f"--micro-batch {self.micro_batch}: does not divide --batch {self.batch} evenly; use {use}"
            )
        if self.width % 8:
            raise UsageError(f"--width {self.width}: must be a multiple of 8")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must not be negative")
        if self.score_every is not None and self.score_every < 0:
            raise UsageError(f"--score-every {self.score_every}: must be 0 (no scores) or above")
        if not 0 <= self.hold_back <= 0.5:
            raise UsageError(f"--hold-back {self.hold_back}: must be a share from 0 to 0.5")
        if self.image_memory is not None and not 0 <= self.image_memory < math.inf:
            raise UsageError(f"--image-memory {self.image_memory}: must be 0 (always a file) or above, in GB")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError(f"--minutes {self.minutes}: must be above 0")
        for name in ("learning_rate", "checkpoint_minutes"):
            if getattr(self, name) != "auto" and not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{option(name)} {getattr(self, name)}: must be above 0")
        for name in ("reconstruction_weight", "sharpen", "spectrum_penalty", "lattice_penalty"):
            if getattr(self, name) != "auto" and not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{option(name)} {getattr(self, name)}: must be 0 or above")
        if not -1 < self.augment_target < 1:
            raise UsageError(f"--augment-target {self.augment_target}: must lie between -1 and 1")
        if not 0 < self.augment_probability <= 1:
            raise UsageError(f"--augment-probability {self.augment_probability}: must be above 0 and at most 1")
        if self.labels != "none" and self.discriminator == "projected":
            raise UsageError("--discriminator projected: knows no classes; leave --labels out")
        if self.channels == 4 and self.discriminator == "projected":
            raise UsageError("--discriminator projected: looks through a network for RGB; add --channels 3")
        for name, values in (("betas", self.betas), ("average_decay", (self.average_decay,))):
            if not all(0 <= value < 1 for value in values):
                raise UsageError(f"{option(name)} {' '.join(map(str, values))}: must be at least 0 and below 1")

    @property
    def folder(self) -> Path:
        """The run folder, where none was given too."""
        return self.run if self.run is not None else Path("runs") / (title(self.images) or "run")

    @property
    def whole_batch(self) -> int:
        """Images a step sees; with ``--batch auto`` the recipe's number."""
        return RECIPE_BATCH if self.batch == "auto" else self.batch

    @property
    def weight_of_reconstruction(self) -> float:
        """What the reconstruction loss is multiplied by; how it is judged is settled before anybody asks."""
        if self.reconstruction_weight == "auto":
            return 8.0 if self.perceptual == "vgg16" else 2.0
        return self.reconstruction_weight

    @property
    def step_size(self) -> float:
        """Learning rate of Adam as a number."""
        return 2e-4 * (64 / self.width) ** (2 / 3) if self.learning_rate == "auto" else self.learning_rate

    @property
    def shape(self) -> Shape:
        """Height and width of the images; ``--size auto`` is settled before anybody asks."""
        return shapes.parse(self.size)

    @property
    def geometry(self) -> Geometry:
        """What images are brought to; automatic size and channels must be settled."""
        return Geometry(self.shape, cast(Channels, self.channels), self.fit)

    @property
    def generator(self) -> GeneratorConfig:
        """The part that describes the generator; what is automatic is settled before anybody asks."""
        return GeneratorConfig(
            size=self.size,
            channels=cast(Channels, self.channels),
            width=self.width,
            sle=self.sle,
        )

    def to_json(self) -> dict[str, Any]:
        """Give every option as JSON has it."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> TrainConfig:
        """Read what ``to_json`` wrote; options unknown to this version are an error.

        Raises:
            UsageError: if an option is unknown.
        """
        unknown = sorted(saved.keys() - {entry.name for entry in dataclasses.fields(cls)})
        if unknown:
            raise UsageError(f"config.json has options that this version does not know: {', '.join(unknown)}")
        return cls(**saved | {name: tuple(value) for name, value in saved.items() if isinstance(value, list)})


PUBLISHED: dict[str, Any] = {
    "reconstruction_weight": 8.0,
    "augment_schedule": "constant",
    "augment_probability": 1.0,
    "smooth_discriminator": False,
    "sharpen": 0.0,
    "spectrum_penalty": 0.0,
    "lattice_penalty": 0.0,
    "learning_rate": 2e-4,
}
"""What the recipe of the paper has otherwise than ``default``."""


@cache
def limited() -> dict[str, tuple[Any, ...]]:
    """List the values of each option that may only have some."""
    found = {name: choices(kind) for name, kind in get_type_hints(TrainConfig).items()}
    return {name: known for name, known in found.items() if known}


def choices(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """List what a field may hold by its type, where only some values are allowed; otherwise nothing."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) is tuple:
        return choices(get_args(kind)[0])
    found = [choices(each) for each in get_args(kind)]
    return sum(found, ()) if all(found) else ()


def size_in_words(config: TrainConfig) -> str:
    """Write the size of the images, width first."""
    height, width = config.shape
    return f"{width} x {height} px"

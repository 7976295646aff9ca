"""Every file name of a run folder, once.

config.json      every option as resolved, the version, the fingerprint of the training images
log.jsonl        one JSON object a report; log.damaged keeps lines that could not be read
samples/         step-00001000.png: a grid of fixed seeds
checkpoints/     step-00001000/state.safetensors: all that an exact resume needs; the newest few;
                 step-00001000.damaged: one that could not be read
model/           the newest averaged generator
best/            the best one by the run's own scores; score.json has its score and those before it
cache/           the decoded images, where they do not fit into memory
tensorboard/     events, with --track tensorboard; wandb/ what is not sent, with --track wandb
report.html      all of it on one page
evaluation.json  the scores on that page, as handful evaluate --json prints them, and the step that they are of
"""

from __future__ import annotations

import re
from pathlib import Path

CONFIG = "config.json"

LOG = "log.jsonl"

DAMAGED_LOG = "log.damaged"
"""Lines of the log that could not be read."""

SAMPLES = "samples"

CHECKPOINTS = "checkpoints"

STATE = "state.safetensors"
"""In the folder of a checkpoint."""

MODEL = "model"

BEST = "best"

SCORE = "score.json"
"""In ``best/``, written last: where it is, the model beside it is complete."""

CACHE = "cache"

CACHED_IMAGES, ABOUT_CACHE = "images.uint8", "about.json"
"""In ``cache/``."""

TENSORBOARD = "tensorboard"

WANDB = "wandb"

TRACKED = ".tracked"
"""The names that the run has in trackers: a JSON object by tracker."""

REPORT = "report.html"

EVALUATION = "evaluation.json"
"""Written with the report, where the training images are there."""

LOCK = ".lock"
"""Held by the process that trains in the folder."""

HOLDER = ".holder"
"""Names that process: JSON with ``pid`` and ``host``. It means nothing unless the lock is held."""

OUTPUT = ".output"
"""What a run printed that was started in the background."""

WEIGHTS = "model.safetensors"
"""In a model folder, beside its own ``config.json``."""

WRITTEN = {
    "": (CONFIG, LOG, REPORT, EVALUATION),
    SAMPLES: ("step-*.png",),
    CHECKPOINTS: ("step-*",),
    MODEL: (WEIGHTS, CONFIG),
    BEST: (WEIGHTS, CONFIG, SCORE),
    CACHE: (CACHED_IMAGES, ABOUT_CACHE),
}
"""Names that a run writes in each of its folders. A process that dies may leave temporary files for them."""


def step_name(step: int) -> str:
    """Return the name of what belongs to a step, without a suffix: ``step-00001000``."""
    return f"step-{step:08d}"


def by_step(folder: Path, suffix: str = "") -> dict[int, Path]:
    """List what a folder holds under names of ``step_name`` and a suffix, in order of step."""
    pattern = re.compile(rf"step-(\d{{8,}}){re.escape(suffix)}")
    matches = ((pattern.fullmatch(path.name), path) for path in folder.glob("step-*"))
    return dict(sorted((int(match[1]), path) for match, path in matches if match))

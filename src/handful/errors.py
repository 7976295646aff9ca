"""What can go wrong that is not a bug; each message names the option or the file and the remedy."""

from __future__ import annotations


class UsageError(ValueError):
    """Something the user gave is wrong: an option, an image folder, a run folder, a model."""


class TrainingError(RuntimeError):
    """A run cannot go on; the message says at which step, why, and what is left."""


class WeightsError(RuntimeError):
    """A weight file is missing, damaged or not what its name says; the message says what to do."""


class MissingWeightsError(WeightsError):
    """A weight file, or the package that reads it, is not on this machine and could not be fetched."""

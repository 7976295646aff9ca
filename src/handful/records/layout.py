"""Every file name of a run folder."""

from __future__ import annotations

BEST = "score.json"
"""The file beside the best model that holds its score."""

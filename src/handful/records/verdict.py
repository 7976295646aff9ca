"""What the scores of a run say: which checkpoint is best, when to stop, what to warn of. Imports no torch.

A score is the part of a line of log.jsonl that ``scoring.RunScorer`` wrote; a history is a list of them, oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from handful.records.scores import MORE_COPIES, Score, best, by_heart, lowest, plateau, refusal

COLLAPSED = 0.6
"""Spread, as a share of the largest so far, below which pictures are said to grow alike."""


VARIED = 0.85
"""Spread above which pictures are as varied as the training images, for all one can see."""


Tone = Literal["good", "caution", "bad", "unknown"]


def warnings(history: Sequence[Score]) -> dict[str, str]:
    """Say in plain words what goes wrong at the newest score and what to do about it, by kind."""
    if not history:
        return {}
    newest, top = history[-1], best(history)
    kept = f" best/ keeps step {top.step:,}." if top is not None and top.step < newest.step else ""
    found = {}
    if newest.copies > max(newest.copies_among_training + MORE_COPIES, 2 * newest.copies_among_training):
        found["copying"] = (
            f"{newest.copies:.0%} of the pictures are copies of training images (among the training images it is "
            f"{newest.copies_among_training:.0%}).{kept} Stop here, or start again with more images."
        )
    widest = max(history, key=lambda score: score.spread)
    if all(score.spread < COLLAPSED * widest.spread for score in history[-2:]) and len(history) > 1:
        found["collapse"] = (
            f"the pictures grow alike: they differ {newest.spread:.2f} times as much as the training images, and did "
            f"{widest.spread:.2f} times at step {widest.step:,}.{kept} Start again with another --seed, a larger "
            "--batch or a lower --learning-rate."
        )
    gap = by_heart(history)
    if gap is not None:
        found["by heart"] = (
            f"the discriminator knows its images by heart: it is right on {gap[0]:.0%} of those it trains on and on "
            f"{gap[1]:.0%} of those held back.{kept} Pictures seldom improve from here; more images help."
        )
    bottom = lowest(history)
    if plateau(history):
        since = f"since step {bottom.step:,}" if bottom is not None else "so far"
        found["plateau"] = (
            f"no better score {since}.{kept} Look at samples/ and stop if you see nothing new either; "
            "--stop-when plateau does it for you."
        )
    return found


def verdict(history: Sequence[Score]) -> tuple[Tone, list[str]]:
    """Judge a run in two sentences for someone who does not know the scores."""
    if not history:
        return "unknown", ["This run has not been scored.", "Scores begin at 500 steps; train for longer to see them."]
    newest, top = history[-1], best(history)
    judged = top or newest
    if top is None:
        copied = refusal(newest) or ""
        return "bad", [
            f"No checkpoint of this run can be recommended: at the last one, {copied}.",
            "More images, stronger augmentation or another seed may help; the warnings say which.",
        ]
    few = "none of those looked at is a copy" if judged.copies == 0 else f"only {judged.copies:.0%} are copies"
    original = f"The pictures are new: {few} of a training image."
    if judged.copies > judged.copies_among_training + MORE_COPIES / 2:
        original = f"Most pictures are new, but {judged.copies:.0%} of them are very close to a training image."
    much = "somewhat" if judged.spread > COLLAPSED else "much"
    variety = "as varied as" if judged.spread > VARIED else f"{much} less varied than"
    if top.step < newest.step:
        came = f"the best came at step {top.step:,} of {newest.step:,}, and that one is kept"
    elif plateau(history):
        came = "more training would hardly change them"
    else:
        came = "they were still getting better, so longer training may pay"
    tone: Tone = "good" if judged.spread > COLLAPSED and not warnings(history).keys() - {"plateau"} else "caution"
    return tone, [original, f"They are {variety} the training images, and {came}."]

"""What the scores of a run mean: which checkpoint is best, when to stop, what to warn of. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from handful.records.scores import Score, best, copies_too_much, lowest, memorised, plateau, refusal

COLLAPSED = 0.6
"""Share of the largest spread so far. Below it, images are said to lose their variety."""

VARIED = 0.85
"""Spread from which images are called as varied as the training images."""

FEW_COPIES = 0.025
"""Share of copies, beyond that among the training images, up to which images are called new."""

Tone = Literal["good", "caution", "bad", "unknown"]


def warnings(history: Sequence[Score]) -> dict[str, str]:
    """Return what goes wrong at the newest score, and what to do about it, by kind of problem."""
    if not history:
        return {}
    newest, top, bottom = history[-1], best(history), lowest(history)
    kept = f" best/ keeps step {top.step:,}." if top is not None and top.step < newest.step else ""
    problems = {}
    if copies_too_much(newest):
        problems["copying"] = (
            f"{newest.copies:.0%} of the images copy training images (among the training images it is "
            f"{newest.copies_among_training:.0%}).{kept} Stop here, or start a new run with more images."
        )
    widest = max(history, key=lambda score: score.spread)
    if len(history) > 1 and all(score.spread < COLLAPSED * widest.spread for score in history[-2:]):
        problems["collapse"] = (
            f"mode collapse: spread fell from {widest.spread:.2f} at step {widest.step:,} to {newest.spread:.2f}, "
            f"so images become alike.{kept} Start a new run with another --seed, a larger --batch or a lower "
            "--learning-rate."
        )
    if (accuracies := memorised(history)) is not None:
        seen, unseen = accuracies
        problems["memorising"] = (
            f"the discriminator memorises the training images: it is right on {seen:.0%} of them, and on {unseen:.0%} "
            f"of the held-out images.{kept} Quality seldom improves from here; a new run needs more images."
        )
    if plateau(history):
        since = f"since step {bottom.step:,}" if bottom is not None else "so far"
        problems["plateau"] = (
            f"no better score {since}.{kept} Look at samples/, and stop if you see no progress either. "
            "--stop-when plateau stops by itself."
        )
    return problems


def verdict(history: Sequence[Score]) -> tuple[Tone, list[str]]:
    """Judge a run in two sentences without jargon."""
    if not history:
        return "unknown", ["This run has not been scored.", "Scores begin at step 500; train longer to see them."]
    newest, top = history[-1], best(history)
    if top is None:
        return "bad", [
            f"No checkpoint of this run can be recommended: at the last one, {refusal(newest)}.",
            "More training images or another seed may help.",
        ]
    tone: Tone = "good" if top.spread > COLLAPSED and not warnings(history).keys() - {"plateau"} else "caution"
    return tone, [originality(top), f"They are {variety(top)} the training images, and {progress(history, top)}."]


def originality(score: Score) -> str:
    """Say in a sentence whether images are new."""
    if score.copies > score.copies_among_training + FEW_COPIES:
        return f"Most images are new, but {score.copies:.0%} of them are very close to a training image."
    few = "none of those checked is a copy" if score.copies == 0 else f"only {score.copies:.0%} are copies"
    return f"The images are new: {few} of a training image."


def variety(score: Score) -> str:
    """Say how varied images are, as in "less varied than"."""
    if score.spread > VARIED:
        return "as varied as"
    return f"{'somewhat' if score.spread > COLLAPSED else 'much'} less varied than"


def progress(history: Sequence[Score], top: Score) -> str:
    """Say what more training would do."""
    newest = history[-1]
    if top.step < newest.step:
        return f"the best checkpoint, which is kept, is step {top.step:,} of {newest.step:,}"
    if plateau(history):
        return "more training would hardly change them"
    return "they were still improving, so longer training may help"

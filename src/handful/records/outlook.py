"""What the history of a run's scores means: what went wrong, and what more training would do. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from handful.records.scores import Score, best, copies_too_much, lowest, memorised, plateau, refusal

COLLAPSED = 0.6
"""Share of the largest spread so far. Below it, images are said to lose their variety."""


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


def outlook(history: Sequence[Score]) -> list[str]:
    """Say in sentences without jargon which checkpoint is kept, and what more training would do."""
    if not history:
        return ["The run was not scored while it trained; scores begin at step 500."]
    newest, top = history[-1], best(history)
    if top is None:
        return [
            f"No checkpoint of this run can be recommended: at the last one, {refusal(newest)}.",
            "More training images or another seed may help.",
        ]
    if top.step < newest.step:
        reason = refusal(newest)
        later = [f"At the last one, {reason}."] if reason is not None else []
        return [f"The best checkpoint, which is kept, is step {top.step:,} of {newest.step:,}.", *later]
    if plateau(history):
        return ["More training would hardly change the images."]
    return ["The images were still improving, so longer training may help."]

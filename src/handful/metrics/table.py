"""Scores side by side, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from handful.files import printable
from handful.metrics.evaluation import Evaluation

ROWS = (
    ("kid", "KID", "distance to the training images, unbiased; 0 is best"),
    ("fid", "FID", "the same, biased at few images; 0 is best, and a copier reaches it"),
    ("precision", "precision", "share of samples that look like training images"),
    ("recall", "recall", "share of training images that samples come near"),
    ("density", "density", "how thickly samples lie where training images do; about 1"),
    ("coverage", "coverage", "share of training images with a sample beside them"),
    ("diversity", "diversity (LPIPS)", "how varied, over how varied the training images are; about 1"),
    ("spread", "spread", "the same in the features"),
    ("swd", "SWD x 1000", "distance of small patches at each scale; 0 is best"),
    ("periodicity", "periodicity, dB", "how far grids stand out, beyond the training images; 0 to 2 is none"),
    ("unevenness", "unevenness, dB", "how much detail goes by the place of a pixel, likewise; 0 to 0.3 is none"),
    ("detail", "detail, dB", "power of the finest detail, over the training images'; above 0 grain, below blur"),
    ("path_length", "path length", "1 where pictures change evenly between two latents, 8 where they jump"),
    ("copies", "copies", "share of samples that are copies of a training image"),
    ("novelty", "novelty", "distance to the nearest training image; 0 a copy, about 1 as far as another one"),
)
"""Key, name and meaning of each row."""


OF_CLASSES = {
    "images": "images",
    "of_class": "of class",
    "kid": "KID",
    "recall": "recall",
    "coverage": "coverage",
    "copies": "copies",
    "novelty": "novelty",
}
"""Key and heading of each column of the scores by class; of class: the nearest training image is of it too."""


RELATIVE = "random"


def table(scores: Sequence[Evaluation]) -> Iterator[Table | Text]:
    """Lay out scores, one column a source, with every choice behind them."""
    first = scores[0]
    columns = Table(box=None, pad_edge=False, header_style="bold")
    columns.add_column("")
    for each in scores:
        columns.add_column(Text(each.source), justify="right", overflow="fold")
    columns.add_column("")
    for key, name, meaning in ROWS:
        columns.add_row(name, *(value(each, key) for each in scores), Text(meaning, style="dim"))
    yield columns
    for each in scores:
        if each.classes:
            yield by_class(each)
    for each in scores:
        yield Text(f"\n{each.source}: {protocol(each)}", style="dim")
        among = f"{each.copies_among_training:.1%} copies and a novelty of {each.novelty_among_training:.2f}"
        yield Text(
            f"training images among themselves: {among} (seen in {' and '.join(each.copies_seen_in)})", style="dim"
        )
        if each.holdout is not None:
            yield Text(holdout(each.holdout), style="dim")
    if first.features == RELATIVE:
        yield Text(
            "features random have never seen a photo: only for models of this one folder, and look at pictures as well",
            style="dim",
        )
    for reason in dict.fromkeys(reason for each in scores for reason in each.why.values()):
        keys = sorted({key for each in scores for key, why in each.why.items() if why == reason} - {"kid_error"})
        yield Text(f"\nno {', '.join(keys)}: {reason}")


def by_class(scores: Evaluation) -> Table:
    """Lay out the scores of each class, one row a class."""
    rows = Table(box=None, pad_edge=False, header_style="bold", title=f"\n{scores.source}, by class", title_style="dim")
    present = [key for key in OF_CLASSES if any(key in score for score in scores.classes.values())]
    rows.add_column("")
    for key in present:
        rows.add_column(OF_CLASSES[key], justify="right")
    for name, score in scores.classes.items():
        rows.add_row(Text(printable(name)), *(class_value(score, key) for key in present))
    return rows


def class_value(score: dict[str, float], key: str) -> str:
    """Write a score of a class."""
    number = score[key]
    if key == "images":
        return f"{number:.0f}"
    return f"{number:.1%}" if key in ("copies", "of_class") else f"{number:.3f}"


def protocol(scores: Evaluation) -> str:
    """Say in a line all that a figure depends on."""
    seeds = f", seeds {scores.seeds}" if scores.seeds else ""
    seeds += f", truncation {scores.truncation:g}" if scores.truncation not in (None, 1.0) else ""
    return (
        f"protocol {scores.protocol}: {scores.samples:,} samples{seeds}, against {scores.reference}, "
        f"at {scores.size} px ({scores.fit}), features {scores.features}"
    )


def value(scores: Evaluation, key: str) -> str:
    """Write a score, with its error where it has one."""
    number = getattr(scores, key)
    if number is None:
        return "-"
    if key == "kid":
        return f"{number:.5f} ± {scores.kid_error:.5f}"
    return f"{number:.1%}" if key == "copies" else f"{number:.3f}"


def holdout(held: dict[str, float]) -> str:
    """Say how the held-out images fare."""
    text = f"{held['images']} held-out images: {held['copies']:.1%} copies, novelty {held['novelty']:.2f}"
    if "kid" in held:
        text += f", KID to the training images {held['kid_to_training']:.5f} ± {held['kid_to_training_error']:.5f}"
        text += f"; KID of the samples to them {held['kid']:.5f} ± {held['kid_error']:.5f}"
    return text

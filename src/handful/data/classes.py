"""Classes of images, by the sub-folders that they lie in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, final

from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.files import readable

FEWEST = 8
"""Images of a class; of fewer the discriminator would learn each by heart while they are shown as often as the others'.
"""


OTHER = "other"
"""What the classes that have fewer are called together."""


LEFT_OUT = -1
"""Number, in place of a class's, of an image that is not trained on."""


NAMED = 5


@final
class Classes(NamedTuple):
    """The class of each image."""

    names: tuple[str, ...]
    """In alphabetical order; none where all images are of one kind."""
    numbers: tuple[int, ...]
    """For each image the place of its class's name, or ``LEFT_OUT``; 0 throughout where there are no classes."""
    notes: tuple[str, ...] = ()
    """What the user should know of how these came about."""


def by_folder(images: Sequence[str]) -> Classes:
    """Take the folder that each image lies in, the first below those that all have in common, for its class.

    Classes of fewer than ``FEWEST`` images are made one. Where even together they are too few, they are left out; where
    less than two classes are left, there are none.

    Raises:
        UsageError: if an image lies in no sub-folder.
    """
    own = folders(images)
    stray = [name for name, folder in zip(images, own, strict=True) if folder is None]
    if stray:
        some = ", ".join(map(readable, stray[:NAMED])) + ", ..." * (len(stray) > NAMED)
        raise UsageError(
            f"--labels folders: {counted(len(stray))} in no sub-folder ({some}); move each to the folder of its class,"
            " or leave --labels out"
        )
    counts = Counter(folder for folder in own if folder is not None)
    small = sorted(name for name, count in counts.items() if count < FEWEST)
    together = sum(counts[name] for name in small) + (counts[OTHER] if small and OTHER not in small else 0)
    kept = set(counts) - set(small) | ({OTHER} if small and together >= FEWEST else set())
    if len(kept) < 2:
        why = f"of the sub-folders ({listed(counts, sorted(counts))}) fewer than two have {FEWEST} images"
        return Classes((), (0,) * len(images), (f"--labels folders: no classes, since {why}",))
    names = tuple(sorted(kept))
    place = {name: names.index(name) if name in kept else LEFT_OUT for name in counts}
    notes = []
    if small:
        place |= dict.fromkeys(small, names.index(OTHER) if OTHER in kept else LEFT_OUT)
        done = f"made one class, {OTHER}" if OTHER in kept else "left out"
        notes.append(f"fewer than {FEWEST} images, too few for a class, so {done}: {listed(counts, small)}")
    numbers = tuple(place[folder] for folder in own if folder is not None)
    sizes = Counter(numbers)
    spread = ", ".join(f"{readable(name)} {sizes[number]}" for number, name in enumerate(names))
    notes.insert(0, f"{len(names)} classes, each seen as often: {spread}")
    return Classes(names, numbers, tuple(notes))


def label(images: Sequence[str], config: TrainConfig) -> Classes:
    """Find the classes that a run asks for.

    Raises:
        UsageError: as ``by_folder``.
    """
    return by_folder(images) if config.labels == "folders" else Classes((), (0,) * len(images))


def folders(images: Sequence[str]) -> list[str | None]:
    """Give the first folder of each image below those that all share, as archives often have; None: it has none."""
    parts = [name.split("/") for name in images]
    while parts and all(len(each) > 2 for each in parts) and len({each[0] for each in parts}) == 1:
        parts = [each[1:] for each in parts]
    return [each[0] if len(each) > 1 else None for each in parts]


def classes_of(images: Sequence[str], classes: Sequence[str]) -> list[str | None]:
    """Give the class of each image by its name; None if it is of none."""
    other = OTHER if OTHER in classes else None
    return [folder if folder in classes else other for folder in folders(images)]


def in_proportion(classes: Sequence[str], count: int) -> list[str]:
    """Name a class for each of ``count`` pictures, each class as often, in proportion, as it is in a list."""
    ordered = sorted(classes)
    return [ordered[place * len(ordered) // count] for place in range(count)]


def counted(count: int) -> str:
    """Say that so many images lie somewhere."""
    return f"{count} images lie" if count > 1 else "1 image lies"


def listed(counts: Counter[str], names: Sequence[str]) -> str:
    """Name some folders with their numbers of images, and say how many more there are."""
    some = ", ".join(f"{readable(name)} {counts[name]}" for name in names[: 4 * NAMED])
    return some + f" and {len(names) - 4 * NAMED} more" * (len(names) > 4 * NAMED)

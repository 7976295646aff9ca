"""Classes of images, taken from the sub-folders that they lie in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple, final

from handful.config.train import TrainConfig
from handful.data.order import natural_key
from handful.errors import UsageError
from handful.files import printable

MIN_CLASS_IMAGES = 8
"""Images that a class needs. Every class is shown equally often, so a smaller one would be memorised."""

OTHER = "other"
"""Name of the class that smaller classes are merged into."""

NO_CLASS = -1
"""Label of an image that belongs to no class and is not trained on."""

SPLITS = frozenset(["train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "holdout"])
"""Folders, in lower case, that divide a set for other tools. They are no classes."""

NAMED_IMAGES, NAMED_CLASSES = 5, 20
"""How many a message names before it counts the rest."""


@final
class Classes(NamedTuple):
    """The class of each image."""

    names: tuple[str, ...]
    """In alphabetical order; empty if the images have no classes."""
    labels: tuple[int, ...]
    """Index into ``names`` for each image, or ``NO_CLASS``; all 0 if the images have no classes."""
    notes: tuple[str, ...] = ()
    """What to tell the user about them."""


def find_classes(images: Sequence[str], config: TrainConfig) -> Classes:
    """Return the classes that ``--labels`` asks for.

    Raises:
        UsageError: as ``classes_from_folders``.
    """
    return classes_from_folders(images) if config.labels == "folders" else Classes((), (0,) * len(images))


def classes_from_folders(images: Sequence[str]) -> Classes:
    """Label each image with its folder: the first one below the folders that all images share.

    Classes with fewer than ``MIN_CLASS_IMAGES`` images are merged into ``OTHER``. If even that class is too small, its
    images are left out. If fewer than two classes remain, there are none.

    Raises:
        UsageError: An image lies in no sub-folder.
    """
    folders = class_folders(images)
    require_folders(images, folders)
    counts = Counter(folder for folder in folders if folder is not None)
    small = sorted(name for name, count in counts.items() if count < MIN_CLASS_IMAGES)
    merged = sum(counts[name] for name in small) + (counts[OTHER] if small and OTHER not in small else 0)
    has_other = bool(small) and merged >= MIN_CLASS_IMAGES
    names = tuple(sorted(set(counts) - set(small) | ({OTHER} if has_other else set())))
    if len(names) < 2:
        reason = f"fewer than two sub-folders hold {MIN_CLASS_IMAGES} images ({listed(counts, counts)})"
        return Classes((), (0,) * len(images), (f"--labels folders has no effect: {reason}",))
    label_of = {name: index for index, name in enumerate(names)}
    label_of |= dict.fromkeys(small, label_of[OTHER] if has_other else NO_CLASS)
    labels = tuple(label_of[folder] for folder in folders if folder is not None)
    sizes = Counter(labels)
    sizes_text = ", ".join(f"{printable(name)} {sizes[label]}" for label, name in enumerate(names))
    notes = [f"{len(names)} classes, each shown equally often: {sizes_text}"]
    if small:
        action = f"merged into {OTHER}" if has_other else "left out"
        notes.append(f"classes with fewer than {MIN_CLASS_IMAGES} images, {action}: {listed(counts, small)}")
    return Classes(names, labels, tuple(notes))


def require_folders(images: Sequence[str], folders: Sequence[str | None]) -> None:
    """Check that every image lies in a sub-folder.

    Raises:
        UsageError: One does not.
    """
    stray = [name for name, folder in zip(images, folders, strict=True) if folder is None]
    if stray:
        named = ", ".join(map(printable, stray[:NAMED_IMAGES])) + ", ..." * (len(stray) > NAMED_IMAGES)
        count = f"{len(stray)} images lie" if len(stray) > 1 else "1 image lies"
        where = "no sub-folder"
        if are_splits({name.split("/")[-2] for name in stray if "/" in name}):
            where = "no folder of a class, since train, val and test are splits"
        raise UsageError(
            f"--labels folders: {count} in {where} ({named}); move each to the folder of its class,"
            " or leave --labels out"
        )


def class_folders(images: Sequence[str]) -> list[str | None]:
    """Return the first folder of each image below those that all images share; None for an image without one.

    Archives often wrap everything in one folder, which is therefore not a class. Nor are train, val and test: the
    folders below them are.
    """
    parts = [name.split("/") for name in images]
    while parts and all(len(path) > 2 for path in parts) and len({path[0] for path in parts}) == 1:
        parts = [path[1:] for path in parts]
    if are_splits({path[0] for path in parts if len(path) > 1}):
        parts = [path[1:] if len(path) > 1 else path for path in parts]
    return [path[0] if len(path) > 1 else None for path in parts]


def are_splits(folders: Collection[str]) -> bool:
    """Return whether folders divide a set into training, validation and test images, and not into classes."""
    return bool(folders) and SPLITS.issuperset(folder.lower() for folder in folders)


def class_names_of(images: Sequence[str], classes: Sequence[str]) -> list[str | None]:
    """Return the name of each image's class among ``classes``; None for an image of none of them."""
    other = OTHER if OTHER in classes else None
    return [folder if folder in classes else other for folder in class_folders(images)]


def in_proportion(classes: Sequence[str], count: int) -> list[str]:
    """Return ``count`` class names in order, each as frequent, in proportion, as it is in ``classes``."""
    ordered = sorted(classes)
    return [ordered[index * len(ordered) // count] for index in range(count)]


def listed(counts: Counter[str], names: Collection[str]) -> str:
    """Name the first few folders with their numbers of images, and count the rest."""
    first = sorted(names, key=natural_key)[:NAMED_CLASSES]
    named = ", ".join(f"{printable(name)} {counts[name]}" for name in first)
    return named + f" and {len(names) - NAMED_CLASSES} more" * (len(names) > NAMED_CLASSES)

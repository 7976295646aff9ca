"""Films: pictures in a row, as one file or as a folder of PNG frames."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from handful.errors import UsageError
from handful.files import replacing
from handful.images.grid import COMPRESSION

VIDEO = {
    ".mp4": ("libx264", {"crf": "18", "preset": "medium"}),
    ".webm": ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1"}),
}
"""Codec and its options, by the ending of the file. The numbers are near to what eyes take for lossless."""


ENDINGS = (*VIDEO, ".webp", ".gif")


def check_film(path: Path, fps: float) -> None:
    """Refuse a film that could not be written, before anything is drawn.

    Raises:
        UsageError: if the ending is unknown, its package is missing, the place cannot be written to, or holds files.
    """
    if not 0.1 <= fps <= 100:
        raise UsageError(f"--fps {fps:g}: must be from 0.1 to 100 pictures a second")
    ending = path.suffix.lower()
    if ending and ending not in ENDINGS:
        raise UsageError(f"--out {path}: films are {', '.join(ENDINGS)}, or a folder of PNG frames (a name without .)")
    if ending in VIDEO:
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"--out {path}: {ending} needs the package av: pip install 'handful[video]', or take .webp or .gif"
            ) from error
    if path.is_dir() and (ending or any(path.iterdir())):
        raise UsageError(f"--out {path}: is a folder" + ("" if ending else " with files in it; give a new one"))
    if path.is_file() and not ending:
        raise UsageError(f"--out {path}: is a file; for a film give it an ending: {', '.join(ENDINGS)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror}: {error.filename})") from error
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--out {path}: {path.parent} cannot be written to")


def write_film(path: Path, pictures: Iterator[Image.Image], fps: float) -> None:
    """Write pictures of one size as they come, whole or not at all; an existing film is replaced.

    WebP and PNG keep every bit, and transparency; elsewhere what is transparent is white. WebP and GIF play for ever.

    Raises:
        UsageError: as ``check_film``.
    """
    check_film(path, fps)
    ending = path.suffix.lower()
    with replacing(path) as temporary:
        if ending in VIDEO:
            encode(temporary, pictures, fps, ending)
        elif ending == "":
            temporary.mkdir()
            for number, picture in enumerate(pictures):
                picture.save(temporary / f"frame-{number:06d}.png", compress_level=COMPRESSION)
        else:
            animate(temporary, pictures, fps, ending)


def animate(path: Path, pictures: Iterator[Image.Image], fps: float, ending: str) -> None:
    """Write an animated WebP or GIF; times are rounded to what these know, thousandths and hundredths of a second."""
    first = next(pictures)
    duration = round(1000 / fps) if ending == ".webp" else 10 * max(2, round(100 / fps))
    options: dict[str, Any] = {"save_all": True, "duration": duration, "loop": 0}
    if ending == ".webp":
        # Method 0 compresses nearly as well as the others here and is several times as fast.
        options |= {"lossless": True, "exact": True, "quality": 0, "method": 0}
        first.save(path, append_images=pictures, format="WEBP", **options)
    else:
        first, others = opaque(first), (opaque(each) for each in pictures)
        first.save(path, append_images=others, format="GIF", **options)


def encode(path: Path, pictures: Iterator[Image.Image], fps: float, ending: str) -> None:
    """Write a video. Its colour planes ask for even sizes, and all are: cells are doubled, and gaps are even too."""
    import av

    codec, options = VIDEO[ending]
    first = next(pictures)
    with av.open(str(path), "w", format=ending[1:]) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
        for picture in itertools.chain([first], pictures):
            container.mux(stream.encode(av.VideoFrame.from_image(opaque(picture).convert("RGB"))))
        container.mux(stream.encode(None))


def opaque(picture: Image.Image) -> Image.Image:
    """Put what is transparent on white."""
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")

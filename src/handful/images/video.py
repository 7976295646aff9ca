"""Write videos: as one file, or as a folder of PNG frames."""

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
from handful.images.grid import PNG_LEVEL
from handful.images.mark import MARK, exif_mark, png_mark

CODECS = {
    ".mp4": ("libx264", {"crf": "18", "preset": "medium"}),
    ".webm": ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1"}),
}
"""Codec and its options, by the ending of the file. The quality is close to visually lossless."""

BT709, LIMITED_RANGE = 1, 1
"""Numbers of the colour space, primaries and transfer curve, and of the range 16 to 235, in ITU-T H.273."""

ENDINGS = (*CODECS, ".webp", ".gif")


def check_video(path: Path, fps: float) -> None:
    """Check that a video can be written, before its frames are drawn.

    Raises:
        UsageError: The ending is unknown, a package is missing, or the path is not writable or holds files.
    """
    if not 0.1 <= fps <= 100:
        raise UsageError(f"--fps {fps:g}: must be from 0.1 to 100 frames per second")
    ending = path.suffix.lower()
    if ending and ending not in ENDINGS:
        raise UsageError(f"--out {path}: choose the ending {', '.join(ENDINGS)}; or none, for a folder of PNG frames")
    if ending in CODECS:
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"--out {path}: {ending} needs the package av: pip install 'handful[video]', or use .webp or .gif"
            ) from error
    if path.is_dir() and (ending or any(path.iterdir())):
        raise UsageError(f"--out {path}: is a folder" + ("" if ending else " that holds files; choose a new one"))
    if path.is_file() and not ending:
        raise UsageError(f"--out {path}: is a file; give a video one of the endings {', '.join(ENDINGS)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be created ({error.strerror}: {error.filename})") from error
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--out {path}: {path.parent} is not writable; choose another")


def write_video(path: Path, pictures: Iterator[Image.Image], fps: float) -> None:
    """Write pictures of one size as a video, atomically; an existing file is replaced.

    WebP and PNG are lossless and keep transparency; other formats show it as white. WebP and GIF loop for ever.

    Raises:
        UsageError: as ``check_video``.
    """
    check_video(path, fps)
    ending = path.suffix.lower()
    with replacing(path) as temporary:
        if ending in CODECS:
            encode(temporary, pictures, fps, ending)
        elif ending == "":
            temporary.mkdir()
            for number, picture in enumerate(pictures):
                picture.save(temporary / f"frame-{number:06d}.png", compress_level=PNG_LEVEL, pnginfo=png_mark())
        else:
            animate(temporary, pictures, fps, ending)


def animate(path: Path, pictures: Iterator[Image.Image], fps: float, ending: str) -> None:
    """Write an animated WebP or GIF. Durations are rounded to milliseconds for WebP, hundredths of a second for GIF."""
    first = next(pictures)
    duration = round(1000 / fps) if ending == ".webp" else 10 * max(2, round(100 / fps))
    options: dict[str, Any] = {"save_all": True, "duration": duration, "loop": 0}
    if ending == ".webp":
        # Method 0 compresses nearly as well as the others and is several times as fast.
        options |= {"lossless": True, "exact": True, "quality": 0, "method": 0, "exif": exif_mark()}
        first.save(path, append_images=pictures, format="WEBP", **options)
    else:
        first, others = opaque(first), (opaque(picture) for picture in pictures)
        first.save(path, append_images=others, format="GIF", comment=MARK, **options)


def encode(path: Path, pictures: Iterator[Image.Image], fps: float, ending: str) -> None:
    """Write a video with PyAV, in BT.709 as players expect.

    Its colour planes need even sizes, which all our pictures and grids have.
    """
    import av

    codec, options = CODECS[ending]
    first = next(pictures)
    with av.open(str(path), "w", format=ending[1:]) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        for picture in itertools.chain([first], pictures):
            rgb = av.VideoFrame.from_image(opaque(picture).convert("RGB"))
            frame = rgb.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE)
            frame.colorspace = BT709
            frame.color_range = LIMITED_RANGE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def opaque(picture: Image.Image) -> Image.Image:
    """Return a picture over white if it is transparent."""
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")

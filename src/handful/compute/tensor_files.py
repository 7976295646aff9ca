"""Write and read safetensors files of ours: tensors, a JSON header, and a checksum of both.

The format is that of safetensors, so its tools read our files. We write them ourselves, since its writer needs the
memory twice, leaves temporary files of its own when it is killed, and hides why a write failed.

The metadata has two entries: ``handful``, the header as JSON with the format and its version, and ``checksum``.
Files of version 1 have no checksum and are still read.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from handful.errors import UsageError
from handful.files import parse_json, printable

VERSION = 2
"""Of all our formats: ``handful generator 2``."""

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names of safetensors for types."""

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor by name."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], format: str, header: Mapping[str, Any]) -> None:
    """Write a file. Not atomic: callers write below a temporary name (``files.replacing``).

    Args:
        path: The file.
        tensors: Tensors by name, on any device.
        format: What the file is, as ``handful generator``.
        header: Values that JSON has.
    """
    values = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    # As safetensors orders them: large elements first, so that each tensor is aligned.
    order = sorted(values, key=lambda name: (-values[name].element_size(), name))
    words = json.dumps({"format": f"{format} {VERSION}", **header}, allow_nan=False)
    table: dict[str, Any] = {"__metadata__": {"handful": words, "checksum": checksum(values, words)}}
    offset = 0
    for name in order:
        end = offset + values[name].nbytes
        table[name] = {
            "dtype": DTYPES[values[name].dtype],
            "shape": list(values[name].shape),
            "data_offsets": [offset, end],
        }
        offset = end
    start = json.dumps(table, separators=(",", ":")).encode()
    start += b" " * (-len(start) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(start)) + start)
        for name in order:
            file.write(as_bytes(values[name]))


def as_bytes(value: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor on the CPU, without copying them."""
    return value.reshape(-1).view(torch.uint8).numpy().data


def checksum(tensors: Mapping[str, Tensor], header: str) -> str:
    """Return 16 hex digits that depend on the header and on all names, types, shapes and bytes.

    Takes 0.6 s of a core for the checkpoint of a default run (587 MB); cores share it. CRC-32 of each tensor, then
    BLAKE2 of these.
    """
    with ThreadPoolExecutor() as pool:  # zlib lets other threads run meanwhile
        sums = pool.map(lambda value: zlib.crc32(as_bytes(value)), tensors.values())
        rows = [
            (name, DTYPES[value.dtype], tuple(value.shape), crc)
            for (name, value), crc in zip(tensors.items(), sums, strict=True)
        ]
    return hashlib.blake2b(json.dumps([header, sorted(rows)]).encode(), digest_size=8).hexdigest()


@final
class TensorFile:
    """An open file, of which only the header has been read."""

    def __init__(self, path: Path, file: Any, header: dict[str, Any], checksum: str | None) -> None:  # noqa: ANN401
        self.path, self.file, self.header, self.checksum = path, file, header, checksum

    @property
    def layout(self) -> Layout:
        """Type and shape of each tensor, as the file's header has them."""
        parts = {name: self.file.get_slice(name) for name in self.file.keys()}  # noqa: SIM118
        return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}

    def require(self, expected: Layout) -> None:
        """Check the file's header against what a network or a format needs, before anything is loaded.

        Raises:
            UsageError: a tensor is missing, unknown, or of another type or shape.
        """
        own = self.layout
        for name in sorted(own.keys() ^ expected.keys()):
            self.fail(f"the tensor {name!r} {'is missing' if name in expected else 'is unknown'}")
        for name, (dtype, shape) in expected.items():
            if own[name] != (dtype, shape):
                self.fail(f"the tensor {name!r} is {own[name][0]} {own[name][1]}, and should be {dtype} {shape}")

    def load(self) -> dict[str, Tensor]:
        """Return all tensors, on the CPU.

        Raises:
            UsageError: the checksum is another one, or a number is infinite or not a number.
        """
        # Copied, since safetensors maps the file: another program that changes it later must not change these.
        tensors: dict[str, Tensor] = {name: self.file.get_tensor(name).clone() for name in self.file.keys()}  # noqa: SIM118
        for name, value in tensors.items():
            if value.dtype not in DTYPES:
                self.fail(f"the tensor {name!r} has the type {value.dtype}, which handful never writes")
        if self.checksum is not None:
            words = self.file.metadata()["handful"]
            if checksum(tensors, words) != self.checksum:
                self.fail("its checksum does not match, so the file is damaged")
        for name, value in tensors.items():
            if value.is_floating_point() and not value.isfinite().all():
                self.fail(f"the tensor {name!r} has numbers that are not finite")
        return tensors

    def fail(self, reason: str) -> NoReturn:
        """Raise the error that names the file and what is wrong with it."""
        raise UsageError(f"{printable(self.path)}: {printable(reason)}")


@contextmanager
def open_tensors(path: Path, format: str, kind: str, unmarked: frozenset[str] = frozenset()) -> Iterator[TensorFile]:
    """Open a file, and turn all that can be wrong with it into one error.

    Args:
        path: The file.
        format: What it must be, as ``handful generator``.
        kind: The same in words, as ``a model``.
        unmarked: Metadata that version 1 had in place of a header.

    Raises:
        UsageError: it is missing, unreadable, or of another kind; also from within the block.
    """
    where = printable(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = parse_json(metadata.get("handful", "{}"))
            found = header.pop("format", None) if isinstance(header, dict) else None
            if unmarked and metadata.keys() == unmarked:
                header, found = metadata, f"{format} 1"
            if found not in (f"{format} 1", f"{format} {VERSION}"):
                expected = f"expected format {f'{format} {VERSION}'!r}, found {str(found)!r}"
                raise UsageError(f"{where}: is not {kind} of this version of handful ({printable(expected)})")
            if found == f"{format} {VERSION}" and "checksum" not in metadata:
                raise UsageError(f"{where}: has lost its checksum, so it is damaged")
            yield TensorFile(path, file, header, metadata.get("checksum"))
    except FileNotFoundError as error:
        raise UsageError(f"{where}: does not exist; give {kind} that handful wrote") from error
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        reason = printable(str(error))
        raise UsageError(f"{where}: cannot be read as {kind} ({reason}); it may be cut short or damaged") from error


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """Return type and shape of tensors by name; they may lie on the meta device."""
    return {name: (DTYPES[value.dtype], tuple(value.shape)) for name, value in tensors.items()}

"""Datasets of the Hugging Face Hub, read from their Parquet files: ``hf:owner/name[:split][:column]``.

Needs the extra ``hub``: huggingface_hub downloads the files into its own cache, and pyarrow reads them. The package
``datasets`` would do both, but also installs pandas, multiprocess and aiohttp.
"""

from __future__ import annotations

import bisect
import io
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from handful.config.text import HUB
from handful.data.photos import Photos
from handful.errors import UsageError

SYNTAX = f"{HUB}owner/name[:split][:column]"

CONVERTED_BRANCH = "refs/convert/parquet"
"""Branch on which the Hub keeps Parquet versions of datasets in other formats."""

CACHED_ROW_GROUPS = 4
"""Row groups kept in memory; one often holds a hundred pictures."""


def open_hub(source: Path) -> Photos:
    """Download a dataset, unless it is in the Hub's cache, and list its pictures by row number.

    Raises:
        UsageError: A package is missing, the name is malformed, the download fails, or there are no pictures.
    """
    name, split, column = parse(source)
    label = f"dataset {HUB}{name}"
    try:
        import huggingface_hub
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError(f"{label}: needs {error.name}; pip install 'handful[hub]'") from None
    try:
        revision = "main"
        files = parquet_files(huggingface_hub.list_repo_files(name, repo_type="dataset"))
        if not files:
            revision = CONVERTED_BRANCH
            files = parquet_files(huggingface_hub.list_repo_files(name, repo_type="dataset", revision=revision))
        chosen = files_of_split(files, split, label)
        paths = [
            Path(huggingface_hub.hf_hub_download(name, file, repo_type="dataset", revision=revision)) for file in chosen
        ]
    except UsageError:
        raise
    except Exception as error:  # The Hub, its HTTP client and the disk share no base class of errors.
        raise hub_error(label, error, "dataset") from error
    return list_pictures(paths, column, label)


def hub_error(label: str, error: Exception, kind: str) -> UsageError:
    """Return the error for a failed download of a dataset or a model."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UsageError(
        f"{label}: cannot be downloaded from the Hub ({reason}); check the name and the network, and for a private"
        f" {kind} run: hf auth login"
    )


def parse(source: Path) -> tuple[str, str | None, str | None]:
    """Split the name of a dataset into its name on the Hub, the split and the column.

    Raises:
        UsageError: The name is malformed.
    """
    name, *rest = str(source).removeprefix(HUB).split(":")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or len(rest) > 2 or not all(rest):
        raise UsageError(f"{source}: is not the name of a dataset; write {SYNTAX}")
    split, column = [*rest, None, None][:2]
    return name, split, column


def parquet_files(files: Sequence[str]) -> list[str]:
    """Return the names of the Parquet files, in order."""
    return sorted(file for file in files if file.endswith(".parquet"))


def split_of(file: str) -> tuple[str, str]:
    """Return the split that a Parquet file belongs to, and the folder of that split.

    The Hub writes ``default/train/0000.parquet``, most people ``data/train-00000-of-00002.parquet``.
    """
    path = PurePosixPath(file)
    if path.stem.isdigit():
        return path.parent.name, path.parent.parent.as_posix()
    return re.sub(r"-\d+-of-\d+(-[0-9a-f]+)?$", "", path.stem), path.parent.as_posix()


def files_of_split(files: Sequence[str], split: str | None, label: str) -> list[str]:
    """Return the files of one split; default: ``train``, or the only split.

    Raises:
        UsageError: No split matches, or several do; the message lists all splits.
    """
    splits: dict[tuple[str, str], list[str]] = {}
    for file in files:
        splits.setdefault(split_of(file), []).append(file)
    if not splits:
        raise UsageError(f"{label}: has no Parquet files; download its pictures and give the folder instead")
    names = {key: key[0] if len({folder for _, folder in splits}) == 1 else f"{key[1]}/{key[0]}" for key in splits}
    wanted = split or ("train" if any(key[0] == "train" for key in splits) else None)
    matches = [key for key in splits if wanted in (None, key[0], names[key])]
    if len(matches) != 1:
        available = ", ".join(sorted(names.values()))
        raise UsageError(f"{label}: has the splits {available}; name one of them as in {SYNTAX}")
    return splits[matches[0]]


def list_pictures(paths: Sequence[Path], column: str | None, label: str) -> Photos:
    """List the pictures of Parquet files on disk. They are read one row group at a time.

    Raises:
        UsageError: A file cannot be read, or the column of pictures is missing or ambiguous.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        files = [parquet.ParquetFile(path) for path in paths]
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{label}: {error}; delete the file from the Hub's cache and run this again") from None
    chosen = picture_column(files[0].schema_arrow, column, label)
    groups = [(file, group) for file in files for group in range(file.num_row_groups)]
    ends = list(accumulate(file.metadata.row_group(group).num_rows for file, group in groups))
    lock = Lock()

    @lru_cache(maxsize=CACHED_ROW_GROUPS)
    def read_group(index: int) -> Any:  # noqa: ANN401
        file, group = groups[index]
        return file.read_row_group(group, columns=[chosen]).column(0)

    def open_row(file: Path) -> io.BytesIO:
        row = int(file.name)
        index = bisect.bisect_right(ends, row)
        with lock:
            values = read_group(index)
        value = values[row - (ends[index - 1] if index else 0)].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None:
            raise OSError(0, "no picture in this row")
        return io.BytesIO(data)

    version = " ".join(f"{path} {path.stat().st_size}" for path in paths)
    names = [Path(f"{row:07d}") for row in range(ends[-1] if ends else 0)]
    return Photos(label, open_row, lambda file: version, names)


def picture_column(schema: Any, column: str | None, label: str) -> str:  # noqa: ANN401
    """Return the name of the column that holds picture files.

    Raises:
        UsageError: There is no such column, or several and ``column`` names none of them.
    """
    from pyarrow import types

    def holds_bytes(kind: Any) -> bool:  # noqa: ANN401
        if types.is_struct(kind):
            return bool(kind.get_field_index("bytes") >= 0)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    columns = [field.name for field in schema if holds_bytes(field.type)]
    if column is not None and column in columns:
        return column
    if column is None and len(columns) == 1:
        return str(columns[0])
    content = f"pictures in {', '.join(columns)}" if columns else f"no pictures, only {', '.join(schema.names)}"
    raise UsageError(f"{label}: has {content}; name a column of pictures as in {SYNTAX}")

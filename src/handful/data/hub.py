"""Datasets of the Hugging Face Hub, as the Parquet files that it keeps of them: ``hf:owner/name[:split][:column]``.

Needs the extra ``hub``: huggingface_hub fetches the files, into its own cache, and pyarrow reads them. ``datasets``
would do both, and brings pandas, multiprocess and aiohttp along.
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


CONVERTED = "refs/convert/parquet"
"""Branch where the Hub itself writes Parquet files of datasets that come in other forms."""


GROUPS = 4
"""Row groups of a file kept in memory; often a hundred pictures each."""


def open_hub(source: Path) -> Photos:
    """Fetch a dataset, or take it from where it was fetched to before, and list its pictures by the number of the row.

    Raises:
        UsageError: a package is missing, the name is none, the Hub does not give it, or it holds no pictures.
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
        found = parquet_files(huggingface_hub.list_repo_files(name, repo_type="dataset"))
        if not found:
            revision = CONVERTED
            found = parquet_files(huggingface_hub.list_repo_files(name, repo_type="dataset", revision=revision))
        chosen = files_of(found, split, label)
        paths = [
            Path(huggingface_hub.hf_hub_download(name, file, repo_type="dataset", revision=revision)) for file in chosen
        ]
    except UsageError:
        raise
    except Exception as error:  # of the Hub, of its HTTP client, of the disk: none of them has a common base
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"{label}: cannot be had from the Hub ({reason}); check the name and the network, and for a private one "
            "run: hf auth login"
        ) from error
    return listed(paths, column, label)


def parse(source: Path) -> tuple[str, str | None, str | None]:
    """Take the name of a dataset apart: its name on the Hub, the split and the column, where they are given.

    Raises:
        UsageError: if it is not made that way.
    """
    name, *rest = str(source).removeprefix(HUB).split(":")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or len(rest) > 2 or not all(rest):
        raise UsageError(f"{source}: is not the name of a dataset; write {SYNTAX}")
    split, column = [*rest, None, None][:2]
    return name, split, column


def parquet_files(files: Sequence[str]) -> list[str]:
    """Keep the names of Parquet files, in order."""
    return sorted(file for file in files if file.endswith(".parquet"))


def split_of(file: str) -> tuple[str, str]:
    """Say which split a Parquet file is of, and what it lies in, which tells two sets of one name apart.

    The Hub has ``default/train/0000.parquet``, people ``data/train-00000-of-00002.parquet``.
    """
    path = PurePosixPath(file)
    if path.stem.isdigit():
        return path.parent.name, path.parent.parent.as_posix()
    return re.sub(r"-\d+-of-\d+(-[0-9a-f]+)?$", "", path.stem), path.parent.as_posix()


def files_of(files: Sequence[str], split: str | None, label: str) -> list[str]:
    """Choose the files of one split, by default ``train`` or the only one.

    Raises:
        UsageError: if there is none of this name, or several; the message lists what there is.
    """
    splits: dict[tuple[str, str], list[str]] = {}
    for file in files:
        splits.setdefault(split_of(file), []).append(file)
    if not splits:
        raise UsageError(f"{label}: has no Parquet files; download its pictures, and give the folder")
    names = {key: key[0] if len({folder for _, folder in splits}) == 1 else f"{key[1]}/{key[0]}" for key in splits}
    asked = split or ("train" if any(key[0] == "train" for key in splits) else None)
    fits = [key for key in splits if asked in (None, key[0], names[key])]
    if len(fits) != 1:
        there = ", ".join(sorted(names.values()))
        raise UsageError(f"{label}: has the splits {there}; name one of them as in {SYNTAX}")
    return splits[fits[0]]


def listed(paths: Sequence[Path], column: str | None, label: str) -> Photos:
    """List the pictures of Parquet files that lie on the disk; they are read a row group at a time.

    Raises:
        UsageError: if one cannot be read, or the column of pictures is not there or not the only one.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        files = [parquet.ParquetFile(path) for path in paths]
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(
            f"{label}: {error}; remove the file from the cache of the Hub, and it is fetched anew"
        ) from None
    taken = picture_column(files[0].schema_arrow, column, label)
    groups = [(file, group) for file in files for group in range(file.num_row_groups)]
    ends = list(accumulate(file.metadata.row_group(group).num_rows for file, group in groups))
    lock = Lock()

    @lru_cache(maxsize=GROUPS)
    def rows(number: int) -> Any:  # noqa: ANN401
        file, group = groups[number]
        return file.read_row_group(group, columns=[taken]).column(0)

    def open_row(file: Path) -> io.BytesIO:
        row = int(file.name)
        number = bisect.bisect_right(ends, row)
        with lock:
            values = rows(number)
        value = values[row - (ends[number - 1] if number else 0)].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None:
            raise OSError(0, "no picture in this row")
        return io.BytesIO(data)

    versions = " ".join(f"{path} {path.stat().st_size}" for path in paths)
    names = [Path(f"{row:07d}") for row in range(ends[-1] if ends else 0)]
    return Photos(label, open_row, lambda file: versions, names)


def picture_column(schema: Any, column: str | None, label: str) -> str:  # noqa: ANN401
    """Find the column that holds the bytes of picture files.

    Raises:
        UsageError: if there is none, or more than one and none was named.
    """
    from pyarrow import types

    def holds(kind: Any) -> bool:  # noqa: ANN401
        if types.is_struct(kind):
            return bool(kind.get_field_index("bytes") >= 0)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found = [field.name for field in schema if holds(field.type)]
    if column is not None and column in found:
        return column
    if column is None and len(found) == 1:
        return str(found[0])
    there = f"pictures in {', '.join(found)}" if found else f"no pictures, only {', '.join(schema.names)}"
    raise UsageError(f"{label}: has {there}; name a column of pictures as in {SYNTAX}")

"""Datasets of the Hub are read as folders are."""

import sys
from pathlib import Path

import pytest

from handful.data import hub
from handful.data.dataset import load_folder
from handful.data.sources import open_photos
from handful.errors import UsageError
from pictures import SMALL, picture


@pytest.fixture
def served(tmp_path, monkeypatch) -> dict[str, list[str]]:
    """Stands for the Hub: what it lists, by branch. Of the real one only this seam has not been seen."""
    pyarrow = pytest.importorskip("pyarrow")
    huggingface_hub = pytest.importorskip("huggingface_hub")
    from pyarrow import parquet

    rows = [{"bytes": picture((index * 20, 0, 0)), "path": f"{index}.png"} for index in range(10)]
    rows[3]["bytes"] = None
    table = pyarrow.table({"image": rows, "raw": [picture() for _ in rows], "label": list(range(10))})
    parquet.write_table(table, tmp_path / "two.parquet", row_group_size=4)
    parquet.write_table(table.slice(0, 2).drop(["raw"]), tmp_path / "one.parquet")
    listed: dict[str, list[str]] = {"main": ["README.md"], hub.CONVERTED_BRANCH: []}

    def list_repo_files(name, *, repo_type, revision="main"):
        assert (name, repo_type) == ("me/faces", "dataset")
        return listed[revision]

    def download(name, file, *, repo_type, revision):
        assert file in listed[revision]
        return str(tmp_path / ("one.parquet" if "one" in revision + file or "/0001" in file else "two.parquet"))

    monkeypatch.setattr(huggingface_hub, "list_repo_files", list_repo_files)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return listed


def test_a_dataset_of_the_hub_is_read_over_files_and_row_groups(served):
    served[hub.CONVERTED_BRANCH] = [
        "default/train/0001.parquet",
        "default/train/0000.parquet",
        "default/test/0000.parquet",
    ]
    dataset = load_folder(Path("hf:me/faces:train:image"), SMALL)
    assert dataset.names == tuple(f"{row:07d}" for row in range(12) if row != 3)
    assert [str(problem) for problem in dataset.skipped] == ["0000003: no picture in this row"]
    reds = [0, 20, 40, 80, 100, 120, 140, 160, 180, 0, 20]
    assert dataset.images[:, 0, 0, 0].tolist() == reds


def test_a_split_is_chosen_by_name_and_train_without_one(served):
    served["main"] = ["data/one-00000-of-00001.parquet", "data/train-00000-of-00002-0af.parquet"]
    assert len(open_photos(Path("hf:me/faces:train:raw")).files) == 10
    assert len(open_photos(Path("hf:me/faces:one")).files) == 2
    with pytest.raises(UsageError, match=r"has the splits one, train; name one of them as in hf:owner/name"):
        open_photos(Path("hf:me/faces:test"))


def test_sets_of_one_name_in_two_folders_are_told_apart(served):
    served["main"] = ["one/train-00000-of-00001.parquet", "full/train-00000-of-00001.parquet"]
    with pytest.raises(UsageError, match="has the splits full/train, one/train; name one"):
        open_photos(Path("hf:me/faces"))
    assert len(open_photos(Path("hf:me/faces:one/train")).files) == 2


def test_a_column_is_asked_for_where_there_are_several(served):
    served["main"] = ["train.parquet"]
    with pytest.raises(UsageError, match="has pictures in image, raw; name a column of pictures as in hf:"):
        open_photos(Path("hf:me/faces"))
    with pytest.raises(UsageError, match="has pictures in image, raw; name"):
        open_photos(Path("hf:me/faces:train:label"))


def test_a_dataset_without_parquet_files_is_refused(served):
    with pytest.raises(UsageError, match="has no Parquet files; download its pictures and give the folder"):
        open_photos(Path("hf:me/faces"))


def test_what_the_hub_does_not_give_is_named_with_the_remedy(served, monkeypatch):
    import huggingface_hub

    def refuse(*_, **__):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "list_repo_files", refuse)
    with pytest.raises(
        UsageError, match=r"hf:me/faces: cannot be downloaded from the Hub \(no route\); check .* hf auth login"
    ):
        open_photos(Path("hf:me/faces"))


@pytest.mark.parametrize("package", ["huggingface_hub", "pyarrow"])
def test_a_missing_package_is_named_with_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    with pytest.raises(UsageError, match=rf"hf:me/faces: needs {package}.*; pip install 'handful\[hub\]'"):
        open_photos(Path("hf:me/faces"))


@pytest.mark.parametrize("name", ["hf:", "hf:faces", "hf:me/faces/x", "hf:me/faces:", "hf:me/faces:a:b:c"])
def test_what_is_no_name_of_a_dataset_is_refused(name):
    with pytest.raises(UsageError, match=r"is not the name of a dataset; write hf:owner/name\[:split\]\[:column\]"):
        open_photos(Path(name))

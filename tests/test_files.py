"""Files are whole or not there."""

import pytest

from handful.files import replacing, write_json


def fail_half_way(path):
    with replacing(path) as temporary:
        if path.suffix:
            temporary.write_text("half")
        else:
            temporary.mkdir()
            (temporary / "file").write_text("half")
        raise RuntimeError


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError):
        fail_half_way(path)
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_at_once_or_not_at_all(tmp_path):
    with replacing(tmp_path / "sub" / "folder") as temporary:
        temporary.mkdir()
        (temporary / "file").write_text("x")
        assert not (tmp_path / "sub" / "folder").exists()
    assert (tmp_path / "sub" / "folder" / "file").read_text() == "x"
    with pytest.raises(RuntimeError):
        fail_half_way(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["sub"]

"""Files are whole or not there."""

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from handful.compute.compiling import keep_compile_cache
from handful.data.photos import SkippedFile
from handful.files import cache_folder, is_readable, printable, replacing, sweep, write_json
from handful.networks.pretrained import weights


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


def test_printable_escapes_only_what_cannot_be_printed():
    assert printable("naïve 写真 [1].png") == "naïve 写真 [1].png"
    assert printable(Path("a\nb\x1b[0m.png")) == r"a\nb\x1b[0m.png"
    assert printable(os.fsdecode(b"\xff.png")) == r"\udcff.png"
    assert str(SkippedFile(Path("a\tb.png"), "empty file")) == r"a\tb.png: empty file"


def test_a_sweep_removes_only_temporary_files_of_the_names_it_is_given(tmp_path):
    own = [".value.json.12ab.part", ".step-00000003.7.part"]
    strangers = [".holiday.mp4.part", ".value.json.part", ".notes.txt.12ab.part", "value.json.12ab.part", ".value.json"]
    for name in own + strangers:
        (tmp_path / name).write_text("x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / own[0]).write_text("x")
    sweep(tmp_path, ["value.json", "step-*"])
    assert {path.name for path in tmp_path.iterdir()} == {*strangers, "sub"}
    assert (tmp_path / "sub" / own[0]).exists()
    sweep(tmp_path / "missing", ["value.json"])


def test_a_sweep_follows_no_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("x")
    run = tmp_path / "run"
    run.mkdir()
    (run / ".step-00000003.7.part").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    sweep(run, ["step-*"])
    assert not list(run.iterdir())
    assert (tmp_path / "elsewhere" / "file").exists()


@pytest.fixture
def no_home(monkeypatch):
    """A user without a home and without a name, as in some containers."""
    for name in (
        "HOME",
        "HANDFUL_CACHE",
        "XDG_CACHE_HOME",
        "USERPROFILE",
        "LOGNAME",
        "USER",
        "TORCHINDUCTOR_CACHE_DIR",
    ):
        monkeypatch.delenv(name, raising=False)

    def nobody(*arguments):
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)


@pytest.mark.usefixtures("no_home")
def test_without_a_home_caches_lie_among_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cache_folder().is_relative_to(tmp_path)
    assert weights.find(weights.VGG16) is None
    keep_compile_cache()
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).is_relative_to(tmp_path)


def test_a_home_that_cannot_be_looked_at_is_passed_over(tmp_path, monkeypatch):
    """Root may look at everything, so the system is asked to refuse."""

    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HANDFUL_CACHE", str(tmp_path / "forbidden"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(Path, "stat", refuse)
    assert not is_readable(tmp_path / "forbidden" / "file")
    assert weights.find(weights.VGG16, None) is None
    keep_compile_cache()
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).is_relative_to(tmp_path)

"""Zip archives are read as folders are."""

import shutil
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handful.config.train import TrainConfig
from handful.data import archives
from handful.data.dataset import load_folder
from handful.data.sources import open_photos
from handful.data.survey import choose_channels, read_shapes
from handful.errors import UsageError
from handful.metrics.samples import open_samples
from pictures import SMALL, paint, picture

COLOURS = {"a.png": (255, 0, 0), "b/c.jpg": (0, 255, 0), "b/d/e.webp": (0, 0, 255)}


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, colour in COLOURS.items():
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 16), colour).save(file)
    return tmp_path / "photos"


def packed(folder: Path, **more: bytes) -> Path:
    """Pack a folder as people do, with what their systems add."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*"), reverse=True):
            file.write(path, path.relative_to(folder))
        for name, data in more.items():
            file.writestr(name, data)
    return archive


def test_an_archive_holds_the_same_data_as_its_folder(folder):
    plain, zipped = (load_folder(source, SMALL) for source in (folder, packed(folder)))
    assert zipped.names == tuple(COLOURS)
    assert zipped.fingerprint == plain.fingerprint
    assert torch.equal(zipped.images, plain.images)


def test_what_systems_add_to_an_archive_is_passed_over_and_other_files_are_counted(folder):
    junk = {"__MACOSX/._a.png": b"x", "b/__MACOSX/f.png": b"x", ".DS_Store": b"x", "b/.thumbs/a.png": b"x"}
    dataset = load_folder(packed(folder, **junk, **{"notes.txt": b"x", "../out.png": b"x"}), SMALL)
    assert dataset.names == tuple(COLOURS)
    assert dataset.skipped == ()
    assert dataset.ignored == {".txt": 1}


def test_a_damaged_picture_of_an_archive_costs_that_picture_alone(folder):
    archive = packed(folder, **{"m.png": b"no picture", "n.png": b""})
    data = bytearray(archive.read_bytes())
    place = data.index(b"b/c.jpg") + 30
    data[place] ^= 0xFF
    archive.write_bytes(bytes(data))
    dataset = load_folder(archive, SMALL)
    assert dataset.names == ("a.png", "b/d/e.webp")
    reasons = {problem.path.as_posix(): problem.reason for problem in dataset.skipped}
    assert reasons.pop("b/c.jpg").startswith("damaged")
    assert reasons == {"m.png": "not an image Pillow can read", "n.png": "empty file"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_an_archive_with_any_byte_changed_is_read_or_refused_with_its_name(tmp_path_factory, place, change):
    archive = tmp_path_factory.mktemp("archive") / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in "abc":
            file.writestr(f"{name}.png", picture())
    data = bytearray(archive.read_bytes())
    data[place % len(data)] ^= change
    archive.write_bytes(bytes(data))
    refused = ""
    try:
        images = load_folder(archive, SMALL).images
    except UsageError as error:
        refused = str(error)
    assert "x.zip" in refused or 2 <= len(images) <= 3


def test_an_archive_cut_short_is_refused(folder):
    archive = packed(folder)
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"photos\.zip cannot be read as a zip archive .*: copy or download it again"):
        open_photos(archive)


def test_an_encrypted_archive_is_refused_with_the_remedy(folder):
    archive = packed(folder)
    data = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of each entry, which say so
        place = data.find(mark)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(mark, place + 4)
    archive.write_bytes(bytes(data))
    with pytest.raises(
        UsageError, match=r"photos\.zip is encrypted: unpack it with its password and give the folder instead"
    ):
        open_photos(archive)


def test_a_picture_that_claims_to_be_huge_is_not_unpacked(folder, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 200)
    dataset = load_folder(packed(folder, **{"m.png": picture() + bytes(1_000)}), SMALL)
    assert [str(problem) for problem in dataset.skipped if problem.path.name == "m.png"] == [
        "m.png: larger than a gigabyte when unpacked"
    ]


def test_an_archive_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no\.zip does not exist"):
        open_photos(tmp_path / "no.zip")


def test_archives_do_wherever_folders_do(folder):
    archive = packed(folder)
    assert read_shapes(archive) == read_shapes(folder) == [(16, 24)] * 3
    assert choose_channels(archive) == choose_channels(folder)
    source = open_samples(archive, 10, None, "crop", "cpu")
    assert (source.count, source.shape) == (3, (16, 24))
    assert torch.cat(list(source.stream())).shape == (3, 3, 16, 24)


def test_the_stamp_follows_the_pictures_of_a_folder_and_of_an_archive(folder):
    stamps = [open_photos(source).stamp() for source in (folder, packed(folder))]
    assert [open_photos(source).stamp() for source in (folder, packed(folder))] == stamps
    shutil.copy(folder / "a.png", folder / "f.png")
    assert open_photos(folder).stamp() != stamps[0]
    assert open_photos(packed(folder)).stamp() != stamps[1]


@pytest.mark.parametrize(
    ("source", "run"),
    [("x/photos.zip", "photos"), ("x/photos", "photos"), ("hf:me/faces", "faces"), ("hf:me/faces:test:img", "faces")],
)
def test_a_run_is_named_after_its_images(source, run):
    assert TrainConfig(source).folder == Path("runs") / run


ACCENTS = ("Café/a.png", "Müll/b.png", "猫/c.png")


@pytest.fixture
def accents(tmp_path) -> Path:
    """A folder of class folders whose names have accents."""
    for index, name in enumerate(ACCENTS):
        paint(tmp_path / "accents" / name, (index, 0, 0))
    return tmp_path / "accents"


def test_names_in_utf_8_are_read_so_without_its_mark_as_macos_leaves_it_out(accents):
    archive = packed(accents)
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        place = data.find(signature)
        while place >= 0:
            data[place + offset] &= ~8
            place = data.find(signature, place + 4)
    archive.write_bytes(bytes(data))
    marked, folder = load_folder(archive, SMALL), load_folder(accents, SMALL)
    assert marked.names == ACCENTS
    assert marked.fingerprint == folder.fingerprint


def test_names_of_old_systems_and_of_info_zip_are_kept(tmp_path):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for index, stored in enumerate((b"Caf\x82", b"Caf?")):  # code page 437, and an extra field with the real name
            entry = zipfile.ZipInfo(f"folder/{stored.decode('ascii', 'replace')}{index}.png".replace("\ufffd", "_"))
            stored_name = b"folder/" + stored + str(index).encode() + b".png"
            if index == 1:
                real = "folder/猫1.png".encode()
                content = b"\1" + zlib.crc32(stored_name).to_bytes(4, "little") + real
                entry.extra = (0x7075).to_bytes(2, "little") + len(content).to_bytes(2, "little") + content
            file.writestr(entry, picture())
    archive.write_bytes(archive.read_bytes().replace(b"Caf_0", b"Caf\x820"))
    assert load_folder(archive, SMALL).names == ("folder/Café0.png", "folder/猫1.png")


def test_backslashes_divide_folders_as_old_tools_of_windows_write_them(accents, tmp_path):
    archive = tmp_path / "windows.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("set\\", b"")
        for name in ACCENTS:
            file.write(accents / name, name.replace("/", "\\"))
        file.writestr("set\\.hidden\\x.png", b"junk")
        file.writestr("__MACOSX\\set\\._a.png", b"junk")
    dataset = load_folder(archive, SMALL)
    assert dataset.fingerprint == load_folder(accents, SMALL).fingerprint
    assert dataset.skipped == ()


def test_a_jpeg_with_another_ending_is_a_picture_in_an_archive_too(folder):
    dataset = load_folder(packed(folder, **{"IMG_1.HEIC": picture(form="JPEG"), "IMG_2": picture()}), SMALL)
    assert {"IMG_1.HEIC", "IMG_2"} < set(dataset.names)

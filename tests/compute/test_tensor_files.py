"""Tensor files: what was written is read, and no damage passes."""

import json
import random
import struct
from contextlib import suppress

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from handful.compute.tensor_files import layout_of, open_tensors, write_tensors
from handful.errors import UsageError

TENSORS = {
    "b.weight": torch.arange(6, dtype=torch.float32).view(2, 3),
    "a": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "flags": torch.tensor([True, False, True]),
}


def write(path, tensors=TENSORS, **header):
    write_tensors(path, tensors, "handful test", header)
    return path


def read(path):
    with open_tensors(path, "handful test", "a test file") as file:
        return file.header, file.load()


def test_tensors_and_header_come_back_bit_for_bit(tmp_path):
    header, tensors = read(write(tmp_path / "x", step=3, names=["ä", "b"]))
    assert header == {"step": 3, "names": ["ä", "b"]}
    assert layout_of(tensors) == layout_of(TENSORS)
    for name, value in TENSORS.items():
        assert torch.equal(tensors[name], value), name


def test_the_tools_of_safetensors_read_our_files(tmp_path):
    for name, value in load_file(write(tmp_path / "x")).items():
        assert torch.equal(value, TENSORS[name]), name


def test_memory_layout_does_not_matter(tmp_path):
    turned = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)}
    plain = {name: value.contiguous() for name, value in turned.items()}
    assert write(tmp_path / "x", turned).read_bytes() == write(tmp_path / "y", plain).read_bytes()


def test_every_single_bit_matters(tmp_path):
    """Bits of padding are the only ones that carry nothing."""
    path = write(tmp_path / "x", {"a": torch.arange(4.0), "b": torch.ones(1)}, step=3)
    sound = path.read_bytes()
    expected = read(path)
    for bit in random.Random(0).sample(range(len(sound) * 8), 500):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with suppress(UsageError):
            header, tensors = read(path)
            assert header == expected[0]
            assert all(torch.equal(value, expected[1][name]) for name, value in tensors.items())
            assert tensors.keys() == expected[1].keys()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100, -1])
def test_a_file_that_is_cut_is_named(tmp_path, size):
    path = write(tmp_path / "x")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UsageError, match=r"x: cannot be read as a test file .* cut short or damaged"):
        read(path)


def test_zeros_in_place_of_pixels_are_damage(tmp_path):
    path = write(tmp_path / "x", {"a": torch.arange(1000.0)})
    data = path.read_bytes()
    path.write_bytes(data[:-2000] + bytes(2000))
    with pytest.raises(UsageError, match="checksum does not match, so the file is damaged"):
        read(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    path = write(tmp_path / "x", {"a": torch.tensor([1.0, np.inf])})
    with pytest.raises(UsageError, match="the tensor 'a' has numbers that are not finite"):
        read(path)


def test_files_of_version_1_have_no_checksum_and_are_read(tmp_path):
    save_file(TENSORS, tmp_path / "x", metadata={"handful": json.dumps({"format": "handful test 1", "step": 3})})
    header, tensors = read(tmp_path / "x")
    assert header == {"step": 3}
    assert tensors.keys() == TENSORS.keys()


def test_a_file_of_version_2_without_its_checksum_is_damaged(tmp_path):
    save_file(TENSORS, tmp_path / "x", metadata={"handful": json.dumps({"format": "handful test 2"})})
    with pytest.raises(UsageError, match="has lost its checksum"):
        read(tmp_path / "x")


@pytest.mark.parametrize(
    "words", ["null", "[]", "3", '"x"', "{", "[" * 100_000, '{"format": 3}', '{"a": ' + "9" * 5000 + "}", '{"a": NaN}']
)
def test_a_header_that_is_no_header_of_ours_is_refused(tmp_path, words):
    save_file(TENSORS, tmp_path / "x", metadata={"handful": words})
    with pytest.raises(UsageError, match=r"x: (is not a test file|cannot be read as a test file)"):
        read(tmp_path / "x")


def test_a_header_of_other_types_and_escapes_is_printed_without_them(tmp_path):
    header = json.dumps({"__metadata__": {"handful": '{"format": "\\u001b[2J"}'}}).encode()
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UsageError) as error:
        read(tmp_path / "x")
    assert "\x1b" not in str(error.value)


def test_what_a_file_must_hold_is_compared_before_anything_is_loaded(tmp_path):
    path = write(tmp_path / "x", {"a": torch.zeros(2)})
    for expected, said in (
        ({"a": ("F32", (3,))}, r"the tensor 'a' is F32 \(2,\), and should be F32 \(3,\)"),
        ({"a": ("F64", (2,))}, "should be F64"),
        ({}, "the tensor 'a' is unknown"),
        ({"a": ("F32", (2,)), "b": ("F32", ())}, "the tensor 'b' is missing"),
    ):
        with pytest.raises(UsageError, match=said), open_tensors(path, "handful test", "a test file") as file:
            file.require(expected)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere: does not exist; give a test file"):
        read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="cannot be read as a test file"):
        read(tmp_path)

"""Output that cannot be written as it is: characters that the terminal lacks, a full disk, a closed pipe."""

import io
import os
import sys

import pytest
from rich.console import Console

from handful.cli import main as cli
from handful.displays import print_line
from pictures import paint


@pytest.fixture
def folder(tmp_path):
    """Pictures, and a bad one whose name cp1252 lacks."""
    for index in range(3):
        paint(tmp_path / "猫" / f"{index}.png", (index, 0, 0), (64, 64))
    (tmp_path / "猫" / "bad.png").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_characters_that_the_terminal_lacks_are_escaped(folder, monkeypatch, encoding):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    assert cli.main(["check", str(folder), "--size", "32"]) == 0
    assert ("猫/bad.png" if encoding == "utf-8" else r"\u732b/bad.png") in out.getvalue().decode(encoding)


def test_a_line_of_progress_is_escaped_too():
    out = io.BytesIO()
    terminal = Console(file=io.TextIOWrapper(out, "cp1252", write_through=True))
    print_line(terminal, "KID 0.1 ± 0.2 of 猫")
    assert out.getvalue().decode("cp1252") == "KID 0.1 ± 0.2 of \\u732b\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")  # noqa: PTH110
@pytest.mark.parametrize(("options", "code"), [([], 0), (["--json"], 1)])
def test_done_work_does_not_fail_for_its_words_but_json_must_arrive(folder, monkeypatch, capfd, options, code):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        assert cli.main(["check", str(folder), "--size", "32", *options]) == code
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    said = capfd.readouterr().err
    assert "No space left" in said
    assert ("done; the answer could not be printed" in said) == (code == 0)

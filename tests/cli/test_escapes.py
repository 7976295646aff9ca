"""Names of files and classes may be a stranger's: no escape of theirs reaches a terminal."""

import io
import json
from contextlib import suppress

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from handful.cli import command, main
from handful.cli.command import Answer, print_words, show
from handful.displays import Bars, Lines
from handful.errors import UsageError
from support.models import made

NASTY = "\x1b[2J\x1b]0;owned\x07\rnewts\u202e"


@pytest.fixture
def model(tmp_path):
    """A folder with a model whose class has a nasty name, beside latents whose names are nasty."""
    model = made(classes=(NASTY, "frogs"))
    model.save(tmp_path / "model")
    latents = model.latents([0, 1]).renamed([NASTY, "2"])
    latents.save(tmp_path / "face.safetensors", model)
    return tmp_path / "model"


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "{model}", "--class", "toads", "--out", "{out}"],
        ["generate", "{model}", "--class", NASTY + "!", "--out", "{out}"],
        ["generate", "{model}", "--seeds", "{face}:nobody", "--out", "{out}"],
        ["generate", "{model}", "--seeds", "{face}", "--out", "{out}"],
        ["generate", "{model}", "--seeds", "1", "--out", "{out}" + NASTY],
        ["generate", "{model}", "--device", NASTY],
        ["generate", "{model}", "--seeds", NASTY],
        ["generate", NASTY],
        ["train", NASTY],
        [NASTY],
        ["--" + NASTY],
        ["describe", "--size", NASTY],
        ["check", NASTY],
    ],
    ids=range(13),
)
def test_no_command_prints_an_escape_of_a_name(model, tmp_path, capsys, arguments):
    places = {"model": model, "out": tmp_path / "out", "face": tmp_path / "face.safetensors"}
    words = [part.format(**places) if part.startswith("{") else part for part in arguments]
    with suppress(SystemExit):
        main.main(words)
    out, err = capsys.readouterr()
    for letter in ("\x1b", "\x07", "\r", "\u202e"):
        assert letter not in out + err


def test_errors_are_one_line_that_a_terminal_can_show():
    error = UsageError(f"--class {NASTY}\nsecond: line")
    for text in (str(error), error.on_command_line):
        assert text.isprintable()
        assert r"\nsecond" in text


@pytest.mark.parametrize("display", [Bars, Lines])
def test_notes_are_shown_without_escapes(display):
    out = io.StringIO()
    progress = display(Console(file=out))
    progress.note(NASTY)
    progress.close()
    assert "\x1b" not in out.getvalue()
    assert r"\x1b[2J" in out.getvalue()


def test_answers_keep_our_colours_and_escape_all_else(monkeypatch, capsys):
    table = Table()
    table.add_row(Text(NASTY, style="red"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    print_words([table])
    out = capsys.readouterr().out
    assert "\x1b[31m" in out
    assert "\x1b[2J" not in out
    assert "\x1b]" not in out
    assert "\x07" not in out


def test_answers_in_words_keep_their_lines(capsys):
    print_words(f"one\ntwo {NASTY}")
    out = capsys.readouterr().out
    assert out.startswith("one\ntwo \\x1b[2J")
    assert "\x1b" not in out


def test_json_has_the_names_as_they_are(capsys):
    show(Answer({"name": NASTY}, ""), as_json=True)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert json.loads(out) == {"name": NASTY}


def test_an_error_is_printed_where_the_stream_is_gone(monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    command.complain("nothing")

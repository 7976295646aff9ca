"""What the command line answers at once: help, and wrong use that needs no torch."""

import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from handful.cli import main as cli
from handful.cli.command import COMMANDS
from handful.cli.signature import parameters_of, read_definition

SOURCE = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("", 0, "handful COMMAND --help explains a command"),
        ("--help", 0, "handful COMMAND --help explains a command"),
        ("genrate", 2, "handful: genrate: no such command; did you mean generate?\n"),
        ("train x --stpes 5", 2, "handful: --stpes: no option of handful train; did you mean --steps?\n"),
        (
            "generate nothere",
            2,
            "handful: nothere: does not exist; give a run folder, a model folder, a .safetensors file or ",
        ),
        ("train nothere", 2, "handful: nothere: does not exist; give a folder of images, a .zip archive, or"),
        ("generate . --seeds 5-2", 2, "handful: --seeds 5-2: the range 5-2 ends before it starts\n"),
        ("train . --width 12", 2, "handful: --width 12: must be at least 8, at most 4096 and a multiple of 8\n"),
        ("train --help", 0, "--help-all"),
    ],
)
def test_help_and_wrong_use_are_answered_in_a_second_without_torch(arguments, code, said, tmp_path):
    script = "import sys, atexit; from handful.cli.main import main\n"
    script += "atexit.register(lambda: print('slow:', {'torch', 'numpy', 'PIL'} & set(sys.modules)))\n"
    script += "sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, *arguments.split()]
    start = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(SOURCE)}
    )
    seconds = time.perf_counter() - start
    assert (done.returncode, "slow: set()" in done.stdout) == (code, True), done.stdout + done.stderr
    assert said in (done.stdout if code == 0 else done.stderr)
    # Half a second on a quiet machine; the suite keeps all cores busy. Torch alone takes longer.
    assert seconds < 3


def test_the_help_lists_every_command_in_its_group(capsys):
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line and line[0].isupper()][1:] == [
        "Start with:", "In a browser", "Train", "Make pictures", "Judge", "Share", "Machine",
    ]  # fmt: skip
    for command in COMMANDS.values():
        assert f"  {command.name} " in text
        assert len(command.summary) < 64, command.summary


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_in_the_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([command, "--help-all" if command == "train" else "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert re.search(rf"Example: .*handful {command}", text)
    for option in COMMANDS[command].options.values():
        assert len(option.help.split()) > 1, option
        assert "\n" not in option.help
        assert "`" not in option.help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_parameter_of_a_function_is_an_option_or_is_none_by_intent(command):
    module, name = COMMANDS[command].answer.__module__, COMMANDS[command].answer.__name__
    for place in (*COMMANDS[command].functions, f"{module.removeprefix('handful.')}:{name}"):
        node = read_definition(place)
        if hasattr(node, "args"):
            names = {name for name, *_ in parameters_of(node, "")}
            assert names - set(COMMANDS[command].options) <= {"progress", "effort", "call", "_"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_a_command_is_one_that_it_knows(command):
    program, name, *rest = re.findall(r"handful [^)]*", COMMANDS[command].example)[0].split()
    assert (program, name) == ("handful", command)
    COMMANDS[command].read(rest)


def test_the_help_of_train_shows_two_dozen_options_in_boxes_and_all_on_demand(capsys):
    shown = {}
    for flag in ("--help", "--help-all"):
        with pytest.raises(SystemExit):
            cli.main(["train", flag])
        lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
        assert [above for above, line in pairwise(lines) if line and set(line) == {"-"}] == [
            "positional arguments", "options", "data options", "recipe options", "machine options", "records options",
        ]  # fmt: skip
        shown[flag] = {line.split()[0].strip(",") for line in lines if line.startswith("--") and set(line) != {"-"}}
    assert 20 <= len(shown["--help"]) <= 30
    assert {"--size", "--steps", "--device", "--run"} < shown["--help"] < shown["--help-all"]
    assert "--spectrum-penalty" in shown["--help-all"] - shown["--help"]


@pytest.mark.parametrize(
    ("options", "values"), [("--preset tiny", ["64", "10000"]), ("--recipe published", ["0.0002", "constant"])]
)
def test_the_help_of_train_has_the_defaults_of_what_is_asked_for(options, values, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", *options.split(), "--help-all"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for value in values:
        assert f"(default: {value})" in text

import pickle

import pytest

from handful.errors import HandfulError, TrainingError, UsageError, WeightsError


@pytest.mark.parametrize(
    ("message", "in_python"),
    [
        ("--at-once 3: does not divide --batch 8 evenly", "at_once 3: does not divide batch 8 evenly"),
        ("--class cats: is no class", "class_name cats: is no class"),
        ("--from runs/a--b: is not there", "from_ runs/a--b: is not there"),
        ("no gates with --no-sle", "no gates with sle=False"),
        ("--nproc-per-node 3: too many", "--nproc-per-node 3: too many"),
        ("a -- b --- c photos/--x", "a -- b --- c photos/--x"),
    ],
)
def test_an_error_names_options_on_the_command_line_and_arguments_in_python(message, in_python):
    error = UsageError(message)
    assert error.on_command_line == message
    assert str(error) == in_python


@pytest.mark.parametrize("kind", [UsageError, TrainingError, WeightsError])
def test_an_error_keeps_its_message_from_one_process_to_another(kind):
    error = pickle.loads(pickle.dumps(kind("--size 3: must be at least 32")))
    assert isinstance(error, HandfulError)
    assert error.on_command_line == "--size 3: must be at least 32"


def test_lists_stand_below_a_message_and_names_cannot_break_its_lines():
    error = UsageError("photos: 2 images cannot be read:\n  a.png: cut\n  b.png: cut\nhandful: \x1b[2Jdone")
    lines = str(error).splitlines()
    assert lines[1:] == ["  a.png: cut", r"  b.png: cut\nhandful: \x1b[2Jdone"]

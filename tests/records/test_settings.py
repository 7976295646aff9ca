"""The settings of a run: what is wrong in config.json is told as the file's."""

import json

import pytest

from handful.config.files import read_options
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.records.run_folder import is_run
from handful.records.settings import Settings, read_settings, settle


def written(tmp_path, **change):
    settle(Settings(TrainConfig("photos", run=tmp_path), "abc", 12), None)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    saved["options"] |= change
    path.write_text(json.dumps(saved))
    return path


def test_settings_come_back(tmp_path):
    written(tmp_path)
    assert read_settings(tmp_path) == Settings(TrainConfig("photos", run=tmp_path), "abc", 12)
    assert is_run(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "3", '"options"', "{}", '{"options": null}', '{"options": []}', '{"options": {}}', "[" * 100_000,
     '{"a":' * 100_000, '{"options": {"images": "p"}}', '{"options": {"width": ' + "9" * 5000 + "}}",
     '{"options": {"images": "p"}, "fingerprint": 3, "images": "x"}', "\0" * 50, '{"options": NaN}'],
    ids=range(16),
)  # fmt: skip
def test_a_file_that_holds_no_settings_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError) as error:
        read_settings(tmp_path)
    message = error.value.on_command_line
    assert message.startswith(f"{tmp_path / 'config.json'}: ")
    assert len(message) < 400
    assert message.isprintable()
    is_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 12}, "width 12: must be at least 8"),
        ({"width": None}, "width None: must be a whole number"),
        ({"steps": [1]}, "steps 1: must be a whole number"),
        ({"betas": [0.5, {"a": 1}]}, "betas 0.5"),
        ({"batch": {"a": {"b": []}}}, "batch {'a': {'b': []}}: must be a whole number or auto"),
        ({"colour\x1b[2J": 1}, "unknown option"),
        ({"device": "cpu\x1b[2J", "width": 9}, "width 9"),
    ],
)
def test_its_bad_values_are_told_as_the_files_and_not_as_options(tmp_path, change, said):
    path = written(tmp_path, **change)
    for read, start in ((lambda: read_settings(tmp_path), f"{path}: "), (lambda: read_options(str(path)), "--config")):
        with pytest.raises(UsageError) as error:
            read()
        message = error.value.on_command_line
        assert message.startswith(start)
        assert said in message
        assert "--" not in message.removeprefix("--config")
        assert message.isprintable()


@pytest.mark.parametrize(
    "text", ["variants = 3", "[variants]\na = 3", "common = 1\n[variants.a]\nwidth = 8", "a = " + "[" * 2000]
)
def test_a_table_of_another_form_is_named(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(UsageError, match=r"^config .*x\.toml"):
        read_options(f"{tmp_path / 'x.toml'}")

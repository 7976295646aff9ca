"""The completion scripts, sourced in the shells that they are for."""

import shutil
import subprocess

import pytest

from handful.cli import main as cli


@pytest.fixture
def scripts(tmp_path, capsys):
    for shell in ("bash", "zsh"):
        assert cli.main(["completion", shell]) == 0
        (tmp_path / shell).write_text(capsys.readouterr().out, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("handful gen", "generate"),
        ("handful completion ''", "bash zsh"),
        ("handful train photos --spec", "--spectrum-penalty"),
        ("handful train photos --fit ''", "crop squash"),
        ("handful train --preset p", "paper"),
        ("handful generate runs --cl", "--class"),
        ("handful generate run", ""),
    ],
)
def test_commands_options_and_values_are_completed(shell, words, completed, scripts):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    # zsh numbers words from 1 unless told otherwise, as bashcompinit does for scripts of bash.
    start = "emulate -L sh; setopt ksharrays; " if shell == "zsh" else ""
    call = f'COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _handful; echo "${{COMPREPLY[@]}}"'
    script = f"source {scripts / shell}\ntest_() {{ {start}{call}; }}\ntest_\n"
    options = ["--norc"] if shell == "bash" else ["-f"]
    done = subprocess.run([shell, *options, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == completed
    assert done.stderr == ""


@pytest.mark.parametrize(("shell", "query"), [("bash", "complete -p handful"), ("zsh", "echo $_comps[handful]")])
def test_sourcing_the_script_registers_the_completion(shell, query, scripts):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    options = ["--norc"] if shell == "bash" else ["-f"]
    script = f"source {scripts / shell}\n{query}"
    done = subprocess.run([shell, *options, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "_handful" in done.stdout


def test_a_shell_without_a_script_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["completion", "fish"])
    assert exit_.value.code == 2
    assert "invalid choice 'fish' for argument 'shell'" in capsys.readouterr().err

"""Gather the pages of the site in build/docs: docs/ as it is, two pages written from the source, and what they link to.

    python dev/site.py

``make site`` runs it, then builds mkdocs.yml from there.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, get_args

import handful
from handful.cli import main  # noqa: F401 - registers the commands
from handful.cli.command import COMMANDS, Group
from handful.cli.signature import REQUIRED, Option
from handful.cli.train import Train
from handful.config.presets import configure
from handful.config.text import listed, option

ROOT = Path(__file__).parents[1]

BESIDE = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md", "THIRD_PARTY_NOTICES.md")
"""Files of the root that become pages beside those of docs/."""

STYLE = """\
.md-grid { max-width: 68rem; }
.md-typeset pre > code { font-size: .78em; }
.md-typeset table:not([class]) { font-size: .7rem; }
.md-typeset table:not([class]) :is(th, td) { min-width: 0; padding: .6em .8em; }
.md-typeset table:not([class]) code { word-break: normal; overflow-wrap: normal; }
.md-typeset img { border-radius: .2rem; }
"""


def gather(target: Path) -> None:
    """Write all pages."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "docs", target)
    for page in target.glob("*.md"):
        write(page, page.read_text(encoding="utf-8").replace("](../", "]("))
    for name in BESIDE:
        text = (ROOT / name).read_text(encoding="utf-8")
        write(target / name, text.replace("](docs/", "]("))
    for path in [*ROOT.glob("dev/*.md"), *ROOT.glob("experiments/*.toml"), *ROOT.glob("integrations/*/README.md")]:
        text = path.read_text(encoding="utf-8")
        write(target / path.relative_to(ROOT), re.sub(r"\]\(((?:\.\./)+)docs/", r"](\1", text))
    write(target / "python.md", python_page())
    write(target / "command-line.md", command_line_page())
    write(target / "style.css", STYLE)


def write(path: Path, text: str) -> None:
    """Write a file, in a folder that may not be there. A figure and its error stay on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"), encoding="utf-8")


def python_page() -> str:
    """Return the page of all public names, which mkdocstrings fills."""
    lines = ["# Python", "", "```python", "import handful", "```", ""]
    lines += ["Names are imported when first used, so `import handful` does not wait for torch.", ""]
    kinds = {"Functions": str.islower, "Classes": lambda name: not name.islower()}
    for title, belongs in kinds.items():
        lines += [f"## {title}", ""]
        for name in sorted(filter(belongs, handful.HOME)):
            lines += [f"::: handful.{handful.HOME[name]}.{name}", "    options:"]
            lines += [f"      heading: handful.{name}", f"      toc_label: {name}", ""]
    return "\n".join(lines)


def command_line_page() -> str:
    """Return the page of all commands with their options."""
    lines = ["# Command line", "", "`handful COMMAND --help` shows the same on a terminal.", ""]
    for group in get_args(Group):
        lines += [f"## {group}", ""]
        for command in (command for command in COMMANDS.values() if command.group == group):
            lines += [f"### handful {command.name}", "", *paragraphs(command.summary, command.own.details)]
            lines += ["```sh", command.example, "```", ""]
            boxes = command.boxes(configure("-"), everything=True) if isinstance(command, Train) else None
            for title, options in (boxes or {"": list(command.options.values())}).items():
                lines += ([f"**{title}**", ""] if title else []) + table(options)
    return "\n".join(lines)


def paragraphs(*texts: str) -> list[str]:
    """Return texts as paragraphs of Markdown."""
    return [line for text in texts if text for line in (escaped(text), "")]


def table(options: list[Option]) -> list[str]:
    """Return a table of options."""
    rows = ["| option | values | default | |", "|---|---|---|---|"]
    for entry in options:
        argument = entry.default is REQUIRED or entry.is_argument
        name = entry.name.upper() if argument else option(entry.name)
        off = f", `{option(f'no_{entry.name}')}`" if entry.negatable else ""
        unset = entry.default in (REQUIRED, None, False, ())
        default = "" if unset else f"`{written(entry.default)}`"
        rows.append(f"| `{name}`{off} | {values(entry.kind)} | {default} | {escaped(entry.help)} |")
    return [*rows, ""]


def written(value: Any) -> str:  # noqa: ANN401
    """Write a default as the command line takes it."""
    if value is True:
        return "on"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def values(kind: Any) -> str:  # noqa: ANN401
    """Write the values that an option takes."""
    from handful.config.checks import wanted

    words = [] if kind is bool else [word for word in wanted(kind) if word not in ("True or False",)]
    several = re.sub(r"\b(?:some of|(\d+) times) a ([\w ]+)", r"\1 \2s", listed(words)) if words else ""
    return escaped(re.sub(r"\ba (?=path|text|whole|number)", "", several))


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, with options as code."""
    text = re.sub(r"([|<>*_\[\]])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<![\w-])(--[a-z][\w-]*)", r"`\1`", text)


if __name__ == "__main__":
    gather(ROOT / "build" / "docs")

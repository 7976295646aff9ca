"""What test_readme.py reads out of the documents: their fenced blocks, and commands at tiny sizes."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
TINY = {
    "train": "--preset tiny --size 32 --steps 2 --batch 4 --device cpu --compile off --no-report --score-every 0"
    " --projected-weight 0",
    "check": "--size 32",
    "generate": "--seeds 0-3 --device cpu",
    "evaluate": "--features random --device cpu",
    "interpolate": "--frames 4 --device cpu",
    "project": "--steps 2 --noise-steps 1 --starts 1 --candidates 2 --device cpu",
}
"""Options in which a command of a document and the one that is run differ."""


def text_of(document: str) -> str:
    """Return a document's text."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text_of(document), re.DOTALL)


def commands(document: str) -> list[list[str]]:
    """Return the words of each command in the ``sh`` blocks, comments left out."""
    lines = "\n".join(blocks(document, "sh")).replace("\\\n", " ").splitlines()
    split = [shlex.split(inner(line), comments=True) for line in lines]
    return [words for words in split if words]


def inner(line: str) -> str:
    """Return the command whose output ``eval`` runs, or the line itself."""
    found = re.match(r'eval "\$\((.*?)\)"', line)
    return found[1] if found else line


def tiny(words: list[str]) -> list[str]:
    """Return the arguments of a ``handful`` command at a tiny size."""
    _, command, *arguments = words
    changes = shlex.split(TINY.get(command, ""))
    if "--progress" in arguments:  # a film of a run's checkpoints, as long as there are
        changes = changes[2:]
    replaced = {word for word in changes if word.startswith("--")}
    kept: list[str] = []
    dropping = False
    for argument in arguments:
        if argument.startswith("--"):
            dropping = argument in replaced
        if not dropping:
            kept.append(argument)
    return [command, *kept, *changes]

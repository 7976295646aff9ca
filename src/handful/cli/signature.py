"""Read the options of a command from the signature and docstring of the function behind it.

The source is read instead of the function, since importing it would import torch, for which help should not wait.
"""

from __future__ import annotations

import ast
import inspect
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce
from importlib.util import find_spec
from pathlib import Path
from types import EllipsisType, GenericAlias
from typing import Any, Literal, get_origin

from handful.config import choices
from handful.config.text import option

REQUIRED = inspect.Parameter.empty

PLAIN = {"str": str, "int": int, "float": float, "bool": bool, "Path": Path, "None": type(None)}


@dataclass(frozen=True)
class Option:
    """An option or, if it has no default, an argument of a command."""

    name: str
    """As in Python; ``config.text.option`` spells it for the command line."""
    kind: Any
    default: Any
    help: str
    usually_on: bool = False
    """Whether a flag is on unless it is switched off, whatever the run that is resumed had."""
    is_argument: bool = False
    """Whether it is given by its position, although it has a default."""

    @property
    def negatable(self) -> bool:
        """Whether it is a flag that can be switched off, as ``--mirror`` by ``--no-mirror``."""
        return self.kind is bool and (self.usually_on or self.default is True)


@dataclass(frozen=True)
class Signature:
    """What a function says about itself."""

    summary: str
    details: str
    options: dict[str, Option]


@cache
def read_signature(place: str) -> Signature:
    """Read the signature of ``module:name``, a function or a dataclass of this package.

    Parameters whose type no text can give (a ``Progress``, a ``Model``) are left out.
    """
    node = read_definition(place)
    docstring = inspect.cleandoc(ast.get_docstring(node) or "")
    entries = list(fields_of(node) if isinstance(node, ast.ClassDef) else parameters_of(node, docstring))
    spelled = {name: name.upper() if default is None else option(name) for name, _, default, _ in entries}
    options = {}
    for name, annotation, default, words in entries:
        kind = kind_of(annotation)
        if kind is not None:
            value = REQUIRED if default is None else ast.literal_eval(default)
            value = Path(value) if isinstance(value, str) and kind is Path else value
            options[name] = Option(name, kind, value, spell(words, spelled))
    summary, *details = re.split(r"\n\n(?=Args:)", docstring)[0].split("\n\n", 1)
    return Signature(spell(summary, spelled), spell("".join(details), spelled), options)


def read_definition(place: str) -> ast.FunctionDef | ast.ClassDef:
    """Read the definition of ``module:name``."""
    module, name = place.split(":")
    source = find_spec(f"handful.{module}")
    assert source is not None
    assert source.origin is not None
    tree = ast.parse(Path(source.origin).read_text(encoding="utf-8"))
    definitions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return next(node for node in definitions if node.name == name)


def parameters_of(node: ast.FunctionDef, docstring: str) -> Iterator[tuple[str, ast.expr | None, ast.expr | None, str]]:
    """List name, annotation, default and words of each parameter of a function."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", docstring, re.MULTILINE)
    words = (
        dict(re.findall(r"^    (\w+): ((?:.*\n?)(?:(?:     +.*\n?))*)", section[1], re.MULTILINE)) if section else {}
    )
    given = node.args
    positional = given.posonlyargs + given.args
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    for parameter, default in zip(positional + given.kwonlyargs, defaults + given.kw_defaults, strict=True):
        yield parameter.arg, parameter.annotation, default, words.get(parameter.arg, "")


def fields_of(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, ast.expr | None, str]]:
    """List the same of each field of a dataclass; the string below a field has its words."""
    for field, below in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(words))):
                    yield field.target.id, field.annotation, field.value, words
                case _:
                    yield field.target.id, field.annotation, field.value, ""


def kind_of(annotation: ast.expr | None) -> Any:  # noqa: ANN401
    """Return the type that an annotation has on the command line, or nothing if no text can give it.

    ``Path | str`` is a path, ``str | Sequence[int]`` a text; what no text can give is left out of a union.
    """
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            kinds = [kind for kind in (kind_of(left), kind_of(right)) if kind is not None]
            if Path in kinds:
                kinds = [kind for kind in kinds if kind is not str]
            if str in kinds:
                kinds = [kind for kind in kinds if get_origin(kind) is not tuple]
            return reduce(operator.or_, kinds) if kinds and kinds != [type(None)] else None
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            return Literal[ast.literal_eval(values)]
        case (
            ast.Subscript(value=ast.Name(id="Sequence"), slice=item)
            | ast.Subscript(
                value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[item, ast.Constant(value=EllipsisType())])
            )
        ):
            kind = kind_of(item)
            return None if kind is None else GenericAlias(tuple, (kind, ...))
        case ast.Name(id=name):
            return PLAIN.get(name) or getattr(choices, name, None)
        case ast.Constant(value=None):
            return type(None)
    return None


def spell(words: str, spelled: dict[str, str]) -> str:
    """Join lines, and name options where the docstring names parameters, in double backticks."""
    return re.sub(r"``(.+?)``", lambda match: spelled.get(match[1], match[1]), " ".join(words.split()))

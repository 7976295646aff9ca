"""The package as it is imported, and the documents that promise something about it."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from handful.cli import main as cli
from handful.config.presets import default

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if path.stem not in ("__main__", "__init__")
)
CORE = {"torch", "numpy", "PIL", "safetensors", "jaxtyping", "tyro", "rich", "filelock", "jinja2", "markupsafe"}
EXTRAS = {"transformers", "huggingface_hub", "pyarrow", "av"}
"""May be imported inside a function, where it is used."""


def test_import_handful_waits_for_nothing():
    script = (
        "import sys, handful; assert not {'torch', 'numpy', 'tyro', 'rich'} & set(sys.modules); handful.TrainConfig"
    )
    script += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_functions_and_modules_of_the_package_do_not_hide_each_other():
    script = "import handful; " + "; ".join(f"import {name}" for name in MODULES)
    script += "; assert callable(handful.train) and callable(handful.generate) and callable(handful.load)"
    script += "; assert callable(handful.evaluate) and callable(handful.report)"
    script += "; assert all(getattr(handful, name) for name in handful.__all__)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_core_dependencies_only(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    outside = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        allowed = CORE | {"handful"} | (EXTRAS if id(node) not in outside else set())
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for name in names:
            top = name.split(".")[0]
            assert top in allowed or top in sys.stdlib_module_names, name


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


def commands(document: str) -> list[str]:
    lines = "\n".join(blocks(document, "sh")).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.strip().startswith("handful ")]


@pytest.mark.parametrize(
    "document",
    ["README.md", "docs/method.md", "docs/metrics.md", "docs/large.md", "docs/explore.md", "CONTRIBUTING.md"],
)
def test_the_commands_in_the_documents_are_ones_that_handful_knows(document):
    found = commands(document)
    assert found or document != "README.md"
    for command in found:
        cli.read(shlex.split(command)[1:], default("-", preset="default"))


def test_the_python_in_the_readme_names_what_is_there():
    import handful

    (code,) = blocks("README.md", "python")
    used = {node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    assert used & set(handful.__all__)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "handful":
            assert hasattr(handful, node.attr)


def test_the_pictures_and_pages_that_documents_link_to_are_there():
    for document in [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"

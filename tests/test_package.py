"""The package as it is imported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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

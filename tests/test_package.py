"""The package as it is imported."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import version
from pathlib import Path

import pytest

import handful

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if path.stem not in ("__main__", "__init__")
)
CORE = {"torch", "numpy", "PIL", "safetensors", "jaxtyping", "tyro", "rich", "filelock", "jinja2", "markupsafe"} | {
    "starlette",
    "uvicorn",
}
EXTRAS = {
    "mlflow",
    "trackio",
    "transformers",
    "wandb",
    "huggingface_hub",
    "pillow_heif",
    "pyarrow",
    "av",
    "onnx",
    "onnxruntime",
    "gradio",
    "draw",
}
"""May be imported inside a function, where it is used."""
LAYERS = [
    {"displays", "errors", "files", "progress", "seeds", "templates"},
    {"config"},
    {"images", "compute", "records"},
    {"networks", "data", "optim"},
    {"sampling", "objective"},
    {"metrics"},
    {"explore", "reporting", "tracking"},
    {"training"},
    {"example"},
    {"exporting"},
    {"studio"},
    {"cli"},
    {"__init__", "__main__"},
]
"""Packages and modules of ``handful``, lowest first. Each imports from its own layer and from those below."""
FILE_LINES, FUNCTION_LINES = 300, 40


def test_import_handful_waits_for_nothing():
    script = (
        "import sys, handful; assert not {'torch', 'numpy', 'tyro', 'rich'} & set(sys.modules); handful.TrainConfig"
    )
    script += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_package_has_its_version():
    assert handful.__version__ == version("handful")


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


def imported(path: Path) -> Iterator[str]:
    """Modules of handful that a module imports, also inside functions and for types alone, as ``config.train``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "handful":
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield (longer if longer in MODULES else node.module).removeprefix("handful").removeprefix(".")
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("handful").removeprefix(".")
                for alias in node.names
                if alias.name.split(".")[0] == "handful"
            )


def graph() -> dict[str, set[str]]:
    """What each module of handful imports of handful."""
    paths = {
        ".".join(path.relative_to(SOURCE / "handful").with_suffix("").parts): path for path in SOURCE.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): set(imported(path)) for name, path in paths.items()}


def layer(module: str) -> int:
    package = module.split(".")[0] or "__init__"
    return next(height for height, packages in enumerate(LAYERS) if package in packages)


def test_imports_go_down_the_layers():
    arrows = [(module, target) for module, targets in graph().items() for target in targets]
    assert len(arrows) > 300
    assert [f"{module} imports {target}" for module, target in arrows if layer(target) > layer(module)] == []


def test_neither_modules_nor_packages_import_each_other_in_circles():
    modules = graph()
    packages: dict[str, set[str]] = {}
    for module, targets in modules.items():
        package = module.split(".")[0]
        packages.setdefault(package, set()).update({target.split(".")[0] for target in targets} - {package})
    for arrows in (modules, packages):
        assert set(TopologicalSorter(arrows).static_order()) >= set(arrows)


def lengths(path: Path) -> Iterator[tuple[str, int, int]]:
    """What is measured in a file: its name, its length and how long it may be. Docstrings of functions do not count."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    name = str(path.relative_to(SOURCE / "handful"))
    yield name, len(lines), FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            above = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 2
            if not lines[above].strip().startswith("# Long: "):
                yield f"{name}:{node.name}", node.end_lineno - node.lineno + 1 - docstring, FUNCTION_LINES


def test_files_and_functions_are_short_or_say_why_not():
    measured = [entry for path in SOURCE.rglob("*.py") for entry in lengths(path)]
    assert {name: length for name, length, most in measured if length > most} == {}

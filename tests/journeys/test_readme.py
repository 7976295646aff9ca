"""Every command in the documents: run at a tiny size, or read by the program it is for."""

import ast
import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from handful.cli.command import COMMANDS
from handful.cli.main import main
from handful.config.text import option
from handful.config.train import TrainConfig
from journeys.documents import DOCUMENTS, ROOT, blocks, commands, text_of, tiny

README_BYTES = 5_500
NOT_RUN = ("hf:", "PHOTOS", "--protocol", "paper", "bench", "describe", "raccoons", "lpips", "--levels")
"""What a command needs that is not here, or that takes minutes at any size."""


def every_command() -> list[tuple[str, list[str]]]:
    return [(document, words) for document in DOCUMENTS for words in commands(document)]


@pytest.mark.parametrize(
    ("document", "words"), [pytest.param(*each, id=shlex.join(each[1])[:60]) for each in every_command()]
)
def test_every_command_in_the_documents_is_one_that_its_program_knows(document, words):
    readers = {"handful": read_handful, "torchrun": read_torchrun, "python": read_script, "make": read_make}
    readers |= {"pip": read_pip}
    assert words[0] in readers, f"{document}: nothing reads {shlex.join(words)}"
    readers[words[0]](words)


def read_handful(words: list[str]) -> None:
    COMMANDS[words[1]].read(words[2:])


def read_torchrun(words: list[str]) -> None:
    place = words.index("--")
    assert words[place - 1] == "-m"
    read_handful(words[place + 1 :])


def read_script(words: list[str]) -> None:
    script = ROOT / words[1]
    known = {node.value for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Constant)}
    assert {word for word in words[2:] if word.startswith("--")} <= known
    if script.name == "run.py":
        table = tomllib.loads((ROOT / words[2]).read_text())
        values = {word: [] for word in words if word.startswith("--")}
        for word in words[3:]:
            values[latest := word] if word.startswith("--") else values[latest].append(word)
        assert set(values.get("--only", [])) <= set(table["variants"])
        fields = set(TrainConfig.__dataclass_fields__)
        assert {change.partition("=")[0] for change in values.get("--with", [])} <= fields


def read_make(words: list[str]) -> None:
    assert f"\n{words[1]}:" in text_of("Makefile")


def read_pip(words: list[str]) -> None:
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    for word in words[2:]:
        named = re.fullmatch(r"(?:\.|handful)(?:\[([\w,]+)\])?", word)
        assert named, f"{word}: not this project"
        assert set((named[1] or "").split(",")) - {""} <= set(extras)


def test_every_option_that_the_documents_name_exists():
    known = {"--standalone", "--nproc-per-node", "--max-restarts", "--help", "--version", "--no-"}
    for command in COMMANDS.values():
        known |= {option(prefix + name) for name in command.options for prefix in ("", "no_")}
    for script in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("experiments/*.py")]:
        known |= set(re.findall(r'"(--[\w-]+)"', script.read_text()))
    for document in DOCUMENTS:
        spans = " ".join(re.findall(r"`([^`]+)`", text_of(document).replace("```", "")))
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", spans))
        assert named <= known, f"{document} names {', '.join(sorted(named - known))}"


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= README_BYTES


def test_the_pictures_pages_and_tests_that_documents_name_are_there():
    for document in [*DOCUMENTS, "CHANGELOG.md", "dev/LOG.md"]:
        text = re.sub(r"```.*?```", "", text_of(document), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            assert "://" in target or (ROOT / document).parent.joinpath(target).exists(), f"{document}: {target}"
        for target in re.findall(r"`((?:tests|benchmarks|experiments)/[\w/.-]+)`", text):
            assert (ROOT / target).exists(), f"{document}: {target}"


def test_links_into_a_page_have_a_heading_there():
    for document in DOCUMENTS:
        for page, heading in re.findall(r"\]\(([\w/.-]*\.md)?#([\w-]+)\)", text_of(document)):
            target = ((ROOT / document).parent / page) if page else ROOT / document
            titles = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            assert heading in anchors, f"{document}: {page}#{heading}"


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each.startswith("docs/")])
def test_the_code_that_documents_name_is_there(document):
    packages = "config|records|compute|images|data|networks|optim|objective|sampling|metrics|explore|reporting|training"
    for name in re.findall(rf"`((?:{packages})(?:\.(?!json)\w+)+)`", text_of(document)):
        assert resolves(name), f"{document}: {name}"


def resolves(name: str) -> bool:
    """Whether a dotted name below ``handful`` is a module or something in one."""
    module, _, rest = name.rpartition(".")
    try:
        import_module(f"handful.{name}")
    except ModuleNotFoundError:
        return hasattr(import_module(f"handful.{module}"), rest)
    return True


def write_photos(folder: Path, count: int = 12) -> Path:
    folder.mkdir(parents=True)
    random = np.random.default_rng(len(folder.name))
    for index in range(count):
        Image.fromarray(random.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A folder with photos, where a command runs."""
    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_readme_run_one_after_the_other(workplace):
    ran = [words for words in commands("README.md") if words[0] == "handful" and words[1] != "completion"]
    for words in ran:
        assert main(tiny(words)) == 0, shlex.join(words)
    assert {words[1] for words in ran} >= {"check", "train", "generate", "evaluate"}
    assert (workplace / "out" / "seed-000003.png").exists()
    assert (workplace / "runs" / "photos" / "model" / "model.safetensors").exists()


def run_python(code: str, names: dict[str, object]) -> dict[str, object]:
    """Run the lines of a document at a tiny size."""
    sizes = 'size=32, steps=2, batch=4, device="cpu", report=False, score_every=0'
    code = code.replace("handful.TrainConfig(", "handful.tiny(").replace("size=256", sizes)
    exec(compile(code, "a document", "exec"), names)
    return names


def test_the_python_of_the_readme_runs(workplace):
    (code,) = blocks("README.md", "python")
    names = run_python(code, {})
    assert len(names["images"]) == 16
    assert names["pixels"].shape == (2, 3, 32, 32)


def test_the_python_of_the_other_documents_runs(workplace):
    handful.train(handful.tiny("photos", run="runs/photos", **SMALL))
    for document in DOCUMENTS:
        if document != "README.md":
            names: dict[str, object] = {"handful": handful}
            for code in blocks(document, "python"):
                names = run_python(code, names)


SMALL = {"size": 32, "steps": 2, "batch": 4, "device": "cpu", "report": False, "score_every": 0}
SMALL |= {"projected_weight": 0.0}


@pytest.fixture
def explored(workplace, request) -> Path:
    """A folder with all that the commands of docs/ take, and a run of a size."""
    shutil.rmtree("photos")
    write_photos(workplace / "photos", 44)  # from 40 on, some are held back
    handful.train(
        handful.tiny("photos", run="runs/photos", keep=9, checkpoint_every=1, **SMALL | {"size": request.param})
    )
    for name in ("other-tool/samples", "other-tools-output", "unseen", "more-photos"):
        write_photos(workplace / name)
    for name in ("me.jpg", "you.jpg"):
        Image.open(workplace / "photos" / "0.png").save(workplace / name)
    shutil.make_archive("photos", "zip", "photos")
    for name in ("a", "b", "c", "others"):
        (workplace / "runs" / name).symlink_to(workplace / "runs" / "photos")
    (workplace / "demo").mkdir()
    (workplace / "demo" / "run").symlink_to(workplace / "runs" / "photos")
    (workplace / "demo" / "flowers").symlink_to(workplace / "photos")
    model = handful.load("runs/photos")
    latents = dataclasses.replace(model.latents([5]), names=("anna",))
    latents.save("face.safetensors", model)
    (workplace / "smiles.txt").write_text("".join(f"{seed} {seed % 3}\n" for seed in range(20)))
    return workplace


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pages", "explored"),
    [("explore artists", 64), ("metrics large own-photos medical teaching", 32)],
    indirect=["explored"],
)
def test_the_commands_of_documents_run_one_after_the_other(explored, pages):
    for words in (words for page in pages.split() for words in commands(f"docs/{page}.md")):
        if words[0] == "handful" and not any(part in shlex.join(words) for part in NOT_RUN):
            assert main(tiny(words)) == 0, shlex.join(words)


@pytest.mark.processes
def test_the_torchrun_line_trains_one_run_in_two_processes(workplace):
    (words,) = [words for words in commands("docs/training.md") if words[0] == "torchrun"]
    place = words.index("--")
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *words[1 : place + 1],
        "handful",
        *tiny(words[place + 1 :]),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    subprocess.run(launch, env=environment, check=False, timeout=300)
    assert (workplace / "runs" / "photos" / "model" / "model.safetensors").exists()

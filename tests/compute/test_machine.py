"""What the machine is asked, and what is chosen from the answers."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from handful.compute import compiling as at_compiling
from handful.compute import device as machine
from handful.compute import precision as precision_module
from handful.compute.compiling import can_compile
from handful.compute.device import cpu_quota
from handful.compute.precision import arithmetic, best_precision, shortest_times
from handful.config.presets import default, tiny
from handful.errors import UsageError
from handful.progress import shown_on
from handful.training.resolve import choose_compile, choose_precision, resolve
from notes import Notes

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_is_known_of_the_machine() -> Iterator[None]:
    best_precision.cache_clear()
    yield
    best_precision.cache_clear()


def test_half_precision_is_taken_where_it_is_clearly_faster(monkeypatch):
    for speed, expected in ((2.1, "bf16"), (1.2, "fp32"), (0.3, "fp32")):
        monkeypatch.setattr(precision_module, "shortest_times", lambda functions, rounds, speed=speed: [speed, 1.0])
        best_precision.cache_clear()
        assert best_precision(CPU) == expected


def test_the_two_precisions_are_really_timed(monkeypatch):
    asked = []
    monkeypatch.setattr(
        precision_module, "convolution", lambda device, precision: asked.append(precision) or (lambda: None)
    )
    assert best_precision(CPU) == best_precision(CPU)
    assert asked == [torch.float32, torch.bfloat16]
    torch.testing.assert_close(shortest_times([lambda: None], 3)[0], 0.0, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_a_gpu_takes_what_its_generation_has(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert best_precision(torch.device("cuda")) == expected


def test_a_precision_that_was_asked_for_is_taken_or_refused():
    assert choose_precision(tiny("-", precision="fp16"), CPU) == "fp16"
    assert choose_precision(tiny("-", precision="tf32"), torch.device("cuda")) == "tf32"
    with pytest.raises(UsageError, match="precision tf32: needs CUDA"):
        choose_precision(tiny("-", precision="tf32"), CPU)


def test_long_runs_of_wide_networks_are_compiled_and_others_only_when_asked():
    choose = lambda config: choose_compile(config, CPU)  # noqa: E731
    if not can_compile(CPU):
        pytest.skip("no C++ compiler here")
    assert choose(default("-")) == "on"
    assert choose(default("-", steps=100)) == "off"
    assert choose(default("-", compile="off")) == "off"
    assert choose(tiny("-")) == "off"
    assert choose(tiny("-", compile="on")) == "on"


def test_whether_a_gpu_can_compile_can_be_asked_first_of_all():
    """In a new process, where nothing else has loaded the part of PyTorch that knows."""
    asked = "import torch; from handful.compute.compiling import can_compile; can_compile(torch.device('cuda'))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_compiler_auto_says_so_and_on_is_refused(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    notes = Notes()
    with shown_on(notes):
        assert choose_compile(default("-"), CPU) == "off"
    assert "no C++ compiler" in notes.lines[0]
    with pytest.raises(UsageError, match=r"compile on: cpu needs a C\+\+ compiler"):
        choose_compile(default("-", compile="on"), CPU)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200000 100000\n", 2), ("50000 100000\n", 1), ("250000 100000\n", 2), ("max 100000\n", None)],
)
def test_a_container_says_how_many_processors_it_may_use(tmp_path, text, expected):
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path / "cpu.max") == expected
    assert cpu_quota(tmp_path / "nothing") is None


def test_no_more_threads_than_processors(monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda file: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    machine.prepare_device(CPU)
    assert set_to == []  # OMP_NUM_THREADS is set in these tests: the user's word counts
    monkeypatch.delenv("OMP_NUM_THREADS")
    machine.prepare_device(CPU)
    assert set_to == [1]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for page faults")
def test_memory_is_kept_between_steps():
    """Counted in a process of its own, since the setting stays: pages fetched anew for a map of 64 MB."""
    script = """
import resource, sys, torch
from handful.compute.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def fill(): torch.empty(16 * 2**20).fill_(1.0)
for _ in range(20): fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = [
        int(subprocess.run([sys.executable, "-c", script, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "leave")
    ]
    if faults[1] < 1000:
        pytest.skip("this allocator keeps memory by itself")
    assert faults[0] < faults[1] / 20


@pytest.mark.parametrize(("precision", "quick"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_tensorfloat_is_used_only_where_it_was_asked_for(precision, quick):
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with arithmetic(precision):
        assert torch.backends.cudnn.allow_tf32 is quick
        assert torch.backends.cuda.matmul.allow_tf32 is quick
        assert torch.backends.cudnn.deterministic
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


def test_what_was_chosen_is_printed_and_kept(tmp_path):
    notes = Notes()
    with shown_on(notes):
        config, _ = resolve(tiny("-", run=tmp_path, device="cpu", precision="bf16", channels=3))
    assert (config.precision, config.compile) == ("bf16", "off")
    assert any("in bf16, not compiled" in line for line in notes.lines)


def test_what_is_compiled_is_kept_in_the_cache_folder_unless_the_user_said_where(monkeypatch, tmp_path):
    monkeypatch.setenv("HANDFUL_CACHE", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    at_compiling.keep_compile_cache()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    at_compiling.keep_compile_cache()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "elsewhere"

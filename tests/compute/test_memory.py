"""The memory that a process may take is the least that machine, container and limits leave."""

import resource
from pathlib import Path

from handful.compute.memory import free_memory, max_compared_images, max_image_bytes


def system(root: Path, **files: str) -> Path:
    for name, text in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_the_tightest_of_machine_cgroups_and_limits_counts(tmp_path, monkeypatch):
    gigabyte, free = 2**30, resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (free, free))
    machine = system(tmp_path / "a", proc__meminfo=f"MemTotal: 9 kB\nMemAvailable: {8 * 2**20} kB\n")
    assert free_memory(machine) == 8 * gigabyte
    second = {
        "proc__self__cgroup": "0::/job/step\n",
        "sys__fs__cgroup__job__memory.max": f"{4 * gigabyte}\n",
        "sys__fs__cgroup__job__step__memory.max": "max\n",
        "sys__fs__cgroup__job__memory.stat": f"anon {gigabyte}\nfile {2 * gigabyte}\n",
    }
    assert free_memory(system(machine, **second)) == 3 * gigabyte
    first = {
        "proc__self__cgroup": "4:memory:/docker/x\n0::/\n",
        "sys__fs__cgroup__memory__memory.limit_in_bytes": f"{2 * gigabyte}",
        "sys__fs__cgroup__memory__memory.stat": f"total_rss {gigabyte}\n",
    }
    assert free_memory(system(machine, **first)) == gigabyte
    monkeypatch.setattr(resource, "getrlimit", lambda what: (gigabyte if what == resource.RLIMIT_DATA else free, free))
    system(machine, proc__self__status=f"VmSize: 9 kB\nVmData: {2**19} kB\n")
    assert free_memory(machine) == gigabyte // 2


def test_half_of_what_is_free_or_what_is_asked_for_goes_to_images(monkeypatch):
    monkeypatch.setattr("handful.compute.memory.free_memory", lambda: 4_000_000)
    assert (max_image_bytes(None), max_image_bytes(0.5), max_image_bytes(0.0)) == (2_000_000, 500_000_000, 0)
    assert (max_compared_images(1_000), max_compared_images(1)) == (2_000, 50_000)
    monkeypatch.setattr("handful.compute.memory.free_memory", lambda: None)
    assert max_image_bytes(None) == float("inf")
    assert max_compared_images(10**6) == 50_000

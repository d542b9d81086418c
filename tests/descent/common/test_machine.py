"""In a container or a batch job, the machine's CPU count is not what a run may use."""

from pathlib import Path

from descent.common import machine


def test_the_smallest_limit_of_the_groups_above_counts(tmp_path: Path) -> None:
    """The doctor would promise CPUs that the container does not get."""
    own, root = tmp_path / "own", tmp_path / "cgroup"
    (root / "job" / "step").mkdir(parents=True)
    own.write_text("0::/job/step\n")
    assert machine.cgroup_cpus(root, own) is None
    (root / "job" / "step" / "cpu.max").write_text("max 100000\n")
    (root / "job" / "cpu.max").write_text("150000 100000\n")
    assert machine.cgroup_cpus(root, own) == 1.5


def test_the_older_kind_of_group(tmp_path: Path) -> None:
    """The same, on a cluster of some years ago."""
    own, root = tmp_path / "own", tmp_path / "cgroup"
    (root / "cpu,cpuacct" / "docker").mkdir(parents=True)
    own.write_text("4:cpu,cpuacct:/docker\n3:memory:/docker\n")
    (root / "cpu,cpuacct" / "docker" / "cpu.cfs_quota_us").write_text("200000\n")
    (root / "cpu,cpuacct" / "docker" / "cpu.cfs_period_us").write_text("100000\n")
    assert machine.cgroup_cpus(root, own) == 2.0


def _information(folder: Path, available: int, swap: int = 0) -> Path:
    file = folder / "meminfo"
    lines = {"MemTotal": 4000, "MemAvailable": available, "SwapTotal": 1000, "SwapFree": swap}
    file.write_text("".join(f"{name}: {number} kB\n" for name, number in lines.items()) + "HugePages_Total: 0\n")
    return file


def test_the_memory_that_is_left_is_that_of_the_tightest_group(tmp_path: Path) -> None:
    """A grading would begin where the class's group has no memory left for it, and have a run of the class ended."""
    own, root, info = tmp_path / "own", tmp_path / "cgroup", _information(tmp_path, 2000, 500)
    step = root / "job" / "step"
    step.mkdir(parents=True)
    own.write_text("0::/job/step\n")
    assert machine.memory(root, own, info) == machine.Memory(2500 << 10, 5000 << 10)
    (step / "memory.max").write_text("max\n")
    (step / "memory.high").write_text("max\n")
    (step / "memory.current").write_text("100\n")
    (step.parent / "memory.max").write_text("1000000\n")
    (step.parent / "memory.high").write_text("900000\n")
    (step.parent / "memory.current").write_text("700000\n")
    (step.parent / "memory.stat").write_text("anon 500000\ninactive_file 100000\nactive_file 50000\n")
    assert machine.memory(root, own, info) == machine.Memory(350_000, 900_000)
    assert machine.memory(root, own, _information(tmp_path, 200)) == machine.Memory(200 << 10, 5000 << 10)


def test_the_memory_of_the_older_kind_of_group(tmp_path: Path) -> None:
    """The same, on a cluster of some years ago."""
    own, root = tmp_path / "own", tmp_path / "cgroup"
    folder = root / "memory" / "docker"
    folder.mkdir(parents=True)
    own.write_text("4:cpu,cpuacct:/docker\n3:memory:/docker\n")
    (folder / "memory.limit_in_bytes").write_text("1000000\n")
    (folder / "memory.usage_in_bytes").write_text("700000\n")
    (folder / "memory.stat").write_text("total_inactive_file 100000\n")
    assert machine.memory(root, own, _information(tmp_path, 2000)) == machine.Memory(400_000, 1_000_000)


def test_a_system_that_does_not_tell_its_memory(tmp_path: Path) -> None:
    """Gradings would not begin on macOS."""
    assert machine.memory(tmp_path, tmp_path / "own", tmp_path / "meminfo") is None

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

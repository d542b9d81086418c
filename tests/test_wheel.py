"""Installed from a wheel, away from its sources, `descent` must find its presets."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(build, check=True)
    (built,) = folder.glob("descent_console-*.whl")
    return built


def test_the_wheel_holds_the_packages_and_the_presets_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    shipped = {file.name for file in (ROOT / "presets").glob("*.toml")}
    assert {Path(name).name for name in names if name.startswith("engine/presets/")} >= shipped
    assert {name.split("/")[0].split("-")[0] for name in names} == {"descent", "engine", "tui", "descent_console"}
    assert {f"{package}/py.typed" for package in ("descent", "engine", "tui")} <= set(names)  # else mypy sees Any
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installed_elsewhere_it_finds_and_trains_its_presets(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/python3*/site-packages")
    # --target, because --prefix would remove the Descent that these tests run.
    install = ["install", "-q", "--no-deps", "--no-index", "--target", str(packages), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    # The needs are many gigabytes: borrow those of this environment, whose own copy of Descent a path file does not
    # bring along.
    (packages / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def descent(*words: str) -> str:
        command = [str(venv / "bin" / "python"), str(packages / "bin" / "descent"), *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    listed = json.loads(descent("presets", "list", "--json").splitlines()[-1])
    assert "digits-mlp" in json.dumps(listed)
    assert str(venv) in json.dumps(listed)
    labs = json.loads(descent("lab", "list", "--json").splitlines()[-1])["labs"]
    assert {lab["id"] for lab in labs} >= {"gd-line"}
    assert [lab for lab in labs if lab["state"] == "broken"] == []
    trained = json.loads(descent("run", "digits-mlp", "--set", "train.epochs=2", "--json").splitlines()[-1])
    assert trained["state"] == "finished"
    assert Path(trained["dir"]).is_relative_to(tmp_path)

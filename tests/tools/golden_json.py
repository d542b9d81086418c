"""What `descent … --json` prints, which programs read: a change of the engine must not change it unnoticed.

    python -m tests.tools.golden_json [SCENE …]

writes tests/golden/json/SCENE.txt anew: each command of the scene, its exit code and the last line of its stdout.
Do so only after a change that is meant to change what is printed, and say in the commit why it does.
"""

import argparse
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.preset import find
from tests.helpers.old_runs import copied, descent, environment
from tests.helpers.waiting import wait_for

FOLDER = Path(__file__).parents[1] / "golden" / "json"
RUNS = ("plain", "repeats", "sweep", "rewound", "stopped", "failed", "fork", "lab")
DIGITS = ("digits-mlp", "--set=model.widths=[8]", "--set=train.epochs=2")
LINE = ("linear-regression", "--set=data.validation=0.2", "--set=train.epochs=40", "--set=train.evaluate_every=20")
TOO_FAST = ("--set=optimizer.lr=5",)
# "auto" goes by the clock, for checkpoints and for statistics.
SAME = (
    "--set=train.device=cpu",
    "--set=train.threads=1",
    "--set=train.statistics_every=20",
    "--set=train.checkpoint_every=1000",
)


@dataclass(frozen=True)
class Scene:
    """Commands of one user, in their order, in a folder of their own; ("WAIT", …) waits for what they have begun.

    kept: whether the folder holds the runs of tests/old_runs. trains: whether numbers are computed anew, of which
    three digits count: two CPUs differ in the last ones.
    """

    commands: tuple[tuple[str, ...], ...]
    kept: bool = False
    trains: bool = False


def _json(*commands: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((*command, "--json") for command in commands)


SCENES = {
    "runs": Scene(
        _json(
            ("runs",),
            ("runs", "stopped"),
            ("runs", "--runs-dir", "runs"),
            ("runs", "--runs-dir", "none"),
            *(("show", run) for run in RUNS),
            ("show", "studies/widths/runs/widths-0000"),
            ("compare", "plain", "fork", "stopped"),
            ("compare", "rewound", "failed", "lab", "sweep"),
            ("resume", "plain"),  # finished: nothing is trained
            ("picture", "plain"),
        ),
        kept=True,
    ),
    "studies": Scene(
        _json(
            ("study", "list"),
            ("study", "show", "widths"),
            ("study", "plan", "digits-mlp", "--vary=optimizer.lr=[0.1,0.01]", "--repeats=2", "--id=rates"),
            ("study", "show", "rates"),
            ("study", "list"),
        ),
        kept=True,
    ),
    "errors": Scene(
        _json(
            ("show", "nothing"),
            ("compare", "plain"),
            ("pause", "plain"),
            ("evaluate", "stopped"),
            ("fork", "plain", "--at=41"),
            ("run", "digits-mpl"),
            ("run", "digits-mlp", "--set=train.batchsize=3"),
            ("run", "mnist-mlp", "--id=mine"),  # whose data are not here
            ("study", "show", "nothing"),
            ("lab", "check", "gd-line"),
        ),
        kept=True,
    ),
    "catalogue": Scene(
        _json(("presets", "list"), ("presets", "list", "moons"), ("data", "list"), ("lab", "list"), ("doctor",))
    ),
    "run": Scene(
        _json(("run", *DIGITS, *SAME, "--id=mine"), ("runs",), ("show", "mine")),
        trains=True,
    ),
    "sweep": Scene(
        _json(
            ("run", *LINE, *SAME, "--id=mine", "--repeats=2", "--sweep=optimizer.lr=[0.1,0.01,5]"),
            ("show", "mine"),
        ),
        trains=True,
    ),
    "study": Scene(
        _json(
            ("study", "run", *LINE, *SAME, "--vary=optimizer.lr=[0.1,0.01]", "--id=rates", "--jobs=1", "--quiet"),
            ("runs",),
            ("runs", "--all"),
        ),
        trains=True,
    ),
    "not finite": Scene(_json(("run", *LINE, *SAME, "--id=mine", *TOO_FAST)), trains=True),
    "replay": Scene(_json(("replay", "plain", "--id=again")), kept=True, trains=True),
    # A run that pauses by itself at a step that is always the same, as its loss is no number any more.
    "steered": Scene(
        (
            *_json(
                ("run", *LINE, *SAME, "--id=mine", "--set=optimizer.lr=5", "--set=train.on_nan=pause", "--detach")
            ),
            ("WAIT", "paused"),
            *_json(
                ("show", "mine"),
                ("rewind", "mine", "0"),
                ("set", "mine", "optimizer.lr=0.1"),
                ("set", "mine", "optimizer.lr=x"),
                ("step", "mine", "3"),
                ("pause", "mine"),
                ("evaluate", "mine"),
                ("checkpoint", "mine"),
                ("extend", "mine", "--epochs=10"),
                ("rewind", "mine", "2"),
                ("picture", "mine", "fit"),
                ("stop", "mine"),
            ),
            ("WAIT", "stopped"),
            *_json(("show", "mine")),
        ),
        trains=True,
    ),
    "lab": Scene(
        (
            ("lab", "new", "mine"),
            ("WAIT", "moved"),
            ("lab", "start", "mine"),
            ("lab", "predict", "mine", "loss=0.01"),
            *_json(("lab", "check", "mine"), ("lab", "list")),
        ),
        trains=True,
    ),
}


def file_of(name: str) -> Path:
    return FOLDER / f"{name.replace(' ', '-')}.txt"


def played(name: str, folder: Path) -> str:
    """What the golden file of a scene is to say. Its runs lie in `folder`."""
    scene = SCENES[name]
    if scene.kept:
        copied(folder)
    return "\n".join(_played(scene, folder.resolve()))


def _played(scene: Scene, folder: Path) -> Iterator[str]:
    for words in scene.commands:
        if words[0] == "WAIT":
            _WAIT[words[1]](folder)
            continue
        done = descent(words, folder, environment(folder))
        if "--json" not in words:
            assert done.code == 0, done
            continue
        last = done.out.splitlines()[-1] if done.out else ""
        yield f"descent {' '.join(words)}\nexit code {done.code}\n{_plain(last, scene, folder)}\n"


def _waited(state: str) -> Callable[[Path], None]:
    """Until the run says so in its log."""

    def wait(folder: Path) -> None:
        log = folder / "runs" / "mine" / "events.jsonl"
        wait_for(lambda: f'"state": "{state}"' in log.read_text(encoding="utf-8"), f"a run that is {state}")

    return wait


def _move_to_labs(folder: Path) -> None:
    """Where labs of one's own are found."""
    (folder / "labs").mkdir()
    shutil.move(folder / "mine", folder / "labs" / "mine")


_WAIT: dict[str, Callable[[Path], None]] = {
    "paused": _waited("paused"),
    "stopped": _waited("stopped"),
    "moved": _move_to_labs,
}

# What can't be the same on another machine or day, and the word that stands for it.
_PLAIN = (
    (r'"(time|seconds|started|created|cpu_seconds)": [\d.e-]+', r'"\1": "<\1>"'),
    (r'"(host|device_name|python|torch|numpy|processor|descent)": "[^"]*"', r'"\1": "<\1>"'),
    (r'"measuring_took": {[^}]*}', '"measuring_took": "<measuring_took>"'),
)
_DOCTOR = (
    (r'"(state|text|todo)": "(?:[^"\\]|\\.)*"', r'"\1": "<\1>"'),
    (r'"subject": "GPU \d+"', '"subject": "GPU"'),
)


def _plain(line: str, scene: Scene, folder: Path) -> str:
    places = {str(folder): "<folder>", str(find.shipped_presets()): "<presets>"}
    for place, word in places.items():
        line = line.replace(place, word)
    if line.startswith('{"ok": '):
        line = _replaced(line, _DOCTOR)
    if scene.trains:
        line = _replaced(line, _PLAIN)
        line = re.sub(r"-?\d+\.\d{3,}(e[+-]\d+)?|-?\d+(\.\d+)?e[+-]\d+", lambda n: f"{float(n[0]):.3g}", line)
    return line


def _replaced(line: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, word in rules:
        line = re.sub(pattern, word, line)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.golden_json", description=__doc__.splitlines()[0])
    parser.add_argument("scenes", metavar="SCENE", nargs="*", help=", ".join(SCENES))
    for name in parser.parse_args().scenes or SCENES:
        with tempfile.TemporaryDirectory(prefix="golden-") as folder:
            text = played(name, Path(folder))
        file_of(name).parent.mkdir(exist_ok=True)
        file_of(name).write_text(text, encoding="utf-8")
        print(f"{name}: {text.count('exit code ')} commands")


if __name__ == "__main__":
    main()

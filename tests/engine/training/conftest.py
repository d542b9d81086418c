"""A way to train a preset inside the test's own process, through the same worker as `descent run`."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from descent.common.signals import Signals
from descent.run.folder import Claim, RunFolder, create
from engine.launch.display import Display
from engine.preset import consent
from engine.preset.loading import load_preset

Train = Callable[..., RunFolder]


@pytest.fixture(autouse=True)
def agreed_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has agreed to the code that these tests write. Consent has tests of its own."""
    monkeypatch.setattr(consent, "require", lambda path, content: None)


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Train]:
    """train("digits-mlp", "train.steps=10", root=…) -> its run folder; DescentError's text as AssertionError."""
    from engine.training import worker

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    count = 0

    def run(preset: str, *overrides: str, root: Path = Path("nowhere")) -> RunFolder:
        nonlocal count
        count += 1
        settings = load_preset(preset, ["train.threads=1", "train.statistics_every=5", *overrides])
        folder = create(tmp_path / "runs", f"run-{count}", settings.to_toml(), {})
        ending = worker.work(Claim(folder), preset, root, Display(preset, None), Signals())
        assert ending.error is None, ending.error
        assert ending.state == "finished"
        return folder

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)

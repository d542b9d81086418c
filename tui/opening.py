"""From the words of a command line to the running app, and from its end to an exit code."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import DescentError
from engine.options import Options
from engine.run import ALIVE, RunFolder
from engine.texts import did_you_mean, show
from tui import settings, terminal


def open_app(
    *,
    run: str | None,
    compare: Sequence[str],
    lab: str | None,
    language: str | None,
    preset: str | None,
    overrides: Sequence[str],
    run_id: str | None,
    runs_dir: Path | None,
    data_root: Path | None,
    fps: float | None,
    ascii_only: bool,
    theme: str | None,
    read_only: bool,
    allow_code: bool,
) -> int:
    """See tui.open_console. A crash is raised, once the terminal is as it was, for the command line to report."""
    if theme is not None and theme not in settings.THEMES:
        raise DescentError(
            f"--theme {show(theme)}: must be one of {', '.join(settings.THEMES)}"
            f"{did_you_mean(theme, settings.THEMES)}"
        )
    if fps is not None and not terminal.SLOWEST <= fps <= terminal.FASTEST:
        raise DescentError(f"--fps {fps:g}: must be from {terminal.SLOWEST} to {terminal.FASTEST:.0f}")
    liked, complaint = settings.load()
    facts = terminal.look(fps=fps if fps is not None else liked.fps, ascii_only=ascii_only)
    folder = _folder(run, preset, overrides, run_id, runs_dir, data_root, allow_code=allow_code)
    several = _several(compare, runs_dir)
    terminal.prepare(facts)
    from tui.app import DescentApp

    app = DescentApp(
        terminal=facts,
        settings=liked,
        complaint=complaint,
        theme=theme,
        read_only=read_only,
        run=folder,
        compare=several,
        lab=lab,
        language=language,
        runs_dir=runs_dir,
        data_root=data_root,
    )
    app.run()
    if app.crash is not None:
        raise app.crash
    for opened in app.opened:
        if opened.state() in ALIVE:
            print(f"{opened.id} trains on; come back with: descent attach {shlex.quote(opened.id)}")
    sys.stdout.flush()
    return app.return_code or 0


def _several(words: Sequence[str], runs_dir: Path | None) -> list[RunFolder]:
    if not words:
        return []
    from engine import views_comparison

    return views_comparison.found(words, runs_dir)


def _folder(
    run: str | None,
    preset: str | None,
    overrides: Sequence[str],
    run_id: str | None,
    runs_dir: Path | None,
    data_root: Path | None,
    *,
    allow_code: bool,
) -> RunFolder | None:
    """The run to open on, found or started; None for Home."""
    if run is not None:
        from engine import library

        return RunFolder(library.find_run(run, library.runs_dir(runs_dir)))
    if preset is not None:
        from engine import launch

        options = Options(run_id, runs_dir, data_root, allow_code)
        return launch.detach(preset, overrides, options, watched=True)
    return None

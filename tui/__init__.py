"""The console on the terminal."""

import sys
from collections.abc import Sequence
from pathlib import Path

from descent.common.i18n import N_, _

HEADLESS = N_("train without it: descent run PRESET; look at runs with descent runs and descent show RUN")


def open_console(
    *,
    run: str | None = None,
    compare: Sequence[str] = (),
    lab: str | None = None,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    run_id: str | None = None,
    runs_dir: Path | None = None,
    data_root: Path | None = None,
    fps: float | None = None,
    ascii_only: bool = False,
    theme: str | None = None,
    read_only: bool = False,
    allow_code: bool = False,
) -> int:
    """Open the console, until it is quit; the exit code. On Home, on `run`, on several to `compare`, on a `lab` (its
    texts in that language), or on a run of `preset` started for it.

    Raises DescentError before a screen opens: for a run that is not there, or a preset that can't be started.
    """
    from engine.launch import loading
    from tui import terminal

    refusal = terminal.refusal()
    if refusal is not None:
        print(f"descent: {refusal}\n{_(HEADLESS)}", file=sys.stderr)
        return 2
    with loading.without_collections():  # until the first frame is there: DescentApp.on_ready
        from tui import app

        return app.open_app(
            run=run,
            compare=compare,
            lab=lab,
            preset=preset,
            overrides=overrides,
            run_id=run_id,
            runs_dir=runs_dir,
            data_root=data_root,
            fps=fps,
            ascii_only=ascii_only,
            theme=theme,
            read_only=read_only,
            allow_code=allow_code,
        )

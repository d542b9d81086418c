"""An unchanged training script as a run: `python -P -m descent.loop.script FOLDER SCRIPT ARGUMENTS…`.

The script runs as `python SCRIPT ARGUMENTS…` would run it. Hooks of PyTorch that are called for every optimizer watch
the first one that steps, unless the script calls descent.init and watches by itself.
"""

import runpy
import sys
import traceback
from pathlib import Path

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.stdio import complain
from descent.loop import relay
from descent.loop.folder import name_of
from descent.run.folder import Claim, RunFolder

KEEP = 3


def main(folder: str, script: str, *arguments: str) -> int:
    """Run the script, and return its exit code."""
    relay.settle_at_exit()
    path = Path(script)
    name = name_of(path)
    try:
        claim = Claim(RunFolder(Path(folder)))  # before PyTorch is loaded, which may take a minute
    except DescentError as error:
        complain(str(error))
        return error.exit_code
    try:
        from descent.loop import start
        from descent.loop.watcher import Watcher
    except KeyboardInterrupt:
        claim.events.state("stopped", reason=_("interrupted"))
        complain(_("interrupted while PyTorch was loaded; nothing was trained"))
        return 130
    except BaseException as error:
        claim.events.state("failed", reason=f"{type(error).__name__}: {error}")
        raise
    run = start.begin(claim, name, keep=KEEP, statistics_every=None, launched=True)
    Watcher(run)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        if code and not run.is_over:
            start.fail_for(_("the script ended with exit code {code}", code=code))
        return code
    except BaseException as error:
        last_words = start.fail(error)
        # The script's own traceback, without the frames that lead to it.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != script:
            trace = trace.tb_next
        if isinstance(error, DescentError):
            complain(start.with_place(error))
            return error.exit_code
        traceback.print_exception(type(error), error, trace)
        start.say(last_words)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    if not run.is_watching:
        run.warn(
            _(
                "{script}: no optimizer of PyTorch took a step in this process; nothing was recorded. What a script "
                "adds to the weights by itself is not seen, nor are processes that it starts",
                script=script,
            )
        )
        run.end("finished")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

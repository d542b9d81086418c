"""What the end of a lab's run ticks off in the learner's progress."""

import tomllib

from descent.run.folder import RunFolder, failed_at_start
from descent.run.metrics import Metrics
from descent.run.progress import Ending


def note_end(folder: RunFolder, name: str, ending: Ending) -> None:
    """Record that the run of the preset `name` has ended, if it is a lab's and has trained at all."""
    try:
        lab = tomllib.loads(folder.preset.read_text(encoding="utf-8")).get("lab")
    except (OSError, ValueError):  # somebody has removed or changed it while the run trained
        return
    if lab is not None and not failed_at_start(ending.state, len(Metrics(folder.path)), folder.origin()):
        from engine.labs import flow

        flow.note_run(folder, lab, name)

"""What a run has learned, in the caller's own process."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.run import find
from descent.run.folder import RunFolder

if TYPE_CHECKING:
    from engine.training.learned import LearnedModel


def load(
    run: str | Path,
    *,
    member: int | None = None,
    device: str = "cpu",
    runs_dir: Path | None = None,
    data_root: Path | None = None,
    allow_code: bool = False,
) -> "LearnedModel":
    """Return the scored model of a run, ready for raw data. It loads PyTorch.

        model = descent.load("last")
        model.predict("new.csv")        # names of classes, or numbers
        model.probabilities("new.csv")  # (N, K), in the order of model.classes

    run: an id, its beginning or its last four letters, a path, or `last`. member: of several; by default the best by
    the validation loss. device: where the model computes. allow_code: agree to the code file that the run's preset
    names. data_root: the folder of downloaded data, only for a run of an older Descent.

    With early stopping the model is the best one, which was tested, else the last one. Raises DescentError.
    """
    _find_engine()
    from engine.training import learned

    folder = RunFolder(find.find_run(str(run), paths.runs_dir(runs_dir)))
    return learned.load(folder, member=member, device=device, data_root=data_root, allow_code=allow_code)


def _find_engine() -> None:
    """Raise DescentError where `engine` is another package than the one that Descent has its models in."""
    own = Path(__file__).resolve().parents[1] / "engine" / "__init__.py"
    try:
        found = importlib.util.find_spec("engine")
    except ValueError:  # it was put into sys.modules without one
        found = None
    if found is None or found.origin is None or Path(found.origin).resolve() != own:
        raise DescentError(
            _(
                "descent.load needs Descent's own package `engine`, but in this program `engine` is {other}. Rename "
                "that one, or load the model in a program that does not find it. `descent predict` and `descent "
                "export` work beside it",
                other=found.origin if found is not None and found.origin else _("another one"),
            )
        )

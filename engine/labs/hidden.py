"""What only the instructor has of a lab: other seeds, further criteria. It lies apart from the lab.

`$DESCENT_INSTRUCTOR`, or `--instructor`, names a folder with a folder for each lab: `ID/hidden.toml` and, where
learners are not to have them, `ID/solution.toml` and `ID/solution.py`.
"""

from dataclasses import replace
from pathlib import Path

from descent.common.errors import PresetError
from descent.common.i18n import _
from engine.labs.format import Check
from engine.labs.library import Lab, check_sources
from engine.preset.find import path_shown, read_tables
from engine.preset.messages import validated
from engine.preset.schema import Section

FILE = "hidden.toml"


class Hidden(Section):
    """The table [lab.hidden]. set: overrides after those of [lab.grade]. checks: further ones, or others by id."""

    set: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


def hidden_of(lab: Lab, instructor: Path | None) -> Hidden | None:
    """Return what the instructor's folder has for this lab, or None. Raises PresetError if it is wrong."""
    path = instructor / lab.id / FILE if instructor is not None else None
    if path is None or not path.is_file():
        return None
    shown, tables = path_shown(path), read_tables(path)
    table = tables.get("lab")
    if set(tables) != {"lab"} or not isinstance(table, dict) or set(table) != {"hidden"}:
        raise PresetError(_("{file}: must hold the table [lab.hidden] and nothing else", file=shown))
    found = validated(Hidden, table["hidden"], shown, "lab.hidden.")
    for check in found.checks:
        if check.part is not None and check.part not in lab.model.parts:
            raise PresetError(f"{shown}: " + _("check {id}: there is no part {part}", id=check.id, part=check.part))
    check_sources(with_hidden(lab, found).model, shown)
    return found


def with_hidden(lab: Lab, hidden: Hidden) -> Lab:
    """Return the lab with the hidden criteria too. One of the same id takes the place of the lab's."""
    theirs = {check.id: check for check in (*lab.model.checks, *hidden.checks)}
    return replace(lab, model=lab.model.model_copy(update={"checks": tuple(theirs.values())}))

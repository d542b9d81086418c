"""Deleting an ended run from a screen, once its user has agreed."""

import asyncio
from typing import TYPE_CHECKING

from engine.errors import DescentError
from engine.run import RunFolder
from tui.screens.ask import Ask

if TYPE_CHECKING:
    from tui.app import DescentApp


async def delete(app: "DescentApp", folder: RunFolder) -> None:
    """Ask, delete the run's folder, and say so, or why not; unasked where it failed before its first step."""
    from engine import removing

    if not await asyncio.to_thread(removing.is_empty, folder) and not await _agreed(app, folder):
        return
    try:
        await asyncio.to_thread(removing.delete, folder)
    except DescentError as error:
        app.tell(str(error), trouble=True)
    else:
        app.tell(f"deleted {folder.id}")
    app.look_now()


async def _agreed(app: "DescentApp", folder: RunFolder) -> bool:
    saved = len(folder.checkpoints())
    text = f"{folder.path}\nwith its {saved} checkpoint{'' if saved == 1 else 's'}. This can't be undone."
    choices = [("n", "keep it", False), ("y", "delete it", True)]
    return bool(await app.push_screen_wait(Ask(f"delete the run {folder.id}?", text, choices)))

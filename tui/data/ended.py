"""Pictures of a run that has ended, drawn by a process of their own while the screen goes on."""

import asyncio
from collections.abc import Callable, Mapping

from descent import warm
from descent.run.folder import RunFolder
from engine.pictures.request import Answer, of_ended


async def drawn(
    folder: RunFolder, wanted: Mapping[str, Mapping[str, object]], tell: Callable[[str], object]
) -> dict[str, Answer]:
    """Return what `of_ended` returns. tell: hears what the process waits for, in the loop's own thread.

    Cancelled, or when the app ends, the process ends too: an app waits for its threads, and that one may wait for
    memory for minutes.
    """
    here, processes, is_over = asyncio.get_running_loop(), list[warm.Process](), False

    def tell_here(for_what: str) -> None:
        here.call_soon_threadsafe(tell, for_what)

    def started(process: warm.Process) -> None:
        processes.append(process)
        if is_over:
            process.terminate()

    try:
        return await asyncio.to_thread(of_ended, folder, wanted, tell_here, started)
    finally:
        is_over = True
        for process in processes:
            process.terminate()

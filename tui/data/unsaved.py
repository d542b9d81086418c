"""Text that was typed and not saved: kept in the user's state directory until it is, however the app ends."""

import hashlib
import os
from pathlib import Path

from descent.common.paths import made_state_dir, state_dir


def place_of(file: Path) -> Path:
    """Return the file in which the unsaved text of `file` is kept."""
    whole = str(file.resolve())
    return state_dir() / "unsaved" / f"{hashlib.sha256(whole.encode()).hexdigest()[:12]}-{file.name}"


def keep(file: Path, text: str) -> None:
    """Keep this text of `file`. Raises OSError where that fails.

    It is called at every key, so it does not wait for the disk: the text outlives the process, not the machine.
    """
    made_state_dir()
    place = place_of(file)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as opened:
            os.fchmod(opened.fileno(), 0o600)
            opened.write(text)
        os.replace(temporary, place)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def kept(file: Path) -> str | None:
    """Return the text of `file` that was never saved; None if there is none."""
    try:
        with place_of(file).open(encoding="utf-8", errors="replace", newline="") as opened:
            return opened.read()
    except OSError:
        return None


def is_older(file: Path) -> bool:
    """Return whether `file` was written since its unsaved text was kept."""
    try:
        return place_of(file).stat().st_mtime_ns < file.stat().st_mtime_ns
    except OSError:
        return False


def drop(file: Path) -> None:
    """Forget the unsaved text. Raises OSError where that fails."""
    place_of(file).unlink(missing_ok=True)

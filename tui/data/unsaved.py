"""Text that was typed and not saved: kept in the user's state directory until it is, however the app ends."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from descent.common.paths import made_state_dir, state_dir


def place_of(file: Path) -> Path:
    """Return the file in which the unsaved text of `file` is kept."""
    whole = str(file.resolve())
    return state_dir() / "unsaved" / f"{hashlib.sha256(whole.encode()).hexdigest()[:12]}-{file.name}"


@dataclass(frozen=True)
class Kept:
    """Text that was typed and not saved. of: the digest of the file's text that it was made from."""

    text: str
    of: str


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def keep(file: Path, typed: Kept) -> None:
    """Keep this text of `file`. Raises OSError where that fails.

    It is called at every key, so it does not wait for the disk: the text outlives the process, not the machine.
    """
    made_state_dir()
    place = place_of(file)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as opened:
            os.fchmod(opened.fileno(), 0o600)
            json.dump(asdict(typed), opened, ensure_ascii=False)
        os.replace(temporary, place)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def kept(file: Path) -> Kept | None:
    """Return the text of `file` that was never saved; None if there is none."""
    try:
        written = place_of(file).read_bytes().decode(errors="replace")
    except OSError:
        return None
    try:
        return Kept(**json.loads(written))
    except (ValueError, TypeError):  # it is the text alone, as an older version kept it
        return Kept(written, "")


def drop(file: Path) -> None:
    """Forget the unsaved text. Raises OSError where that fails."""
    place_of(file).unlink(missing_ok=True)

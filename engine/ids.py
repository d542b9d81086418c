"""The ids of runs: a run's id is the name of its folder, and a word that people type."""

import random
import re
import string
import time
import unicodedata

from engine.errors import DescentError
from engine.texts import clean, show

LONGEST_ID = 100  # characters; a file name has room for 255 bytes, and an id in Korean takes three for each
_LONGEST_STEM = 60
_RESERVED = ("last",)  # a word for the latest run


def new_id(preset_name: str) -> str:
    """<preset>-<yymmdd>-<hhmmss>-<4 letters>, whatever characters the preset's name has."""
    words = re.sub(r"[\s/\\:*?\"'<>|$`&;]+", "-", clean(unicodedata.normalize("NFC", preset_name)))
    stem = _fitting(words, _LONGEST_STEM).strip("-.~") or "run"
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase, k=4))
    return f"{stem}-{time.strftime('%y%m%d-%H%M%S')}-{letters}"


def check_id(wanted: str) -> None:
    """DescentError where `wanted`, of --id, can't be a run's id."""
    if wanted in _RESERVED:
        raise DescentError(f"--id {wanted}: this word means the latest run; choose another id")
    if not wanted.strip() or wanted.startswith((".", "-", "~")) or "/" in wanted or clean(wanted) != wanted:
        raise DescentError(
            f"--id {show(wanted)}: an id is the name of a folder: printable, without '/', "
            "and not beginning with '.', '-' or '~'"
        )
    if _fitting(wanted, LONGEST_ID) != wanted:
        raise DescentError(f"--id {show(wanted)}: is too long; an id has at most {LONGEST_ID} characters")


def _fitting(text: str, longest: int) -> str:
    """The beginning of `text` that is at most `longest` characters and 2 · `longest` bytes long."""
    return text[:longest].encode()[: 2 * longest].decode(errors="ignore")

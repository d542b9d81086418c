"""How far a learner came in a lab, in the same words wherever it is said."""

from engine.labs.format import Language
from engine.labs.progress import Record
from tui.labs.words import word


def reached(record: Record, language: Language) -> str:
    """How far the latest attempt came, and the best one where that came further; nothing before the first."""
    if not record.attempts:
        return ""
    latest = record.attempts[-1]
    best = round((record.best or 0.0) * latest.of)
    key = "checked, best" if best > latest.met else "checked"
    return word(key, language, met=latest.met, of=latest.of, best=best)

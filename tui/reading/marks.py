"""What is marked in a run's curves: the changes that a person or the run itself has made."""

from typing import Any

from tui.reading.words import typed


def mark_of(event: dict[str, Any]) -> tuple[int, str, str] | None:
    """(step, a few words, style) of what a person or the run itself has changed; None for any other event."""
    step = int(event.get("step", event.get("to", 0)) or 0)
    match event.get("event"):
        case "command":
            text = _command_words(str(event.get("command")), event.get("arguments") or {})
            return (step, text, "quiet") if text else None
        case "anomaly":
            return step, f"✗ {event.get('what', '')}".strip(), "trouble"
        case "collapse":
            return int(event.get("since", step)), "✗ collapse", "trouble"
    return None


def _command_words(command: str, arguments: dict[str, Any]) -> str:
    if command == "set":
        return " ".join(_edit_words(str(edit)) for edit in arguments.get("edits", ()))
    return {"rewind": "rewind", "extend": "extend"}.get(command, "")


_SHORT = {"optimizer.lr": "lr ", "lr_scale": "lr ×", "train.batch_size": "batch "}


def _edit_words(edit: str) -> str:
    """ "optimizer.lr=0.01" as "lr 0.01"."""
    key, _, value = (part.strip() for part in edit.partition("="))
    return _SHORT.get(key, f"{key.rpartition('.')[2]} ") + typed(value)

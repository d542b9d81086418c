"""The settings that can be changed while a run trains, and live edits: the "key=value" texts that change them.

Checkpoints keep these texts.
"""

from collections.abc import Sequence

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.settings import key_of, pair_of
from descent.common.text import did_you_mean

KEYS = (
    "lr_scale",
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.beta1",
    "optimizer.weight_decay",
    "model.dropout",
    "train.clip_norm",
    "train.batch_size",
    "train.threads",
    "train.statistics_every",
    "data.augment",
)
LOOP_KEYS = ("lr_scale", "optimizer.lr", "optimizer.weight_decay")  # of a loop of one's own; its script declares more
OF_ONE_MEMBER = (
    "lr_scale",
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.beta1",
    "optimizer.weight_decay",
    "model.dropout",
)
SWITCHES = ("lr_scale", "data.augment")  # live settings that no preset has in this form
_MARK = "@"  # before an edit of one member alone: "@3 optimizer.lr=0.1"


def not_of_loop(key: str, allowed: Sequence[str]) -> DescentError:
    """Return the refusal of a setting that a loop of one's own does not have."""
    return DescentError(
        _(
            "{key} can't be changed in a loop of one's own; allowed: {keys}; a script declares more with run.setting",
            key=key,
            keys=", ".join(allowed),
        )
        + did_you_mean(key, allowed)
    )


def mark_of(member: int | None) -> str:
    """Return the prefix of an edit of this member alone. Empty for an edit of all members."""
    return "" if member is None else f"{_MARK}{member} "


def member_named(edits: Sequence[str]) -> str | None:
    """Return N if one of the texts of a `set` command is "member=N". The others are for that member alone."""
    pairs = [pair for text in edits if (pair := pair_of(text)) is not None]
    return next((value for key, value in reversed(pairs) if key == "member"), None)


def is_of_presets(edit: str) -> bool:
    """Return whether a preset can hold what a live edit says."""
    return not edit.startswith(_MARK) and key_of(edit) not in SWITCHES


def edits_of(edits: Sequence[str], member: int) -> list[str]:
    """Return the live edits that hold for a member, without the prefix of those that are for it alone."""
    mine = mark_of(member)
    return [text.removeprefix(mine) for text in edits if not text.startswith(_MARK) or text.startswith(mine)]


def latest(edits: Sequence[str]) -> list[str]:
    """Return the edits that still hold: the last of each key for all members, and later ones of a single member.

    They are sorted, so that the same settings are the same texts however a run came to them.
    """
    kept: dict[str, dict[str, str]] = {}
    for text in edits:
        mark, _space, rest = text.partition(" ") if text.startswith(_MARK) else ("", "", text)
        if not mark:
            kept[key_of(rest)] = {}
        kept.setdefault(key_of(rest), {})[mark] = text
    return [kept[key][mark] for key in sorted(kept) for mark in sorted(kept[key], key=lambda mark: (len(mark), mark))]

"""Pages in HTML, each one file that needs no other: of a hand-in, and of a class."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from descent.common.i18n import N_, _, language
from descent.common.svg import Curve, line_chart
from descent.common.text import clean
from engine.labs.library import Lab
from engine.labs.verdict import against, shown

_DRAWN = {
    "loss": N_("loss of the graded run, mean over its models"),
    "accuracy": N_("accuracy of the graded run, mean over its models"),
    "grad_norm": N_("gradient norm of the graded run, mean over its models"),
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { text-align: left; padding: .25em .8em; vertical-align: top }
th { border-bottom: 2px solid #888 } td { border-bottom: 1px solid #ddd } pre { background: #f5f5f5; padding: 1em; overflow-x: auto }
svg { max-width: 40em; display: block } .no { color: #b00020 } .yes { color: #1b7f3b } small { color: #666 }
"""  # noqa: E501


def document(title: str, parts: Iterable[str]) -> str:
    """Return a whole page. parts: HTML, from `heading`, `paragraph`, `table` and `code`."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{_text(title)}</title>'
    body = "\n".join([f"<h1>{_text(title)}</h1>", *parts])
    return f'<!doctype html>\n<html lang="{language()}"><head>{head}<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'  # noqa: E501


def heading(text: str) -> str:
    return f"<h2>{_text(text)}</h2>"


def paragraph(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def code(text: str) -> str:
    """Return a block of code: as it is, but for characters that no page may hold."""
    return "<pre>" + escape("\n".join(clean(line.expandtabs(4)) for line in text.splitlines())) + "</pre>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. A cell "✓" or "✗" gets a colour."""
    top = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    lines = [
        "<tr>" + "".join(f"<td{_COLOURS.get(cell, '')}>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    ]
    return f"<table><tr>{top}</tr>\n" + "\n".join(lines) + "</table>"


_COLOURS = {"✓": ' class="yes"', "✗": ' class="no"'}


def _text(text: str) -> str:
    return escape(clean(text))


# --- of a hand-in ---


def handed_in(
    lab: Lab,
    about: Mapping[str, Any],
    verdict: Mapping[str, Any],
    edits: Sequence[Mapping[str, Any]],
    curves: Mapping[str, tuple[Any, Any]],
    written: str | None,
) -> str:
    """Return the page of a hand-in, in the current language. about: its manifest. written: the learner's code."""
    parts = [paragraph(_("{met} of {of} criteria are met.", met=verdict["met"], of=verdict["of"])), _who(about)]
    parts += [line_chart([Curve(*curves[name])], _(title)) for name, title in _DRAWN.items() if name in curves]
    parts += [heading(_("Criteria")), criteria(verdict["checks"])]
    if verdict["predictions"]:
        rows = [(one["id"], shown(one["predicted"]), shown(one["result"])) for one in verdict["predictions"]]
        parts += [heading(_("Predictions")), table((_("prediction"), _("predicted"), _("result")), rows)]
    if about["history"]:
        parts += [heading(_("Attempts")), attempts(about["history"])]
    if about["hints"]:
        parts += [heading(_("Hints")), hints(lab, about["hints"])]
    if verdict["changed"]:
        rows = [(key, str(ours), str(theirs)) for key, (ours, theirs) in verdict["changed"].items()]
        parts += [heading(_("What was changed")), table((_("key"), _("lab"), _("here")), rows)]
    if written is not None:
        parts += [heading(f"{lab.id}.py"), code(written)]
    if edits:
        parts.append(heading(_("Runs, and live edits with their steps")))
        parts.append(table((_("run"), _("state"), _("live edits")), [_edited(one) for one in edits]))
    return document(str(lab.model.title), parts)


def _who(about: Mapping[str, Any]) -> str:
    rows = [
        (_("student"), f"{about['student']} ({about['login']})"),
        (_("handed in"), in_words(about["written"])),
        (_("started"), in_words(about["started"])),
        (_("passed"), in_words(about["passed"])),
        (_("attempts"), str(about["attempts"])),
    ]
    return table(("", ""), rows)


def in_words(time: object) -> str:
    """Return a time of a hand-in, which is in UTC, for people: "2026-03-02 09:15:00 UTC"."""
    return str(time).replace("T", " ").replace("+00:00", " UTC") if time else "–"


def criteria(checks: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of the checks of a verdict."""
    rows = [("✓" if one["passed"] else "✗", one["text"], one.get("error") or against(one)) for one in checks]
    return table(("", _("criterion"), _("value")), rows)


def attempts(history: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of a learner's attempts. Times are in UTC."""
    rows = [
        (in_words(one["time"]), _("{met} of {of}", met=one["met"], of=one["of"]), _failed(one)) for one in history
    ]
    return table((_("time"), _("criteria met"), _("not met")), rows)


def _failed(attempt: Mapping[str, Any]) -> str:
    return ", ".join(str(one["id"]) for one in attempt["checks"] if not one["passed"])


def hints(lab: Lab, seen: Mapping[str, int]) -> str:
    """Return a table of the hints that a learner has seen. seen: levels by the check's id; "": those of the lab."""
    texts = {check.id: str(check.text) for check in lab.model.checks}
    rows = [(texts.get(one, one) or _("the whole lab"), str(level)) for one, level in seen.items()]
    return table((_("criterion"), _("hint level")), rows)


def _edited(run: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return a run with its live edits and their steps: ("gd-line-…", "finished", "set optimizer.lr 0.5 (20)")."""
    told = [f"{_told(one)} ({one.get('step', '?')})" for one in run["commands"]]
    return str(run["run"]), str(run["state"]), ", ".join(told)


def _told(command: Mapping[str, Any]) -> str:
    arguments = command.get("arguments")
    values = arguments.values() if isinstance(arguments, dict) else ()
    return " ".join(map(str, [command.get("command", ""), *values]))

"""What pydantic has against a preset, as one line for each key, in the words of the person who wrote it."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from engine import allowed
from engine.overrides import Override
from engine.texts import clean, did_you_mean, show

_NOTHING = object()
Path = tuple[str, ...]


class Complaints:
    """Lines about one preset, each key once, each line with the place where the value came from."""

    def __init__(self, file: str, overrides: Sequence[Override]) -> None:
        self._file = clean(file)
        self._overrides = overrides
        self._lines: dict[Path, str] = {}

    def add(self, path: Path, text: str, value: object = _NOTHING, *, origin: Path | None = None) -> None:
        """Say `text` about the key at `path`, unless something was said about it before."""
        key = ".".join(clean(part) for part in path)
        given = "" if value is _NOTHING else f" = {show(value)}"
        self._lines.setdefault(path, f"{self.origin(origin or path)}: {key}{given}: {text}")

    def lines(self) -> list[str]:
        """All lines, in the order of the schema."""
        return list(self._lines.values())

    def origin(self, path: Path) -> str:
        """Where the value at `path` came from: --set, or the file."""
        for override in self._overrides:
            # A value may hold the key (model={…}), or be a part of what the line is about.
            shared = min(len(path), len(override.path))
            if path[:shared] == override.path[:shared] and (len(path) > 1 or shared == len(override.path)):
                return "--set"
        return self._file

    def tables(self, settings: dict[str, Any]) -> None:
        """Take out of `settings`, and complain about, what is no section of a preset."""
        if isinstance(settings.get("lab"), dict):
            del settings["lab"]
            text = "[lab] makes this the file of a lab, not a preset; `descent lab start ID` makes a preset of it"
            self._lines["lab",] = f"{self.origin(('lab',))}: {text}"
        for section in allowed.sections():
            if section in settings and not isinstance(settings[section], dict):
                self.add((section,), f"must be a table, [{section}]", settings.pop(section))

    def storable(self, path: Path, value: object) -> None:
        """Complain about what a run folder could not keep: TOML has whole numbers of 64 bits."""
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            self.add(path, "must fit into 64 bits", value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                self.storable((*path, key), inner)
        elif isinstance(value, list):
            for inner in value:
                self.storable(path, inner)

    def schema(self, error: ValidationError, settings: dict[str, Any]) -> None:
        """Say what pydantic found in `settings`."""
        said = {path[0] for path in self._lines if len(path) == 1}
        for found in error.errors(include_url=False):
            if found["loc"] and found["loc"][0] in said:
                continue
            match found["type"]:
                case "value_error":
                    self._rule(found["loc"], str(found["ctx"]["error"]))
                case "union_tag_invalid" | "union_tag_not_found":
                    self._name(str(found["loc"][0]), settings)
                case kind:
                    self._key(found["loc"], kind, settings)

    def _rule(self, loc: tuple[int | str, ...], text: str) -> None:
        """A rule between keys, which names them itself."""
        named = [o for o in self._overrides if ".".join(o.path) in text]
        origin = "--set" if named else self._file
        self._lines.setdefault((*map(str, loc), text), f"{origin}: {text}")

    def _name(self, section: str, settings: dict[str, Any]) -> None:
        kinds = allowed.kinds(section)
        table = settings.get(section, {})
        choices = f"must be one of {', '.join(kinds)}"
        if "name" not in table:
            self.add((section, "name"), f"missing; {choices}", origin=(section,))
        else:
            name = table["name"]
            self.add((section, "name"), f"{choices}{did_you_mean(name, kinds)}", name)

    def _key(self, loc: tuple[int | str, ...], kind: str, settings: dict[str, Any]) -> None:
        place = _locate(loc, settings)
        if place is None:
            return
        path, node, table, table_name = place
        if node is None:
            self._unknown(path, table, table_name)
        elif kind == "missing":
            about = node.get("description", "").rstrip(".")
            text = f"missing{f' ({about})' if about else ''}; must be {allowed.describe(node)}"
            self.add(path, text, origin=path[:-1] if len(path) > 2 else path)
        else:
            value = _value_at(settings, path)
            finite = " and finite" if kind == "finite_number" else ""
            hint = did_you_mean(value, allowed.literals(node))
            self.add(path, f"must be {allowed.describe(node)}{finite}{hint}", value)

    def _unknown(self, path: Path, table: allowed.Node, table_name: str) -> None:
        *_, key = path
        here = allowed.keys(table)
        kinds = [name for name, node in allowed.kinds(path[0]).items() if key in node["properties"]]
        places = [section for section in allowed.places_of(key) if section != path[0]]
        if kinds and len(path) == 2:
            hint = f"; {path[0]}.name = {' or '.join(kinds[:5])} has it"
        elif places:
            hint = f"; did you mean {' or '.join(f'{place}.{key}' for place in places)}?"
        else:
            hint = did_you_mean(key, here)
        self.add(path, f"unknown key{table_name}; allowed: {', '.join(here)}{hint}")


def _locate(
    loc: tuple[int | str, ...], settings: dict[str, Any]
) -> tuple[Path, allowed.Node | None, allowed.Node, str] | None:
    """The key that pydantic's location is about, its node (None: unknown), its table and the table's kind.

    None where the complaint is about a choice that was not meant: a number where a table was given.
    """
    path: list[str] = []
    node = allowed.resolved(allowed.json_schema())
    table, table_name = node, ""
    for part in map(str, loc):
        if "discriminator" in node:  # the tag
            node = allowed.resolved({"$ref": node["discriminator"]["mapping"][part]})
            table, table_name = node, f" of {part}"
        elif "properties" in node:
            path.append(part)
            table = node
            if part not in node["properties"]:
                return tuple(path), None, table, table_name if len(path) == 2 else ""
            node = allowed.resolved(node["properties"][part])
        elif isinstance(node.get("additionalProperties"), dict):  # a table whose keys are the user's choice
            path.append(part)
            node = allowed.resolved(node["additionalProperties"])
        elif "anyOf" in node and isinstance(_value_at(settings, tuple(path)), dict):
            tables = [c for c in map(allowed.resolved, node["anyOf"]) if c.get("type") == "object"]
            if tables and tables[0].get("title") != part:
                return None
            node = tables[0] if tables else node
        else:  # the index of an item, or one of several choices: the line is about the whole value
            break
    return tuple(path), node, table, table_name


def _value_at(settings: dict[str, Any], path: Path) -> Any:
    value: Any = settings
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value

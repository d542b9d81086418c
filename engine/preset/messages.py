"""What pydantic finds wrong with a preset or a lab, one line for each key: file, key, given value, allowed values."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.common.settings import Override
from descent.common.text import clean, did_you_mean, show
from engine.preset.schema import describe
from engine.preset.schema.section import LARGEST

_NOTHING = object()
Path = tuple[str, ...]
Model = TypeVar("Model", bound=BaseModel)
Loc = tuple[int | str, ...]


class ProblemList:
    """Lines about one preset. Each key has one line, which begins with the place that its value came from."""

    def __init__(self, file: str, overrides: Sequence[Override]) -> None:
        self._file = clean(file)
        self._overrides = overrides
        self._lines: dict[Path, str] = {}

    def add(self, path: Path, text: str, value: object = _NOTHING, *, origin: Path | None = None) -> None:
        """Add a line with `text` about the key at `path`, unless the key has one already."""
        key = ".".join(clean(part) for part in path)
        given = "" if value is _NOTHING else f" = {show(value)}"
        self._lines.setdefault(path, f"{self.origin(origin or path)}: {key}{given}: {text}")

    def lines(self) -> list[str]:
        """Return all lines, in the order of the schema."""
        return list(self._lines.values())

    def origin(self, path: Path) -> str:
        """Return where the value at `path` came from: "--set", or the file."""
        for override in self._overrides:
            # A value may hold the key (model={…}), or be a part of the value that the line is about.
            shared = min(len(path), len(override.path))
            if path[:shared] == override.path[:shared] and (len(path) > 1 or shared == len(override.path)):
                return "--set"
        return self._file

    def tables(self, settings: dict[str, Any]) -> None:
        """Remove from `settings` what can't be a section of a preset, with a line for each."""
        if isinstance(settings.get("lab"), dict):
            del settings["lab"]
            text = _(
                "the table [lab] makes this a lab, not a preset; to get the lab's preset: `descent lab start ID`"
            )
            self._lines["lab",] = f"{self.origin(('lab',))}: {text}"
        for section in describe.sections():
            if section in settings and not isinstance(settings[section], dict):
                self.add((section,), _("must be a table, [{section}]", section=section), settings.pop(section))

    def storable(self, path: Path, value: object) -> None:
        """Add a line for each number that can't be kept or computed with.

        TOML has no whole number of more than 64 bits, and training computes in float32.
        """
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            self.add(path, _("must fit into 64 bits"), value)
        elif isinstance(value, float) and LARGEST < abs(value) < math.inf:
            self.add(path, _("must be at most {largest:g}: training computes in float32", largest=LARGEST), value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                self.storable((*path, key), inner)
        elif isinstance(value, list):
            for inner in value:
                self.storable(path, inner)

    def schema(self, error: ValidationError, settings: dict[str, Any]) -> None:
        """Add a line for each key that pydantic finds wrong in `settings`."""
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
        """Add the line of a rule between keys. The rule's text names the keys."""
        named = [o for o in self._overrides if ".".join(o.path) in text]
        origin = "--set" if named else self._file
        self._lines.setdefault((*map(str, loc), text), f"{origin}: {text}")

    def _name(self, section: str, settings: dict[str, Any]) -> None:
        kinds = describe.kinds(section)
        table = settings.get(section, {})
        names = ", ".join(kinds)
        if "name" not in table:
            self.add((section, "name"), _("missing; must be one of {names}", names=names), origin=(section,))
        else:
            name = table["name"]
            text = _("must be one of {names}", names=names)
            self.add((section, "name"), f"{text}{did_you_mean(name, kinds)}", name)

    def _key(self, loc: tuple[int | str, ...], kind: str, settings: dict[str, Any]) -> None:
        place = _locate(loc, settings)
        if place is None:
            return
        path, node, table, table_kind = place
        if node is None:
            self._unknown(path, table, table_kind)
        elif kind == "missing":
            text = _missing(node, describe.describe(node))
            self.add(path, text, origin=path[:-1] if len(path) > 2 else path)
        else:
            value = _value_at(settings, path)
            allowed = describe.describe(node)
            finite = kind == "finite_number"
            text = _("must be {what} and finite", what=allowed) if finite else _("must be {what}", what=allowed)
            self.add(path, f"{text}{did_you_mean(value, describe.literals(node))}", value)

    def _unknown(self, path: Path, table: describe.Node, table_kind: str) -> None:
        key = path[-1]
        here = describe.keys(table)
        kinds = [name for name, node in describe.kinds(path[0]).items() if key in node["properties"]]
        places = [section for section in describe.places_of(key) if section != path[0]]
        if kinds and len(path) == 2:
            hint = _("; {section}.name = {kinds} has it", section=path[0], kinds=describe.either(kinds[:5]))
        elif places:
            hint = _("; did you mean {meant}?", meant=describe.either([f"{place}.{key}" for place in places]))
        else:
            hint = did_you_mean(key, here)
        allowed = ", ".join(here)
        if table_kind:
            text = _("unknown key of {kind}; allowed: {names}", kind=table_kind, names=allowed)
        else:
            text = _("unknown key; allowed: {names}", names=allowed)
        self.add(path, f"{text}{hint}")


def _missing(node: describe.Node, allowed: str) -> str:
    """Return that a key is missing, with its description if the schema has one."""
    about = str(node.get("description", ""))
    if not about:
        return _("missing; must be {what}", what=allowed)
    return _("missing ({about}); must be {what}", about=_(about).rstrip("."), what=allowed)


def _locate(
    loc: tuple[int | str, ...], settings: dict[str, Any]
) -> tuple[Path, describe.Node | None, describe.Node, str] | None:
    """Return the key that pydantic's location is about, its node (None: unknown), its table and the table's kind.

    The kind is "" for a table of one kind only. Return None for a complaint about a choice that was not meant:
    where a number or a table is allowed, pydantic also says of a table that it is not a number.
    """
    path: list[str] = []
    node = describe.resolved(describe.json_schema())
    table, table_kind = node, ""
    for part in map(str, loc):
        if "discriminator" in node:  # the tag
            node = describe.resolved({"$ref": node["discriminator"]["mapping"][part]})
            table, table_kind = node, part
        elif "properties" in node:
            path.append(part)
            table = node
            if part not in node["properties"]:
                return tuple(path), None, table, table_kind if len(path) == 2 else ""
            node = describe.resolved(node["properties"][part])
        elif isinstance(node.get("additionalProperties"), dict):  # a table whose keys are the user's choice
            path.append(part)
            node = describe.resolved(node["additionalProperties"])
        elif "anyOf" in node and isinstance(_value_at(settings, tuple(path)), dict):
            tables = [c for c in map(describe.resolved, node["anyOf"]) if c.get("type") == "object"]
            if tables and tables[0].get("title") != part:
                return None
            node = tables[0] if tables else node
        else:  # the index of an item, or one of several choices: the line is about the whole value
            break
    return tuple(path), node, table, table_kind


def _value_at(settings: dict[str, Any], path: Path) -> Any:
    value: Any = settings
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def validated(model: type[Model], table: Any, file: str, prefix: str = "") -> Model:
    """Return `table` as `model`.

    Raises PresetError with a line for each key that is wrong. `prefix` ("lab.") stands before each key.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        schema = _inlined(model.model_json_schema())
        found = error.errors(include_url=False)
        lines = dict.fromkeys(f"{file}: {_line(entry, table, schema, prefix)}" for entry in found)
        raise PresetError("\n".join(lines)) from None


def _line(entry: Any, table: Any, schema: describe.Node, prefix: str) -> str:
    loc: Loc = entry["loc"]
    key, node, parent = _located(loc, table, schema)
    shown = f"{prefix}{key}" if key else prefix.rstrip(".") or _("the file")
    match entry["type"]:
        case "value_error":
            return f"{shown}: {clean(str(entry['ctx']['error']))}"
        case "extra_forbidden":
            here = describe.keys(parent)
            text = _("unknown key; allowed: {names}", names=", ".join(here))
            return f"{shown}: {text}{did_you_mean(loc[-1], here)}"
        case "missing":
            return f"{shown}: {_missing(node, _described(node))}"
        case _:
            given = entry["input"]
            text = _("must be {what}", what=_described(node))
            return f"{shown} = {show(given)}: {text}{did_you_mean(given, describe.literals(node))}"


def _described(node: describe.Node) -> str:
    few, most = node.get("minItems"), node.get("maxItems")
    if node.get("type") == "array" and few is not None and few == most:
        return _("a list of {count} items", count=few)
    if node.get("type") == "string" and "pattern" in node:
        return _("text of the form {form}", form=node["pattern"])
    return describe.describe(node)


def _located(loc: Loc, table: Any, schema: describe.Node) -> tuple[str, describe.Node, describe.Node]:
    """Return the key as people write it ("checks.loss.value"), its node in the schema, and the node of its table."""
    key, node, parent, value = "", describe.resolved(schema), schema, table
    for part in loc:
        parent = node
        if isinstance(part, int):
            value = value[part] if isinstance(value, list | tuple) and part < len(value) else None
            name = value.get("id") if isinstance(value, dict) else None
            key += f".{clean(name)}" if isinstance(name, str) else f"[{part}]"
            node = node.get("items", {})
        elif "properties" in node or isinstance(node.get("additionalProperties"), dict):
            value = value.get(part) if isinstance(value, dict) else None
            key += f"{'.' if key else ''}{clean(part)}"
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
        else:  # one of several choices: the line is about the whole value
            break
        node = describe.resolved(node) if isinstance(node, dict) else {}
    return key, node, parent


def _inlined(schema: describe.Node) -> describe.Node:
    """Return the schema with each reference to a class replaced by the class itself."""
    definitions = schema.get("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                rest = {key: value for key, value in node.items() if key != "$ref"}
                return {**inline(definitions[node["$ref"].rpartition("/")[2]]), **rest}
            return {key: inline(value) for key, value in node.items() if key != "$defs"}
        return [inline(one) for one in node] if isinstance(node, list) else node

    result: describe.Node = inline(schema)
    return result

"""What the schema allows for a key, in words. All of it is read from the schema's bounds and choices."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from descent.common.i18n import N_, _

_TYPE_NAMES = {
    "integer": (N_("a whole number"), N_("whole numbers")),
    "number": (N_("a number"), N_("numbers")),
    "string": (N_("text"), N_("texts")),
    "boolean": (N_("true or false"), N_("true or false")),
}
Node = dict[str, Any]


@cache
def json_schema() -> Node:
    """Return the JSON Schema of a preset, which editors can check a file against."""
    from engine.preset.schema import PresetModel  # loads pydantic, the slowest import for a list of runs

    schema = PresetModel.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Descent preset"}


def resolved(node: Node) -> Node:
    """Return `node` with its reference to a class of the schema followed, and without `null` among its choices."""
    while True:
        if "$ref" in node:
            target: Node = json_schema()["$defs"][node["$ref"].rpartition("/")[2]]
            node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
            continue
        choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
        if len(choices) != 1:
            return node
        node = {**choices[0], **{key: value for key, value in node.items() if key != "anyOf"}}


def kinds(section: str) -> dict[str, Node]:
    """Return the kinds that a section's `name` can pick, by name. A section of one kind has none."""
    node = resolved(json_schema()["properties"].get(section, {}))
    choices = [resolved(choice) for choice in node.get("oneOf", ())]
    return {name: choice for choice in choices for name in literals(choice["properties"]["name"])}


def sections() -> list[str]:
    """Return the names of the tables of a preset. They come without the JSON Schema, which takes long to make."""
    from engine.preset.schema import PresetModel

    return [name for name, field in PresetModel.model_fields.items() if field.annotation not in (str, str | None)]


def keys(node: Node) -> list[str]:
    """Return the keys of a table, `name` first."""
    return sorted(node.get("properties", {}), key=lambda key: key != "name")


def names_in(section: str) -> set[str]:
    """Return the keys that a section has, whatever its kind. There are none of a section that is not known."""
    choices = list(kinds(section).values()) or [resolved(json_schema()["properties"].get(section, {}))]
    return {name for choice in choices for name in choice.get("properties", {})}


def places_of(key: str) -> Iterator[str]:
    """Return the sections that have this key, to help someone who wrote it in the wrong one."""
    return (section for section in sections() if key in names_in(section))


def node_of(key: str, tables: Mapping[str, Any]) -> Node | None:
    """Return the node of a dotted key in a preset with these tables. None if their kinds have no such key."""
    section, _dot, name = key.partition(".")
    of_kind = kinds(section)
    if name == "name" and of_kind:
        return {"enum": list(of_kind)}
    node = json_schema()["properties"].get(section, {})
    table = tables.get(section)
    kind = table.get("name") if isinstance(table, dict) else None
    chosen = of_kind.get(str(kind or node.get("default", {}).get("name"))) if of_kind else resolved(node)
    found = (chosen or {}).get("properties", {}).get(name)
    return None if found is None else resolved(found)


def is_known(key: str) -> bool:
    """Return whether a preset of some kind has this dotted key."""
    section, _dot, name = key.partition(".")
    return name in names_in(section)


def literals(node: Node) -> list[str]:
    """Return the words that are allowed as a value here."""
    node = resolved(node)
    found = [value for value in node.get("enum", [node.get("const")]) if isinstance(value, str)]
    if node.get("type") == "boolean":
        found = ["true", "false"]
    return found + [word for choice in node.get("anyOf", ()) for word in literals(choice)]


def describe(node: Node, many: bool = False) -> str:
    """Return what the schema allows here, for example 'a whole number ≥ 1 or "full"'."""
    node = resolved(node)
    if "anyOf" in node:
        found = either([describe(choice) for choice in node["anyOf"] if choice.get("type") != "null"])
    elif "enum" in node or "const" in node:
        found = either([_word(value) for value in node.get("enum", [node.get("const")])])
    elif "pattern" in node:
        form = str(node.get("description", node["pattern"]))
        found = _("of the form {form}", form=_(form).rstrip("."))
    elif node.get("type") == "array":
        items = describe(node.get("items", {}), many=True)
        one_or_more = node.get("minItems") == 1
        found = (
            _("a list of one or more {items}", items=items) if one_or_more else _("a list of {items}", items=items)
        )
    elif node.get("type") == "object":
        inside = ", ".join(f"{key} = …" for key in node.get("required") or keys(node))
        found = _("a table {table}", table=f"{{ {inside} }}") if inside else _("a table")
    else:
        name = _(_TYPE_NAMES.get(node.get("type", ""), (N_("a value"), N_("values")))[many])
        bounds = _bounds(node)
        found = _("{type} {bounds}", type=name, bounds=bounds) if bounds else name
    return found


def _word(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _bounds(node: Node) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    bounds = [f"{sign} {node[word]:g}" for word, sign in signs.items() if word in node]
    return _("{low} and {high}", low=bounds[0], high=bounds[1]) if len(bounds) == 2 else "".join(bounds)


def either(choices: list[str]) -> str:
    """Return the choices as one of which to take: "a, b or c"."""
    if len(choices) == 1:
        return choices[0]
    return _("{choices} or {last}", choices=", ".join(choices[:-1]), last=choices[-1])

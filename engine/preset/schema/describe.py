"""What the schema allows for a key, in words; all of it is read from the schema's bounds and choices."""

from collections.abc import Iterator
from functools import cache
from typing import Any

_TYPE_NAMES = {
    "integer": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "string": ("text", "texts"),
    "boolean": ("true or false", "true or false"),
}
Node = dict[str, Any]


@cache
def json_schema() -> Node:
    """The JSON Schema of a preset, which editors can check a file against."""
    from engine.preset.schema import PresetModel  # pydantic: longer than all else that a list of runs waits for

    schema = PresetModel.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Descent preset"}


def resolved(node: Node) -> Node:
    """`node` with its reference to a class of the schema followed, and `null` left out of its choices."""
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
    """The kinds that a section's `name` can pick, by name; empty for a section of one kind."""
    node = resolved(json_schema()["properties"].get(section, {}))
    choices = [resolved(choice) for choice in node.get("oneOf", ())]
    return {name: choice for choice in choices for name in literals(choice["properties"]["name"])}


def sections() -> list[str]:
    """The names of the tables of a preset."""
    properties = json_schema()["properties"]
    return [name for name, node in properties.items() if resolved(node).get("type") != "string"]


def keys(node: Node) -> list[str]:
    """The keys of a table, `name` first."""
    return sorted(node.get("properties", {}), key=lambda key: key != "name")


def places_of(key: str) -> Iterator[str]:
    """The sections that have this key, to help someone who wrote it in the wrong one."""
    for section in sections():
        choices = list(kinds(section).values()) or [resolved(json_schema()["properties"][section])]
        if any(key in choice.get("properties", {}) for choice in choices):
            yield section


def literals(node: Node) -> list[str]:
    """The words that are allowed as a value here."""
    node = resolved(node)
    found = [value for value in node.get("enum", [node.get("const")]) if isinstance(value, str)]
    if node.get("type") == "boolean":
        found = ["true", "false"]
    return found + [word for choice in node.get("anyOf", ()) for word in literals(choice)]


def describe(node: Node, many: bool = False) -> str:
    """What may stand here, for example 'a whole number ≥ 1 or "full"'."""
    node = resolved(node)
    if "anyOf" in node:
        return _either([describe(choice) for choice in node["anyOf"] if choice.get("type") != "null"])
    if "enum" in node or "const" in node:
        return _either([_word(value) for value in node.get("enum", [node.get("const")])])
    if "pattern" in node:
        form = str(node.get("description", node["pattern"]))
        return f"of the form {form.rstrip('.')}"
    if node.get("type") == "array":
        few = "one or more " if node.get("minItems") == 1 else ""
        return f"a list of {few}{describe(node.get('items', {}), many=True)}"
    if node.get("type") == "object":
        inside = ", ".join(f"{key} = …" for key in node.get("required") or keys(node))
        return f"a table {{ {inside} }}" if inside else "a table"
    name = _TYPE_NAMES.get(node.get("type", ""), ("a value", "values"))[many]
    return " ".join([name, _bounds(node)]).rstrip()


def _word(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _bounds(node: Node) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    return " and ".join(f"{sign} {node[word]:g}" for word, sign in signs.items() if word in node)


def _either(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else ", ".join(choices[:-1]) + " or " + choices[-1]

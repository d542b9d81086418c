"""What pydantic has against a table of a lab, as one line for each key: file, key, given, allowed."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from engine import allowed
from engine.errors import PresetError
from engine.texts import clean, did_you_mean, show

Model = TypeVar("Model", bound=BaseModel)
Loc = tuple[int | str, ...]


def validated(model: type[Model], table: Any, file: str, prefix: str = "") -> Model:
    """`table` as `model`. PresetError with a line for each key that is wrong; keys begin with `prefix` ("lab.")."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        schema = _inlined(model.model_json_schema())
        found = error.errors(include_url=False)
        lines = dict.fromkeys(f"{file}: {_line(entry, table, schema, prefix)}" for entry in found)
        raise PresetError("\n".join(lines)) from None


def _line(entry: Any, table: Any, schema: allowed.Node, prefix: str) -> str:
    loc: Loc = entry["loc"]
    key, node, parent = _located(loc, table, schema)
    shown = f"{prefix}{key}" if key else prefix.rstrip(".") or "the file"
    match entry["type"]:
        case "value_error":
            return f"{shown}: {clean(str(entry['ctx']['error']))}"
        case "extra_forbidden":
            here = allowed.keys(parent)
            return f"{shown}: unknown key; allowed: {', '.join(here)}{did_you_mean(loc[-1], here)}"
        case "missing":
            about = str(node.get("description", "")).rstrip(".")
            return f"{shown}: missing{f' ({about})' if about else ''}; must be {_described(node)}"
        case _:
            given = entry["input"]
            hint = did_you_mean(given, allowed.literals(node))
            return f"{shown} = {show(given)}: must be {_described(node)}{hint}"


def _described(node: allowed.Node) -> str:
    few, most = node.get("minItems"), node.get("maxItems")
    if node.get("type") == "array" and few is not None and few == most:
        return f"a list of {few}"
    if node.get("type") == "string" and "pattern" in node:
        return f"text of the form {node['pattern']}"
    return allowed.describe(node)


def _located(loc: Loc, table: Any, schema: allowed.Node) -> tuple[str, allowed.Node, allowed.Node]:
    """The key as people write it ("checks.loss.value"), what is allowed there, and in the table around it."""
    key, node, parent, value = "", allowed.resolved(schema), schema, table
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
        node = allowed.resolved(node) if isinstance(node, dict) else {}
    return key, node, parent


def _inlined(schema: allowed.Node) -> allowed.Node:
    """The schema with each reference to a class replaced by the class itself."""
    definitions = schema.get("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                rest = {key: value for key, value in node.items() if key != "$ref"}
                return {**inline(definitions[node["$ref"].rpartition("/")[2]]), **rest}
            return {key: inline(value) for key, value in node.items() if key != "$defs"}
        return [inline(one) for one in node] if isinstance(node, list) else node

    result: allowed.Node = inline(schema)
    return result

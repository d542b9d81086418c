"""What a file imports, read from its syntax without running it."""

import ast

from engine.labs import said
from engine.labs.said import CheckError


def imported(source: str, file: str) -> set[str]:
    """The modules that `source` imports, with all that they lie in: "torch.nn" and "torch". CheckError where it is no
    Python. Names that are put together while the program runs are not seen."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f"({file}, line {error.lineno})" if isinstance(error, SyntaxError) else ""
        message = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise CheckError(said.SYNTAX.with_(what=file, error=message, place=place)) from None
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=found):
                names |= {one.name for one in found}
            case ast.ImportFrom(module=module, names=found) if module:
                names |= {module, *(f"{module}.{one.name}" for one in found)}
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"), args=[first, *_]):
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    names.add(first.value)
    return {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 2)}

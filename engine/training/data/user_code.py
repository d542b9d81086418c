"""Data from a function of the user's."""

import traceback
from collections.abc import Callable
from typing import Any

from engine import schema
from engine.errors import DataError, DescentError, PresetError
from engine.training.data import arrays
from engine.training.data.samples import Samples


def read(section: schema.CodeData, code: Callable[[str], Any] | None) -> Samples:
    """What `load(**arguments) -> (inputs, targets)` returns."""
    if code is None:
        raise PresetError(
            f"data.code = {section.code!r} is code of your own, which nobody has agreed to run: use --allow-code."
        )
    function = code(section.code)
    try:
        returned = function(**section.arguments)
    except DescentError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise DataError(
            f"data.code = {section.code!r} failed: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})."
        ) from error
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise DataError(
            f"data.code = {section.code!r} must return (inputs, targets); it returned {type(returned).__name__}."
        )
    return arrays.as_samples(section.code, returned[0], returned[1], section.task)

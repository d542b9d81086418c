"""[metrics]: numbers of the user's own, measured in each evaluation."""

from pydantic import Field

from engine.preset.schema.section import Section


class OwnMetrics(Section):
    """Functions of the outputs and targets of a whole split: `metric(outputs, targets)`, a number, or numbers by
    name."""

    code: str | None = Field(
        None, description="file.py:function, or file.py:one,two of several.", pattern=r".+\.py:\w+(,\w+)*"
    )

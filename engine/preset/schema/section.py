"""The base class of all sections, and the types of values that their keys take."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LARGEST = 3.4e38  # float32, in which training computes, can't hold much more

Count = Annotated[int, Field(strict=True, ge=1)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Threads = Annotated[int, Field(strict=True, ge=1, le=4096)]
Norm = Annotated[float, Field(strict=True, gt=0, le=1e30)]  # float32 can't hold much more
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
PartOfAll = Annotated[float, Field(strict=True, gt=0, le=1)]
Flag = Annotated[bool, Field(strict=True)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]


class Section(BaseModel):
    """Frozen, and closed: an unknown key is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

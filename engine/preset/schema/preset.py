"""A whole preset: its sections, and what must hold between them."""

from pydantic import Field, model_validator

from descent.common.i18n import _
from engine.preset.schema.data import AnyData
from engine.preset.schema.loss import AnyLoss
from engine.preset.schema.members import Members
from engine.preset.schema.metrics import OwnMetrics
from engine.preset.schema.model import AnyModel
from engine.preset.schema.optimizer import AnyOptimizer
from engine.preset.schema.schedule import AnySchedule, ConstantSchedule
from engine.preset.schema.section import Section
from engine.preset.schema.train import Train


class PresetModel(Section):
    """A whole preset."""

    title: str = Field("", description="One line that says what is trained.")
    topic: str = Field("yours", description="The group under which it is listed.")
    reaches: str = Field("", description="What it reaches, in a few words; the header comment has the details.")
    lab: str | None = Field(None, description="The lab that this preset belongs to, by its id.")
    data: AnyData
    model: AnyModel
    loss: AnyLoss
    optimizer: AnyOptimizer
    schedule: AnySchedule = ConstantSchedule(name="constant")
    train: Train
    metrics: OwnMetrics = OwnMetrics(code=None)
    members: Members = Members()

    @model_validator(mode="after")
    def _surfaces_have_no_data(self) -> "PresetModel":
        names = {"data": self.data.name, "model": self.model.name, "loss": self.loss.name}
        wanted = {"data": "point", "model": "point", "loss": "surface"}
        ours = {**wanted, "model": "code"} if names["model"] == "code" else wanted
        if names != ours and any(names[key] == word for key, word in wanted.items()):
            given = ", ".join(f'{key}.name = "{name}"' for key, name in names.items())
            raise ValueError(
                _(
                    'data.name = "point", model.name = "point" and loss.name = "surface" belong together; '
                    "given: {given}",
                    given=given,
                )
            )
        return self

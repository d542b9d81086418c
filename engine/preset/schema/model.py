"""[model]: the model to train, a class for each kind."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from descent.common.i18n import N_, _
from engine.preset.schema.section import Count, Flag, Float, Natural, Positive, Section, Share, Widths

Activation = Literal["sigmoid", "tanh", "relu", "leaky-relu", "maxout", "elu", "gelu"]
Initialisation = Literal["default", "normal", "xavier", "he", "zeros"]


class Model(Section):
    """Keys that every kind of model has."""

    from_run: str | None = Field(
        None,
        alias="from",
        description="Start from the weights of this run, of this preset's latest run, or of this checkpoint file.",
    )
    freeze: Natural | tuple[str, ...] = Field(
        0, description="The first N layers, or the layers whose names begin so, are not trained."
    )
    fresh: tuple[str, ...] = Field(
        (), description="The layers whose names begin so are not taken from `from`: they keep their new weights."
    )

    @model_validator(mode="after")
    def _fresh_beside_others(self) -> "Model":
        if self.fresh and self.from_run is None:
            raise ValueError(
                _(
                    "model.fresh = {names}: without model.from all layers are new; leave it out",
                    names=", ".join(self.fresh),
                )
            )
        return self


class InitialisedModel(Model):
    """Models of ours, whose initial weights can be chosen."""

    init: Initialisation = Field("default", description="Initial weights; default is PyTorch's.")
    init_std: Positive = Field(0.01, description="Standard deviation for init = 'normal'.")


class LinearModel(InitialisedModel):
    """wx + b. softmax: one output a class. perceptron: one output, the sign of which decides."""

    name: Literal["linear", "softmax", "perceptron"]
    bias: Flag = True


class PolynomialModel(InitialisedModel):
    """Linear in the powers 1 … degree of each input."""

    name: Literal["polynomial"]
    degree: Count = Field(3, description="Highest power.")
    bias: Flag = True


class MlpModel(InitialisedModel):
    """Linear layers with an activation between them."""

    name: Literal["mlp"]
    widths: Widths = Field((64,), description="Widths of the hidden layers.")
    activation: Activation = "relu"
    pieces: Annotated[int, Field(strict=True, ge=2)] = Field(2, description="Linear pieces of a maxout unit.")
    dropout: Share = Field(0.0, description="Share of hidden activations set to zero in training.")
    batch_norm: Flag = Field(False, description="Normalise over the batch before each activation.")


class LenetModel(InitialisedModel):
    """LeNet-5 (LeCun et al., 1998) for 28 × 28 or 32 × 32 images."""

    name: Literal["lenet5"]
    activation: Literal["sigmoid", "tanh", "relu"] = "tanh"


class CnnModel(InitialisedModel):
    """3 × 3 convolutions, each followed by 2 × 2 max-pooling, then one hidden layer."""

    name: Literal["cnn"]
    channels: Widths = Field((32, 64), description="Channels of each convolution.")
    hidden: Count = Field(128, description="Width of the hidden layer.")
    dropout: Share = Field(0.0, description="Before the last layer.")
    batch_norm: Flag = Field(False, description="After each convolution.")


class ResnetModel(InitialisedModel):
    """ResNet-18 for 32 × 32 images: a 3 × 3 stem and no pooling before the first block."""

    name: Literal["resnet18"]
    width: Count = Field(64, description="Channels of the first stage.")


class TorchvisionModel(Model):
    """A model of torchvision.models, by its name there."""

    name: Literal["torchvision"]
    architecture: str = Field(description=N_("For example resnet50 or mobilenet_v3_small."))
    weights: str | None = Field(None, description="A local file of weights (a state dict).")


class RecurrentModel(InitialisedModel):
    """A recurrent net over the rows of an image, or over a sequence; the last state decides."""

    name: Literal["rnn", "lstm"]
    hidden: Count = Field(64, description="Width of the state.")
    layers: Count = Field(1, description="Recurrent layers, one on another.")
    dropout: Share = Field(0.0, description="Between recurrent layers.")


class TransformerModel(InitialisedModel):
    """A Transformer encoder over the rows of an image, or over a sequence; the mean of its outputs decides."""

    name: Literal["transformer"]
    width: Count = Field(32, description="Width of a token.")
    heads: Count = 4
    layers: Count = 2
    feedforward: Count = Field(64, description="Width of the hidden layer in each block.")
    dropout: Share = 0.0

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TransformerModel":
        if self.width % self.heads:
            raise ValueError(
                _(
                    "model.width = {width} must be a multiple of model.heads = {heads}",
                    width=self.width,
                    heads=self.heads,
                )
            )
        return self


class PointModel(Model):
    """A point (x, y) on a loss surface."""

    name: Literal["point"]
    start: tuple[Float, Float] = Field((-7.0, 2.0), description="Where it begins: x and y.")


class CodeModel(Model):
    """The user's own torch.nn.Module, called as Class(input_shape, outputs, **arguments)."""

    name: Literal["code"]
    code: str = Field(description="file.py:Class", pattern=r".+\.py:\w+")
    arguments: dict[str, Any] = Field({}, description="Keyword arguments of the class.")


AnyModel = Annotated[
    LinearModel
    | PolynomialModel
    | MlpModel
    | LenetModel
    | CnnModel
    | ResnetModel
    | TorchvisionModel
    | RecurrentModel
    | TransformerModel
    | PointModel
    | CodeModel,
    Field(discriminator="name"),
]

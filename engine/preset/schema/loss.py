"""[loss]: the loss to minimise, a class for each kind."""

from typing import Annotated, Literal

from pydantic import Field

from engine.preset.schema.section import NonNegative, Positive, Section, Share


class Loss(Section):
    """Penalties are added to the loss; they count weights, not biases."""

    l1: NonNegative = Field(0.0, description="λ of λ‖w‖₁.")
    l2: NonNegative = Field(0.0, description="λ of λ‖w‖².")


class SimpleLoss(Loss):
    """mse and mae: regression. bce and perceptron: two classes, one output. mse-probabilities and mae-probabilities:
    MSE and MAE between the predicted probabilities and the one-hot label."""

    name: Literal["mse", "mae", "bce", "perceptron", "mse-probabilities", "mae-probabilities"]


class HuberLoss(Loss):
    """Quadratic up to `delta`, linear beyond."""

    name: Literal["huber"]
    delta: Positive = 1.0


class CrossEntropyLoss(Loss):
    """Negative log-likelihood of the softmax."""

    name: Literal["cross-entropy"]
    label_smoothing: Share = Field(
        0.0, description="In training only: validation and test losses are the plain cross-entropy."
    )


class SurfaceLoss(Loss):
    """The height of a surface where the point is. bowl: (x² + y²)/2. ravine: x²/20 + y². saddle: x²/2 − y²/2 + y⁴/4,
    with minima at (0, ±1). plateau: 1 − exp(−(x² + y²)/2). The other minima are 0 at (0, 0)."""

    name: Literal["surface"]
    shape: Literal["bowl", "ravine", "saddle", "plateau"] = "bowl"


class CodeLoss(Loss):
    """The user's own function: `loss(outputs, targets) -> scalar tensor`, a mean over the batch."""

    name: Literal["code"]
    code: str = Field(description="file.py:function", pattern=r".+\.py:\w+")


AnyLoss = Annotated[SimpleLoss | HuberLoss | CrossEntropyLoss | SurfaceLoss | CodeLoss, Field(discriminator="name")]

"""What a preset can say: one class for each kind of data, model, loss, optimizer and schedule.

A section's `name` picks its class, so each kind has just the keys that mean something for it, and a wrong
key can be answered with the right ones. Loading and error messages are in `preset.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Int = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Threads = Annotated[int, Field(strict=True, ge=1, le=4096)]
Norm = Annotated[float, Field(strict=True, gt=0, le=1e30)]  # beyond lies what float32 can't hold
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Flag = Annotated[bool, Field(strict=True)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]


class Section(BaseModel):
    """Frozen, and closed: an unknown key is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# --- data ------------------------------------------------------------------------------------------------


class Augment(Section):
    """Random changes of training images, drawn anew for each sample of each batch."""

    flip: Flag = Field(False, description="Mirror left to right with probability 1/2.")
    shift: Natural = Field(0, description="Pad by this many pixels, then crop at a random place.")
    rotation: NonNegative = Field(0.0, le=180, description="Rotate by up to this many degrees either way.")


class Data(Section):
    """Keys that every kind of data has."""

    size: Count | None = Field(None, description="Train on this many samples only, drawn with `seed`.")
    validation: Share = Field(0.1, description="Share of the samples held out for validation.")
    split: Literal["random", "ordered"] = Field(
        "random", description="`ordered` keeps the order: training samples first, then validation, then test."
    )
    seed: Natural = Field(0, description="Seed of made data, of noise and of the split.")
    scaling: Literal["none", "standard", "minmax"] = Field(
        "none", description="Scale the inputs by statistics of the training split alone."
    )
    noise: NonNegative = Field(
        0.0,
        description="Standard deviation of Gaussian noise: on the targets of line, sine and quiz, "
        "on the inputs of everything else (made sets: all samples, others: the training samples).",
    )
    random_labels: Fraction = Field(
        0.0, description="Share of the training labels replaced by random ones (classification only)."
    )
    augment: Augment = Field(Augment(), description="Random changes of training images.")


class SplitData(Data):
    """Data that come in one piece, so the test split is cut from them too."""

    test: Share = Field(0.2, description="Share of the samples held out for the test.")


class LineData(SplitData):
    """y = 1 + 2x + noise, x uniform in [0, 1]; `seed = 42, n = 100` are the course's points."""

    name: Literal["line"]
    n: Count = Field(100, description="Number of points.")
    seed: Natural = Field(42, description="Seed of NumPy's legacy generator.")
    noise: NonNegative = Field(0.1, description="Standard deviation of the noise on y.")
    split: Literal["random", "ordered"] = "ordered"
    outliers: Share = Field(0.0, description="Share of the training targets moved by `outlier_shift`.")
    outlier_shift: Float = Field(5.0, description="How far an outlier is moved.")


class SineData(SplitData):
    """y = sin(2πx) + noise, x uniform in [0, 1]."""

    name: Literal["sine"]
    n: Count = Field(100, description="Number of points.")
    noise: NonNegative = Field(0.1, description="Standard deviation of the noise on y.")


class QuizData(SplitData):
    """The course's 500 ms quiz: 0.5 ln x + 0.853 sin 5.25x − 0.064 cos 5.25x + 0.072, x and noise of `line`."""

    name: Literal["quiz"]
    n: Count = Field(100, description="Number of points.")
    seed: Natural = Field(42, description="Seed of NumPy's legacy generator.")
    noise: NonNegative = Field(0.1, description="Standard deviation of the noise on y.")
    split: Literal["random", "ordered"] = "ordered"


class XorData(SplitData):
    """The four corners of the unit square; the label is the exclusive or."""

    name: Literal["xor"]
    validation: Share = 0.0
    test: Share = 0.0


class StripesData(SplitData):
    """Uniform points in [−10, 10]²; the label is |x1| > 5."""

    name: Literal["stripes"]
    n: Count = Field(10_000, description="Number of points.")


class PlaneData(SplitData):
    """Two-dimensional toy sets of scikit-learn: two moons, or two circles."""

    name: Literal["moons", "circles"]
    n: Count = Field(1000, description="Number of points.")
    noise: NonNegative = Field(0.1, description="Standard deviation of the noise on the points.")


class SpiralsData(SplitData):
    """Interleaved spirals, one a class."""

    name: Literal["spirals"]
    n: Count = Field(1000, description="Number of points.")
    noise: NonNegative = Field(0.1, description="Standard deviation of the noise on the points.")
    classes: Annotated[int, Field(strict=True, ge=2, le=10)] = Field(3, description="Number of arms.")
    turns: Positive = Field(1.0, description="Turns of each arm about the centre.")


class BlobsData(SplitData):
    """Gaussian clusters, one a class."""

    name: Literal["blobs"]
    n: Count = Field(1000, description="Number of points.")
    noise: NonNegative = Field(1.0, description="Standard deviation of a cluster.")
    classes: Annotated[int, Field(strict=True, ge=2, le=100)] = Field(3, description="Number of clusters.")
    features: Count = Field(2, description="Number of dimensions.")


class PointData(SplitData):
    """No data, for a point on a loss surface: one empty sample to train with, one to evaluate with."""

    name: Literal["point"]
    validation: Share = 0.5
    test: Share = 0.0
    split: Literal["random", "ordered"] = "ordered"


class BundledData(SplitData):
    """Sets that come with scikit-learn. digits: 1,797 images of 1 × 8 × 8, scaled to [0, 1]."""

    name: Literal["digits", "breast-cancer", "wine", "iris", "diabetes"]


class DownloadedData(Data):
    """Sets of torchvision, with a test split of their own. Pixels are scaled to [0, 1]."""

    name: Literal["mnist", "fashion-mnist", "cifar10", "cifar100"]


class ImagesData(SplitData):
    """A folder, or a zip of one, with a folder of images a class; `train/` and `test/` above them are used."""

    name: Literal["images"]
    path: str = Field(description="The folder or zip file.")
    image_size: Count | None = Field(None, description="Resize to this many pixels square.")
    channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for colour.")


class NpzData(SplitData):
    """Two arrays of an .npz file, or of a pickled dict; the first axis of both counts samples."""

    name: Literal["npz", "pickle"]
    path: str = Field(description="The file.")
    inputs: str = Field("x", description="Name of the array of inputs.")
    targets: str = Field("y", description="Name of the array of targets.")
    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: whole-number targets are class labels."
    )
    classes: Count | None = Field(None, description="Number of classes, where the labels don't tell.")


class CsvData(SplitData):
    """Numbers in columns under a header line; the target may be a name of a class."""

    name: Literal["csv"]
    path: str = Field(description="The file.")
    target: str = Field(description="Name of the target's column.")
    features: tuple[str, ...] | None = Field(None, description="Names of the input columns; else all others.")
    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: targets that are words or whole numbers are classes."
    )


class CodeData(SplitData):
    """The user's own function: `load() -> (inputs, targets)`, as arrays or tensors."""

    name: Literal["code"]
    code: str = Field(description="file.py:function", pattern=r".+\.py:\w+")
    task: Literal["auto", "classification", "regression"] = "auto"
    arguments: dict[str, Any] = Field({}, description="Keyword arguments of the function.")


AnyData = Annotated[
    LineData
    | SineData
    | QuizData
    | XorData
    | StripesData
    | PlaneData
    | SpiralsData
    | BlobsData
    | PointData
    | BundledData
    | DownloadedData
    | ImagesData
    | NpzData
    | CsvData
    | CodeData,
    Field(discriminator="name"),
]

# --- model -----------------------------------------------------------------------------------------------

Activation = Literal["sigmoid", "tanh", "relu", "leaky-relu", "maxout", "elu", "gelu"]
Initialisation = Literal["default", "normal", "xavier", "he", "zeros"]


class Model(Section):
    """Keys that every kind of model has."""

    from_run: str | None = Field(
        None, alias="from", description="Start from this run's, or this checkpoint file's, weights."
    )
    freeze: Natural | tuple[str, ...] = Field(
        0, description="The first N layers, or the layers whose names begin so, are not trained."
    )


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
    architecture: str = Field(description="For example resnet50 or mobilenet_v3_small.")
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
            raise ValueError(f"model.heads = {self.heads} does not divide model.width = {self.width}")
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

# --- loss ------------------------------------------------------------------------------------------------


class Loss(Section):
    """Penalties are added to the loss; they count weights, not biases."""

    l1: NonNegative = Field(0.0, description="λ of λ‖w‖₁.")
    l2: NonNegative = Field(0.0, description="λ of λ‖w‖².")


class SimpleLoss(Loss):
    """mse and mae: regression. bce and perceptron: two classes, one output. mse-probabilities: MSE between
    the predicted probabilities and the one-hot label."""

    name: Literal["mse", "mae", "bce", "perceptron", "mse-probabilities"]


class HuberLoss(Loss):
    """Quadratic up to `delta`, linear beyond."""

    name: Literal["huber"]
    delta: Positive = 1.0


class CrossEntropyLoss(Loss):
    """Negative log-likelihood of the softmax."""

    name: Literal["cross-entropy"]
    label_smoothing: Share = 0.0


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

# --- optimizer -------------------------------------------------------------------------------------------


class Optimizer(Section):
    lr: Positive = Field(description="Base learning rate.")
    weight_decay: NonNegative = Field(0.0, description="As torch.optim has it.")


class Sgd(Optimizer):
    name: Literal["sgd"]
    momentum: Share = 0.0
    nesterov: Flag = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and not self.momentum:
            raise ValueError("optimizer.nesterov = true needs optimizer.momentum > 0")
        return self


class Adagrad(Optimizer):
    name: Literal["adagrad"]
    eps: Positive = 1e-10


class RmsProp(Optimizer):
    name: Literal["rmsprop"]
    alpha: Share = Field(0.99, description="Decay of the mean square.")
    momentum: Share = 0.0
    eps: Positive = 1e-8


class Adam(Optimizer):
    name: Literal["adam", "adamw"]
    beta1: Share = 0.9
    beta2: Share = 0.999
    eps: Positive = 1e-8


AnyOptimizer = Annotated[Sgd | Adagrad | RmsProp | Adam, Field(discriminator="name")]

# --- schedule --------------------------------------------------------------------------------------------


class Schedule(Section):
    warmup: Natural = Field(0, description="Steps in which the rate grows linearly from near 0 to its own.")


class ConstantSchedule(Schedule):
    name: Literal["constant"]


class StepSchedule(Schedule):
    """Multiply by `gamma` after every `every` epochs."""

    name: Literal["step"]
    every: Count = Field(10, description="Epochs.")
    gamma: Positive = 0.1


class ExponentialSchedule(Schedule):
    """Multiply by `gamma` an epoch, smoothly."""

    name: Literal["exponential"]
    gamma: Positive = 0.95


class FallingSchedule(Schedule):
    """From 1 to `final`, in a straight line or along half a cosine."""

    name: Literal["linear", "cosine"]
    final: Fraction = 0.0


class OneCycleSchedule(Schedule):
    """Up from `start` to 1, then down to `final`, both along half a cosine (Smith, 2018)."""

    name: Literal["one-cycle"]
    peak: Annotated[float, Field(strict=True, gt=0, lt=1)] = Field(0.3, description="Where the top lies.")
    start: Fraction = 0.04
    final: Fraction = 0.0001


class InverseTimeSchedule(Schedule):
    """1 / (1 + decay · step): the rates' sum diverges, their squares' converges (Robbins and Monro, 1951)."""

    name: Literal["inverse-time"]
    decay: Positive = 0.01


class PlateauSchedule(Schedule):
    """Multiply by `factor` when the validation loss has not fallen for `patience` evaluations."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.1
    patience: Count = 5
    floor: Fraction = Field(0.0, description="The scale never falls below this.")


AnySchedule = Annotated[
    ConstantSchedule
    | StepSchedule
    | ExponentialSchedule
    | FallingSchedule
    | OneCycleSchedule
    | InverseTimeSchedule
    | PlateauSchedule,
    Field(discriminator="name"),
]

# --- train -----------------------------------------------------------------------------------------------


class EverySteps(Section):
    steps: Count


class EarlyStopping(Section):
    """Stop when the validation loss has not fallen for `patience` evaluations; the test uses the best model."""

    patience: Count
    min_delta: NonNegative = Field(0.0, description="A fall smaller than this does not count.")


class Train(Section):
    epochs: Count | None = Field(None, description="How long, in passes over the training split.")
    steps: Count | None = Field(None, description="How long, in optimizer updates; instead of `epochs`.")
    batch_size: Count | Literal["full"] = Field(32, description='Samples an update; "full" is gradient descent.')
    seed: Natural = Field(0, description="Seed of initial weights, batches, dropout and augmentation.")
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = Field(
        "auto", description="auto, cpu, cuda or cuda:N."
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="Of the forward and backward pass.")
    threads: Threads | Literal["auto"] = Field("auto", description="CPU threads; auto measures and says which.")
    compile: Flag = Field(False, description="torch.compile the model.")
    code: str | None = Field(None, description="file.py:function", pattern=r".+\.py:\w+")
    accumulate: Count = Field(
        1, description="Split each batch into this many parts, to save memory; the update is the same."
    )
    clip_norm: Norm | None = Field(None, description="Scale the gradient down to at most this norm.")
    evaluate_every: Count | EverySteps = Field(1, description="Epochs, or { steps = N }, between evaluations.")
    early_stopping: EarlyStopping | None = None
    checkpoint_every: Count | EverySteps | Literal["auto"] = Field(
        "auto", description="Epochs, or { steps = N }; auto: at epochs' ends, at most every five seconds."
    )
    keep: Count = Field(3, description="How many of the latest checkpoints to keep, besides the first and best.")
    statistics_every: Count | Literal["auto"] = Field(
        "auto",
        description="Steps between gradient and layer statistics; auto measures: 2% of a step at most.",
    )
    on_nan: Literal["stop", "pause", "continue"] = Field(
        "stop", description="When loss or gradient is not finite; a run started in the console pauses by default."
    )

    @model_validator(mode="after")
    def _one_length(self) -> "Train":
        if (self.epochs is None) == (self.steps is None):
            given = "neither" if self.epochs is None else "both"
            raise ValueError(f"give train.epochs or train.steps; {given} given")
        return self

    @model_validator(mode="after")
    def _own_step_is_whole(self) -> "Train":
        taken = {
            "accumulate": self.accumulate > 1,
            "clip_norm": self.clip_norm is not None,
            "precision": self.precision != "fp32",
            "compile": self.compile,
        }
        for key in [key for key, wanted in taken.items() if wanted and self.code is not None]:
            raise ValueError(
                f"train.{key} = {getattr(self, key)} is of the built-in training step, and train.code takes its place"
            )
        return self


# --- members ---------------------------------------------------------------------------------------------

LOCKSTEP = (  # the keys that may differ between models that train together
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.alpha",
    "optimizer.beta1",
    "optimizer.beta2",
    "optimizer.eps",
    "optimizer.weight_decay",
    *(
        f"schedule.{key}"
        for key in ("warmup", "every", "gamma", "peak", "start", "final", "decay", "factor", "patience", "floor")
    ),
    "model.dropout",
    "model.init",
    "model.init_std",
    "loss.l1",
    "loss.l2",
)


class Range(Section):
    """What a random search draws from, evenly; whole numbers where the key takes no others."""

    low: Float
    high: Float
    log: Flag = Field(False, description="Draw evenly in the logarithm.")


class Members(Section):
    """Models that train together in one run, one step at a time; without this section it is one."""

    repeats: Count = Field(1, description="Models that differ in their seed: train.seed, train.seed + 1, …")
    folds: Annotated[int, Field(strict=True, ge=2)] | None = Field(
        None, description="K-fold cross-validation: each model validates on another K-th of the samples."
    )
    sweep: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)] | Range] = Field(
        {},
        description='Candidates to compare: "optimizer.lr" = [0.1, 0.01], or { low = 1e-4, high = 1.0, log = true }.',
        json_schema_extra={"propertyNames": {"enum": list(LOCKSTEP)}},
    )
    draws: Count | None = Field(None, description="Random search: so many candidates; without it, every combination.")
    way: Literal["auto", "batched", "vmap", "loop"] = Field(
        "auto", description="Batched products (MLPs), torch.func.vmap, a loop over them, or the fastest of these."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> "Members":
        if self.folds is not None and self.repeats > 1:
            raise ValueError("members.repeats and members.folds can't be combined: give one of them")
        if self.draws is not None and not self.sweep:
            raise ValueError(f"members.draws = {self.draws}: there is no members.sweep to draw from")
        for key, values in self.sweep.items():
            if isinstance(values, Range) and self.draws is None:
                raise ValueError(f"members.draws is missing: how many candidates to draw from the range of {key}")
        return self


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
    members: Members = Members()

    @model_validator(mode="after")
    def _surfaces_have_no_data(self) -> "PresetModel":
        names = {"data": self.data.name, "model": self.model.name, "loss": self.loss.name}
        wanted = {"data": "point", "model": "point", "loss": "surface"}
        ours = {**wanted, "model": "code"} if names["model"] == "code" else wanted
        if names != ours and any(names[key] == word for key, word in wanted.items()):
            given = ", ".join(f'{key}.name = "{name}"' for key, name in names.items())
            raise ValueError(
                f'data.name = "point", model.name = "point" and loss.name = "surface" belong together; given: {given}'
            )
        return self

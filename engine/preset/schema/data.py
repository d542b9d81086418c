"""[data]: the data to train on, a class for each kind."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from descent.common.i18n import N_, _
from engine.preset.schema.section import Count, Flag, Float, Fraction, Natural, NonNegative, Positive, Section, Share


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
    kept: Literal["auto", "float", "bytes"] = Field(
        "auto",
        description="How images of 8 bits are kept in memory. bytes: a quarter of the memory, each batch becomes "
        "numbers when it is taken; auto: bytes on a GPU, float on the CPU. The numbers are the same.",
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
    noise_columns: Natural = Field(
        0, description="Further inputs of standard normal noise, which say nothing of the target. Not of digits."
    )

    @model_validator(mode="after")
    def _columns_of_a_table(self) -> "BundledData":
        if self.noise_columns and self.name == "digits":
            raise ValueError(
                _("data.noise_columns = {count}: digits are images and have no columns", count=self.noise_columns)
            )
        return self


class DownloadedData(Data):
    """Sets of torchvision, with a test split of their own. Pixels are scaled to [0, 1]."""

    name: Literal["mnist", "fashion-mnist", "cifar10", "cifar100"]
    source: Literal["original", "images"] = Field(
        "original",
        description="images: a copy of the set as a folder of images, or a zip of one, called NAME-images or "
        "NAME-jpeg, in the folder of downloaded data.",
    )


class ImagesData(SplitData):
    """A folder, or a zip of one, with a folder of images a class; `train/`, `val/`, `test/` above them are splits."""

    name: Literal["images"]
    path: str = Field(description=N_("The folder or zip file."))
    labels: str | None = Field(
        None,
        description=N_(
            "A table in the folder with the images' names and classes, for images in no classes' folders."
        ),
    )
    target: str | None = Field(None, description=N_("The column of the classes in `labels`, if it has several."))
    image_size: Count | None = Field(None, description="Resize to this many pixels square.")
    channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for colour.")


class NpzData(SplitData):
    """Two arrays of an .npz file, or of a pickled dict; the first axis of both counts samples."""

    name: Literal["npz", "pickle"]
    path: str = Field(description=N_("The file."))
    inputs: str = Field("x", description="Name of the array of inputs.")
    targets: str = Field("y", description="Name of the array of targets.")
    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: whole-number targets are class labels."
    )
    classes: Count | None = Field(None, description="Number of classes, where the labels don't tell.")


def _name(given: object) -> object:
    return str(given) if type(given) is int else given


# The name of a column. A number is taken for one: where a table has no header, its columns are called "1", "2" …
Column = Annotated[str, BeforeValidator(_name)]


class CsvData(SplitData):
    """A table: columns under a header line, or a .parquet file. Words become categories; the target may be words."""

    name: Literal["csv"]
    path: str = Field(description=N_("The file."))
    target: Column | tuple[Column, ...] = Field(
        description=N_("Name of the target's column; several names are several quantities.")
    )
    features: tuple[Column, ...] | None = Field(None, description="Names of the input columns; else all others.")
    exclude: tuple[Column, ...] = Field((), description="Names of columns that are no inputs.")
    categories: tuple[Column, ...] = Field((), description="Names of columns whose numbers are names of categories.")
    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: targets that are words or whole numbers are classes."
    )
    missing: Literal["refuse", "drop", "mean"] = Field(
        "refuse",
        description="What to do where a cell is missing. drop: leave the row out; mean: take the mean of the "
        "training samples, and leave rows without a target out.",
    )
    missing_words: tuple[str, ...] | None = Field(
        None, description='What counts as a missing cell; else an empty one, "NA", "NaN", "null", "?" and the like.'
    )
    scale_target: Flag = Field(
        False, description="Scale the targets of a regression to mean 0 and deviation 1, by the training samples."
    )
    header: Flag = Field(
        True, description='Whether the first line names the columns; else they are "1", "2" and so on.'
    )
    delimiter: Literal["auto", ",", ";", "\t", "|", " "] = Field(
        "auto", description="What separates the columns. A blank stands for any number of blanks and tabs."
    )
    decimal: Literal["auto", ".", ","] = Field("auto", description="The decimal sign of the numbers.")
    encoding: Literal[
        "auto", "utf-8", "utf-16", "cp949", "latin-1", "cp1252", "cp1250", "cp1251", "shift_jis", "gb18030", "big5"
    ] = Field("auto", description="The encoding of the text; auto takes UTF-8, UTF-16, cp949 or latin-1.")
    skip_lines: Natural = Field(0, description="Lines above the header that are not read.")


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

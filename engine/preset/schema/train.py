"""[train]: length, batches, device, evaluation and checkpoints of a training."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from descent.common.i18n import N_, _
from descent.common.text import show
from engine.preset.schema.section import Count, Flag, Natural, NonNegative, Norm, PartOfAll, Section, Threads


class EverySteps(Section):
    steps: Count


class EarlyStopping(Section):
    """Stop when the validation loss, or `train.best.metric`, has not got better for `patience` evaluations, counted
    as Keras and Lightning do; the test uses the best model."""

    patience: Count
    min_delta: NonNegative = Field(0.0, description="A fall smaller than this does not count.")


class BestBy(Section):
    """What the best model is chosen by: a metric on the validation split. The test uses that model."""

    metric: str = Field(description="loss, accuracy, f1 … or a metric of `metrics.code`.", min_length=1)
    mode: Literal["min", "max"] = Field(description="Whether the least or the largest value is the best.")


class Train(Section):
    epochs: Count | None = Field(None, description="How long, in passes over the training split.")
    steps: Count | None = Field(None, description="How long, in optimizer updates; instead of `epochs`.")
    batch_size: Count | Literal["full"] = Field(32, description='Samples an update; "full" is gradient descent.')
    seed: Natural = Field(0, description="Seed of initial weights, batches, dropout and augmentation.")
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?)$")] = Field(
        "auto", description=N_("auto, cpu, cuda, cuda:N, xpu or mps.")
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="Of the forward and backward pass.")
    tf32: Literal["convolutions", "all", "none"] = Field(
        "convolutions",
        description="What an NVIDIA GPU may compute in TF32, of three digits: convolutions, or matrix products too.",
    )
    cudnn_benchmark: Flag = Field(
        False,
        description="Let cuDNN try its algorithms for each shape and take the fastest; two runs may take others.",
    )
    deterministic: Flag = Field(
        False, description="Use only algorithms that give the same numbers each time; slower on a GPU."
    )
    gpu_memory: PartOfAll | None = Field(
        None, description="The share of the GPU's memory that this run may take, above 0 to 1; of one that is shared."
    )
    ranks: Count = Field(
        1,
        description="Processes that train together: each some of the members, or a part of each batch. torchrun and "
        "srun say it themselves.",
    )
    threads: Threads | Literal["auto"] = Field("auto", description="CPU threads; auto measures and says which.")
    compile: Flag = Field(
        False, description="torch.compile the model; measure it: on a CPU it slowed four models of four."
    )
    graph: Flag | Literal["auto"] = Field(
        "auto",
        description="Repeat the whole step as a CUDA graph; auto: on an NVIDIA GPU, where that gives the same; true: "
        "with a model or loss of one's own too.",
    )
    code: str | None = Field(None, description="file.py:function, or file.py:Class", pattern=r".+\.py:\w+")
    arguments: dict[str, Any] = Field({}, description="Keyword arguments of the function, or of the class.")
    accumulate: Count = Field(
        1,
        description="Split each batch into this many parts, to save memory; the update is the same, but for what "
        "batch norm and dropout make of each part.",
    )
    clip_norm: Norm | None = Field(None, description="Scale the gradient down to at most this norm.")
    evaluate_every: Count | EverySteps = Field(1, description="Epochs, or { steps = N }, between evaluations.")
    evaluate_batch_size: Count | Literal["auto"] = Field(
        "auto",
        description="Samples that an evaluation takes at once; auto: up to 1024, as memory allows. Does not change "
        "the training.",
    )
    early_stopping: EarlyStopping | None = None
    best: BestBy | None = Field(
        None, description="What the tested model, and early stopping, go by; else by early stopping's loss alone."
    )
    checkpoint_every: Count | EverySteps | Literal["auto"] = Field(
        "auto",
        description="Epochs, or { steps = N }; auto: at epochs' ends, at most every five seconds, and less often "
        "where writing one takes long.",
    )
    keep: Count = Field(
        3, description="How many of the latest checkpoints to keep; also the first, and each one's best so far."
    )
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
            if self.epochs is None:
                raise ValueError(_("give train.epochs or train.steps; neither given"))
            raise ValueError(_("give train.epochs or train.steps; both given"))
        return self

    @model_validator(mode="after")
    def _arguments_are_of_code(self) -> "Train":
        if self.arguments and self.code is None:
            raise ValueError(
                _(
                    "train.arguments = {given} are those of train.code, and there is none",
                    given=show(self.arguments),
                )
            )
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
                _(
                    "train.{key} = {given} needs the built-in training step, and train.code replaces that step",
                    key=key,
                    given=show(getattr(self, key)),
                )
            )
        return self

"""Mistakes that beginners make, recognised by what happened: an error, a wrong value, or an operation on the way.

MISTAKES is a table. The first row that fits a failure explains it. A row that can't be sure doesn't belong here: a
wrong explanation costs a learner more than none.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from descent.common.i18n import N_
from descent.common.numbers import trimmed
from engine.labs.explanation import CLOSE, Failure, Judge, Mistake

# --- judges of numbers ---


def _multiple(*, of: Callable[[Failure], Sequence[float]]) -> Judge:
    """Fit if all numbers are the wanted ones times one of `of`. Fields: times."""

    def judge(failure: Failure) -> Mapping[str, Any] | None:
        ratio = failure.ratio
        near = [n for n in of(failure) if ratio is not None and math.isclose(ratio, n, rel_tol=CLOSE)]
        return {"times": trimmed(near[0]), "parts": trimmed(1 / near[0])} if near else None

    return judge


def _swapped(failure: Failure) -> Mapping[str, Any] | None:
    gave, wanted = failure.gave, failure.wanted
    is_other = len(gave) == 2 and not math.isclose(*wanted, rel_tol=1e-2)
    fits = is_other and all(math.isclose(a, b, rel_tol=CLOSE) for a, b in zip(gave, wanted[::-1], strict=True))
    return {} if fits else None


def _all_zero(failure: Failure) -> Mapping[str, Any] | None:
    return {} if failure.gave and not any(failure.gave) and any(failure.wanted) else None


def _counts(failure: Failure) -> list[float]:
    """Return the numbers of samples. Twice as large may be a factor, so 2 counts only where something is summed."""
    return [float(n) for n in failure.sizes if n > 2 or (n == 2 and "sum(" in failure.source)]


def _shares(failure: Failure) -> list[float]:
    return [1 / n for n in failure.sizes if n > 2]


def _is_none(failure: Failure) -> Mapping[str, Any] | None:
    return {} if failure.returned == "None" else None


def _has_diverged(failure: Failure) -> Mapping[str, Any] | None:
    return {} if failure.diverged else None


_GRAD_IS_NONE = r"operand type\(s\) for .*'NoneType'|'NoneType' object .* attribute '"
_NOT_A_TENSOR = r"AttributeError: '(?P<kind>(numpy\.)?(ndarray|float\w*|int\w*))' object .* attribute '(?P<name>%s)'"
_ASKS = r"requires_grad=True|requires_grad_\(|\bmodel\b"  # for gradients
_CUTS = r"detach\(|\.item\(|\.numpy\(|no_grad|\.data\b|\.tolist\(|torch\.tensor\("
_OF_TENSORS = "backward|detach|requires_grad_?|grad|zero_|cpu|cuda|view|unsqueeze|numel|float|long"

MISTAKES: tuple[Mistake, ...] = (
    # --- .grad and the graph ---
    Mistake(
        "no-backward",
        N_("Nothing has computed this .grad yet, so it is None. Call .backward() on the loss before you read it"),
        pattern=_GRAD_IS_NONE,
        code=r"\.grad\b",
        without=r"\.backward\(",
    ),
    Mistake(
        "grad-of-new-tensor",
        N_(
            "b = b - … makes a new tensor, and .grad of that one is None: PyTorch fills .grad only of the tensors "
            "that were made with requires_grad=True. Change the old tensor in place, where autograd does not "
            "record: with torch.no_grad(): b -= lr * b.grad"
        ),
        pattern=_GRAD_IS_NONE,
        code=r"\.grad\b",
        source=r"(?m)^\s*(?:\w+, )*(?P<same>\w+)(?:, \w+)* = [^\n]*\b(?P=same) - ",
    ),
    Mistake(
        "grad-none",
        N_(
            "This .grad is None. PyTorch fills .grad only of tensors that were made with requires_grad=True and from "
            "which the loss was computed"
        ),
        pattern=_GRAD_IS_NONE,
        code=r"\.grad\b",
    ),
    Mistake(
        "in-place-on-leaf",
        N_(
            "A tensor that was made with requires_grad=True may not be changed in place while autograd records. An "
            "update is no part of the computation, so write it inside with torch.no_grad():"
        ),
        pattern=r"leaf Variable that requires grad is being used in an in-place operation",
    ),
    Mistake(
        "backward-twice",
        N_(
            "The graph of a loss is freed by its first .backward(). Compute the loss anew in each step, and update "
            "inside with torch.no_grad():, or the new step still hangs on the graph of the step before"
        ),
        pattern=r"backward through the graph a second time",
    ),
    Mistake(
        "loss-not-scalar",
        N_(
            "backward() starts from one number, and this tensor has several. Make one of them first: .mean() or "
            ".sum()"
        ),
        pattern=r"grad can be implicitly created only for scalar outputs",
    ),
    Mistake(
        "graph-lost",
        N_(
            "This loss does not know what it was computed from: .detach(), .item(), .numpy() or torch.no_grad() has"
            " cut the graph on the way. Compute the loss from tensors that require gradients, without these"
        ),
        pattern=r"does not require grad and does not have a grad_fn",
        source=rf"(?m)\A(?=[\s\S]*(?:{_ASKS}))(?=[\s\S]*^(?!\s*return\b)[^\n]*(?:{_CUTS}))",
    ),
    Mistake(
        "no-requires-grad",
        N_(
            "No tensor in this loss asks for a gradient. Make b and w with requires_grad=True: "
            "torch.zeros((), requires_grad=True)"
        ),
        pattern=r"does not require grad and does not have a grad_fn",
    ),
    Mistake(
        "requires-grad-of-integers",
        N_(
            "A gradient needs numbers that can change a little, and whole numbers can't. Write 0.0 instead of 0, or "
            "give dtype=torch.float32"
        ),
        pattern=r"[Oo]nly [Tt]ensors of floating point.* can require gradients",
    ),
    Mistake(
        "changed-before-backward",
        N_(
            "backward() needs a value that was changed in place after it was computed. Write x = x + 1 instead of "
            "x += 1, or call backward() before the change"
        ),
        pattern=r"needed for gradient computation has been modified by an inplace operation",
    ),
    Mistake(
        "numpy-of-graph",
        N_(
            "NumPy knows no gradients. Stay in torch as long as you need them; for a number at the end use .item(),"
            " for an array .detach().numpy()"
        ),
        pattern=r"Can't call numpy\(\) on Tensor that requires grad",
    ),
    # --- numbers, arrays, tensors ---
    Mistake(
        "item-of-many",
        N_(
            "This makes one Python number, and the tensor has several. Reduce it first (.mean(), .sum()), or choose"
            " one by its index"
        ),
        pattern=r"cannot be converted to Scalar|only one element tensors can be converted|"
        r"can only convert an array of size 1|only (0-dimensional|length-1|size-1) arrays can be converted",
    ),
    Mistake(
        "item-before-backward",
        N_(
            "backward() was called on a plain number. .item() and float() make a number of a tensor, and it forgets "
            "where it comes from: call .backward() on the tensor, and .item() afterwards"
        ),
        pattern=_NOT_A_TENSOR % "backward",
        source=r"\.item\(|float\(",
    ),
    Mistake(
        "array-for-tensor",
        N_(
            "This is NumPy's {kind}, not a tensor, so it has no .{name}. Make a tensor of it with "
            "torch.as_tensor(…), or compute it in torch from the start"
        ),
        pattern=_NOT_A_TENSOR % _OF_TENSORS,
    ),
    Mistake(
        "array-into-torch",
        N_("torch takes tensors here, and this is a NumPy array. Convert it: torch.as_tensor(x)"),
        pattern=r"must be Tensor, not numpy\.ndarray",
    ),
    Mistake(
        "list-arithmetic",
        N_(
            "Python's lists and tuples don't compute element by element. Use a NumPy array or a tensor: "
            "np.array([1, 2])"
        ),
        pattern=r"unsupported operand type\(s\) for .*'(list|tuple)'|can't multiply sequence by non-int",
    ),
    Mistake(
        "mean-of-booleans",
        N_("A tensor of True and False, or of whole numbers, has no mean. Make floats of it first: .float().mean()"),
        pattern=r"could not infer output dtype|mean\(\).*[Ii]nput dtype must be",
    ),
    Mistake(
        "truth-of-many",
        N_(
            "This compares element by element, so the result is many truth values, and an if needs one. To choose "
            "for each element by itself, write np.where(condition, a, b) or torch.where; for all at once .all() or "
            ".any()"
        ),
        pattern=r"Boolean value of Tensor with more than one|truth value of an array with more than one",
    ),
    # --- shapes, types, devices ---
    Mistake(
        "matrix-shapes",
        N_(
            "In a matrix product the columns of the left factor must be as many as the rows of the right one: "
            "{left} and {right} don't fit. Print both .shape; a factor may be in the wrong place, or want .T or "
            ".flatten(1)"
        ),
        pattern=r"shapes cannot be multiplied \((?P<left>\d+x\d+) and (?P<right>\d+x\d+)\)",
    ),
    Mistake(
        "lengths-differ",
        N_(
            "These two have different lengths, {left} and {right}, so they can't be taken element by element. Print"
            " both .shape: does each belong to the same samples?"
        ),
        pattern=r"size of tensor a \((?P<left>\d+)\) must match the size of tensor b \((?P<right>\d+)\)",
    ),
    Mistake(
        "shapes-differ",
        N_(
            "These two arrays have different shapes, so they can't be taken element by element. Print both .shape: "
            "does each belong to the same samples?"
        ),
        pattern=r"operands could not be broadcast together|mismatch in its core dimension",
    ),
    Mistake(
        "column-for-row",
        N_(
            "Input and target have different shapes, (n, 1) and (n,). Give both the same: .flatten() makes (n,), "
            ".unsqueeze(1) makes (n, 1)"
        ),
        pattern=r"Target size \(.*must be the same as input size|multi-target not supported",
    ),
    Mistake(
        "labels-as-floats",
        N_(
            "cross_entropy takes the number of the right class, a whole number, and these labels are {kind}. Convert "
            "them: y.long()"
        ),
        pattern=r"expected (target dtype to be Long or Byte, but got|scalar type Long but found) (?P<kind>\w+)",
    ),
    Mistake(
        "labels-as-integers",
        N_(
            "This loss compares numbers, so it takes the labels as floats, and these are whole numbers. Convert "
            "them: y.float()"
        ),
        pattern=r"cast to the desired output type Long|Found dtype Long but expected (Float|Double)|"
        r"floating point type for target with class probabilities",
    ),
    Mistake(
        "class-out-of-range",
        N_(
            "There is a label {label}, and the model has no output of that number: classes count from 0, so k "
            "outputs are for the labels 0 … k − 1"
        ),
        pattern=r"Target (?P<label>-?\d+) is out of bounds",
    ),
    Mistake(
        "types-differ",
        N_(
            "The model computes in {right}, and its input is {left}. NumPy's numbers are float64: convert them with "
            ".float()"
        ),
        pattern=r"must have the same dtype, but got:? (?P<left>\w+) (and|!=) (?P<right>\w+)",
    ),
    Mistake(
        "wrong-device",
        N_(
            "A tensor and the model lie on different devices. Move the data to where the model is: "
            "x.to(next(model.parameters()).device)"
        ),
        pattern=r"to be on the same device|is not on the expected device|can't convert cuda.* tensor to numpy|"
        r"Input type .* and weight type .* should be the same",
    ),
    Mistake(
        "dimension",
        N_(
            "This tensor has no dimension {given}: they are counted from 0, and a tensor of shape (n,) has only "
            "dimension 0. Print its .shape"
        ),
        pattern=r"Dimension out of range .*but got (?P<given>-?\d+)",
    ),
    Mistake(
        "index",
        N_("Position {given} is asked for, and there are {size}, counted from 0"),
        pattern=r"index (?P<given>-?\d+) is out of bounds for (dimension|axis) \d+ with size (?P<size>\d+)",
    ),
    # --- modules, optimizers, Python ---
    Mistake(
        "optimizer-without-parameters",
        N_("The optimizer was given nothing to change. Give it the model's parameters: model.parameters()"),
        pattern=r"optimizer got an empty parameter list",
    ),
    Mistake(
        "optimizer-parameters",
        N_("An optimizer takes a list of tensors, made with requires_grad=True: model.parameters(), or [b, w]"),
        pattern=r"params argument given to the optimizer|can't optimize a non-leaf|optimizer can only optimize",
    ),
    Mistake(
        "module-without-init",
        N_("Call super().__init__() in the first line of __init__, before you set the first layer"),
        pattern=r"cannot assign \w+ before Module\.__init__\(\) call",
    ),
    Mistake(
        "no-forward",
        N_("The model has no method forward(self, x). Look at its name and at how far it is indented"),
        pattern=r"is missing the required \"forward\" function",
    ),
    Mistake(
        "indentation",
        N_(
            "Python reads blocks by their indentation: the lines below a colon stand four spaces further to the right"
        ),
        pattern=r"IndentationError|TabError|expected an indented block|unexpected indent|unindent does not match",
    ),
    Mistake(
        "bracket",
        N_("A bracket is opened and never closed. Python often notices it only some lines further down"),
        pattern=r"SyntaxError: .*(was never closed|unmatched)",
    ),
    Mistake(
        "outside-function",
        N_(
            "This line stands outside of every function. Indent it like the other lines of the function that it "
            "belongs to"
        ),
        pattern=r"SyntaxError: '\w+' outside (async )?function",
    ),
    Mistake(
        "colon",
        N_("A colon is missing at the end of the line: def, for, if and with end with one"),
        pattern=r"SyntaxError: expected ':'",
    ),
    Mistake(
        "unknown-name",
        N_("Nothing here is called {name}. Look for a typo, or for an import that is missing at the top of the file"),
        pattern=r"NameError: name '(?P<name>\w+)' is not defined",
    ),
    Mistake(
        "used-before-set",
        N_("{name} is used before it has a value in this function. Give it one before the loop"),
        pattern=r"UnboundLocalError.*local variable '(?P<name>\w+)'",
    ),
    Mistake(
        "unpacking-none",
        N_(
            "A function that should return two values returned nothing. Look at its return: where it is missing, or "
            "not reached, Python returns None"
        ),
        pattern=r"cannot unpack non-iterable NoneType",
    ),
    # --- nothing raised: what was returned, or seen on the way ---
    Mistake(
        "returned-none",
        N_("The function returned nothing (None). Its last line must be return …, indented like the lines above it"),
        value=_is_none,
    ),
    Mistake(
        "broadcast",
        N_(
            "Shapes {left} and {right} go together here to {result}: each number is combined with each other one. "
            "Give both the same shape first, as with .flatten() or .reshape(-1)"
        ),
        seen="broadcast",
    ),
    Mistake(
        "softmax-twice",
        N_(
            "cross_entropy applies the softmax itself and takes the raw outputs of the model, the logits. Leave "
            "your own softmax out"
        ),
        seen="softmax",
    ),
    Mistake(
        "argmax-dimension",
        N_(
            "Scores of shape (n, classes): dimension 0 are the samples, dimension 1 the classes. The answer for each "
            "sample is .argmax(1)"
        ),
        seen="argmax",
    ),
    Mistake(
        "not-zeroed",
        N_(
            "backward() adds to .grad, and here .grad still holds the gradient of the step before. Clear it once in"
            " each step: optimizer.zero_grad(), or b.grad = None"
        ),
        seen="grad",
    ),
    Mistake(
        "not-eval",
        N_(
            "The model runs in training mode while it is measured: dropout switches units off, and BatchNorm uses "
            "each batch's own mean. Call model.eval() before"
        ),
        seen="training",
    ),
    Mistake(
        "records-gradients",
        N_(
            "autograd takes notes while the model runs, and nothing is learned here. Put these lines inside with "
            "torch.no_grad():"
        ),
        about=r"calls\(.*\[:, 2\]",
        seen="recording",
    ),
    Mistake(
        "log-of-zero",
        N_(
            "The logarithm of 0 is −∞, and what is computed from it becomes nan. Keep its argument above 0, or use "
            "a loss that takes logits"
        ),
        seen="log",
    ),
    Mistake(
        "became-infinite",
        N_("From here on the numbers are infinite or nan: `{name}` made the first one of numbers that were finite"),
        seen="infinite",
    ),
    Mistake(
        "swapped",
        N_("Both numbers are right, but in the other order. Look at what return lists first"),
        value=_swapped,
    ),
    Mistake(
        "sign",
        N_(
            "Each number has the opposite sign, and the right size. A minus is missing, or is there once too often: "
            "a step goes against the gradient, b − lr · gradient; an error is output − y; a cross-entropy is −log p"
        ),
        value=_multiple(of=lambda failure: [-1.0]),
    ),
    Mistake(
        "sum-for-mean",
        N_(
            "Each number is exactly {times} times too large, and there are {times} samples: this is the sum. Divide"
            " by their number: .mean()"
        ),
        value=_multiple(of=_counts),
    ),
    Mistake(
        "divided-twice",
        N_(
            "Each number is exactly {parts} times too small, and there are {parts} samples: it was divided by their"
            " number twice"
        ),
        value=_multiple(of=_shares),
    ),
    Mistake(
        "factor-missing",
        N_(
            "Each number is exactly half of what it should be. The derivative of a square is 2 · error: the 2 is "
            "missing"
        ),
        source=" - ",
        value=_multiple(of=lambda failure: [0.5]),
    ),
    Mistake(
        "factor-twice",
        N_("Each number is exactly twice what it should be. Is the 2 of the square's derivative there twice?"),
        source=r"\b[24](\.0)?\b|square|pow",
        value=_multiple(of=lambda failure: [2.0]),
    ),
    Mistake(
        "all-zero",
        N_(
            "Every number is 0, as at the start: nothing was changed. Does the new value get a name that you "
            "return, as in b = b - …?"
        ),
        source=r"\b(for|while) ",
        value=_all_zero,
    ),
    Mistake(
        "diverged",
        N_(
            "Training diverged: the loss became infinite. The steps are too large, so lower optimizer.lr, say to a "
            "tenth"
        ),
        value=_has_diverged,
    ),
)

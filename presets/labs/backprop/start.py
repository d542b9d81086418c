"""Autograd for single numbers, by hand. Fill the five places that raise NotImplementedError."""


class Value:
    """A number that remembers of which numbers it was made.

    value: the number. inputs: the Values it was made of. slopes: for each input, by how much this value grows
    when that input grows by 1. gradient: the same for the result at the end; backward() fills it.
    """

    def __init__(self, value, inputs=(), slopes=()):
        self.value = float(value)
        self.inputs = tuple(inputs)
        self.slopes = tuple(slopes)
        self.gradient = 0.0

    def __add__(self, other):
        """Already written, as an example: a + b grows by 1 with a, and by 1 with b."""
        return Value(self.value + other.value, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        """self · other, another Value."""
        raise NotImplementedError("return a Value: the product, its two inputs, its two slopes")

    def __pow__(self, power):
        """self to the power of a plain number, for example 2."""
        raise NotImplementedError("return a Value: the power, its one input, its one slope")

    def backward(self):
        """Fill the gradient of every Value that this one was made of, however far back."""
        raise NotImplementedError("set this gradient to 1, then go through reversed(order(self)) by the chain rule")


def order(result):
    """All Values that `result` was made of, and `result` itself as the last.

    Returns a list. Each Value is in it once, even if it was used twice, and stands behind its inputs.
    """
    raise NotImplementedError("visit the inputs of a Value first, then add the Value, unless it is there")


def fit(x, y, lr, steps):
    """Gradient descent for y = b + w·x with your Values, from b = 0, w = 0.

    x, y: arrays of shape (n,). lr: the learning rate.
    The loss is the mean squared error. Make new Values for b and w at each step: a Value keeps its gradient.
    Returns b, w after `steps` updates, as numbers.
    """
    raise NotImplementedError("build the loss of Values, call backward() on it, then step against both gradients")


# --- already written: the examples that are graded and drawn ---


def product(numbers):
    """f = (x + y) · z"""
    x, y, z = map(Value, numbers)
    q = x + y
    return {"x": x, "y": y, "z": z, "q = x + y": q, "f = q · z": q * z}


def shared(numbers):
    """f = a · a + a · b: a is used three times"""
    a, b = map(Value, numbers)
    square, mixed = a * a, a * b
    return {"a": a, "b": b, "a · a": square, "a · b": mixed, "f": square + mixed}


def mean(numbers):
    """f = mean(2 (x + 1)²) over all x"""
    inputs = [Value(number) for number in numbers]
    total = Value(0.0)
    for x in inputs:
        total = total + Value(2.0) * (x + Value(1.0)) ** 2
    named = {f"x{i}": x for i, x in enumerate(inputs, 1)}
    return {**named, "f": total * Value(1 / len(inputs))}


EXAMPLES = {"product": product, "shared": shared, "mean": mean}


def local(a, b, power):
    """What a · b and a to a power are, and their slopes, in a row."""
    one, other = Value(a) * Value(b), Value(a) ** power
    return [one.value, *one.slopes, other.value, *other.slopes]


def value(numbers, name):
    """The result of an example."""
    return list(EXAMPLES[name](numbers).values())[-1].value


def nodes(numbers, name):
    """The Values of an example, each with its name, its value and the names of its inputs."""
    found = EXAMPLES[name](numbers)
    names = {id(one): key for key, one in found.items()}
    return [[key, one.value, [names[id(i)] for i in one.inputs]] for key, one in found.items()]


def gradients(numbers, name):
    """The Values of an example, each with its name and its gradient."""
    found = EXAMPLES[name](numbers)
    list(found.values())[-1].backward()
    return [[key, one.gradient] for key, one in found.items()]


def gradient(numbers, name):
    """The gradients of an example's inputs alone."""
    return [gradient for _, gradient in gradients(numbers, name)[: len(numbers)]]


def places(numbers, name):
    """Where order() has put each input, and what was made of it: pairs of places."""
    found = order(list(EXAMPLES[name](numbers).values())[-1])
    place = {id(one): at for at, one in enumerate(found)}
    return [[place[id(i)], place[id(one)]] for one in found for i in one.inputs]


def length(numbers, name):
    """How many Values order() has listed."""
    return len(order(list(EXAMPLES[name](numbers).values())[-1]))

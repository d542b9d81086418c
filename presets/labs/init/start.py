"""How large should initial weights be? Fill the two functions."""


def growth(depth, n, s):
    """By what the size of a signal is multiplied on its way through ReLU layers.

    depth: how many layers. n: inputs of each layer. s: the standard deviation of the weights.
    The size is the root of the mean square. Returns a number > 0.
    """
    raise NotImplementedError("return the factor of all layers together")


def he_std(n):
    """The standard deviation of the weights at which a ReLU layer with n inputs keeps the size."""
    raise NotImplementedError("return s")

"""How large initial weights should be: the reference solution."""


def growth(depth, n, s):
    """The factor of all layers together, each of which multiplies the mean square by n·s²/2."""
    return (n * s**2 / 2) ** (depth / 2)


def he_std(n):
    """The s with n·s²/2 = 1."""
    return (2 / n) ** 0.5

"""Two linear layers with nothing between them are one: the reference solution."""


def collapse(w1, b1, w2, b2):
    """w: (k, d) and b: (k,) with w @ x + b = w2 @ (w1 @ x + b1) + b2."""
    return w2 @ w1, w2 @ b1 + b2

"""Two linear layers with nothing between them are one. Fill in which one."""


def collapse(w1, b1, w2, b2):
    """w and b such that w @ x + b equals w2 @ (w1 @ x + b1) + b2 for every x.

    w1: tensor (h, d). b1: (h,). w2: (k, h). b2: (k,).
    Returns w: (k, d) and b: (k,).
    """
    raise NotImplementedError("return w and b")

"""Two ways against overfitting, by hand: the reference solution."""


def l2_step(w, gradient, lr, lam):
    """The penalty's gradient is 2 · lam · w."""
    return w - lr * (gradient + 2 * lam * w)


def early_stop(losses, patience):
    """Keep the lowest so far, and stop when it is `patience` epochs old."""
    best = 1
    for epoch, loss in enumerate(losses, 1):
        if loss < losses[best - 1]:
            best = epoch
        if epoch - best >= patience:
            return best, epoch
    return best, len(losses)

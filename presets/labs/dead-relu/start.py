"""Count the dead units of a ReLU layer. Fill the function."""

import torch


def dead_share(outputs):
    """The share of units that are 0 for every sample of a batch.

    outputs: tensor (batch, units), what a ReLU layer gave.
    Returns a number from 0 to 1.
    """
    raise NotImplementedError("return the share of the columns that are 0 from top to bottom")

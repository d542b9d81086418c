"""What a network for colour photos can take over from one for grey digits. Both functions are yours to write."""


def adapt(kernel, channels):
    """Make the first kernel, which sees grey images, fit for images of several channels.

    kernel: tensor (out, 1, k, k). channels: how many the new images have.
    Returns a tensor (out, channels, k, k). Where all channels of an image are equal, it answers as `kernel` does to
    one of them.
    """
    raise NotImplementedError("return a kernel of shape (out, channels, k, k)")


def to_copy(theirs, own, new):
    """Choose the layers whose weights are copied as they are.

    theirs: the layers of the trained network, a list of (name, shape of its weight). own: those of the new network.
    new: the name of the layer that has to learn another task.
    Returns a list of names, in the order of `own`.
    """
    raise NotImplementedError("return the names of the layers to copy")

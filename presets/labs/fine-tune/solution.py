"""What a network for colour photos can take over from one for grey digits."""


def adapt(kernel, channels):
    """Make the first kernel, which sees grey images, fit for images of several channels."""
    return kernel.repeat(1, channels, 1, 1) / channels


def to_copy(theirs, own, new):
    """Choose the layers whose weights are copied as they are."""
    shapes = dict(theirs)
    return [name for name, shape in own if name != new and shapes.get(name) == shape]

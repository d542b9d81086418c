"""A lab on the screen: the guide, the way through it, the goals in the charts."""

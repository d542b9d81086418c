"""Descent's engine: presets, training, labs, studies and the commands. What people import is `descent`."""

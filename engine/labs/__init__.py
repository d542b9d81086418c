"""Labs: presets with instructions, predictions, tasks and checks, and a learner's way through them."""

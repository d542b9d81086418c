"""From a run's folder to the snapshots that the screens draw."""

"""Studies: a queue of runs, each in its own process, that vary shapes (widths, depth, amount of data)."""

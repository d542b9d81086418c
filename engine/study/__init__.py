"""Studies: what varies in shape (widths, depth, amount of data) as a queue of runs, each in a process of its own."""

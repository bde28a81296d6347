"""From numbers to conclusions: decisions between backends, comparisons of runs, and the history of a machine."""

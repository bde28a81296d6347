"""The launch of a job: one process, observed from outside, that ends in exactly one state."""

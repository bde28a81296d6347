"""The self-test: whether the measurement can be trusted, tested with costs that are known."""

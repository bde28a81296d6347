"""Whether the measurement on this machine can be trusted, tested with known costs."""

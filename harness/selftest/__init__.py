"""The self-test of the measurement, with known costs."""

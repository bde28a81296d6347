"""What did it cost, and is the measurement to be trusted? Clocks, meters, and costs that are known."""

"""The catalogue of mistakes: real backends with one mistake made on purpose, by class in `catalogue`."""

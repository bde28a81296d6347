"""Crossframe compares deep-learning frameworks on the same networks, verified equal before they are measured."""

"""Parity: whether a backend computes what the reference model computes, judged by probes that both run."""

"""Is it the same computation? Probes, run by every backend and by the oracle, and what their traces say."""

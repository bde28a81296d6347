"""The analysis of records: metrics with intervals, permutation tests, tiers, and warnings."""

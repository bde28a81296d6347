"""From records to numbers: metrics with intervals, tests, tiers, and reasons to doubt a result."""

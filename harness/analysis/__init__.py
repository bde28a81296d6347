"""From records to numbers: metrics with intervals, tests, tiers, and what makes a result doubtful."""

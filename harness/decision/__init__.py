"""What follows from it? Statistics, rankings, comparisons of runs, and decisions."""

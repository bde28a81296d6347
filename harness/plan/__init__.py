"""What a run will do: its options, its cells and jobs, its inputs, and about how long it takes."""

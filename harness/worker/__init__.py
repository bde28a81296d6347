"""Everything that runs inside the environment of a framework: standard library, NumPy, tasks, the contract."""

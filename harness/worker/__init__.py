"""Code that runs in the environment of a framework or runtime: standard library, NumPy, tasks and the contract only."""

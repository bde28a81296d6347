"""The harness: it plans, starts, verifies and evaluates jobs, and reports the results.

docs/ARCHITECTURE.md lists its packages.
Only `harness.worker` runs inside the environments of backends and runtimes.
"""

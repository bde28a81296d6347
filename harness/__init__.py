"""Plans, launches, judges, stores, draws. `worker.py` and `quality.py` also run inside the backends' environments."""

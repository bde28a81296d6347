"""This computer and what is installed on it: processors, GPUs, environments, the cache."""

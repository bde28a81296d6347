"""The local machine and the software installed on it: host, GPUs, environments, cache."""

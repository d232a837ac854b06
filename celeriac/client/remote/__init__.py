"""The service over its API: what `Client` does, from a machine that has an address and a token and nothing else."""

"""Hydra's sweeps on the service: `python train.py -m hydra/sweeper=celeriac lr=interval(0.01,1)`."""

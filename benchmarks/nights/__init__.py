"""Simulations of many nights: what the gate lets through, and what is saved by tuning only where it pays."""

"""Proofs of what lies in `deploy/`, with the real tools where this machine has them."""

"""Proofs of the ways in and out: every example of their page (`make test-doors`), and how busy a sweep keeps slots."""

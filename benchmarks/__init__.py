"""Proofs that take longer than a test: speed and leanness beside peers and limits, chaos, compose. Each prints its
figures and its verdict.
"""

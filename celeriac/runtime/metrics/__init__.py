"""Metrics for Prometheus: what is told (`told`), what each program counts (`tally`), and how it is served (`serve`)."""

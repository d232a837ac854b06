"""Metrics for Prometheus: all by name (`table`), what each program counts (`tally`), and how it is served (`serve`)."""

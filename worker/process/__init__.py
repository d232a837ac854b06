"""A trial's own process: the fork server that makes it, what the two ends tell each other, and how it ends."""

"""The board's bench: a database of 100,000 trials in 500 studies, each page and list against it, and live viewers."""

"""Many studies on many slots: who gets them, what a turn costs, and how many connections it takes. `make bench-fleet`
runs it.
"""

"""Pure decisions, one question a file: records, `now` and `seed` in, a `…Decision` with a `reason` out. No I/O, no
clock, no state.
"""

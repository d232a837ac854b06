"""How good are the suggestions, and what do they cost? Our samplers beside their peers, on one virtual clock.

    python -m benchmarks.search --methods ours,tpe,random --seeds 0-9      runs what is missing, prints the tables
    python -m benchmarks.search --judge                                    the reported comparison, with its bars
    python -m benchmarks.search.suggest                                    CPU time and memory of a suggestion python
    -m benchmarks.search.faults                                     trials that run out of memory, or fail by chance

Rules of the comparison: every method meets the same noise and the same durations (both drawn from problem, seed and
trial number alone); a pending trial's value is known to nobody; peers run as they come, with their own kinds of
parameters. Samplers are tuned on seeds 0 to 9; what is reported is seeds 100 to 109.

Regret is (true value of the incumbent - optimum) / (the median of the same for random search after 40 evaluations): 1
is what 40 random trials give, 0 is the optimum. The incumbent is the point with the best observed value, which is what
a user would take; on a noisy problem that is not always the best point tried.
"""

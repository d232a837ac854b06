"""What a study shows: why a trial was run, which parameters mattered, and pictures. It reads records and writes
nothing.
"""

"""Explanations: why a trial was run, and which parameters mattered. Rule: records in, values out."""

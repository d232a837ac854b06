"""One attempt of a trial, from its lease to its end."""

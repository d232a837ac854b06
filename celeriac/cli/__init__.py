"""The `celeriac` command. Rule: argument parsing and pictures; what is decided is decided elsewhere.

Everything beyond the standard library is imported inside the commands, so that `celeriac --help` is quick.
"""

"""Runs one trial on one device. Rule: nothing here imports torch; only the user's objective does, in a process of its
own.
"""

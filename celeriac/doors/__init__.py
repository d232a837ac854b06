"""Ways in from other libraries, one module or room a library, each of which is loaded by who uses that library.

Rule: they stand on the client and on the trial, and nothing of the service stands on them; a library that is not
installed is an error which names the extra that brings it.
"""

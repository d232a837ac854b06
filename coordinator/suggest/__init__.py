"""How a turn gets its suggestions: requests to processes of their own, and the results for the study's next turn."""

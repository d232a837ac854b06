"""Who asks, and what they may: tokens, sessions, forms, and the guard in front of every path."""

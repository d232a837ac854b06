"""Programs that start and keep other programs. Linux only."""

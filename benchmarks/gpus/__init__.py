"""What is promised of GPUs, measured on processors: batches, gangs, packing, interruptions, idle time."""

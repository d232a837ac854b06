"""What every program needs to run: settings, the broker, the code's fingerprint, signs of life, processes."""

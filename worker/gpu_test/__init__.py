"""A self-test of this host's GPUs: what tests on stand-ins cannot show, for an owner of real ones to see."""

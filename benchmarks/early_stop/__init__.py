"""Early stopping beside its peers: the same trainings on the same virtual clock, and who stops which of them."""

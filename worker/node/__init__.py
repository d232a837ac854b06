"""One host: it finds the devices and keeps a worker for each slot."""

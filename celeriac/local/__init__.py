"""`celeriac up`: the fleet's own programs, Postgres and Redis on one machine, started and supervised by one process."""

"""The outbox: what is done outside the database for what its rows say. A promotion is published and its schedule's hook
run; of a night its morning is sent.
"""

"""The store: the only room that speaks SQL. Its doors are `open_store` and the contract in `celeriac.store.api`."""

from celeriac.store.api import Store

__all__ = ["Store"]

"""How Alembic runs here: on the connection that `celeriac.store.migrate` opened, in its one transaction."""

from alembic import context

from celeriac.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()

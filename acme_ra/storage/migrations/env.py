"""What alembic runs: migrations over the connection that storage/admin.py opened."""

from alembic import context

from acme_ra.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

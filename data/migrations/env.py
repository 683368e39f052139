"""How Alembic reaches the store: `smart_money.database` hands over an open connection, inside a transaction that holds the lock."""
from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction(): context.run_migrations()

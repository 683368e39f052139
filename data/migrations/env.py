"""How Alembic reaches the store: `smart_money.database` hands over an open connection inside a locked transaction; the command line gives a URL with `-x url=...`."""
from alembic import context
from sqlalchemy import create_engine


def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction(): context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None: run(connection)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).begin() as own: run(own)

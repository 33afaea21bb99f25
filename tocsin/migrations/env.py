"""What Alembic runs for every command. The connection comes from `tocsin.migrations.run`, inside a transaction."""

from __future__ import annotations

from alembic import context

from tocsin.migrations.run import context_options

context.configure(connection=context.config.attributes["connection"], **context_options())
with context.begin_transaction():
    context.run_migrations()

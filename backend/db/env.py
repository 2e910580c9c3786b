"""What Alembic runs: migrations on the connection that `migrate` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from backend.db.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite alters a table by copying it.
    render_as_batch=True,
)
context.run_migrations()

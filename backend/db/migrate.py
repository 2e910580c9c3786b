"""Brings the database to the newest version of the tables: `python -m backend.db.migrate`."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from backend.db.engine import Database
from entromask.errors import EntromaskError
from entromask.settings import settings

# One number for all who migrate this schema: two that start together take turns (Postgres).
_LOCK = 0x656E7472


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("version_locations", str(Path(__file__).parent / "versions"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(database: Database) -> None:
    """Applies the migrations that are missing; a database that is up to date is left alone.

    Raises:
        EntromaskError: the database was written by a newer version.
    """
    if database.url.startswith("sqlite:///"):
        Path(database.url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    config = _config()
    with database.write() as session:
        connection = session.connection()
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        current = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if current is not None and current not in known:
            raise EntromaskError(
                f"the database was written by a newer version of Entromask (revision {current})",
                "install that version, or name another database in ENTROMASK_DATABASE_URL",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(database: Database) -> bool:
    """Whether all migrations have been applied."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with database.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision() == head


def main() -> None:
    """The command: exit code 1 with one sentence where it cannot be done."""
    try:
        migrate(Database(settings().database))
    except EntromaskError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

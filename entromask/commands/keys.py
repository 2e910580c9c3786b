"""`entromask keys`: API keys, made, listed and revoked in the service's database itself."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from entromask.commands.options import Json
from entromask.errors import DependencyMissingError, EntromaskError, InputError
from entromask.settings import settings

if TYPE_CHECKING:
    from backend.db.engine import Database
    from backend.db.tables import ApiKey

keys = typer.Typer(name="keys", help="Make, list and revoke keys of the API.", no_args_is_help=True)


class Role(StrEnum):
    """What a key may do; each role may do what those before it may."""

    read = "read"
    write = "write"
    admin = "admin"


@contextmanager
def _database() -> Iterator[Database]:
    """The service's database; SQLite's tables are made or brought up to date first."""
    try:
        from sqlalchemy.exc import SQLAlchemyError

        from backend.db.engine import Database
        from backend.db.migrate import is_current, migrate
    except ImportError as error:
        raise DependencyMissingError(
            f"keys live in the service's database, and a package for it is missing: {error}",
            "pip install 'entromask[backend]'",
        ) from None
    database = Database(settings().database)
    try:
        if database.url.startswith("sqlite"):
            migrate(database)
        elif not is_current(database):
            raise EntromaskError(
                "the tables of the database are of another version",
                "migrate first: python -m backend.db.migrate",
            )
        yield database
    except SQLAlchemyError as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        raise EntromaskError(
            f"the database cannot be used: {reason}",
            "check ENTROMASK_DATABASE_URL and ENTROMASK_HOME",
        ) from None
    finally:
        database.close()


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, or what for.", show_default=False)],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.write,
    as_json: Json = False,
) -> None:
    """Make a key. The secret is printed on stdout this once; only its hash is kept."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise InputError("a key's name has 1 to 100 printable characters", "e.g. laptop")
    with _database() as database:
        from backend.store.keys import create_key

        with database.write() as session:
            key, secret = create_key(session, name, role.value)
            shown = _data(key)
    if as_json:
        print(json.dumps({**shown, "secret": secret}))
        return
    print(secret)
    print(f"key {shown['id']} '{name}' with the role {role.value}", file=sys.stderr)
    print("it is shown this once; send it as ENTROMASK_API_KEY", file=sys.stderr)


@keys.command("list")
def list_(as_json: Json = False) -> None:
    """List all keys, also revoked ones; secrets are not kept and cannot be shown."""
    with _database() as database:
        from backend.store.keys import list_keys

        with database.read() as session:
            found = [_data(key) for key in list_keys(session)]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("id", "name", "role", "begins with", "made", "state", box=None, pad_edge=False)
    for key in found:
        state = f"revoked {_day(key['revoked_at'])}" if key["revoked_at"] else "valid"
        table.add_row(
            key["id"], key["name"], key["role"], key["prefix"], _day(key["created_at"]), state
        )
    Console(markup=False).print(table, highlight=False)


@keys.command()
def revoke(
    key: Annotated[
        str, typer.Argument(metavar="NAME_OR_ID", help="All valid keys of this name, or one.")
    ],
    as_json: Json = False,
) -> None:
    """Revoke keys: from now on requests with them are refused."""
    with _database() as database:
        from backend.store.keys import revoke_key

        with database.write() as session:
            found = [_data(one) for one in revoke_key(session, key)]
    if not found:
        raise InputError(
            f"there is no valid key with the name or id '{key}'", "entromask keys list shows them"
        )
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found:
        print(f"revoked {one['id']} '{one['name']}' ({one['role']})")


def _data(key: ApiKey) -> dict[str, Any]:
    names = ("id", "name", "role", "prefix", "created_at", "revoked_at", "used_at")
    return {name: getattr(key, name) for name in names}


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))

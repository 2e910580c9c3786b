"""API keys: made, recognised, revoked. Only hashes are stored; a key is shown once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Literal, get_args

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.db.tables import ApiKey
from backend.store.ids import new_id

Role = Literal["read", "write", "admin"]
# Each role may do what those before it may.
ROLES: tuple[str, ...] = get_args(Role)


def create_key(session: Session, name: str, role: str) -> tuple[ApiKey, str]:
    """A new key: its row, and the secret itself, which cannot be had again."""
    secret = f"em_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        id=new_id("key"),
        name=name,
        role=role,
        prefix=secret[:9],
        hash=_hash(secret),
        created_at=time.time(),
    )
    session.add(key)
    session.flush()
    return key, secret


def find_key(session: Session, secret: str) -> ApiKey | None:
    """The key with this secret, unless it is revoked."""
    wanted = _hash(secret)
    key = session.scalars(select(ApiKey).where(ApiKey.hash == wanted)).one_or_none()
    if key is None or key.revoked_at is not None or not hmac.compare_digest(key.hash, wanted):
        return None
    return key


def note_use(session: Session, key_id: str) -> None:
    """Remembers that a key was just used."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(used_at=time.time()))


def list_keys(session: Session) -> list[ApiKey]:
    """All keys, the oldest first, also revoked ones."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at)))


def revoke_key(session: Session, name_or_id: str) -> list[ApiKey]:
    """Revokes the valid keys with this id or name; returns them."""
    query = select(ApiKey).where(
        (ApiKey.id == name_or_id) | (ApiKey.name == name_or_id), ApiKey.revoked_at.is_(None)
    )
    found = list(session.scalars(query))
    for key in found:
        key.revoked_at = time.time()
    session.flush()
    return found


def _hash(secret: str) -> str:
    # The secret has 256 random bits: a slow hash would protect nothing more.
    return hashlib.sha256(secret.encode()).hexdigest()

"""Uploaded corpora: kept, found, listed, removed."""

from __future__ import annotations

import time

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from backend.db.tables import Corpus, Run
from backend.store.states import OVER


def create_corpus(
    session: Session, corpus_id: str, *, name: str, file: str, format: str, size: int, sha256: str
) -> Corpus:
    """Adds a corpus whose file is in its place."""
    corpus = Corpus(
        id=corpus_id,
        name=name,
        file=file,
        format=format,
        size=size,
        sha256=sha256,
        created_at=time.time(),
    )
    session.add(corpus)
    session.flush()
    return corpus


def get_corpus(session: Session, corpus_id: str, *, lock: bool = False) -> Corpus | None:
    """A corpus by its id; with `lock`, no run that names it can be added meanwhile."""
    query = select(Corpus).where(Corpus.id == corpus_id)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def exists(session: Session, corpus_id: str) -> bool:
    """Whether there is such a corpus; it stays until the end of the transaction."""
    query = select(Corpus.id).where(Corpus.id == corpus_id).with_for_update(read=True)
    return session.scalar(query) is not None


def list_corpora(session: Session, limit: int, after: tuple[float, str] | None) -> list[Corpus]:
    """Newest first, at most `limit`, behind the (created_at, id) of `after`."""
    query = select(Corpus)
    if after is not None:
        query = query.where(tuple_(Corpus.created_at, Corpus.id) < after)
    return list(
        session.scalars(query.order_by(Corpus.created_at.desc(), Corpus.id.desc()).limit(limit))
    )


def delete_corpus(session: Session, corpus: Corpus) -> None:
    """Removes a corpus that no unfinished run names; its files are the caller's business."""
    session.delete(corpus)
    session.flush()


def unfinished_runs_of(session: Session, corpus_id: str, most: int = 5) -> list[str]:
    """The ids of the runs that still need a corpus, at most some of them."""
    query = (
        select(Run.id)
        .where(Run.status.not_in(OVER), Run.spec["corpus"]["id"].as_string() == corpus_id)
        .order_by(Run.created_at)
        .limit(most)
    )
    return list(session.scalars(query))

"""Models that can be named: registered ones, and the runs that have ended well."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session

from backend.db.tables import Model, Run
from backend.store.ids import new_id

Cursor = tuple[float, str]


def create_model(
    session: Session, *, name: str, reference: dict[str, Any], architecture: str | None
) -> Model:
    """Registers a local folder or a name on the Hub."""
    model = Model(
        id=new_id("model"),
        name=name,
        reference=reference,
        architecture=architecture,
        created_at=time.time(),
    )
    session.add(model)
    session.flush()
    return model


def get_model(session: Session, model_id: str) -> Model | None:
    """A registered model, or that of a run by the run's id."""
    model = session.get(Model, model_id)
    if model is not None:
        return model
    run = session.get(Run, model_id)
    return _of_run(run) if run is not None and run.status == "succeeded" else None


def list_models(session: Session, limit: int, after: Cursor | None) -> list[Model]:
    """Newest first, at most `limit`, behind the (created_at, id) of `after`."""
    registered = select(Model)
    runs = select(Run).where(Run.status == "succeeded")
    if after is not None:
        registered = registered.where(tuple_(Model.created_at, Model.id) < after)
        runs = runs.where(tuple_(Run.created_at, Run.id) < after)
    found = [
        *session.scalars(_newest(registered, Model).limit(limit)),
        *map(_of_run, session.scalars(_newest(runs, Run).limit(limit))),
    ]
    return sorted(found, key=lambda model: (model.created_at, model.id), reverse=True)[:limit]


def _newest(query: Select[Any], table: type[Model] | type[Run]) -> Select[Any]:
    return query.order_by(table.created_at.desc(), table.id.desc())


def delete_model(session: Session, model: Model) -> None:
    """Removes the entry of a registered model; its files stay where they are."""
    session.delete(model)
    session.flush()


def is_registered(model: Model) -> bool:
    """Whether a model has an entry of its own: those of runs go with their run."""
    return "run" not in model.reference


def _of_run(run: Run) -> Model:
    return Model(
        id=run.id,
        name=run.name,
        reference={"run": run.id},
        architecture=run.spec["model"]["architecture"],
        created_at=run.created_at,
    )

"""The API: its routers, its layers, its beginning and its end."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from backend import problems
from backend.auth import Guard
from backend.db.engine import Database
from backend.db.migrate import is_current, migrate
from backend.limits import RateLimits
from backend.observing import Observer, Requests
from backend.openapi import describe
from backend.routes import (
    catalogue,
    compare,
    corpora,
    experiments,
    keys,
    models,
    previews,
    run_data,
    runs,
    service,
)
from backend.summaries import Summaries
from entromask.errors import EntromaskError
from entromask.settings import settings

ROUTERS: tuple[APIRouter, ...] = (
    runs.router,
    run_data.router,
    experiments.router,
    compare.router,
    corpora.router,
    models.router,
    catalogue.router,
    previews.router,
    keys.router,
    service.router,
    service.health,
)


def prepare(database: Database) -> None:
    """Makes sure that the tables are those of this version; SQLite's are migrated here.

    Raises:
        EntromaskError: Postgres is not up to date, or the database is of a newer version.
    """
    if database.url.startswith("sqlite"):
        migrate(database)
    elif not is_current(database):
        raise EntromaskError(
            "the tables of the Postgres database are of another version",
            "migrate first: python -m backend.db.migrate",
        )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    database = Database(settings().database)
    try:
        prepare(database)
        corpora.remove_leftovers(database)
        app.state.database = database
        yield
    finally:
        app.state.stopping.set()
        database.close()


def create_app() -> FastAPI:
    """The application, by the settings of this process.

    Raises:
        InputError: a setting that cannot be.
    """
    app = FastAPI(
        title="Entromask",
        version=version("entromask"),
        summary="Queue pretraining runs with entropy-aware masking, watch them, take their results",
        lifespan=_lifespan,
        # Their pages load scripts from other hosts; /openapi.json describes everything.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.stopping = threading.Event()
    app.state.requests = Requests()
    app.state.summaries = Summaries()
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.add_middleware(Guard, settings=settings(), limits=RateLimits(settings().rate_limit))
    app.add_middleware(Observer, requests=app.state.requests)
    describe(app)
    return app

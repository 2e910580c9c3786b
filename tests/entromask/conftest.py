"""The API for tests of what talks to it: one for each module that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from entromask.client import Client
from tests.entromask.real_api import Api
from tests.faulty_proxy import FaultyProxy, faulty_proxy


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    made = Api(tmp_path_factory.mktemp("api") / "home")
    yield made
    made.stop()
    made.database.close()


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    with Client(api.url) as made:
        yield made


@pytest.fixture
def proxy(api: Api) -> Iterator[FaultyProxy]:
    with faulty_proxy(api.url) as made:
        yield made

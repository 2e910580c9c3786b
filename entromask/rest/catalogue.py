"""The client's calls about everything but runs: corpora, models, previews, workers, keys."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from entromask.errors import InputError
from entromask.resources import (
    ApiKey,
    Corpus,
    Health,
    Model,
    NewModel,
    PreviewRequest,
    Queue,
    Resource,
    Strategy,
    Task,
    Worker,
)
from entromask.rest.calls import Calls
from entromask.rest.errors import foreign


class Catalogue(Calls):
    """Calls that are about no run."""

    def upload_corpus(self, path: str | Path, name: str | None = None) -> Corpus:
        """Uploads a `.txt`, `.jsonl`, `.json`, `.csv`, `.tsv` or `.parquet` file, also packed.

        A spec then names it: `corpus: {source: upload, id: ID}`.

        Raises:
            InputError: there is no such file.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise InputError(f"no file {file} to upload", "name a text, jsonl or parquet file")
        with ExitStack() as stack:
            content = stack.enter_context(file.open("rb"))

            def prepare() -> dict[str, Any]:
                content.seek(0)
                return {"files": {"file": (file.name, content)}}

            # The same boundary for every try: the same body for the same idempotency key.
            kind = f"multipart/form-data; boundary={uuid.uuid4().hex}"
            response = self._transport.request(
                "POST",
                "/v1/corpora",
                prepare=prepare,
                headers={"Content-Type": kind},
                **({"data": {"name": name}} if name is not None else {}),
            )
        return self._transport.parse(Corpus, response)

    def corpora(self) -> Iterator[Corpus]:
        """The uploaded corpora, newest first."""
        return self._pages(Corpus, "/v1/corpora")

    def delete_corpus(self, corpus: str) -> None:
        self._transport.delete(f"/v1/corpora/{quote(corpus, safe='')}")

    def models(self) -> Iterator[Model]:
        """What specs and previews can name: finished runs, and what was registered."""
        return self._pages(Model, "/v1/models")

    def register_model(
        self,
        *,
        path: str | Path | None = None,
        hub: str | None = None,
        revision: str | None = None,
        name: str | None = None,
    ) -> Model:
        """Makes a local folder, or a model of the Hub, known to the service."""
        folder = None if path is None else str(Path(path).expanduser().absolute())
        body = NewModel(name=name, path=folder, hub=hub, revision=revision)
        return self._transport.send(Model, "POST", "/v1/models", body.model_dump(exclude_none=True))

    def preview(
        self,
        text: str,
        model: Mapping[str, Any],
        *,
        presets: Sequence[str] = (),
        rate: float | None = None,
        seed: int = 0,
        masked: Sequence[int] = (),
        progress: float | None = None,
    ) -> dict[str, Any]:
        """A text's tokens with their entropy and surprisal in nats, and what presets would mask.

        Args:
            model: `{"run": ID}`, `{"run": ID, "checkpoint": STEP}`, `{"path": FOLDER}` or
                `{"hub": NAME}`.
            masked: positions of tokens to hide.
            progress: share of a run that is done, for rates with a schedule. None: that of the
                checkpoint, where one is named; else 0.
        """
        body = PreviewRequest(
            text=text,
            model=dict(model),
            presets=list(presets),
            rate=rate,
            seed=seed,
            masked=list(masked),
            progress=progress,
        ).model_dump(exclude_none=True)
        return self._transport.send(Resource, "POST", "/v1/previews", body).model_dump()

    def strategies(self) -> list[Strategy]:
        """The masking presets."""
        return list(self._pages(Strategy, "/v1/strategies"))

    def tasks(self) -> list[Task]:
        """The evaluation tasks."""
        return list(self._pages(Task, "/v1/tasks"))

    def workers(self) -> list[Worker]:
        """The worker processes that were seen lately."""
        return list(self._pages(Worker, "/v1/workers"))

    def queue(self) -> Queue:
        """How much waits."""
        return self._transport.get(Queue, "/v1/queue")

    def keys(self) -> list[ApiKey]:
        """The API's keys, the oldest first, also revoked ones; this takes a key of an admin."""
        return list(self._pages(ApiKey, "/v1/keys"))

    def version(self) -> str:
        """The version of the service, which may be another than that of this client."""
        return self._transport.get(Health, "/healthz").version

    def health(self) -> dict[str, Any]:
        """Whether the service can take runs: what /readyz says of each part it needs."""
        response = self._transport.request("GET", "/readyz")
        try:
            data = response.json()
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise foreign(self._transport.url)
        return data

"""The client's calls about what a run has brought forth: metrics, results, log, files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from entromask.errors import EntromaskError, InputError
from entromask.resources import Artifact, MetricHistory, Resource
from entromask.rest import downloads
from entromask.rest.calls import TEXT, Calls, RunRef, run_id, run_path


class RunData(Calls):
    """Calls that read what a run has written."""

    def metrics(
        self, run: RunRef, keys: Sequence[str] = (), max_points: int | None = None
    ) -> MetricHistory:
        """The history of the metrics, each thinned to at most `max_points`."""
        params = {"keys": ",".join(keys) or None, "max_points": max_points}
        return self._transport.get(MetricHistory, f"{run_path(run)}/metrics", params)

    def results(self, run: RunRef) -> dict[str, Any]:
        """The content of the run's results.json."""
        return self._transport.get(Resource, f"{run_path(run)}/results").model_dump()

    def logs(self, run: RunRef, tail: int | None = None) -> str:
        """The run's log so far, or its last `tail` lines."""
        pieces, params = [], {} if tail is None else {"tail": tail}
        while True:
            answer = self._transport.request(
                "GET", f"{run_path(run)}/logs", headers=TEXT, params=params
            )
            pieces.append(answer.text)
            # It comes in pieces; the last one is empty.
            if not answer.text or tail is not None:
                return "".join(pieces)
            params = {"offset": int(answer.headers["X-Next-Offset"])}

    def artifacts(self, run: RunRef) -> list[Artifact]:
        """The files of the run."""
        return list(self._pages(Artifact, f"{run_path(run)}/artifacts"))

    def read_artifact(self, run: RunRef, path: str, most: int | None = None) -> bytes:
        """The content of one file of the run.

        Args:
            most: refuse a file of more bytes, before anything of it is fetched.

        Raises:
            InputError: the file is larger than `most`.
            ApiError: there is no such file.
        """
        try:
            return downloads.read(self._transport, run_path(run), path, most)
        except downloads.TooLargeError as error:
            fetch = ["entromask", "runs", "download", run_id(run), "--path", path]
            raise InputError(
                f"{path} of run {run_id(run)} has {error.size:,} bytes, more than {most:,}",
                f"download it: {shlex.join(fetch)}",
            ) from None

    def download(
        self,
        run: RunRef,
        path: str | None = None,
        folder: str | Path | None = None,
        *,
        overwrite: bool = False,
    ) -> list[Path]:
        """Brings the run's files here; one that is here already is not fetched again.

        Args:
            path: one file, or all in one folder of the run; default everything.
            folder: default one with the run's id, in the working directory.

        Raises:
            InputError: another file is in the place of one of them; nothing was fetched then.
            EntromaskError: there is no such file.
        """
        root = Path(folder or run_id(run)).expanduser()
        wanted = [one for one in self.artifacts(run) if path is None or _within(one.path, path)]
        if path is not None and not wanted:
            raise EntromaskError(
                f"run {run_id(run)} has no file '{path}'", "its files are what `artifacts` lists"
            )
        files = [(one, downloads.place(root, one.path)) for one in wanted]
        missing = [
            (one, target)
            for one, target in files
            if overwrite or not downloads.present(target, one)
        ]
        for one, target in missing:
            downloads.fetch(self._transport, run_path(run), one, target)
        return [target for _, target in files]


def _within(file: str, path: str) -> bool:
    return file == path or file.startswith(path.rstrip("/") + "/")

"""Every ENTROMASK_ environment variable, in one class."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from entromask.hosts import local_url


class Settings(BaseSettings):
    """Settings of this machine; what describes a run is in its RunSpec instead."""

    model_config = SettingsConfigDict(env_prefix="ENTROMASK_", extra="ignore")

    home: Path = Field(
        Path("~/.entromask"), description="where runs and caches live", validate_default=True
    )
    glue_dir: str | None = Field(
        None,
        description="local GLUE folders, separated by ':'; used where a spec names no source",
    )
    hub: Literal["auto", "online", "offline"] = Field(
        "auto",
        description="the Hugging Face Hub: 'auto' reaches for it only where a spec names Hub data",
    )
    database_url: str | None = Field(
        None, description="`postgresql://…` or `sqlite:////FILE`; default: SQLite in `HOME`"
    )
    redis_url: str | None = Field(
        None, description="`redis://…` of the queue; default: the Redis that `entromask up` starts"
    )
    api_url: str | None = Field(
        None, description="where clients find the API; default: `http://127.0.0.1:API_PORT`"
    )
    api_key: str | None = Field(None, description="the key that clients send")
    api_host: str = Field("127.0.0.1", description="the address that the API listens on")
    api_port: int = Field(8000, ge=1, le=65535, description="the port of the API")
    dashboard_host: str = Field(
        "127.0.0.1", description="the address that the dashboard listens on"
    )
    dashboard_port: int = Field(8501, ge=1, le=65535, description="the port of the dashboard")
    auth: Literal["off", "keys"] = Field(
        "off", description="'off' (only on a loopback address) or 'keys'"
    )
    data_dirs: str | None = Field(
        None,
        description="folders, separated by ':', that a spec sent to the API may name; default: "
        "any with `AUTH=off`, else none",
    )
    allowed_hosts: str = Field(
        "localhost,127.0.0.1,[::1]",
        description="the names, separated by ',', that API and dashboard answer to; '*' for any",
    )
    rate_limit: str = Field("600/minute", description="requests of one client; '0' for no limit")
    upload_limit: int = Field(
        20_000_000_000, ge=1, description="the largest corpus that may be uploaded, in bytes"
    )
    lease_seconds: float = Field(
        30.0, gt=0, description="for how long a worker holds a job without renewing it"
    )
    max_attempts: int = Field(
        3, ge=1, description="how often a job may crash or lose its worker before its run fails"
    )
    grace_seconds: float = Field(
        60.0, gt=0, description="what a cancelled process has to write its checkpoint"
    )
    job_timeout: float | None = Field(
        None, gt=0, description="the longest that one job may take, in seconds; default: no limit"
    )

    trackers: str | None = Field(
        None,
        description="where a run's metrics go beside its folder, separated by ',': tensorboard, "
        "mlflow, wandb, trackio ([sharing](sharing.md))",
    )
    tracking_project: str = Field(
        "entromask",
        min_length=1,
        description="the project, or experiment, that trackers file under",
    )
    tracking_dir: Path | None = Field(
        None, description="for trackers that write files; default: `HOME/tracking`"
    )

    @property
    def root(self) -> Path:
        """`home` with `~` expanded, absolute."""
        return self.home.expanduser().absolute()

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def corpora(self) -> Path:
        return self.root / "corpora"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.root / 'entromask.db'}"

    @property
    def redis_socket(self) -> Path:
        """Of the embedded Redis; the path of a socket has at most 107 bytes."""
        socket = self.root / "redis" / "redis.sock"
        if len(os.fsencode(socket)) < 100:
            return socket
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"entromask-{os.getuid()}-{name}.sock"

    @property
    def redis(self) -> str:
        return self.redis_url or f"redis+socket://{self.redis_socket}"

    @property
    def api(self) -> str:
        return (self.api_url or f"http://127.0.0.1:{self.api_port}").rstrip("/")

    @property
    def dashboard(self) -> str:
        """Where this machine reaches the dashboard."""
        return local_url(self.dashboard_host, self.dashboard_port)

    @property
    def data_folders(self) -> list[Path] | None:
        """The folders that a spec sent over the API may name, resolved; None for any."""
        if self.data_dirs is None:
            return None if self.auth == "off" else []
        return [Path(folder).expanduser().resolve() for folder in self.data_dirs.split(":")]

    @property
    def tracker_names(self) -> list[str]:
        return [name for word in (self.trackers or "").split(",") if (name := word.strip())]

    @property
    def tracking(self) -> Path:
        return (self.tracking_dir or self.root / "tracking").expanduser().absolute()

    @property
    def glue_folders(self) -> list[str]:
        return [folder for folder in (self.glue_dir or "").split(":") if folder]


@cache
def settings() -> Settings:
    """The settings of this process, read from the environment once."""
    return Settings()

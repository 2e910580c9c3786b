"""Every ENTROMASK_ environment variable, in one class."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    def glue_folders(self) -> list[str]:
        return [folder for folder in (self.glue_dir or "").split(":") if folder]


@cache
def settings() -> Settings:
    """The settings of this process, read from the environment once."""
    return Settings()

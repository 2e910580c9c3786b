"""`python -m frontend`: the dashboard on ENTROMASK_DASHBOARD_HOST and ENTROMASK_DASHBOARD_PORT."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from entromask.errors import EntromaskError, InputError
from entromask.hosts import is_loopback
from entromask.settings import Settings, settings
from entromask.stack.ports import check_free

_APP = Path(__file__).with_name("server.py")


def command(here: Settings) -> list[str]:
    """What runs the dashboard by the settings; the rest is in .streamlit/config.toml."""
    hosts = [name.strip() for name in here.allowed_hosts.split(",") if name.strip()]
    options = {
        "server.address": [here.dashboard_host],
        "server.port": [str(here.dashboard_port)],
        # Against DNS rebinding, as the API has it.
        "server.allowedHosts": hosts,
    }
    flags = [f"--{name}={value}" for name, values in options.items() for value in values]
    return [sys.executable, "-m", "streamlit", "run", str(_APP), *flags]


def check_exposure(here: Settings) -> None:
    """Makes sure that an API without keys is not opened to others by its dashboard.

    Raises:
        InputError: it would be.
    """
    if here.auth == "off" and not is_loopback(here.dashboard_host):
        raise InputError(
            f"ENTROMASK_AUTH is 'off' and ENTROMASK_DASHBOARD_HOST is '{here.dashboard_host}'; "
            "without keys the dashboard listens on a loopback address only",
            "set ENTROMASK_AUTH=keys; the dashboard then asks for a key",
        )


def main() -> None:
    """The command: exit code 1 or 2 with one sentence where the dashboard cannot start."""
    here = settings()
    try:
        check_exposure(here)
        check_free(here.dashboard_host, here.dashboard_port, "ENTROMASK_DASHBOARD_PORT")
    except EntromaskError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    os.execv(sys.executable, command(here))


if __name__ == "__main__":
    main()

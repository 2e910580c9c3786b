"""Names on the Hugging Face Hub, by their form alone: the Hub is not asked."""

from __future__ import annotations

import re
from pathlib import Path

# What the Hub allows: one or two parts of letters, digits and . _ -, not doubled.
_PART = r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?"
_HUB_NAME = re.compile(rf"(?=.{{1,96}}\Z)(?!.*(?:--|\.\.))(?!.*\.git\Z){_PART}(?:/{_PART})?", re.A)


def hub_name_fault(name: str) -> str | None:
    """What is wrong with a name on the Hub; None where nothing is.

    A folder of that name here would be loaded instead of what is on the Hub.
    """
    if _HUB_NAME.fullmatch(name) is None or Path(name).exists():
        return f"'{name[:200]}' is no name on the Hub; a local folder goes into path"
    return None

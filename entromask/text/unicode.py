"""The one rule for text that is not Unicode: half of a surrogate pair becomes U+FFFD.

JSON may spell one, as in "\\ud83d", and so may other programs; no encoder of text takes it.
"""

from __future__ import annotations

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def replace_surrogates(text: str) -> tuple[str, int]:
    """Return a text that can be encoded, and how many of its characters are replaced by U+FFFD.

    Two surrogates that make up one character become that character, which is no replacement.
    """
    # The usual text passes in one scan, the usual English one in none.
    if text.isascii() or _SURROGATE.search(text) is None:
        return text, 0
    return _SURROGATE.subn(REPLACEMENT, _PAIR.sub(_joined, text))


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")

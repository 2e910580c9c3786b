"""`entromask prefetch`: brings what a spec names on the Hub, for a box without a network."""

from __future__ import annotations

import os
import sys

from entromask.commands.options import Overrides, SpecFile


def prefetch(
    spec: SpecFile,
    overrides: Overrides = None,
) -> None:
    """Bring all that SPEC names on the Hugging Face Hub into this machine's caches."""
    from entromask.hub import names_hub, set_offline
    from entromask.spec import RunSpec

    description = RunSpec.load(spec, overrides).resolved()
    if not names_hub(description):
        print(f"{spec} names nothing on the Hugging Face Hub: there is nothing to bring")
        return
    set_offline(description)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from entromask.prefetch import bring

    for what in bring(description):
        print(f"here: {what}", flush=True)
    from huggingface_hub.constants import HF_HOME

    from entromask.settings import settings

    print(f"All of it lies in {HF_HOME} and {settings().cache}.")
    print(f"Without a network: ENTROMASK_HUB=offline entromask run {spec}")

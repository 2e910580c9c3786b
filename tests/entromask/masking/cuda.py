"""The mark of tests that need a CUDA device: they are skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch


def gpu(test: Callable[..., Any]) -> Callable[..., Any]:
    marked = pytest.mark.gpu(test)
    return pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")(marked)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from entromask.training.diagnostics import MaskDiagnostics
from tests.entromask.runs import small_spec
from tests.entromask.training.loops import make_loop, step

COUNTS = np.array([0, 0, 5, 4, 3])
ROWS = torch.tensor([[2, 3, 4, 2], [3, 3, 4, 4]])
IDS = torch.tensor([0, 1])
NAMES = ["p", "q", "a", "b", "c"]


def _labels(*masked: tuple[int, int]) -> torch.Tensor:
    labels = torch.full_like(ROWS, -100)
    for row, position in masked:
        labels[row, position] = ROWS[row, position]
    return labels


def _report(*epochs: torch.Tensor) -> dict[str, object]:
    diagnostics = MaskDiagnostics(2, 4, COUNTS)
    for epoch, labels in enumerate(epochs):
        diagnostics.update(ROWS, IDS, epoch, labels, torch.ones_like(ROWS, dtype=torch.bool))
    return diagnostics.report(NAMES)


def test_the_same_mask_each_epoch_repeats_entirely_and_covers_no_more() -> None:
    labels = _labels((0, 0), (1, 2))
    report = _report(labels, labels, labels)
    assert report["mask_repeat_rate"] == 1.0
    assert report["position_coverage"] == 2 / 8


def test_other_masks_repeat_in_part_and_add_to_the_coverage() -> None:
    report = _report(_labels((0, 0), (1, 2)), _labels((0, 0), (1, 3)))
    assert report["mask_repeat_rate"] == 0.5
    assert report["position_coverage"] == 3 / 8


def test_one_epoch_says_nothing_about_repeats() -> None:
    assert _report(_labels((0, 0)))["mask_repeat_rate"] is None


def test_only_epochs_in_a_row_count_as_repeats() -> None:
    diagnostics = MaskDiagnostics(2, 4, COUNTS)
    everywhere = torch.ones_like(ROWS, dtype=torch.bool)
    for epoch in (0, 2):
        diagnostics.update(ROWS, IDS, epoch, _labels((0, 0)), everywhere)
    assert diagnostics.report(NAMES)["mask_repeat_rate"] is None


def test_shares_of_types() -> None:
    report = _report(_labels((0, 0), (0, 3), (0, 1)))
    assert report["distinct_type_share"] == pytest.approx(2 / 3)
    assert report["frequent_type_share"] == 1.0
    assert report["top_masked_types"] == {"a": 2 / 3, "b": 1 / 3}


EVERYWHERE = torch.ones_like(ROWS, dtype=torch.bool)


def test_a_window_counts_the_repeats_since_the_last_one() -> None:
    diagnostics = MaskDiagnostics(2, 4, COUNTS)
    diagnostics.update(ROWS, IDS, 0, _labels((0, 0), (1, 2)), EVERYWHERE)
    assert "mask_repeat_rate" not in diagnostics.window()
    diagnostics.update(ROWS, IDS, 1, _labels((0, 0), (1, 3)), EVERYWHERE)
    assert diagnostics.window()["mask_repeat_rate"] == 0.5
    diagnostics.update(ROWS, IDS, 2, _labels((0, 0), (1, 3)), EVERYWHERE)
    assert diagnostics.window()["mask_repeat_rate"] == 1.0
    assert diagnostics.report(NAMES)["mask_repeat_rate"] == 0.75
    assert "mask_repeat_rate" not in diagnostics.window()


def test_a_window_without_masks_says_nothing() -> None:
    diagnostics = MaskDiagnostics(2, 4, COUNTS)
    assert diagnostics.window() == {}
    diagnostics.update(ROWS, IDS, 0, _labels((0, 0)), EVERYWHERE)
    assert diagnostics.window()["effective_type_ratio"] > 0
    assert diagnostics.window() == {}


def test_a_collapse_is_seen_in_masks_that_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entromask.training.pretraining.COLLAPSED", 10.0)
    often = small_spec(tmp_path)["pretraining"] | {"evaluate_every": 1}
    loop = make_loop(tmp_path, {"preset": "frequency"}, pretraining=often)
    loop.look()  # the warm-up may end at a look: the strategy is on, and has masked nothing
    assert loop.progress.collapse_step is None
    step(loop)
    loop.look()
    assert loop.progress.collapse_step == 1
    assert loop.progress.collapse_type_ratio is not None
    assert 0 < loop.progress.collapse_type_ratio < 10


def test_the_state_of_an_earlier_version_continues_with_an_empty_window() -> None:
    before = MaskDiagnostics(2, 4, COUNTS)
    for epoch in (0, 1):
        before.update(ROWS, IDS, epoch, _labels((0, 0)), EVERYWHERE)
    state = {name: t for name, t in before.state().items() if name != "window_repeats"}
    resumed = MaskDiagnostics(2, 4, COUNTS)
    resumed.load_state(state)
    assert "mask_repeat_rate" not in resumed.window()
    resumed.update(ROWS, IDS, 2, _labels((0, 1)), EVERYWHERE)
    assert resumed.window()["mask_repeat_rate"] == 0.0
    assert resumed.report(NAMES)["mask_repeat_rate"] == 0.5


def test_the_state_continues_where_it_was() -> None:
    first, second = _labels((0, 0), (1, 2)), _labels((0, 0), (1, 3))
    straight, before = MaskDiagnostics(2, 4, COUNTS), MaskDiagnostics(2, 4, COUNTS)
    for diagnostics in (straight, before):
        for epoch, labels in enumerate((first, second)):
            diagnostics.update(ROWS, IDS, epoch, labels, EVERYWHERE)
    resumed = MaskDiagnostics(2, 4, COUNTS)
    resumed.load_state(before.state())
    for diagnostics in (straight, resumed):
        diagnostics.update(ROWS, IDS, 2, second, EVERYWHERE)
    assert resumed.report(NAMES) == straight.report(NAMES)
    assert resumed.window() == straight.window()


def test_a_strategy_that_never_began_has_no_figures() -> None:
    report = MaskDiagnostics(2, 4, COUNTS).report(NAMES)
    assert report.pop("top_masked_types") == {}
    assert set(report.values()) == {None}
    assert {"distinct_type_share", "frequent_type_share", "tied_share"} <= set(report)


def test_ties_are_counted_over_a_run() -> None:
    diagnostics = MaskDiagnostics(2, 4, COUNTS)
    diagnostics.count_ties(1, 8)
    diagnostics.count_ties(3, 8)
    resumed = MaskDiagnostics(2, 4, COUNTS)
    resumed.load_state(diagnostics.state())
    assert resumed.report(NAMES)["tied_share"] == 0.25

"""Experiments: methods x seeds, planned as runs beside their controls."""

from entromask.experiments.spec import Controls, ExperimentSpec

__all__ = ["Controls", "ExperimentSpec"]

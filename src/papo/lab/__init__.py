"""The lab: drawn charts and scenes with exact ground truth, small enough to learn from on a laptop."""

from papo.lab.items import SPLITS, LabDataset, lab_item

__all__ = ["SPLITS", "LabDataset", "lab_item"]

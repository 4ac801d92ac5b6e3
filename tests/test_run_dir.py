"""What a run directory records of its process."""

import pytest
import torch

from papo.run_dir import CLEAR_PEAK, forget_peak_memory, peak_memory_gib


@pytest.mark.skipif(not CLEAR_PEAK.exists() or torch.cuda.is_available(), reason="the peak cannot be forgotten here")
def test_the_peak_is_that_of_the_run_and_not_of_one_before():
    forget_peak_memory()
    before = peak_memory_gib()
    torch.ones(2**26)  # a quarter of a GiB, and gone
    assert peak_memory_gib() > before + 0.2
    forget_peak_memory()
    assert peak_memory_gib() < before + 0.1

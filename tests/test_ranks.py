"""What is said of ranks without any; two of them exchange things in tests/integration/test_ranks.py."""

import torch

from papo import ranks


def test_gradients_are_added_up_in_few_messages(monkeypatch):
    monkeypatch.setattr(ranks, "BUCKET_BYTES", 40)  # ten numbers
    sizes = [4, 6, 1, 25, 5, 2, 2]
    gradients = [torch.full((size,), float(n)) for n, size in enumerate(sizes)]
    gradients[5] = gradients[5].double()
    found = [[int(gradient[0]) for gradient in bucket] for bucket in ranks.buckets(gradients)]
    assert found == [[0, 1], [2], [3], [4], [5], [6]]  # what is too large goes alone, as does another type


def test_of_nothing_there_is_no_message():
    assert list(ranks.buckets([])) == []

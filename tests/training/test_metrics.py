"""Sums and means that add up over micro-batches, batches and ranks."""

import torch

from papo.training.metrics import ItemMeans, Sums


def test_sums_add_up_and_begin_anew():
    sums = Sums()
    sums.update({"loss/total": torch.tensor(1.5), "loss/my__term": torch.tensor(2.0)})
    sums.update({"loss/total": torch.tensor(0.25), "loss/my__term": torch.tensor(1.0)})
    assert {name: value.item() for name, value in sums.compute().items()} == {"loss/total": 1.75, "loss/my__term": 3.0}
    sums.reset()
    sums.update({"loss/total": torch.tensor(1.0), "loss/my__term": torch.tensor(0.0)})
    assert sums.compute()["loss/total"].item() == 1.0
    sums.reset()
    sums.update({"loss/total": torch.tensor(1.0)})
    assert set(sums.compute()) == {"loss/total"}  # what did not come is not 0


def test_ranks_add_up():
    """torchmetrics reduces each state as it was declared."""
    sums, means = Sums(), ItemMeans()
    sums.update({"loss/total": torch.tensor(1.0)})
    means.update({"accuracy": [1.0, 0.0]})
    assert sums._reductions["loss/total"](torch.tensor([1.0, 2.0])).item() == 3.0
    assert means._reductions["accuracy"]([torch.tensor([1.0]), torch.tensor([0.5])]).tolist() == [1.0, 0.5]
    means.accuracy = torch.tensor([1.0, 0.5])  # as torchmetrics leaves it
    assert means.compute() == {"accuracy": [1.0, 0.5]}


def test_item_means_are_over_all_batches():
    means = ItemMeans()
    means.update({"accuracy": [1.0, 0.5], "guessed": [1.0]})
    means.update({})
    means.update({"accuracy": [0.0]})
    assert means.compute() == {"accuracy": [1.0, 0.5, 0.0], "guessed": [1.0]}
    means.reset()
    means.update({"accuracy": [0.25]})
    assert means.compute() == {"accuracy": [0.25]}

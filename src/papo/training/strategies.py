"""How a run is spread over processes."""

from __future__ import annotations

from lightning.pytorch.strategies import DDPStrategy


class SummedGradients(DDPStrategy):
    """Each process has the whole model and a share of each step's prompts (data parallelism).

    Torch's wrapper would average gradients at every backward pass, and wait forever where processes have different
    numbers of them: of micro-batches, of prompts that are worth an update, of pictures. Here each process adds up what
    it has, losses are already divided by counts over all of them, and papo.ranks.add_gradients makes one sum per
    update.
    """

    def configure_ddp(self) -> None:
        """Leaves the model unwrapped."""

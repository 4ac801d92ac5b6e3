"""The attention that each patch of an image receives inside a vision tower."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from papo.errors import ConfigError, SettingError
from papo.layouts import Layout, to_patches, to_pixels
from papo.policy.attention import products
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.policy.vlm import Policy
from papo.types import Images

NAME = "papo_attention_received"

# Queries whose attention weights exist at one time: a page of 5,000 patches would need gigabytes for all.
QUERIES = 256


class VisionAttention:
    """Looks at images with a Qwen2.5-VL vision tower.

    Most layers of that tower attend within windows of 112 x 112 pixels. There, a patch competes for attention with
    those of its window only, so that every window receives the same in total; only layers of full attention can tell
    the patches of an image apart.

    Args:
        policy: its tower looks, with the weights that it has at the time.
        layers: whose attention is averaged; None for the layers of full attention in the middle half of the depth.
        layout: what the tower reads; None if it reads the images as they come.

    Raises:
        ConfigError: not such a tower, or not such a layer.
    """

    def __init__(self, policy: Policy, layers: Sequence[int] | None = None, layout: Layout | None = None) -> None:
        self.policy = policy
        self.layout = layout
        model = policy.model
        tower = getattr(model.model, "visual", None)
        if not hasattr(tower, "fullatt_block_indexes"):
            raise ConfigError(
                f"corruption=saliency looks with a Qwen2.5-VL vision tower, the policy is of type "
                f"{model.config.model_type!r}: name a model that has one with corruption.path"
            )
        depth, full = len(tower.blocks), sorted(tower.fullatt_block_indexes)
        middle = [layer for layer in full if depth // 4 <= layer < depth - depth // 4]
        self.layers = middle if layers is None else sorted(set(layers))
        if not self.layers:
            raise ConfigError(
                f"corruption.layers must name layers of full attention: none in the middle half of the vision tower's "
                f"{depth} has it, got null; there are {full}"
            )
        if not set(self.layers) <= set(full):
            raise ConfigError(
                f"corruption.layers must be among the vision tower's layers of full attention {full} "
                f"(the others attend within windows), got {self.layers}"
            )

    @torch.no_grad()
    def __call__(self, images: Images) -> list[Tensor]:
        """[L] float32 on the CPU for each image, in the order of its patches; 1 on average.

        The attention of a patch's key in each query's softmax, averaged over heads and layers, summed over queries.

        Raises:
            ConfigError: the tower cuts images into other patches than the policy does.
        """
        tower = self.policy.model.model.visual
        seen = images if self.layout in (None, images.layout) else self._laid_out(images)
        if self.layout is not None:
            tower.to(images.pixel_values.device)  # the policy's own is already where its images are
        modules = [tower.blocks[layer].attn for layer in self.layers]
        with recording(tower, modules) as per_layer:
            self.policy.encode(seen)
        # One tensor for each layer and image, [L] in the tower's order.
        per_image = [torch.stack(layers).mean(0).cpu() for layers in zip(*per_layer, strict=True)]
        m = tower.spatial_merge_size
        window = tower.window_size // (m * tower.patch_size)  # visual tokens per side
        result = []
        for received, (_, rows, columns) in zip(per_image, images.grid.tolist(), strict=True):
            order = window_order(rows // m, columns // m, window)
            tokens = received.view(-1, m * m)
            patches = torch.empty_like(tokens).index_copy_(0, order, tokens).view(-1, 1, 1, 1)
            plane = to_pixels(patches, rows, columns, m)
            result.append(to_patches(plane, 1, images.layout.merge_size).flatten())
        return result

    def _laid_out(self, images: Images) -> Images:
        """The same images as the tower reads them."""
        tower, grids = self.policy.model.model.visual, images.grid.tolist()
        m, parts = tower.spatial_merge_size, []
        mean, std = (torch.tensor(values) for values in (self.layout.image_mean, self.layout.image_std))
        for image, (_, rows, columns) in enumerate(grids):
            pixels = (images.pixels(image) - mean[:, None, None]) / std[:, None, None]
            size = pixels.shape[1] // rows
            if size != tower.patch_size or rows % m or columns % m:
                raise ConfigError(
                    f"corruption.path must be a model that cuts images as the policy does, into {rows} x {columns} "
                    f"patches of {size} pixels; its own are of {tower.patch_size}, {m} x {m} to a visual token"
                )
            patches = to_patches(pixels, size, m)
            parts.append(patches.unsqueeze(2).expand(-1, -1, self.layout.frames, -1, -1).flatten(1))
        return replace(images, pixel_values=torch.cat(parts).to(images.pixel_values), layout=self.layout)


def vision_attention(policy: Policy, layers: Sequence[int] | None = None, path: str | None = None) -> VisionAttention:
    """What looks for corruption=saliency: the policy's own tower, or that of the model at `path`, its weights fixed.

    Raises:
        ConfigError: nothing loadable at `path`, or a tower without the layers that are asked for.
    """
    if path is None:
        return VisionAttention(policy, layers)
    dtype = str(policy.model.dtype).removeprefix("torch.")
    try:
        loaded = load_policy(path, train=(), dtype=dtype, chunk_tokens=1)
    except SettingError as error:
        raise ConfigError(f"corruption.{error}") from error
    looks = VisionAttention(loaded.policy, layers, PromptProcessor(loaded.processor, "").layout)
    del loaded.policy.model.model.language_model, loaded.policy.model.lm_head  # only the tower looks
    return looks


def window_order(rows: int, columns: int, window: int) -> Tensor:
    """[M] the visual tokens of an image, row by row, in the order in which the tower has them: window by window."""
    windows_per_row = -(-columns // window)
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    return (row // window * windows_per_row + column // window).flatten().argsort(stable=True)


_recorded: ContextVar[dict[nn.Module, list[Tensor]] | None] = ContextVar("recorded", default=None)


@contextmanager
def recording(tower: nn.Module, modules: Sequence[nn.Module]) -> Iterator[list[list[Tensor]]]:
    """Within it, what each of the tower's attention modules pays each key is kept, one tensor [L] per image."""
    recorded = {module: [] for module in modules}
    usual, token = tower.config._attn_implementation, _recorded.set(recorded)
    tower.config._attn_implementation = NAME
    try:
        yield list(recorded.values())
    finally:
        tower.config._attn_implementation = usual
        _recorded.reset(token)


def recording_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    **kwargs,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, of [1, heads, L, D]; one call for each image, or window."""
    kept = _recorded.get().get(module)
    if kept is not None:
        weights = (
            (products(part, key) * scaling).softmax(-1).mean(1).sum((0, 1)) for part in query.split(QUERIES, dim=2)
        )
        kept.append(sum(weights))
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)


AttentionInterface.register(NAME, recording_attention)

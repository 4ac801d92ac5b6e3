"""A vision tower with windows, and a second, slow account of the attention that its patches receive."""

import torch
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

from papo.lab.model import build_model
from papo.policy.vlm import Policy
from papo.types import Images


def deep_policy(tokenizer, full: list[int], layers: int = 4) -> Policy:
    """A tower some of whose layers attend within windows of 2 x 2 tokens, with weights that attend unevenly."""
    torch.manual_seed(1)
    model = build_model(
        tokenizer,
        hidden_size=32,
        layers=1,
        heads=4,
        key_value_heads=2,
        intermediate_size=48,
        vision_hidden_size=32,
        vision_layers=layers,
        vision_heads=2,
        vision_intermediate_size=48,
    ).eval()
    tower = model.model.visual
    tower.window_size = tower.config.window_size = 56
    tower.fullatt_block_indexes = tower.config.fullatt_block_indexes = full
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            parameter *= 1 if parameter.ndim < 2 else 8 if "qkv" in name else 4
    return Policy(model)


@torch.no_grad()
def slow_received(policy: Policy, images: Images, layers: list[int]) -> list[torch.Tensor]:
    """[L] for each image, in the order of its patches: one image at a time, patches never reordered.

    Rotary positions come from each patch's row and column, windows are a mask over all pairs of patches.
    """
    tower, m = policy.model.model.visual, 2
    result = []
    for part, (_, rows, columns) in zip(images.parts(), images.grid.tolist(), strict=True):
        row, column = (
            axis.reshape(rows // m, m, columns // m, m).permute(0, 2, 1, 3).flatten()
            for axis in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        )
        head = tower.config.hidden_size // tower.config.num_heads
        frequencies = 10_000.0 ** -(torch.arange(0, head // 2, 2).float() / (head // 2))
        angles = torch.cat([row[:, None] * frequencies, column[:, None] * frequencies], -1).repeat(1, 2)
        window = row // 4 * 100 + column // 4
        hidden = tower.patch_embed(part)
        total = torch.zeros(len(hidden))
        for index, block in enumerate(tower.blocks):
            attention = block.attn
            qkv = attention.qkv(block.norm1(hidden)).reshape(len(hidden), 3, tower.config.num_heads, head)
            q, k, v = qkv.unbind(1)
            q, k = apply_rotary_pos_emb_vision(q, k, angles.cos(), angles.sin())
            scores = torch.einsum("qhd,khd->hqk", q, k) / head**0.5
            if index not in tower.fullatt_block_indexes:
                scores = scores.masked_fill(window[:, None] != window, float("-inf"))
            weights = scores.softmax(-1)
            if index in layers:
                total += weights.mean(0).sum(0)
            hidden = hidden + attention.proj(torch.einsum("hqk,khd->qhd", weights, v).flatten(1))
            hidden = hidden + block.mlp(block.norm2(hidden))
        result.append(total / len(layers))
    return result

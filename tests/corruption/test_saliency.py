"""The saliency mask: exactly the units that receive most attention, by a second, slow account of the vision tower."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

from papo.corruption import SaliencyMask
from papo.corruption.attention import VisionAttention, recording, recording_attention, window_order
from papo.errors import ConfigError, SettingError
from papo.policy.loading import save_policy
from papo.policy.vlm import Policy
from papo.training.lab_model import build_model
from papo.types import Images

SEEDS = [1, 2, 3, 4, 5]


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


@pytest.fixture(scope="module")
def windowed(image_text_processor) -> Policy:
    return deep_policy(image_text_processor.tokenizer, full=[0, 2, 3])


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


def slow_mask(received: torch.Tensor, ratio: float, unit: str) -> list[bool]:
    """The most attended units, chosen one by one."""
    units = (
        received.tolist()
        if unit == "patch"
        else [sum(received[i : i + 4].tolist()) for i in range(0, len(received), 4)]
    )
    chosen = sorted(range(len(units)), key=lambda index: -units[index])[: int(ratio * len(units))]
    return [index // (1 if unit == "patch" else 4) in chosen for index in range(len(received))]


# --------------------------------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("layers", [[2], [0, 3], None])
def test_attention_received_is_the_slow_one(windowed, prompts, layers):
    """Windows, merged patches and several images in a batch; middle half of 4 layers is 1 and 2, full only 2."""
    received = VisionAttention(windowed, layers).received(prompts.images)
    expected = slow_received(windowed, prompts.images, layers or [2])
    for a, b in zip(received, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert a.mean().item() == pytest.approx(1, abs=1e-5)
        assert a.std() > 0.2  # uneven, so that the comparison says something


def test_layers_are_averaged(windowed, prompts):
    one, two, both = (VisionAttention(windowed, layers).received(prompts.images) for layers in ([0], [2], [2, 0]))
    for a, b, c in zip(one, two, both, strict=True):
        torch.testing.assert_close((a + b) / 2, c)


def test_queries_in_pieces_change_nothing(windowed, prompts, monkeypatch):
    expected = VisionAttention(windowed).received(prompts.images)
    monkeypatch.setattr("papo.corruption.attention.QUERIES", 5)
    for a, b in zip(VisionAttention(windowed).received(prompts.images), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


class SoftmaxShapes(TorchDispatchMode):
    """The shape of every softmax that is written out. The tower's own attention never is."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._softmax.default:
            self.shapes.append(tuple(result.shape))
        return result


def test_only_so_many_queries_have_weights_at_one_time(windowed, prompts, monkeypatch):
    monkeypatch.setattr("papo.corruption.attention.QUERIES", 5)
    with SoftmaxShapes() as seen:
        VisionAttention(windowed).received(prompts.images)
    assert {queries for *_, queries, _ in seen.shapes} == {5, 4, 2, 1}  # of 64, 72, 16, 32 and 16 patches
    assert sum(queries for *_, queries, _ in seen.shapes) == sum(prompts.images.patches())


@pytest.mark.parametrize("masked", [True, False])
def test_the_tower_goes_on_with_the_attention_that_it_asked_for(masked):
    """Its own mask and scaling, keys shared by heads, nothing causal: written out once more."""
    module = torch.nn.Module()
    module.num_key_value_groups = 2
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, 5, 8, generator=generator) for heads in (4, 2, 2))
    mask = torch.randn(1, 1, 5, 5, generator=generator) if masked else None
    tower = SimpleNamespace(config=SimpleNamespace(_attn_implementation="sdpa"))
    with recording(tower, []):
        output, _ = recording_attention(module, q, k, v, mask, scaling=0.9, is_causal=False)
    scores = 0.9 * torch.einsum("bhqd,bhkd->bhqk", q, k.repeat_interleave(2, 1)) + (mask if masked else 0)
    expected = torch.einsum("bhqk,bhkd->bqhd", scores.softmax(-1), v.repeat_interleave(2, 1))
    torch.testing.assert_close(output, expected)


def test_the_tower_is_left_as_it_was(windowed, prompts):
    before = windowed.encode(prompts.images)
    usual = windowed.model.model.visual.config._attn_implementation
    VisionAttention(windowed).received(prompts.images)
    assert windowed.model.model.visual.config._attn_implementation == usual == "sdpa"
    with pytest.raises(RuntimeError):
        VisionAttention(windowed).received(Images(torch.zeros(3, 7), *_rest(prompts.images)))
    assert windowed.model.model.visual.config._attn_implementation == usual
    for a, b in zip(windowed.encode(prompts.images), before, strict=True):
        assert torch.equal(a, b)


def _rest(images):
    return images.grid, images.counts, images.layout


@pytest.mark.parametrize(
    ("rows", "columns", "window", "expected"),
    [
        (2, 2, 4, [0, 1, 2, 3]),
        (2, 4, 2, [0, 1, 4, 5, 2, 3, 6, 7]),
        (3, 3, 2, [0, 1, 3, 4, 2, 5, 6, 7, 8]),
    ],
)
def test_window_order(rows, columns, window, expected):
    assert window_order(rows, columns, window).tolist() == expected


# -------------------------------------------------------------------------------------------------------------- mask


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.6])
def test_exactly_the_most_attended_units(windowed, prompts, unit, ratio):
    corruption = SaliencyMask(ratio, unit=unit)
    corruption.attach(windowed)
    masks = corruption.patch_mask(prompts.images, SEEDS).split(prompts.images.patches())
    for mask, received in zip(masks, slow_received(windowed, prompts.images, [2]), strict=True):
        assert mask.tolist() == slow_mask(received, ratio, unit)


@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_ties_go_to_the_earlier_unit(prompts, unit, ratio):
    corruption = SaliencyMask(ratio, unit=unit)
    corruption.attention = SimpleNamespace(received=lambda images: [torch.ones(n) for n in images.patches()])
    masks = corruption.patch_mask(prompts.images, SEEDS).split(prompts.images.patches())
    for mask, patches in zip(masks, prompts.images.patches(), strict=True):
        assert mask.tolist() == slow_mask(torch.ones(patches), ratio, unit)


def test_masked_patches_are_painted(windowed, prompts):
    """Where the mask says, in pixel space."""
    corruption = SaliencyMask(0.3)
    corruption.attach(windowed)
    masks = corruption.patch_mask(prompts.images, SEEDS).split(prompts.images.patches())
    corrupted = corruption(prompts.images, SEEDS)
    for image, (_, rows, columns) in enumerate(prompts.images.grid.tolist()):
        blocks = corrupted.pixels(image).unfold(1, 14, 14).unfold(2, 14, 14).amax((0, 3, 4))  # [rows, columns]
        tokens = blocks.reshape(rows // 2, 2, columns // 2, 2).permute(0, 2, 1, 3).flatten()
        assert torch.equal(tokens < 1e-6, masks[image])


@pytest.mark.parametrize("fill", ["black", "mean", "noise"])
def test_fills_are_those_of_the_random_mask(make, flattened, fill):
    """All of a picture painted over: the random mask paints the same from the same seeds."""
    a = make("saliency", 1.0, fill=fill)(flattened, [1, 2, 3, 4])
    b = make("black" if fill == "black" else fill, 1.0)(flattened, [1, 2, 3, 4])
    assert torch.equal(a.pixel_values, b.pixel_values)


def test_seeds_choose_nothing(make, images):
    corruption = make("saliency", 0.5)
    a, b = corruption(images, [1, 2, 3, 4]), corruption(images, [9, 8, 7, 6])
    assert torch.equal(a.pixel_values, b.pixel_values)


def test_it_looks_at_the_picture(make, flattened):
    first, *others = make("saliency", 0.5).patch_mask(flattened, [1, 2, 3, 4]).split(48)
    assert not all(torch.equal(first, other) for other in others)


# ------------------------------------------------------------------------------------------------------------ policy


def test_it_follows_the_policys_weights(windowed, prompts):
    policy = copy.deepcopy(windowed)
    corruption = SaliencyMask(0.5)
    corruption.attach(policy)
    before = corruption.patch_mask(prompts.images, SEEDS)
    with torch.no_grad():
        policy.model.model.visual.blocks[1].mlp.down_proj.weight.neg_()
    after = corruption.patch_mask(prompts.images, SEEDS)
    assert not torch.equal(before, after)
    fresh = SaliencyMask(0.5)
    fresh.attach(policy)
    assert torch.equal(fresh.patch_mask(prompts.images, SEEDS), after)


def test_a_policy_that_is_attached_is_no_part_of_a_module(windowed):
    module = torch.nn.Module()
    module.corruption = SaliencyMask(0.5)
    module.corruption.attach(windowed)
    assert list(module.parameters()) == []
    assert module.state_dict() == {}


def test_no_gradient_reaches_the_tower(windowed, prompts):
    corruption = SaliencyMask(0.5)
    corruption.attach(windowed)
    assert all(parameter.requires_grad for parameter in windowed.model.model.visual.parameters())
    with torch.enable_grad():
        received = corruption.attention.received(prompts.images)
    assert not any(patches.requires_grad for patches in received)


@pytest.mark.parametrize("layers", [None, [0, 3]])
def test_another_model_looks(image_text_processor, windowed, policy, prompts, tmp_path, layers):
    save_policy(windowed, image_text_processor, tmp_path / "model")
    corruption = SaliencyMask(0.5, layers=layers, path=str(tmp_path))
    corruption.attach(policy)
    own = SaliencyMask(0.5, layers=layers)
    own.attach(windowed)
    expected = own.patch_mask(prompts.images, SEEDS)
    assert torch.equal(corruption.patch_mask(prompts.images, SEEDS), expected)
    other = SaliencyMask(0.5)
    other.attach(policy)
    assert not torch.equal(other.patch_mask(prompts.images, SEEDS), expected)


def test_another_model_keeps_only_its_tower_and_no_gradient(policy, saved_model):
    corruption = SaliencyMask(0.5, path=saved_model)
    corruption.attach(policy)
    looking = corruption.attention.policy
    assert {name.split(".")[2] for name, _ in looking.named_parameters()} == {"visual"}
    assert not any(parameter.requires_grad for parameter in looking.parameters())


def test_another_model_sees_the_pictures_in_its_own_layout(policy, saved_model, flattened, pixel_grid):
    """Whatever layout and normalisation the policy has; a merge size of 1 orders patches row by row."""
    corruption = SaliencyMask(0.4, path=saved_model)
    corruption.attach(policy)
    expected = corruption(flattened, SEEDS[:4])
    layout = type(pixel_grid.layout)((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), patch_size=14, merge_size=1)
    pixels = torch.stack([flattened.pixels(image) for image in range(4)])
    mean, std = (torch.tensor(values)[:, None, None] for values in (layout.image_mean, layout.image_std))
    images = Images((pixels - mean) / std, flattened.grid, flattened.counts, layout)
    corrupted = corruption(images, SEEDS[:4])
    for image in range(4):
        torch.testing.assert_close(corrupted.pixels(image), expected.pixels(image), rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("full", "layers", "depth", "words"),
    [
        ([], None, 4, ["corruption.layers must", "full attention", "got null", r"\[\]"]),
        ([0, 3], None, 4, ["corruption.layers must", "middle half", "got null", r"\[0, 3\]"]),
        ([0, 2], [1], 4, [r"corruption.layers must .*\[0, 2\]", "within windows", r"got \[1\]"]),
        ([0, 2], [2, 4], 4, [r"corruption.layers must .*\[0, 2\]", r"got \[2, 4\]"]),
    ],
)
def test_a_tower_without_such_layers_is_refused(image_text_processor, full, layers, depth, words):
    policy = deep_policy(image_text_processor.tokenizer, full, depth)
    for word in words:
        with pytest.raises(ConfigError, match=word):
            SaliencyMask(0.5, layers=layers).attach(policy)


@pytest.mark.parametrize(("depth", "middle"), [(1, [0]), (2, [0, 1]), (4, [1, 2]), (5, [1, 2, 3]), (8, [2, 3, 4, 5])])
def test_the_middle_half(image_text_processor, depth, middle):
    policy = deep_policy(image_text_processor.tokenizer, list(range(depth)), depth)
    assert VisionAttention(policy).layers == middle


@pytest.mark.parametrize("tower", [torch.nn.Identity(), None])
def test_a_policy_with_another_tower_is_refused(windowed, tower):
    policy = copy.deepcopy(windowed)
    del policy.model.model.visual  # LLaVA's, for one, has another name
    if tower is not None:
        policy.model.model.visual = tower
    with pytest.raises(ConfigError, match=r"corruption=saliency .*'qwen2_5_vl'.*corruption.path"):
        SaliencyMask(0.5).attach(policy)


def test_a_path_without_a_model_is_refused(policy):
    with pytest.raises(ConfigError, match=r"^corruption.path must exist, got ./nowhere"):
        SaliencyMask(0.5, path="./nowhere").attach(policy)


def test_a_model_with_other_patches_is_refused(policy, saved_model, pixel_grid):
    corruption = SaliencyMask(0.5, path=saved_model)
    corruption.attach(policy)
    layout = type(pixel_grid.layout)((0.5,) * 3, (0.5,) * 3, patch_size=7)
    grid = pixel_grid.grid * torch.tensor([1, 2, 2])
    with pytest.raises(ConfigError, match=r"corruption.path must .*12 x 16 patches of 7 pixels.*14, 2 x 2"):
        corruption(Images(pixel_grid.pixel_values, grid, pixel_grid.counts, layout), SEEDS[:4])
    odd = Images(
        pixel_grid.pixel_values[:1, :, :70], torch.tensor([[1, 5, 8]]), (1,), type(layout)((0.5,) * 3, (0.5,) * 3, 14)
    )
    with pytest.raises(ConfigError, match=r"corruption.path must .*5 x 8 patches of 14"):
        corruption(odd, [1])


def test_no_layers_are_refused():
    with pytest.raises(SettingError, match=r"^layers must name at least one layer, or be null, got \[\]"):
        SaliencyMask(0.5, layers=[])


def test_an_impossible_fill_is_refused():
    with pytest.raises(SettingError, match=r"^fill must be black, mean or noise, got 'white'"):
        SaliencyMask(0.5, fill="white")


def test_without_a_policy_it_says_so(prompts):
    words = r"^SaliencyMask looks with a policy's vision tower: call attach\(policy\) first$"
    with pytest.raises(RuntimeError, match=words):
        SaliencyMask(0.5)(prompts.images, SEEDS)

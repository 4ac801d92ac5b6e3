"""The saliency mask: exactly the units that receive most attention, by a second, slow account of the vision tower."""

import copy

import pytest
import torch
from policy.slow_attention import deep_policy, slow_received

from papo.corruption import SaliencyMask
from papo.errors import ConfigError, SettingError
from papo.policy.loading import save_policy
from papo.policy.saliency import vision_attention
from papo.policy.vlm import Policy
from papo.types import Images

SEEDS = [1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def windowed(image_text_processor) -> Policy:
    return deep_policy(image_text_processor.tokenizer, full=[0, 2, 3])


def slow_mask(received: torch.Tensor, ratio: float, unit: str) -> list[bool]:
    """The most attended units, chosen one by one."""
    units = (
        received.tolist()
        if unit == "patch"
        else [sum(received[i : i + 4].tolist()) for i in range(0, len(received), 4)]
    )
    chosen = sorted(range(len(units)), key=lambda index: -units[index])[: int(ratio * len(units))]
    return [index // (1 if unit == "patch" else 4) in chosen for index in range(len(received))]


# -------------------------------------------------------------------------------------------------------------- mask


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.6])
def test_exactly_the_most_attended_units(windowed, prompts, unit, ratio):
    corruption = SaliencyMask(ratio, vision_attention, unit=unit)
    corruption.attach(windowed)
    masks = corruption.patch_mask(prompts.images, SEEDS).split(prompts.images.patches())
    for mask, received in zip(masks, slow_received(windowed, prompts.images, [2]), strict=True):
        assert mask.tolist() == slow_mask(received, ratio, unit)


@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_ties_go_to_the_earlier_unit(prompts, unit, ratio):
    corruption = SaliencyMask(ratio, vision_attention, unit=unit)
    corruption.look = lambda images: [torch.ones(n) for n in images.patches()]
    masks = corruption.patch_mask(prompts.images, SEEDS).split(prompts.images.patches())
    for mask, patches in zip(masks, prompts.images.patches(), strict=True):
        assert mask.tolist() == slow_mask(torch.ones(patches), ratio, unit)


def test_masked_patches_are_painted(windowed, prompts):
    """Where the mask says, in pixel space."""
    corruption = SaliencyMask(0.3, vision_attention)
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
    corruption = SaliencyMask(0.5, vision_attention)
    corruption.attach(policy)
    before = corruption.patch_mask(prompts.images, SEEDS)
    with torch.no_grad():
        policy.model.model.visual.blocks[1].mlp.down_proj.weight.neg_()
    after = corruption.patch_mask(prompts.images, SEEDS)
    assert not torch.equal(before, after)
    fresh = SaliencyMask(0.5, vision_attention)
    fresh.attach(policy)
    assert torch.equal(fresh.patch_mask(prompts.images, SEEDS), after)


def test_a_policy_that_is_attached_is_no_part_of_a_module(windowed):
    module = torch.nn.Module()
    module.corruption = SaliencyMask(0.5, vision_attention)
    module.corruption.attach(windowed)
    assert list(module.parameters()) == []
    assert module.state_dict() == {}


def test_no_gradient_reaches_the_tower(windowed, prompts):
    corruption = SaliencyMask(0.5, vision_attention)
    corruption.attach(windowed)
    assert all(parameter.requires_grad for parameter in windowed.model.model.visual.parameters())
    with torch.enable_grad():
        received = corruption.look(prompts.images)
    assert not any(patches.requires_grad for patches in received)


@pytest.mark.parametrize("layers", [None, [0, 3]])
def test_another_model_looks(image_text_processor, windowed, policy, prompts, tmp_path, layers):
    save_policy(windowed, image_text_processor, tmp_path / "model")
    corruption = SaliencyMask(0.5, vision_attention, layers=layers, path=str(tmp_path))
    corruption.attach(policy)
    own = SaliencyMask(0.5, vision_attention, layers=layers)
    own.attach(windowed)
    expected = own.patch_mask(prompts.images, SEEDS)
    assert torch.equal(corruption.patch_mask(prompts.images, SEEDS), expected)
    other = SaliencyMask(0.5, vision_attention)
    other.attach(policy)
    assert not torch.equal(other.patch_mask(prompts.images, SEEDS), expected)


def test_another_model_keeps_only_its_tower_and_no_gradient(policy, saved_model):
    corruption = SaliencyMask(0.5, vision_attention, path=saved_model)
    corruption.attach(policy)
    looking = corruption.look.policy
    assert {name.split(".")[2] for name, _ in looking.named_parameters()} == {"visual"}
    assert not any(parameter.requires_grad for parameter in looking.parameters())


def test_another_model_sees_the_pictures_in_its_own_layout(policy, saved_model, flattened, pixel_grid):
    """Whatever layout and normalisation the policy has; a merge size of 1 orders patches row by row."""
    corruption = SaliencyMask(0.4, vision_attention, path=saved_model)
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
            SaliencyMask(0.5, vision_attention, layers=layers).attach(policy)


@pytest.mark.parametrize("tower", [torch.nn.Identity(), None])
def test_a_policy_with_another_tower_is_refused(windowed, tower):
    policy = copy.deepcopy(windowed)
    del policy.model.model.visual  # LLaVA's, for one, has another name
    if tower is not None:
        policy.model.model.visual = tower
    with pytest.raises(ConfigError, match=r"corruption=saliency .*'qwen2_5_vl'.*corruption.path"):
        SaliencyMask(0.5, vision_attention).attach(policy)


def test_a_path_without_a_model_is_refused(policy):
    with pytest.raises(ConfigError, match=r"^corruption.path must exist, got ./nowhere"):
        SaliencyMask(0.5, vision_attention, path="./nowhere").attach(policy)


def test_a_model_with_other_patches_is_refused(policy, saved_model, pixel_grid):
    corruption = SaliencyMask(0.5, vision_attention, path=saved_model)
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
        SaliencyMask(0.5, vision_attention, layers=[])


def test_an_impossible_fill_is_refused():
    with pytest.raises(SettingError, match=r"^fill must be black, mean or noise, got 'white'"):
        SaliencyMask(0.5, vision_attention, fill="white")


def test_without_a_policy_it_says_so(prompts):
    words = r"^SaliencyMask looks with a policy's vision tower: call attach\(policy\) first$"
    with pytest.raises(RuntimeError, match=words):
        SaliencyMask(0.5, vision_attention)(prompts.images, SEEDS)


def test_a_model_without_such_a_tower_is_refused(policy, saved_family):
    mask = SaliencyMask(0.5, vision_attention, path=str(saved_family("smolvlm")))
    with pytest.raises(ConfigError, match=r"^corruption=saliency looks with a Qwen2\.5-VL vision tower"):
        mask.attach(policy)

"""What holds for every family: transformers' numbers with a shared prompt, and pictures painted where masked."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_families import SIDE
from transformers import AutoModelForImageTextToText
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from papo.corruption import BoxExchange, ChannelPermutation, GridExchange, Mirror, PatchShuffle, RandomPatchMask, Swap
from papo.data.sources.pictures import Unread
from papo.layouts import TileLayout, to_pixels
from papo.policy.loading import load_policy, save_policy
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.trained import PARTS
from papo.types import Images, LetGo

SEEDS = [11, 22, 33, 44]
TRAINED = pytest.mark.parametrize("train_vision", [True, False], ids=["trained", "frozen"])


def plain_forward(model, processor, items, responses):
    """log pi of each response by transformers alone, the prompt repeated: its processor's inputs to its model."""
    logprobs = torch.zeros(responses.response_ids.shape)
    group_size = len(responses.response_ids) // len(items)
    for row, mask in enumerate(responses.response_mask):
        item, length = items[row // group_size], int(mask.sum())
        text = processor._chat(item)
        inputs = dict(
            processor.processor(
                text=[text],
                images=[list(item.images)] if item.images else None,
                add_special_tokens=not text.startswith("<|im_start|>"),
                return_tensors="pt",
            )
        )
        ids = torch.cat([inputs.pop("input_ids"), responses.response_ids[row : row + 1, :length]], dim=1)
        inputs.pop("attention_mask")
        for name in {"mm_token_type_ids", "token_type_ids"} & set(inputs):
            inputs[name] = torch.nn.functional.pad(inputs[name], (0, length))
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **inputs).logits
        log_pi = logits[0, -length - 1 : -1].log_softmax(-1)
        logprobs[row, :length] = log_pi.gather(-1, ids[0, -length:, None]).squeeze(-1)
    return logprobs


def shared_forward(policy, prompts, responses):
    return policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses)


def close(got, expected, tolerance=1e-5):
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


# ----------------------------------------------------------------------------------------------------------- sharing


@pytest.fixture(scope="module")
def plain(folder, processor, items, responses):
    """Log-probabilities by transformers alone, and the gradients of a sum that weighs each in a way of its own."""
    model = AutoModelForImageTextToText.from_pretrained(folder)
    logprobs = plain_forward(model, processor, items, responses)
    weighed(logprobs).backward()
    return logprobs.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


def weighed(logprobs):
    return (torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(3)) * logprobs).sum()


@pytest.mark.parametrize("at_once", [1, 10_000, 10**9])
def test_pictures_that_are_processed_by_and_by_are_the_same(processor, items, prompts, at_once, monkeypatch):
    """Bit for bit, alone or with others; and of none more is left than its size."""
    monkeypatch.setattr("papo.policy.processing.AT_ONCE", at_once)
    found = processor.prompts(iter(items))
    assert torch.equal(found.images.pixel_values, prompts.images.pixel_values)
    assert torch.equal(found.images.grid, prompts.images.grid)
    assert torch.equal(found.prompt_ids, prompts.prompt_ids)
    assert torch.equal(found.prompt_mask, prompts.prompt_mask)
    assert found.images.counts == prompts.images.counts
    sizes = tuple(tuple(map(LetGo.of, item.images)) for item in items)
    assert tuple(item.images for item in found.items) == sizes
    assert [item.id for item in found.items] == [item.id for item in items]


def test_scores_are_those_of_a_plain_forward(plain, loaded, prompts, responses):
    expected, _ = plain
    with torch.no_grad():
        scores = shared_forward(loaded.policy, prompts, responses)
    assert expected[responses.response_mask].std() > 0.3  # the tiny model has opinions
    close(scores.logprobs, expected)


@TRAINED
def test_gradients_of_all_parameters(plain, load, prompts, responses, train_vision):
    policy, (_, expected) = load(train=PARTS if train_vision else ["language"]).policy, plain
    weighed(shared_forward(policy, prompts, responses).logprobs).backward()
    largest = max(float(gradient.abs().max()) for gradient in expected.values() if gradient is not None)
    vision = {
        parameter
        for part in (*policy.family.vision_modules(), *policy.family.projector_modules())
        for parameter in part.parameters()
    }
    for name, parameter in policy.model.named_parameters():
        trained = parameter not in vision or train_vision
        assert parameter.requires_grad == trained, name
        if expected[name] is None or not trained:
            assert parameter.grad is None, name
        else:
            close(parameter.grad, expected[name], 1e-5 * largest)


@pytest.mark.parametrize("chosen", [[1], [2, 0]])
def test_scores_do_not_depend_on_the_batch(loaded, prompts, responses, chosen):
    """Other padding and neighbours, with and without any image."""
    part = responses.select([n * 2 + g for n in chosen for g in range(2)])
    with torch.no_grad():
        whole = shared_forward(loaded.policy, prompts, responses).logprobs
        got = shared_forward(loaded.policy, prompts.select(chosen), part).logprobs
    close(got, torch.cat([whole[n * 2 : n * 2 + 2] for n in chosen])[:, : got.shape[1]])


def test_the_image_matters(loaded, prompts, responses):
    """Otherwise these tests could not see a picture given to the wrong prompt."""
    policy = loaded.policy
    with torch.no_grad():
        seen = shared_forward(policy, prompts, responses).logprobs
        others = tuple(-tokens for tokens in policy.encode(prompts.images))
        other = policy.score(policy.prefill(prompts, others), responses).logprobs
    change = (seen - other).abs().amax(-1).unflatten(0, (4, 2)).amax(-1)
    assert (change > 1e-4).tolist() == [True, False, True, True]


def test_samples_are_scored_as_they_were_drawn(load, prompts, bias_logits):
    """And hold no vision token, however likely."""
    policy = load().policy
    policy = bias_logits(policy, dict.fromkeys(policy.banned.tolist(), 20.0))
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        drawn = policy.sample(context, 3, Sampling(6, temperature=0.8), SEEDS)
        close(drawn.logprobs, policy.score(context, drawn, temperature=0.8).logprobs)
    assert policy.family.image_token_id in policy.banned.tolist()
    assert not torch.isin(drawn.response_ids, policy.banned).any()


def test_a_response_stops_at_its_first_end(load, prompts, bias_logits):
    policy = load().policy
    settings, eos = policy.model.generation_config, int(policy.eos[0])
    policy = bias_logits(policy, {eos: 5.0})
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        drawn = policy.sample(context, 4, Sampling(8), SEEDS)
    lengths = drawn.response_mask.sum(-1).tolist()
    assert len(set(lengths)) > 1
    for row, length in enumerate(lengths):
        ids = drawn.response_ids[row].tolist()
        assert eos not in ids[: length - 1]
        assert bool(drawn.finished[row]) == (ids[length - 1] == eos)
        assert not drawn.logprobs[row, length:].any()
    assert policy.model.generation_config is settings


def test_states_are_what_the_head_reads(loaded, prompts, responses):
    """A full KL is made of them."""
    policy, mask = loaded.policy, responses.response_mask
    with torch.no_grad():
        scores = policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses, keep_states=True)
        log_pi = policy.head(scores.states[mask]).log_softmax(-1)
    close(log_pi.gather(-1, responses.response_ids[mask][:, None]).squeeze(-1), scores.logprobs[mask])
    assert not scores.states[~mask].any()


def test_a_copy_looks_at_its_own_weights(loaded):
    """As the reference policy is one."""
    copied = copy.deepcopy(loaded.policy)
    assert copied.family.model is copied.model is not loaded.policy.model


def test_no_tensor_is_made_where_the_inputs_are_not(family, loaded, prompts, responses):
    """A tensor made without a device lies on one without values here, which mixes with no other."""
    policy = loaded.policy
    with torch.no_grad():
        features = policy.encode(prompts.images)
        with torch.device("meta"):
            if family != "qwen2_5_vl":  # whose tower makes the order of its windows on the CPU and moves it itself
                policy.encode(prompts.images)
            scores = policy.score(policy.prefill(prompts, features), responses, keep_states=True)
    assert {tensor.device.type for tensor in (scores.logprobs, scores.entropy, scores.states)} == {"cpu"}


# ------------------------------------------------------------------------------------------------------------ prompts


@pytest.mark.parametrize("size", [(30, 30), (56, 57), (57, 56), (200, 60), (61, 180), (113, 112), (100, 53)])
def test_length_is_that_of_the_prompt(processor, item, picture, items, size):
    """Known without a pixel."""
    both = (item("a", "<image> or <image>", picture(*size), picture(64, 48)), item("b", "red?", picture(*size)), *items)
    lengths = processor.prompts(both).prompt_mask.sum(-1).tolist()
    assert [processor.length(one) for one in both] == lengths
    assert processor.length(item("b", "red?", Unread(*size))) == lengths[1]


def test_prompts_begin_once(processor, prompts):
    """Whether chat format or tokenizer writes the token that begins a text."""
    bos = processor.tokenizer.bos_token_id
    for ids, mask in zip(prompts.prompt_ids, prompts.prompt_mask, strict=True):
        begins = [place for place, token in enumerate(ids[mask].tolist()) if token == bos]
        assert begins == ([] if bos is None else [0])


def test_a_batch_without_images_can_be_joined(processor, prompts, item):
    text = processor.prompts([item("a", "red?")])
    joined = type(prompts).concat([text, prompts], 0)
    assert torch.equal(joined.images.grid, prompts.images.grid)
    assert torch.equal(joined.images.select([1]).pixel_values, prompts.images.select([0]).pixel_values)


def test_placeholders_in_a_text_are_refused(processor, item):
    for token in processor.reader.special - {"<image>"}:  # which in a question marks the place of a picture
        with pytest.raises(ValueError, match="special token"):
            processor.length(item("a", f"red {token}?"))


# --------------------------------------------------------------------------------------------------------- corruption


@pytest.mark.parametrize(
    "settings",
    [
        {"do_normalize": False},
        {"do_normalize": False, "image_mean": None, "image_std": None},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5, "image_mean": 1, "image_std": 0.5},
    ],
    ids=lambda settings: ",".join(f"{name}={value}" for name, value in settings.items()),
)
def test_colours_are_known_however_a_processor_writes_them(processor, item, settings, monkeypatch):
    for name, value in settings.items():
        monkeypatch.setattr(processor.processor.image_processor, name, value)
    colour = (50, 100, 200)
    images = processor.prompts([item("a", "red?", Image.new("RGB", (SIDE, SIDE), colour))]).images
    close(images.pixels(0).amax((1, 2)), torch.tensor(colour) / 255)
    black = processor.prompts([item("a", "red?", Image.new("RGB", (SIDE, SIDE)))]).images.pixel_values
    painted = RandomPatchMask(1.0)(images, SEEDS[:1]).pixel_values
    outside = painted == images.pixel_values  # padding, and the strip that no tower sees
    close(painted[~outside], black[~outside], 1e-4)


@pytest.mark.parametrize("unit", ["patch", "token"])
def test_corruption_paints_the_masked_patches_and_nothing_else(prompts, unit):
    images = prompts.images
    corruption = RandomPatchMask(0.4, fill="mean", unit=unit)  # no pixel of the pictures is that, nor the padding
    masks = corruption.patch_mask(images, SEEDS).split(images.patches())
    painted, layout = corruption(images, SEEDS), images.layout
    patches_of_unit = corruption.units_of(images)[0].shape[1]
    for image, (before, after) in enumerate(zip(images.parts(), painted.parts(), strict=True)):
        grid, mask = images.grid[image].tolist(), masks[image]
        assert int(mask.sum()) == int(0.4 * len(mask) / patches_of_unit) * patches_of_unit
        patches = to_pixels(mask[:, None, None, None].float(), *grid[1:3], layout.merge_size)[0] > 0  # [rows, columns]
        changed = images.pixels(image) != painted.pixels(image)
        size = changed.shape[-1] // grid[2]
        seen = patches.repeat_interleave(size, 0).repeat_interleave(size, 1)
        assert torch.equal(changed.any(0), seen)
        assert painted.pixels(image)[:, seen].std(-1).max() < 1e-5  # one colour
        if isinstance(layout, TileLayout):
            expected = torch.from_numpy(painted_pieces(layout, grid, patches.numpy()))
            assert torch.equal((before != after).any(1), expected)
            assert grid[3] == 0 or expected[0 if layout.thumbnail_first else -1].any()


@pytest.mark.parametrize(
    "maker",
    [PatchShuffle(1.0, unit=1), GridExchange(2), ChannelPermutation(), Mirror(), Swap(), BoxExchange(0.5)],
    ids=lambda maker: type(maker).__name__,
)
def test_every_view_can_be_looked_at(loaded, prompts, maker):
    """Of pictures that look different, the same grid, and what a tower makes of it is not what it made of them."""
    others = replace(prompts.images, pixel_values=prompts.images.pixel_values.flip(-1))
    images = Images.concat([prompts.images, others])  # of each size two pictures
    view = maker(images, [*SEEDS, 55, 66, 77, 88])
    assert torch.equal(view.grid, images.grid)
    assert view.pixel_values.shape == images.pixel_values.shape
    changed = [not torch.equal(*pair) for pair in zip(images.parts(), view.parts(), strict=True)]
    assert sum(changed) >= len(changed) - 2  # a single token has no other to change places with
    with torch.no_grad():
        clean, seen = (loaded.policy.encode(each) for each in (images, view))
    assert [len(tokens) for tokens in seen] == [len(tokens) for tokens in clean]
    assert (torch.cat(seen) - torch.cat(clean)).abs().max() > 1e-3


def painted_pieces(layout: TileLayout, grid: list[int], patches: np.ndarray) -> np.ndarray:
    """[pieces, S, S] bool, pixel by pixel from what the docstrings say."""
    _, _, _, r, c, top, left, height, width = grid[:9]
    side, size, per_tile = layout.tile_size, layout.patch_size, layout.tile_size // layout.patch_size
    number = [tile * per_tile + min(x // size, per_tile - 1) for tile in range(max(1, r, c)) for x in range(side)]
    first_row, first_column = (number[x] // layout.merge_size * layout.merge_size for x in (top, left))
    mosaic = np.zeros((max(1, r) * side, max(1, c) * side), dtype=bool)
    for y in range(mosaic.shape[0]):
        for x in range(mosaic.shape[1]):
            row, column = number[y] - first_row, number[x] - first_column
            if 0 <= row < patches.shape[0] and 0 <= column < patches.shape[1]:
                mosaic[y, x] = patches[row, column]
    inside = np.arange(side) < per_tile * size  # the strip beyond is in no patch
    pieces = [
        mosaic[i * side : (i + 1) * side, j * side : (j + 1) * side] & inside[:, None] & inside
        for i in range(max(1, r))
        for j in range(max(1, c))
    ]
    if r:
        whole = mosaic[top : top + height, left : left + width]
        small = np.zeros((side, side), dtype=bool)
        for y in range(side):
            for x in range(side):
                rows = slice(y * height // side, -(-(y + 1) * height // side))
                columns = slice(x * width // side, -(-(x + 1) * width // side))
                small[y, x] = whole[rows, columns].any()
        pieces.insert(0 if layout.thumbnail_first else len(pieces), small)
    return np.stack(pieces)


def test_nothing_of_a_picture_stays_where_all_is_masked(processor, item, picture):
    """Neither at its edges nor in its thumbnail; the padding around the only picture of a prompt is black already."""
    pictures = [picture(112, 100, 1), picture(50, 40, 5), picture(100, 20, 6)]
    images = processor.prompts([item(str(n), "red?", one) for n, one in enumerate(pictures)]).images
    painted = RandomPatchMask(1.0)(images, SEEDS[:3])
    layout = painted.layout
    for image, part in enumerate(painted.parts()):
        assert painted.pixels(image).max() < 1e-5
        if isinstance(layout, TileLayout):
            n = layout.tile_size // layout.patch_size * layout.patch_size
            black = -torch.tensor(layout.image_mean) / torch.tensor(layout.image_std)
            close(part[:, :, :n, :n], black[:, None, None].expand(len(part), 3, n, n))
            thumbnail = part[0 if layout.thumbnail_first else -1]
            assert len(part) == 1 or float(thumbnail.amax((1, 2)).sub(black).abs().max()) < 1e-5


def test_a_corrupted_picture_is_another_one(loaded, prompts):
    """The tower sees it, in every prompt that has a picture."""
    with torch.no_grad():
        clean = loaded.policy.encode(prompts.images)
        painted = loaded.policy.encode(RandomPatchMask(0.6)(prompts.images, SEEDS))
    assert [len(tokens) for tokens in painted] == [len(tokens) for tokens in clean]
    assert [bool((a != b).any()) for a, b in zip(clean, painted, strict=True)] == [True, False, True, True]


# --------------------------------------------------------------------------------------------------- parts, and files


def test_parts_hold_every_parameter_once(loaded):
    """Tower, projector and language model; a tied head shares the embedding's."""
    family = loaded.policy.family
    parts = (family.vision_modules(), family.projector_modules(), family.language_modules())
    owned = [{parameter for module in modules for parameter in module.parameters()} for modules in parts]
    assert all(owned)
    assert len(set.union(*owned)) == sum(map(len, owned))
    assert set.union(*owned) == set(loaded.policy.model.parameters())
    assert len(family.vision_blocks()) == len(family.language_layers()) == 2
    for blocks, modules in ((family.vision_blocks(), owned[0]), (family.language_layers(), owned[2])):
        assert {parameter for block in blocks for parameter in block.parameters()} < modules


def test_the_saved_folder_is_an_ordinary_one(loaded, processor, items, prompts, responses, tmp_path):
    save_policy(loaded.policy, loaded.processor, tmp_path)
    saved = [json.loads((tmp_path / f"{kind}_config.json").read_text()) for kind in ("processor", "tokenizer")]
    assert {config["processor_class"] for config in saved} <= set(PROCESSOR_MAPPING_NAMES.values())  # others' too
    assert (tmp_path / "preprocessor_config.json").is_file()
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    again = load_policy(tmp_path, dtype="float32", chunk_tokens=100)
    reread = PromptProcessor(again.processor, "Think.")
    assert torch.equal(reread.prompts(items).images.pixel_values, prompts.images.pixel_values)
    assert reread.layout == processor.layout
    with torch.no_grad():
        scores = shared_forward(loaded.policy, prompts, responses)
        close(shared_forward(again.policy, reread.prompts(items), responses).logprobs, scores.logprobs, 0)
        close(plain_forward(model, reread, items, responses), scores.logprobs)


LORA = {"r": 2, "alpha": 4, "targets": "all-linear"}


def test_an_adapters_numbers_and_gradients_are_those_of_a_plain_forward(load, processor, items, prompts, responses):
    """With the adapter on every part, its second factor moved away from the zero that it begins with."""
    policy = load(lora=LORA).policy
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3, generator=generator)
    trained = {name: parameter for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)

    def gradients(logprobs):
        return torch.autograd.grad(weighed(logprobs), trained.values(), allow_unused=True)

    expected = plain_forward(policy.model, processor, items, responses)
    got = shared_forward(policy, prompts, responses).logprobs
    close(got, expected)
    pairs = list(zip(gradients(got), gradients(expected), strict=True))
    largest = max(float(gradient.abs().max()) for _, gradient in pairs if gradient is not None)
    for name, (one, other) in zip(trained, pairs, strict=True):
        assert (one is None) == (other is None), name
        if one is not None:
            close(one, other, 1e-5 * largest)

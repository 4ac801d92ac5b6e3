"""From items to model inputs and back."""

import torch

from papo.types import Responses

IMAGE = "<|vision_start|>{}<|vision_end|>"


def text_of(processor, prompts, n):
    return processor.tokenizer.decode(prompts.prompt_ids[n][prompts.prompt_mask[n]])


def test_prompt_text(processor, prompts):
    """Chat format with one placeholder for each visual token, image by image, then question and instruction."""
    images = {0: [16], 1: [18], 2: [], 3: [4, 8], 4: [4]}
    for n, counts in images.items():
        pictures = "".join(IMAGE.format("<|image_pad|>" * count) for count in counts)
        question = f"{prompts.items[n].question} {processor.instruction}"
        expected = f"<|im_start|>user\n{pictures}{question}<|im_end|>\n<|im_start|>assistant\n"
        assert text_of(processor, prompts, n) == expected


def test_prompts_are_padded_left(processor, prompts):
    lengths = prompts.prompt_mask.sum(-1)
    assert lengths.unique().numel() > 2
    for row, length in zip(prompts.prompt_mask, lengths.tolist(), strict=True):
        assert row.tolist() == [False] * (len(row) - length) + [True] * length
    assert set(prompts.prompt_ids[~prompts.prompt_mask].tolist()) == {processor.tokenizer.pad_token_id}


def test_prompts_do_not_depend_on_the_state_of_the_tokenizer(processor, prompts):
    processor.tokenizer.padding_side = "right"
    assert torch.equal(processor.prompts(prompts.items).prompt_ids, prompts.prompt_ids)


def test_no_instruction_leaves_no_space(image_text_processor, item):
    from papo.policy.processing import PromptProcessor

    bare = PromptProcessor(image_text_processor, "")
    assert "user\nred?<|im_end|>" in text_of(bare, bare.prompts([item("a", "red?")]), 0)


def test_layout_is_the_processors(processor):
    image_processor = processor.processor.image_processor
    assert processor.layout.image_mean == tuple(image_processor.image_mean)
    assert processor.layout.image_std == tuple(image_processor.image_std)
    assert (processor.layout.frames, processor.layout.merge_size) == (2, 2)


def test_targets_end_with_end_of_turn(processor):
    texts = ["<think> red = 4 </think> \\boxed{4}", "7"]
    targets = processor.targets(texts)
    eos, pad = processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id
    for row, text in enumerate(texts):
        tokens = processor.tokenizer(text)["input_ids"]
        n = len(tokens)
        assert targets.response_ids[row, : n + 1].tolist() == [*tokens, eos]
        assert targets.response_mask[row].sum() == n + 1
        assert targets.response_mask[row, : n + 1].all()
        assert set(targets.response_ids[row, n + 1 :].tolist()) <= {pad}
    assert targets.response_mask.shape[1] == int(targets.response_mask.sum(-1).max())
    assert targets.finished.all()
    assert not targets.logprobs.any()
    assert processor.decode(targets) == texts


def test_decode_reads_the_mask_and_drops_special_tokens(processor):
    ids = processor.tokenizer("red blue", return_tensors="pt")["input_ids"]
    eos = processor.tokenizer.eos_token_id
    both = torch.cat([ids, torch.tensor([[eos]]), ids], dim=1)  # a second text behind the end
    mask = torch.arange(both.shape[1])[None] <= ids.shape[1]
    responses = Responses(both, mask, torch.zeros(both.shape), torch.ones(1, dtype=torch.bool))
    assert processor.decode(responses) == ["red blue"]


def test_tokens_are_readable(processor):
    ids = processor.tokenizer("red = 4")["input_ids"]
    assert "".join(processor.tokens(torch.tensor(ids))) == "red = 4"
    assert len(processor.tokens(torch.tensor(ids))) == len(ids)

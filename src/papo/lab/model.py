"""A small Qwen2.5-VL from scratch: the class, special tokens, chat format and folder layout of the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

from papo.arguments import Count, checked, hands_on
from papo.policy.families.qwen2_5_vl import ImageTextProcessor
from papo.policy.fast_layers import Choice, accelerate
from papo.policy.loading import Loaded
from papo.policy.trained import Trained, choose_trained
from papo.policy.vlm import Policy

SPECIAL_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]

# Qwen's chat format without the default system prompt, whose tokens a small model would only pay for.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# About 1 / sqrt(hidden_size) for widths of a few hundred; Qwen's 0.02 fits widths of thousands.
INITIALIZER_RANGE = 0.05

# Digits stay single, as in Qwen. Unlike Qwen's, a tag or \boxed{ is one piece: the lab pays per token.
PIECES = Regex(r" ?\\boxed\{| ?</?think>| ?[A-Za-z]+| ?\d| ?[^\sA-Za-z\d]|\s+")


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A lossless byte-level BPE tokenizer for any text, with merges learnt from `texts`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(PIECES, behavior="isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL_TOKENS,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> ImageTextProcessor:
    image_processor = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 56 * 56, "longest_edge": 448 * 448},
        # Of lab images, most of whose pixels are white: with CLIP's statistics white is far from 0 and drowns the rest.
        image_mean=[0.92] * 3,
        image_std=[0.25] * 3,
    )
    return ImageTextProcessor(image_processor, tokenizer, chat_template=CHAT_TEMPLATE)


def lab_config(
    token_id: Callable[[str], int],
    *,
    vocab_size: int,
    hidden_size: Count,
    layers: Count,
    heads: Count,
    key_value_heads: Count,
    intermediate_size: Count,
    vision_hidden_size: Count,
    vision_layers: Count,
    vision_heads: Count,
    vision_intermediate_size: Count,
) -> Qwen2_5_VLConfig:
    """The shapes of a lab model; `token_id` is the tokenizer's."""
    half = hidden_size // heads // 2  # M-RoPE splits half of a head's width into time, row and column
    rope_section = [half - 2 * (half * 3 // 8), half * 3 // 8, half * 3 // 8]  # Qwen's 16, 24, 24 of 64
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": key_value_heads,
            "intermediate_size": intermediate_size,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": rope_section},
            "tie_word_embeddings": True,
            "initializer_range": INITIALIZER_RANGE,
            "bos_token_id": None,
            "eos_token_id": token_id("<|im_end|>"),
            "pad_token_id": token_id("<|endoftext|>"),
        },
        vision_config={
            "depth": vision_layers,
            "hidden_size": vision_hidden_size,
            "num_heads": vision_heads,
            "intermediate_size": vision_intermediate_size,
            "out_hidden_size": hidden_size,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": list(range(vision_layers)),
            "initializer_range": INITIALIZER_RANGE,
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
        initializer_range=INITIALIZER_RANGE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, **sizes: int) -> Qwen2_5_VLForConditionalGeneration:
    """An untrained model of the sizes of `lab_config`; random weights from torch's global generator."""
    token_id = tokenizer.convert_tokens_to_ids
    model = Qwen2_5_VLForConditionalGeneration(lab_config(token_id, vocab_size=len(tokenizer), **sizes))
    model.generation_config = GenerationConfig(
        eos_token_id=token_id("<|im_end|>"), pad_token_id=token_id("<|endoftext|>"), do_sample=True
    )
    return model


@hands_on(lab_config)
@checked
def new_lab_model(
    texts: Iterable[str],
    *,
    seed: int,
    vocab_size: Count,
    train: Trained,
    chunk_tokens: Count,
    fast_layers: Choice = "auto",
    **sizes: int,
) -> Loaded:
    """An untrained policy with a tokenizer learnt from `texts`; what `experiment=sft_lab` starts from."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(texts, vocab_size)
    model = build_model(tokenizer, **sizes)
    chosen = accelerate(model, fast_layers)
    policy = Policy(model, chunk_tokens=chunk_tokens)
    choose_trained(policy, train)
    return Loaded(policy, build_processor(tokenizer), "random weights", chosen)

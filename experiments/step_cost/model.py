"""The random policy that both implementations are timed on, and the prompts that they are fed.

    python experiments/step_cost/model.py DIR [--size small|large|3b|7b]

writes a Qwen2.5-VL of 2.86 M parameters (transformers' own class, seeded, never trained) in the ordinary
Hugging Face layout. The cost of a step does not depend on what the weights have learnt, and a model this small
makes a step short enough to be repeated. `large`, 0.6 billion, is for accelerators: the text model is shaped as
Qwen2.5's of 0.5 billion, with the whole vocabulary of 151,936; `3b` and `7b` have the shapes of
Qwen2.5-VL-3B and -7B, in bfloat16. What all keep of the real one: window and full attention in the vision tower, the
2x2 merger, M-RoPE, grouped-query attention, tied embeddings (but in the 7B model).

`QUESTION`, `messages` and `random_images` are here as well, so that both sides score the same tokens.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLTextConfig,
)
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig

try:  # the tensor back end needs torchvision; the PIL one writes the same file and gives the same patches
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as ImageProcessor
except ImportError:
    from transformers import Qwen2VLImageProcessor as ImageProcessor

VOCAB_SIZE = 600
# Qwen's order; they close the vocabulary as they do in Qwen's.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# Qwen's chat markup without its default system message, which would be most of a prompt this short.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' or 'image' in part -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in part -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}
{%- endif -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""

QUESTION = "The chart shows five bars. Read the value of every bar, add the two largest values and give the sum."

# What the byte pairs are merged on: enough distinct words for a vocabulary of 600, the question among them.
CORPUS = (
    QUESTION,
    "system user assistant",
    "Which bar is the tallest? What is the difference between the green bar and the purple bar?",
    "How many squares, circles and triangles are drawn to the left of the yellow diamond?",
    "Count the orange objects above the horizontal line, then subtract those below it.",
    "First describe what you see in the picture, then think step by step before answering the question.",
    "The price of bread rose quickly during winter, while milk and butter became slightly cheaper.",
    "An angle inscribed in a semicircle is a right angle; therefore the hypotenuse equals the diameter.",
    "Every number from one to twenty appears exactly once: seven, eleven, thirteen, seventeen, nineteen.",
    "Perhaps nobody noticed that the temperature outside fell during the night and climbed again at noon.",
)


def messages(image: Image.Image | None = None, question: str = QUESTION) -> list[dict[str, Any]]:
    """One user turn: the image, then the question. Without `image` the part is left for a trainer to fill in."""
    picture = {"type": "image"} if image is None else {"type": "image", "image": image}
    return [{"role": "user", "content": [picture, {"type": "text", "text": question}]}]


def random_images(count: int, size: int, seed: int) -> list[Image.Image]:
    """`count` square RGB images of noise, `size` pixels wide. 224 pixels are 256 patches, 64 visual tokens."""
    generator = np.random.default_rng(seed)
    return [Image.fromarray(generator.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(count)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, as Qwen's is, of exactly `VOCAB_SIZE` tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    bpe.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in ("<|im_end|>", "<|endoftext|>")],
        padding_side="left",
        model_max_length=4096,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    assert len(tokenizer) == VOCAB_SIZE, f"the corpus gives {len(tokenizer)} tokens, expected {VOCAB_SIZE}"
    return tokenizer


# Text model and vision tower of each size; the tokenizer is the same, a larger vocabulary is padding to it.
SIZES = {
    "small": (
        {
            "vocab_size": VOCAB_SIZE,
            "hidden_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "intermediate_size": 512,
        },
        {"depth": 4, "hidden_size": 128, "num_heads": 4, "intermediate_size": 256, "fullatt_block_indexes": [1, 3]},
    ),
    "large": (
        {
            "vocab_size": 151_936,
            "hidden_size": 896,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "intermediate_size": 4864,
        },
        {"depth": 12, "hidden_size": 768, "num_heads": 12, "intermediate_size": 2048, "fullatt_block_indexes": [5, 11]},
    ),
    "3b": (
        {
            "vocab_size": 151_936,
            "hidden_size": 2048,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "intermediate_size": 11_008,
        },
        {
            "depth": 32,
            "hidden_size": 1280,
            "num_heads": 16,
            "intermediate_size": 3420,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    ),
}
SIZES["7b"] = (
    {
        "vocab_size": 152_064,
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18_944,
    },
    SIZES["3b"][1],
)
LOW = ("3b", "7b")  # kept in bfloat16


def build_config(tokenizer: PreTrainedTokenizerFast, size: str) -> Qwen2_5_VLConfig:
    token_id = tokenizer.convert_tokens_to_ids
    language, tower = SIZES[size]
    frequencies = language["hidden_size"] // language["num_attention_heads"] // 2
    space = 3 * frequencies // 8
    text = Qwen2_5_VLTextConfig(
        **language,
        max_position_embeddings=4096,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1_000_000.0,
            "mrope_section": [frequencies - 2 * space, space, space],  # time, height, width
        },
        bos_token_id=token_id("<|endoftext|>"),
        eos_token_id=token_id("<|im_end|>"),
        pad_token_id=token_id("<|endoftext|>"),
    )
    vision = Qwen2_5_VLVisionConfig(
        **tower,
        out_hidden_size=text.hidden_size,
        patch_size=14,
        spatial_merge_size=2,
        window_size=112,  # pixels: a 224-pixel image has 2 x 2 windows
    )
    return Qwen2_5_VLConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=size != "7b",
    )


def build(folder: str | Path, seed: int = 0, size: str = "small") -> int:
    """Write a model of one of SIZES, tokenizer and image processor into `folder`; return the number of parameters."""
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    with torch.device("cuda" if size in LOW and torch.cuda.is_available() else "cpu"):  # where drawing takes seconds
        model = Qwen2_5_VLForConditionalGeneration(build_config(tokenizer, size))
    model = model.to(torch.bfloat16 if size in LOW else torch.float32).eval()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True, temperature=1.0
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ImageProcessor(patch_size=14, temporal_patch_size=2, merge_size=2).save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where to write the model")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights")
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    arguments = parser.parse_args()
    print(f"{build(arguments.folder, arguments.seed, arguments.size):,} parameters in {arguments.folder}")

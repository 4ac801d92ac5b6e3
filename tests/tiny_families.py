"""A tiny random model of each family, saved as its authors save theirs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    GenerationConfig,
    Idefics2Config,
    Idefics2ForConditionalGeneration,
    Idefics2ImageProcessorPil,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessorPil,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SiglipImageProcessorPil,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessorPil,
)

from papo.lab.model import CHAT_TEMPLATE, train_tokenizer

TEXTS = [
    "What is the value of the red bar? How many blue circles are there?",
    "<think> red = 4, blue = 7, the sum is 11 </think> \\boxed{11}",
    "Think, then put the answer in \\boxed{}.",
]
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 1024,
    "initializer_range": 0.05,
}
VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
SIDE = 60  # of a tile: four patches of 14 and a strip of 4 pixels that belong to none, as 384 has
USER = "{% for message in messages %}{% for part in message['content'] %}"
PARTS = "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
LLAVA_TEMPLATE = f"USER: {USER}{PARTS} ASSISTANT:"
IDEFICS_TEMPLATE = f"<|im_start|>User:{USER}{PARTS}<end_of_utterance>\nAssistant:"
ROWS = [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
IDEFICS_TOKENS = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *ROWS]


@dataclass(frozen=True)
class Case:
    """How one family's model is made and saved."""

    model: Callable[[PreTrainedTokenizerFast], PreTrainedModel]
    image_processor: object
    template: str = CHAT_TEMPLATE
    tokens: tuple[str, ...] = ()  # special tokens beside Qwen's
    named: dict[str, str] | None = None  # of these the ones that the tokenizer has as attributes
    processor: dict | None = None  # processor_config.json
    bos: bool = False  # whether the tokenizer puts a token in front


def token_ids(tokenizer, **names: str) -> dict[str, int]:
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


def qwen(config_class, model_class, text: dict, vision: dict):
    def build(tokenizer):
        ids = token_ids(
            tokenizer,
            image_token_id="<|image_pad|>",
            video_token_id="<|video_pad|>",
            vision_start_token_id="<|vision_start|>",
            vision_end_token_id="<|vision_end|>",
        )
        text_config = TEXT | {"vocab_size": len(tokenizer), "tie_word_embeddings": True} | text
        vision_config = {"depth": 2, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2} | vision
        return model_class(config_class(text_config=text_config, vision_config=vision_config, **ids))

    return build


def llava(tokenizer):
    return LlavaForConditionalGeneration(
        LlavaConfig(
            text_config=TEXT | {"model_type": "llama", "vocab_size": len(tokenizer)},
            vision_config=VISION
            | {"model_type": "clip_vision_model", "num_hidden_layers": 3, "image_size": 56, "patch_size": 14},
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        )
    )


def llava_siglip(tokenizer):
    return LlavaForConditionalGeneration(
        LlavaConfig(
            text_config=TEXT | {"model_type": "qwen2", "vocab_size": len(tokenizer)},
            vision_config=VISION
            | {
                "model_type": "siglip_vision_model",
                "num_hidden_layers": 3,
                "image_size": 56,
                "patch_size": 14,
                "vision_use_head": False,
            },
            vision_feature_select_strategy="full",
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        )
    )


PINPOINTS = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE], [SIDE, 3 * SIDE]]


def llava_onevision(tokenizer):
    return LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            text_config=TEXT | {"model_type": "qwen2", "vocab_size": len(tokenizer)},
            vision_config=VISION
            | {"model_type": "siglip_vision_model", "image_size": SIDE, "patch_size": 14, "vision_use_head": False},
            image_grid_pinpoints=PINPOINTS,
            vision_aspect_ratio="anyres_max_2",  # four tiles are more than that and get scaled down
            **token_ids(tokenizer, image_token_index="<image>", video_token_index="<video>"),
        )
    )


def idefics(config_class, model_class):
    def build(tokenizer):
        return model_class(
            config_class(
                text_config=TEXT | {"model_type": "llama", "vocab_size": len(tokenizer)},
                vision_config=VISION | {"image_size": 56, "patch_size": 14},
                scale_factor=2,
                **token_ids(tokenizer, image_token_id="<image>"),
            )
        )

    return build


def gemma3(tokenizer):
    """Windows of 8 tokens in one layer, and image tokens that see one another both ways: nothing to share."""
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=TEXT
            | {
                "vocab_size": len(tokenizer),
                "head_dim": 8,
                "sliding_window": 8,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            vision_config=VISION | {"image_size": 56, "patch_size": 14, "vision_use_head": False},
            mm_tokens_per_image=4,
            **token_ids(
                tokenizer, image_token_id="<image_soft>", boi_token_index="<image_begin>", eoi_token_index="<image_end>"
            ),
        )
    )


def idefics2(tokenizer):
    return Idefics2ForConditionalGeneration(
        Idefics2Config(
            text_config=TEXT | {"model_type": "mistral", "vocab_size": len(tokenizer), "sliding_window": 16},
            vision_config=VISION | {"image_size": 112, "patch_size": 14},
            perceiver_config={
                "hidden_size": 32,
                "resampler_n_latents": 4,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 8,
                "num_key_value_heads": 2,
            },
            **token_ids(tokenizer, image_token_id="<image>"),
        )
    )


MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}}
PIXELS = {"size": {"shortest_edge": 56 * 56, "longest_edge": 168 * 168}, "image_mean": [0.4, 0.5, 0.6]}
TILES = {"size": {"longest_edge": 100}, "max_image_size": {"longest_edge": 56}, "image_mean": [0.4, 0.5, 0.6]}

CASES = {
    "qwen2_vl": Case(
        qwen(
            Qwen2VLConfig,
            Qwen2VLForConditionalGeneration,
            MROPE,
            {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2, "patch_size": 14},
        ),
        Qwen2VLImageProcessorPil(**PIXELS),
    ),
    "qwen2_5_vl": Case(
        qwen(
            Qwen2_5_VLConfig,
            Qwen2_5_VLForConditionalGeneration,
            MROPE,
            {
                "hidden_size": 32,
                "intermediate_size": 48,
                "out_hidden_size": 32,
                "patch_size": 14,
                "window_size": 56,
                "fullatt_block_indexes": [1],
            },
        ),
        Qwen2VLImageProcessorPil(**PIXELS),
    ),
    "qwen3_vl": Case(
        qwen(
            Qwen3VLConfig,
            Qwen3VLForConditionalGeneration,
            MROPE | {"head_dim": 8},
            {
                "hidden_size": 32,
                "intermediate_size": 48,
                "out_hidden_size": 32,
                "patch_size": 14,
                "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0, 1],
            },
        ),
        Qwen2VLImageProcessorPil(**PIXELS),
    ),
    "llava": Case(
        llava,
        LlavaImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        template=LLAVA_TEMPLATE,
        tokens=("<image>",),
        processor={"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        bos=True,
    ),
    "llava_onevision": Case(
        llava_onevision,
        LlavaOnevisionImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=PINPOINTS),
        template=LLAVA_TEMPLATE,
        tokens=("<image>", "<video>"),
        processor={
            "num_image_tokens": 16,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": "anyres_max_2",
        },
    ),
    "idefics3": Case(
        idefics(Idefics3Config, Idefics3ForConditionalGeneration),
        Idefics3ImageProcessorPil(**TILES),
        template=IDEFICS_TEMPLATE,
        tokens=tuple(IDEFICS_TOKENS),
        processor={"image_seq_len": 4},
        bos=True,  # which its chat format writes too
    ),
    "smolvlm": Case(
        idefics(SmolVLMConfig, SmolVLMForConditionalGeneration),
        SmolVLMImageProcessorPil(**TILES),
        template=IDEFICS_TEMPLATE,
        tokens=tuple(IDEFICS_TOKENS),
        processor={"image_seq_len": 4},
    ),
}

# Further models of these families.
VARIANTS = {
    "llava_siglip": Case(  # as LLaVA-interleave: a tower without a class token, pictures that are not cropped
        llava_siglip,
        SiglipImageProcessorPil(size={"height": 56, "width": 56}),
        template=LLAVA_TEMPLATE,
        tokens=("<image>",),
        processor={"patch_size": 14, "vision_feature_select_strategy": "full", "num_additional_image_tokens": 0},
    ),
}

# Models of no family, which go the slow way.
GEMMA = {"image_token": "<image_soft>", "boi_token": "<image_begin>", "eoi_token": "<image_end>"}
OTHERS = {
    "gemma3": Case(
        gemma3,
        Gemma3ImageProcessorPil(size={"height": 56, "width": 56}),
        template=LLAVA_TEMPLATE.replace("<image>", "<image_begin>"),
        tokens=tuple(GEMMA.values()),
        named=GEMMA,
        processor={"image_seq_length": 4, "processor_class": "Gemma3Processor"},
    ),
    "idefics2": Case(
        idefics2,
        Idefics2ImageProcessorPil(size={"shortest_edge": 28, "longest_edge": 112}, do_image_splitting=True),
        template=IDEFICS_TEMPLATE,
        tokens=("<fake_token_around_image>", "<image>", "<end_of_utterance>"),
        processor={"image_seq_len": 4, "processor_class": "Idefics2Processor"},
    ),
}


def save(case: Case, folder: Path) -> None:
    """The files of a model on a hub."""
    tokenizer = train_tokenizer(TEXTS * 10, 330)
    tokenizer.chat_template = case.template
    tokenizer.add_special_tokens({"additional_special_tokens": [*tokenizer.all_special_tokens, *case.tokens]})
    if case.named:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer,
            eos_token=tokenizer.eos_token,
            pad_token=tokenizer.pad_token,
            chat_template=case.template,
            extra_special_tokens=case.named,
        )
    if case.bos:
        tokenizer.add_special_tokens({"bos_token": "<|im_start|>"})
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.bos_token_id)]
        )
    torch.manual_seed(0)
    model = case.model(tokenizer)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True
    )
    # Fresh weights attend evenly and guess evenly: wrong positions or masks would change next to nothing.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and not parameter.any():  # a projection that starts from nothing
                parameter.normal_(std=0.1)
            parameter *= 1 if parameter.ndim < 2 else 6 if "embed_tokens" in name else 3
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    case.image_processor.save_pretrained(folder)
    if case.processor:
        (folder / "processor_config.json").write_text(json.dumps(case.processor))

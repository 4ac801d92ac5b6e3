"""From items to model inputs and back: chat template, image processor, tokenizer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, ProcessorMixin, Qwen2_5_VLProcessor

from papo.types import Images, Item, PatchLayout, PromptBatch, Responses

IMAGE_MARKER = "<image>"  # in a question: a picture goes here


class ImageTextProcessor(Qwen2_5_VLProcessor):
    """Qwen2.5-VL's processor without its video half.

    AutoProcessor builds a video processor too, which needs torchvision; roll-outs on images do not.
    """

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs) -> None:
        self.image_token = "<|image_pad|>"
        self.video_token = "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def load_processor(path: str | Path) -> ImageTextProcessor:
    """The image-and-text processor saved beside a Qwen2.5-VL model."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    image_processor = AutoImageProcessor.from_pretrained(path)
    return ImageTextProcessor(image_processor, tokenizer, chat_template=tokenizer.chat_template)


class PromptProcessor:
    """Turns items into a left-padded PromptBatch, supervised targets into Responses, and responses into text.

    Args:
        processor: the model's own processor.
        instruction: appended to each question; asks for the format that the rewards read.
    """

    def __init__(self, processor: ImageTextProcessor, instruction: str) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.instruction = instruction
        image_processor = processor.image_processor
        self.layout = PatchLayout(
            image_mean=tuple(image_processor.image_mean),
            image_std=tuple(image_processor.image_std),
            frames=image_processor.temporal_patch_size,
            merge_size=image_processor.merge_size,
        )
        added = self.tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special} | {processor.image_token, processor.video_token}
        self.special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))

    def prompts(self, items: Sequence[Item]) -> PromptBatch:
        """Raises ValueError as `length` does."""
        texts = [self._chat(item) for item in items]
        images = [image for item in items for image in item.images]
        self.tokenizer.padding_side = "left"
        inputs = self.processor(text=texts, images=images or None, padding=True, return_tensors="pt")
        return PromptBatch(
            items=tuple(items),
            prompt_ids=inputs["input_ids"],
            prompt_mask=inputs["attention_mask"].bool(),
            images=Images(
                pixel_values=inputs["pixel_values"] if images else torch.zeros(0, 0),
                grid=inputs["image_grid_thw"] if images else torch.zeros(0, 3, dtype=torch.long),
                counts=tuple(len(item.images) for item in items),
                layout=self.layout,
            ),
        )

    def length(self, item: Item) -> int:
        """Tokens of the item's prompt, those of its images included; looks at no pixel, only at width and height.

        Raises:
            ValueError: the item cannot be a prompt: its texts hold a special token of the model, the places that its
                question marks for images are not as many as its images, or an image is too narrow for the model.
        """
        text_tokens = len(self.tokenizer(self._chat(item), add_special_tokens=False)["input_ids"])
        return text_tokens + sum(self._visual_tokens(image) - 1 for image in item.images)  # -1: its placeholder

    def _visual_tokens(self, image: Any) -> int:
        patches = self.processor.image_processor.get_number_of_image_patches(image.height, image.width)
        return patches // self.layout.merge_size**2

    def _chat(self, item: Item) -> str:
        """The item in chat format: images where its question marks them, else in front."""
        found = self.special.search("\n".join((item.question, item.answer, item.rationale or "")))
        if found:
            raise ValueError(f"the text holds the model's special token {found[0]!r}")
        places = item.question.count(IMAGE_MARKER)
        if places not in (0, len(item.images)):
            raise ValueError(f"{places} {IMAGE_MARKER} markers for {len(item.images)} images")
        question = item.question.strip()
        texts = (question if places else IMAGE_MARKER * len(item.images) + question).split(IMAGE_MARKER)
        texts[-1] = f"{texts[-1]} {self.instruction}".rstrip() if texts[-1].strip() else self.instruction
        content: list[dict[str, str]] = []
        for place, text in enumerate(texts):
            content += [{"type": "image"}] if place else []
            content += [{"type": "text", "text": text}] if text else []
        messages = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def targets(self, texts: Sequence[str]) -> Responses:
        """Supervised responses: text and end-of-turn, padded right."""
        ids = [
            self.tokenizer(text, add_special_tokens=False)["input_ids"] + [self.tokenizer.eos_token_id]
            for text in texts
        ]
        width = max(map(len, ids))
        response_ids = torch.full((len(ids), width), self.tokenizer.pad_token_id)
        mask = torch.zeros(len(ids), width, dtype=torch.bool)
        for row, tokens in enumerate(ids):
            response_ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = True
        return Responses(response_ids, mask, torch.zeros(mask.shape), torch.ones(len(ids), dtype=torch.bool))

    def decode(self, responses: Responses) -> list[str]:
        """The text of each response, without special tokens."""
        rows = zip(responses.response_ids.tolist(), responses.response_mask.tolist(), strict=True)
        kept = [[token for token, real in zip(ids, mask, strict=True) if real] for ids, mask in rows]
        return self.tokenizer.batch_decode(kept, skip_special_tokens=True)

    def tokens(self, ids: Tensor) -> list[str]:
        """Each token of one response as readable text, for pictures."""
        return [self.tokenizer.decode([token]) for token in ids.tolist()]

"""From items to model inputs and back: chat template, image processor, tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, ProcessorMixin, Qwen2_5_VLProcessor

from papo.types import Images, Item, PatchLayout, PromptBatch, Responses


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

    def prompts(self, items: Sequence[Item]) -> PromptBatch:
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

    def _chat(self, item: Item) -> str:
        content = [{"type": "image"} for _ in item.images]
        content.append({"type": "text", "text": f"{item.question} {self.instruction}".strip()})
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

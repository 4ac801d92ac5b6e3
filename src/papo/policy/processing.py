"""From items to model inputs and back: chat template, image processor, tokenizer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoProcessor, PreTrainedConfig, ProcessorMixin
from transformers.utils import is_torchvision_available

from papo.policy.families import Reader, reader_of
from papo.types import Images, Item, PromptBatch, Responses

IMAGE_MARKER = "<image>"  # in a question: a picture goes here


def load_processor(path: str | Path, config: PreTrainedConfig, reader: type[Reader]) -> ProcessorMixin:
    """The processor saved beside a model; without its video half where torchvision, which that needs, is missing.

    Raises:
        OSError, ValueError, ImportError: there is none.
    """
    processor = None
    if is_torchvision_available():
        # A folder saved without its video half has none to load; some want a package more for it.
        with suppress(OSError, ValueError, ImportError):
            processor = AutoProcessor.from_pretrained(path, trust_remote_code=False)
    # Of a class that transformers does not know, ours without a video half, it hands on the tokenizer alone.
    if not isinstance(processor, reader.processors):
        processor = reader.image_only.from_pretrained(path, trust_remote_code=False)
    if not isinstance(processor, reader.processors):
        raise ValueError(f"no processor for texts and images, got {type(processor).__name__}")
    reader.inform(processor, config)
    return processor


class PromptProcessor:
    """Turns items into a left-padded PromptBatch, supervised targets into Responses, and responses into text.

    Args:
        processor: the model's own processor.
        instruction: appended to each question; asks for the format that the rewards read.
    """

    def __init__(self, processor: ProcessorMixin, instruction: str) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.instruction = instruction
        self.reader = reader_of(processor)
        self.layout = self.reader.layout
        added = self.tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special} | self.reader.special
        self.special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))

    def prompts(self, items: Sequence[Item]) -> PromptBatch:
        """Raises ValueError as `length` does."""
        texts = [self._chat(item) for item in items]
        return PromptBatch(tuple(items), *self.reader.read(texts, [item.images for item in items]))

    def images(self, items: Sequence[Item]) -> Images:
        """The items' pictures as the model reads them."""
        return self.prompts(items).images

    def length(self, item: Item) -> int:
        """Tokens of the item's prompt, those of its images included; looks at no pixel, only at width and height.

        Raises:
            ValueError: the item cannot be a prompt: its texts hold a special token of the model, the places that its
                question marks for images are not as many as its images, or an image is too narrow for the model.
        """
        return self.reader.length(self._chat(item), [(image.height, image.width) for image in item.images])

    def _chat(self, item: Item) -> str:
        """The item in chat format: images where its question marks them, else in front."""
        question = item.question.replace(IMAGE_MARKER, "\n")  # which some families take for their placeholder
        found = self.special.search("\n".join((question, item.system, item.answer, item.rationale or "")))
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
        if item.system:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": item.system}]})
        chat = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        if item.system not in chat:
            raise ValueError("the model's chat template has no place for a system turn")
        return chat

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

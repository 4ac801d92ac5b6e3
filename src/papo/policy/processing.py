"""From items to model inputs and back: chat template, image processor, tokenizer."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, PreTrainedConfig, ProcessorMixin
from transformers.utils import is_torchvision_available

from papo.errors import ConfigError
from papo.interrupts import Overdue, deadline
from papo.policy.families import Reader, reader_of
from papo.rgb import in_rgb
from papo.types import Images, Item, LetGo, PromptBatch, Responses

log = logging.getLogger(__name__)

# Pixels, in all, of pictures that are processed together: many small ones, or one photograph.
AT_ONCE = 2**22
RENDER_S = 2.0  # of computing, in which a chat template has to end; one takes a thousandth of that
LONGEST = 300  # characters of what it says about its failure
PROBES = ("7b0d", "e25c")  # texts with a picture between them, if the chat template leaves it there
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
    if processor.chat_template is None:  # older folders have it with the tokenizer alone
        processor.chat_template = processor.tokenizer.chat_template
    reader.inform(processor, config)
    processor.papo_reader = reader  # models of no family may have the processor of one
    return processor


def content_of(texts: Sequence[str]) -> list[dict[str, str]]:
    """A turn of these texts with a picture between any two of them; an empty one is none."""
    content: list[dict[str, str]] = []
    for place, text in enumerate(texts):
        content += [{"type": "image"}] if place else []
        content += [{"type": "text", "text": text}] if text else []
    return content


def with_names(texts: Sequence[str]) -> str:
    """Texts with "image 1", "image 2" and so on between them, apart from the words beside; else they stay as they are.

    >>> with_names(["x  =  1\\n  Is (", ") like ", "?"])
    'x  =  1\\n  Is (image 1) like image 2?'
    """
    found = texts[0]
    for number, text in enumerate(texts[1:], start=1):
        before = "" if not found or found[-1].isspace() or found[-1] in "([" else " "
        after = "" if not text or text[0].isspace() or text[0] in ".,;:?!)]'" else " "
        found += f"{before}image {number}{after}{text}"
    return found


class PromptProcessor:
    """Turns items into a left-padded PromptBatch, supervised targets into Responses, and responses into text.

    Args:
        processor: the model's own processor.
        instruction: appended to each question; asks for the format that the rewards read.

    Raises:
        ConfigError: the chat template does not end, or makes no prompt of a picture and a text.
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
        self._check_template()  # before anything is written
        self.keeps_places, self.said = True, False
        try:
            probe = self._rendered([{"role": "user", "content": content_of(["", *PROBES])}])
            between = probe.partition(PROBES[0])[2].partition(PROBES[1])
            self.keeps_places = bool(between[0].strip()) or not between[1]
        except ConfigError:
            raise
        except ValueError:  # it may take other prompts; each will say
            pass

    def _check_template(self) -> None:
        """Raises ConfigError for one that was written for a language model, whose turns are texts and no lists."""
        token, problem = getattr(self.processor, "image_token", None), ""
        for pictures in (1, 0):  # what takes no picture may take texts
            content = content_of([""] * pictures + [PROBES[0]])
            try:
                chat = self._rendered([{"role": "user", "content": content}])
            except ConfigError:
                raise
            except ValueError as error:
                problem = str(error)
            else:
                placeholders = pictures if token is None else chat.count(str(token))
                if PROBES[0] in chat and str(content) not in chat and placeholders == pictures:
                    return
                problem = f"a picture and the text {PROBES[0]!r} become {chat!r}"[:LONGEST]
                break
        raise ConfigError(
            f"model.path={self.tokenizer.name_or_path} must have a chat template for lists of pictures and texts, not "
            f"for texts ({problem}); put that of its authors, or of a model of its family, into chat_template.jinja"
        )

    def prompts(self, items: Iterable[Item]) -> PromptBatch:
        """One row for each item, at least one, whose pictures are let go once they are processed.

        Items that come one after another, as from a generator, need never exist all at one time: a batch of photographs
        is gigabytes before it is resized.

        Raises:
            ValueError: as `length`.
        """
        parts: list[PromptBatch] = []
        pending, pixels = [], 0
        for item in items:
            pending.append(item)
            pixels += sum(image.width * image.height for image in item.images)
            if pixels >= AT_ONCE:
                parts.append(self._read(pending))
                pending, pixels = [], 0
        if pending:
            parts.append(self._read(pending))
        return parts[0] if len(parts) == 1 else PromptBatch.concat(parts, self.tokenizer.pad_token_id)

    def _read(self, items: Sequence[Item]) -> PromptBatch:
        """A batch of items whose pictures are there at one time."""
        shown = [tuple(seen(image, item.id) for image in item.images) for item in items]
        read = self.reader.read([self._chat(item) for item in items], shown)
        left = (tuple(map(LetGo.of, item.images)) for item in items)
        return PromptBatch(tuple(replace(item, images=names) for item, names in zip(items, left, strict=True)), *read)

    def images(self, items: Iterable[Item]) -> Images:
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
        messages = [{"role": "user", "content": content_of(self._pieces(item))}]
        system = [{"type": "text", "text": item.system}]
        if item.system:
            messages.insert(0, {"role": "system", "content": system})
        chat = self._rendered(messages)
        if item.system.strip() not in chat or str(system) in chat:  # a template that takes it for a text writes a list
            raise ValueError("the model's chat template has no place for a system turn")
        return chat

    def _pieces(self, item: Item) -> list[str]:
        """The question and the instruction as texts, between which there is a picture each; an empty one is none."""
        places, pictures = item.question.count(IMAGE_MARKER), len(item.images)
        if places not in (0, pictures):
            raise ValueError(f"{places} {IMAGE_MARKER} markers for {pictures} images")
        question = item.question.strip()
        texts = question.split(IMAGE_MARKER) if places else [""] * pictures + [question]
        if not self.keeps_places and any(text.strip() for text in texts[:-1]):
            if not self.said:
                log.warning(
                    "the chat template of %s puts pictures in front of the text: questions with %s in their midst say "
                    "image 1, image 2 and so on in these places",
                    self.tokenizer.name_or_path,
                    IMAGE_MARKER,
                )
                self.said = True
            texts = [""] * pictures + [with_names(texts)]
        texts[-1] = f"{texts[-1]} {self.instruction}".rstrip() if texts[-1].strip() else self.instruction
        return texts

    def _rendered(self, messages: list[dict]) -> str:
        """What the chat template makes of them: a program of whoever made the model, which may do anything but end.

        Raises:
            ConfigError: it does not.
            ValueError: it fails.
        """
        try:
            with deadline(RENDER_S):
                return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Overdue:
            raise ConfigError(
                f"model.path={self.tokenizer.name_or_path}: its chat template did not end within {RENDER_S:.0f} s for "
                "one prompt; use a model whose chat_template.jinja does"
            ) from None
        except ValueError:
            raise
        except Exception as error:  # of jinja2, or of any other kind: templates say so themselves what they refuse
            raise ValueError(f"the model's chat template fails ({error})"[:LONGEST]) from error

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


def seen(image: Image.Image, item: str) -> Image.Image:
    """The picture as image processors read it right: they take grey values of more than a byte for white.

    Raises:
        ConfigError: its grey values do not say what is white.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    try:
        return in_rgb(image)
    except ValueError as error:
        raise ConfigError(
            f"the picture of item {item} has {error}, which do not say what is white; give it in 8 bits"
        ) from error

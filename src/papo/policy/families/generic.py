"""Any other image-text-to-text model of transformers, as far as that can be known; papo.policy.repeating runs it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoProcessor,
    BatchFeature,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)

from papo.layouts import VaryingLayout
from papo.policy.families.base import Family
from papo.policy.families.reading import Reader
from papo.types import Images, PromptBatch

# Settings of image processors that cut a picture into several; which part shows what, only a family can know.
CUTTING = ("do_image_splitting", "crop_to_patches", "do_pan_and_scan")


class GenericReader(Reader):
    """Pictures go in whole, one tensor each; every prompt is made by itself."""

    processors = (ProcessorMixin,)
    image_only = AutoProcessor  # with whatever halves it has: what it means without them is not known
    grid_columns = 6

    @classmethod
    def inform(cls, processor: ProcessorMixin, config: PreTrainedConfig) -> None:
        """Raises ValueError for a processor that makes no one tensor of a picture, or more than that."""
        patch_size = getattr(getattr(config, "vision_config", None), "patch_size", 16)
        processor.vision_patch_size = patch_size if isinstance(patch_size, int) else patch_size[0]
        for name in CUTTING:
            if getattr(processor.image_processor, name, False):
                setattr(processor.image_processor, name, False)
        try:
            inputs = made(processor, Image.new("RGB", (64, 48)))
            shape = tuple(inputs["pixel_values"].shape)
        except (AttributeError, KeyError) as error:
            raise ValueError(f"{type(processor).__name__} makes no pixel_values of a picture") from error
        if len(shape) not in (4, 5) or set(shape[:-3]) != {1}:
            raise ValueError(
                f"{type(processor).__name__} makes pixel_values of shape {shape} of one picture: only models that take "
                f"a picture whole, [1, channels, height, width], can be used without a family of their own"
            )
        known = inspect.signature(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)].forward).parameters
        whole = {"image_sizes": torch.tensor([shape[-2:]])}  # what `model_inputs` says of a picture beside its pixels
        whole["pixel_attention_mask"] = torch.ones(*shape[:-3], *shape[-2:], dtype=torch.long)
        for name in sorted(inputs.keys() & known.keys() - {"pixel_values"}):
            if name not in whole or not torch.equal(inputs[name].long(), whole[name]):
                raise ValueError(
                    f"{type(processor).__name__} makes {name} of a picture beside its pixel_values, which the model "
                    f"reads too: only a family of its own can say what that is of a picture that was changed"
                )

    @property
    def layout(self) -> VaryingLayout:
        return VaryingLayout(**self.normalisation, patch_size=self.processor.vision_patch_size)

    def read(self, texts: Sequence[str], pictures: Sequence[Sequence[Image.Image]]) -> tuple[Tensor, Tensor, Images]:
        layout = self.layout
        rows = [self.tokens(text, of_prompt) for text, of_prompt in zip(texts, pictures, strict=True)]
        ids = torch.full((len(rows), max(map(len, rows))), self.tokenizer.pad_token_id)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for row, tokens in enumerate(rows):
            ids[row, -len(tokens) :], mask[row, -len(tokens) :] = tokens, True
        tensors = [made(self.processor, picture)["pixel_values"] for of_prompt in pictures for picture in of_prompt]
        grid = [[1, *(side // layout.patch_size for side in x.shape[-2:]), *x.shape[-3:]] for x in tensors]
        return (
            ids,
            mask,
            Images(
                pixel_values=torch.cat([x.flatten() for x in tensors]) if tensors else torch.zeros(0),
                grid=torch.tensor(grid, dtype=torch.long).reshape(-1, self.grid_columns),
                counts=tuple(map(len, pictures)),
                layout=layout,
            ),
        )

    def tokens(self, text: str, pictures: Sequence[Image.Image]) -> Tensor:
        """[P] int64 of one prompt."""
        # Some processors cut by themselves, whatever their image processor is set to.
        whole = {name: False for name in CUTTING if hasattr(self.processor.image_processor, name)}
        return self.processor(
            text=[text],
            images=[list(pictures)] if pictures else None,
            images_kwargs=whole,
            return_tensors="pt",
            add_special_tokens=self.adds_special_tokens(text),
        )["input_ids"][0]

    def length(self, text: str, sizes: Sequence[tuple[int, int]]) -> int:
        """By making the prompt with blank pictures: how a processor counts is its own affair."""
        return len(self.tokens(text, [Image.new("RGB", (width, height)) for height, width in sizes]))


def made(processor: ProcessorMixin, picture: Image.Image) -> BatchFeature:
    """What an image processor makes of one picture."""
    return processor.image_processor([picture], return_tensors="pt")


class Generic(Family):
    """What is read off the model's own accessors and the arguments of its forward pass."""

    model_types = ()
    text_types = ()
    reader = GenericReader

    def visual_tokens(self, images: Images) -> Sequence[Tensor]:
        """The pixels [C * H * W]: the tower runs with the language model."""
        return images.parts()

    def model_inputs(self, prompts: PromptBatch, n: int, pixels: Tensor, ids: Tensor) -> dict[str, Any]:
        """Keyword arguments of the whole model for [g, t] tokens that begin with prompt n.

        Args:
            pixels: of the prompt's pictures, from `visual_tokens`.
        """
        known, rows = inspect.signature(self.model.forward).parameters, len(ids)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        for name in {"token_type_ids", "mm_token_type_ids"} & set(known):
            inputs[name] = (ids == self.image_token_id).long()
        shapes = [grid[3:6] for grid in prompts.images.select([n]).grid.tolist()]
        if not shapes:
            return inputs
        sizes = [channels * height * width for channels, height, width in shapes]
        pictures = [x.view(shape) for x, shape in zip(pixels.split(sizes), shapes, strict=True)]
        height, width = (max(shape[axis] for shape in shapes) for axis in (1, 2))
        edges = [(0, width - shape[2], 0, height - shape[1]) for shape in shapes]
        values = torch.stack([pad(x, edge) for x, edge in zip(pictures, edges, strict=True)])  # [k, C, H, W]
        if "pixel_attention_mask" in known:  # such models take the pictures of each row as one tensor more
            real = torch.stack([pad(x[0].new_ones(x[0].shape), edge) for x, edge in zip(pictures, edges, strict=True)])
            inputs["pixel_values"] = values.repeat(rows, 1, 1, 1, 1)
            inputs["pixel_attention_mask"] = real.bool().repeat(rows, 1, 1, 1)
        else:
            inputs["pixel_values"] = values.repeat(rows, 1, 1, 1)
        if "image_sizes" in known:
            inputs["image_sizes"] = torch.tensor([shape[1:] for shape in shapes] * rows, device=ids.device)
        return inputs

    def logits(self, inputs: dict[str, Any], last: int) -> Tensor:
        """[g, last, V] of the last tokens; no others are made where the model can leave them out."""
        kept = {"logits_to_keep": last} if "logits_to_keep" in inspect.signature(self.model.forward).parameters else {}
        return self.model(**inputs, **kept, use_cache=False).logits[:, -last:]

    @property
    def image_token_id(self) -> int:
        config = self.model.config
        return config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index

    @property
    def banned(self) -> list[int]:
        return sorted({*super().banned, self.image_token_id})

    @property
    def head(self) -> nn.Module:
        """The states of such a policy are logits already: some models do more to them than multiply."""
        return nn.Identity()

    @property
    def language_model(self) -> PreTrainedModel:
        return self.model.get_decoder()

    def language_modules(self) -> tuple[nn.Module, ...]:
        return (self.language_model, self.model.get_output_embeddings())

    def vision_modules(self) -> tuple[nn.Module, ...]:
        return (self.model.get_encoder(modality="image"),)

    def projector_modules(self) -> tuple[nn.Module, ...]:
        others = {self.language_model, *self.vision_modules()}
        return tuple(part for part in self.model.base_model.children() if part not in others)

    def vision_blocks(self) -> Sequence[nn.Module]:
        return longest(self.vision_modules()[0])

    def language_layers(self) -> Sequence[nn.Module]:
        return longest(self.language_model)


def longest(module: nn.Module) -> Sequence[nn.Module]:
    """The longest list of modules inside: the blocks of a transformer; none where they are kept in another way."""
    return max((part for part in module.modules() if isinstance(part, nn.ModuleList)), key=len, default=())

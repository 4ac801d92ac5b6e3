"""The processor's half of a family: from texts and pictures to model inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedConfig, ProcessorMixin

from papo.errors import SettingError
from papo.layouts import Layout
from papo.types import Images


class Reader(ABC):
    """Texts and pictures to model inputs, by the family's own processor; `pixels` and `picture_tokens` say how."""

    processors: ClassVar[tuple[type[ProcessorMixin], ...]]  # of transformers, with their subclasses
    image_only: ClassVar[type[ProcessorMixin]]  # what is loaded where torchvision is missing
    grid_columns: ClassVar[int] = 3  # of `Images.grid`

    def __init__(self, processor: ProcessorMixin) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer

    @classmethod
    def inform(cls, processor: ProcessorMixin, config: PreTrainedConfig) -> None:
        """Tells a processor, once loaded, what only the model's config knows."""
        return

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """How `pixels` lays images out."""

    @property
    def normalisation(self) -> dict[str, tuple[float, ...]]:
        """`image_mean` and `image_std` of a layout: what the processor's steps together do to pixels in [0, 1].

        It may leave out either step, and then take no or any mean.
        """
        image_processor = self.processor.image_processor
        white = 255 * image_processor.rescale_factor if image_processor.do_rescale else 255  # before mean and std
        mean, std = (image_processor.image_mean, image_processor.image_std) if image_processor.do_normalize else (0, 1)
        mean, std = ([value] * 3 if isinstance(value, int | float) else value for value in (mean, std))
        return {"image_mean": tuple(m / white for m in mean), "image_std": tuple(s / white for s in std)}

    def pixels(self, inputs: dict[str, Tensor], pictures: Sequence[Sequence[Image.Image]]) -> tuple[Tensor, Tensor]:
        """`pixel_values` and `grid` of Images, of what the processor made of the pictures of each prompt."""
        raise NotImplementedError

    def picture_tokens(self, height: int, width: int, alone: bool) -> int:
        """Tokens that stand in a prompt for a picture of this size, which is `alone` there or not.

        Raises:
            ValueError: the processor takes no picture of such a shape.
        """
        raise NotImplementedError

    @property
    def special(self) -> set[str]:
        """Pieces of text that stand for pictures or videos."""
        names = ("image_token", "video_token")
        return {str(token) for name in names if (token := getattr(self.processor, name, None)) is not None}

    def read(self, texts: Sequence[str], pictures: Sequence[Sequence[Image.Image]]) -> tuple[Tensor, Tensor, Images]:
        """Token ids [N, P], padded left, their mask [N, P] bool, and the images.

        Args:
            texts: of each prompt, in chat format.
            pictures: of each prompt, as many as its text has placeholders.
        """
        self.tokenizer.padding_side = "left"
        inputs = self.processor(
            text=list(texts),
            images=self.arranged(pictures) if any(pictures) else None,
            padding=True,
            return_tensors="pt",
            add_special_tokens=self.adds_special_tokens(texts[0]),
        )
        if any(pictures):
            pixel_values, grid = self.pixels(inputs, pictures)
        else:
            pixel_values, grid = torch.zeros(0, 0), torch.zeros(0, self.grid_columns, dtype=torch.long)
        images = Images(pixel_values, grid, tuple(map(len, pictures)), self.layout)
        return inputs["input_ids"], inputs["attention_mask"].bool(), images

    def arranged(self, pictures: Sequence[Sequence[Image.Image]]) -> list:
        """The pictures as the processor takes them: one list, unless it must know whose they are."""
        return [picture for of_prompt in pictures for picture in of_prompt]

    def length(self, text: str, sizes: Sequence[tuple[int, int]]) -> int:
        """Tokens of a prompt, from its text and the (height, width) of its pictures.

        Raises:
            ValueError: as `picture_tokens`.
        """
        tokens = len(self.tokenizer(text, add_special_tokens=self.adds_special_tokens(text))["input_ids"])
        return tokens + sum(self.picture_tokens(*size, len(sizes) == 1) - 1 for size in sizes)  # -1: its placeholder

    def adds_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer may put its own tokens around a text; one that begins with them has them already."""
        bos = self.tokenizer.bos_token
        return bos is None or not text.startswith(bos)

    def limit_pixels(self, min_pixels: int | None, max_pixels: int | None) -> None:
        """Sets the area that an image is resized to lie in, in pixels; None leaves a bound as it is.

        Raises:
            SettingError: the bounds are impossible, or images are resized by another rule than their area.
        """
        if (min_pixels, max_pixels) != (None, None):
            raise SettingError(
                "min_pixels",
                f"and max_pixels must be null, got {min_pixels} and {max_pixels}: "
                f"{type(self.processor).__name__} does not resize images to an area",
            )


class ImageOnly:
    """Mixed into a processor of transformers, leaves out its video half, which would need torchvision.

    It has the name of that processor, under which it is saved: of a name of ours other people's transformers would make
    the tokenizer alone, and say nothing.
    """

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        cls.__name__ = cls.__bases__[-1].__name__

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs) -> None:
        super().__init__(image_processor, tokenizer, video_processor=None, chat_template=chat_template, **kwargs)

"""SmolVLM: as Idefics3, with a processor that knows videos too."""

from __future__ import annotations

from transformers import ProcessorMixin, SmolVLMProcessor

from papo.policy.families.idefics3 import Idefics3, Idefics3Reader
from papo.policy.families.reading import ImageOnly


class ImageOnlyProcessor(ImageOnly, SmolVLMProcessor):
    """SmolVLM's processor without its video half, for which alone it asks for num2words."""

    def __init__(self, image_processor, tokenizer, image_seq_len: int = 169, chat_template=None, **kwargs) -> None:
        self.fake_image_token = "<fake_token_around_image>"
        self.image_token = "<image>"
        self.global_image_token = "<global-img>"
        self.end_of_utterance_token = "<end_of_utterance>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.image_seq_len = image_seq_len
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template, **kwargs)

    apply_chat_template = ProcessorMixin.apply_chat_template  # its own first asks the video half about frames


class SmolVLMReader(Idefics3Reader):
    processors = (SmolVLMProcessor,)
    image_only = ImageOnlyProcessor


class SmolVLM(Idefics3):
    model_types = ("smolvlm",)
    reader = SmolVLMReader

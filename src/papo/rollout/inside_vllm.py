"""What vLLM is told: how to run in this process, how to take visual tokens, and to draw what it is given.

Only imported where vLLM is there. The classes are made inside functions, for their base classes are vLLM's.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papo import ranks

# Read by vLLM when it starts. Its own process would know the policy's weights and visual tokens by copies alone; its
# newer runner, which it takes wherever there is Triton, knows no processor of logits of the kind below.
NEEDED = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_USE_V2_MODEL_RUNNER": "0"}
QUIET = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}


def start(folder: str, settings: dict[str, Any], drawing: Callable[[], Callable | None], device: torch.device) -> Any:
    """A vllm.LLM of the model whose config.json lies in `folder`, with weights that are still to be loaded.

    It takes the place of the one that runs: when one ends, the process groups of all that are in the process are gone.
    Where a run has several processes, those are the run's own: each has one vLLM, and keeps it. All must call this at
    the same time.

    Args:
        settings: further ones of vllm.LLM.
        drawing: hands out what draws for the call of `generate` that is under way.
        device: of this process.

    Raises:
        RuntimeError: several processes have one each already, as in a sweep that torchrun started.
    """
    if ranks.count() > 1:
        if RUNNING:
            raise RuntimeError("another one in the same processes would end what these talk through; start them anew")
        settings = settings | {"distributed_executor_backend": "external_launcher"}
    stop()
    os.environ |= NEEDED
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # Begun in a validation, weights would be tensors that no training step may write to.
    with image_processing_without_torchvision(), undisturbed(), torch.inference_mode(False):
        # Where others are beside it: vLLM takes part in their group, and the device of that number.
        place = ranks.rank() if device.index is None else device.index
        os.environ |= {"RANK": str(ranks.rank()), "LOCAL_RANK": str(place)}
        from vllm import LLM

        register_models()
        llm = LLM(
            folder,
            skip_tokenizer_init=True,
            load_format="dummy",
            generation_config="vllm",
            enable_mm_embeds=True,
            limit_mm_per_prompt={"image": 0},  # pictures: none; of visual tokens there is no limit, and no vision tower
            mm_processor_cache_gb=0,  # visual tokens come once
            logits_processors=[processor_of(drawing)],
            async_scheduling=False,  # or a row would draw before it knows how many tokens it has
            # On a CPU, requests with a seed fail where their prompt is cut up; and prompts below a block's length are
            # never found again, of which the default there is 128.
            enable_chunked_prefill=False,
            max_num_batched_tokens=max(8192, settings["max_model_len"]),
            block_size=32,
            **settings,
        )
    RUNNING.append(llm)
    return llm


RUNNING: list[Any] = []  # at most one


def stop() -> None:
    """Ends the one that runs, if any; its memory is free for the next."""
    while RUNNING:
        RUNNING.pop().llm_engine.engine_core.shutdown()
    gc.collect()


def runs(llm: Any) -> bool:
    return any(running is llm for running in RUNNING)


@contextmanager
def undisturbed() -> Iterator[None]:
    """vLLM seeds the global generators, which are the trainer's, and on a CPU takes torch.set_num_threads away; and it
    sets what processes that the trainer starts would inherit."""
    inherited = {name: os.environ.get(name) for name in ("LD_PRELOAD", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK")}
    set_num_threads, threads = torch.set_num_threads, torch.get_num_threads()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        for name, value in inherited.items():
            os.environ.pop(name, None)
            os.environ |= {} if value is None else {name: value}
        torch.set_num_threads = set_num_threads
        torch.set_num_threads(threads)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def image_processing_without_torchvision() -> Iterator[None]:
    """vLLM's models import a function from the half of transformers' image processing that needs torchvision; the other
    half has it too."""
    name = "transformers.models.qwen2_vl.image_processing_qwen2_vl"
    if importlib.util.find_spec("torchvision") is not None or name in sys.modules:
        yield
        return
    from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl

    sys.modules[name] = image_processing_pil_qwen2_vl
    try:
        yield
    finally:
        del sys.modules[name]


def register_models() -> None:
    """vLLM's models, with a processor that takes visual tokens and nothing else, so that it needs none of transformers.

    Idempotent.
    """
    from vllm.model_executor.models import ModelRegistry, qwen2_5_vl, qwen2_vl
    from vllm.multimodal import MULTIMODAL_REGISTRY
    from vllm.multimodal.processing import PromptReplacement

    class Info(qwen2_vl.Qwen2VLProcessingInfo):
        def get_hf_config(self):
            return self.ctx.get_hf_config()

        def get_supported_mm_limits(self):
            return {"image": None}

        def get_mm_max_tokens_per_item(self, seq_len, mm_counts):
            return {"image": seq_len}

    class Processor(qwen2_vl.Qwen2VLMultiModalProcessor):
        requires_tokenizer = False

        def _get_prompt_updates(self, mm_items, hf_processor_mm_kwargs, out_mm_kwargs):
            config = self.info.get_hf_config()
            merge = config.vision_config.spatial_merge_size**2

            def placeholders(image: int) -> list[int]:
                grid = out_mm_kwargs["image"][image]["image_grid_thw"].data
                return [config.image_token_id] * (int(grid.prod()) // merge)

            return [PromptReplacement("image", target=[config.image_token_id], replacement=placeholders)]

    for base in (qwen2_vl.Qwen2VLForConditionalGeneration, qwen2_5_vl.Qwen2_5_VLForConditionalGeneration):
        model = type(base.__name__, (base,), {})
        register = MULTIMODAL_REGISTRY.register_processor(
            Processor, info=Info, dummy_inputs=qwen2_vl.Qwen2VLDummyInputsBuilder
        )
        ModelRegistry.register_model(base.__name__, register(model))


def processor_of(drawing: Callable[[], Callable | None]) -> type:
    """A logits processor that leaves the token which `drawing` draws as the only one that is possible."""
    from vllm.v1.sample.logits_processor import LogitsProcessor, process_dict_updates

    class Draw(LogitsProcessor):
        def __init__(self, vllm_config, device, is_pin_memory) -> None:
            self.rows: dict[int, tuple[int, list[int]]] = {}  # by place in the batch: the row, and what it has drawn

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update) -> None:
            process_dict_updates(self.rows, batch_update, lambda params, _, drawn: (params.seed, drawn))

        def apply(self, logits: Tensor) -> Tensor:
            places = [self.rows[place] for place in range(len(logits))]
            return drawing()(logits, [row for row, _ in places], [len(drawn) for _, drawn in places])

    return Draw

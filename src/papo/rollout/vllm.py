"""Roll-outs by vLLM in this process, with the policy's own weights, visual tokens and random numbers.

vLLM computes the logits; what is drawn from them is `papo.policy.sampling`, as anywhere else (`Drawing`), so that
temperature, top_p, top_k, banned tokens and seeds mean what they mean for the policy itself. Nothing here imports vLLM
before an engine is started: it is an optional package. What it is told lies in papo.rollout.inside_vllm.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from papo import seeding
from papo.errors import ConfigError, SettingError, TrainingDiverged
from papo.policy.lora import merged_state
from papo.policy.sampling import Sampling, draw, next_token_probs
from papo.policy.vlm import Policy
from papo.types import Features, PromptBatch, Responses

# Model types whose visual tokens vLLM takes as they are, with the grid of patches that places them.
MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl")

GIB = 2**30


class VllmEngine:
    """Draws with a copy of the policy's language model inside vLLM; of its vision tower there is none.

    Args:
        max_model_len: tokens of the longest prompt, those of its images included, and response together.
        max_num_seqs: responses that are drawn at one time.
        cache_gib: memory of keys and values, GiB.
        dtype: that vLLM computes in: float32, bfloat16 or float16; None = that of the policy's weights.
        eager: whether the model runs operation by operation; false compiles it, and captures graphs on an accelerator.
        prompts_at_once: of the native engine, which experiments set; changes nothing here.
        sleep: whether weights, keys and values leave an accelerator between two calls of `sample`; without effect on a
            CPU.

    Raises:
        ConfigError: vLLM is not installed.
        SettingError: a setting out of range.
    """

    is_policy = False

    def __init__(
        self,
        max_model_len: int,
        max_num_seqs: int = 256,
        cache_gib: float = 1.0,
        dtype: str | None = None,
        eager: bool = True,
        sleep: bool = False,
        prompts_at_once: int | None = None,
    ) -> None:
        for name, value in (("max_model_len", max_model_len), ("max_num_seqs", max_num_seqs)):
            if value < 1:
                raise SettingError(name, f"must be at least 1, got {value}")
        if prompts_at_once is not None and prompts_at_once < 1:
            raise SettingError("prompts_at_once", f"must be null or at least 1, got {prompts_at_once}")
        if not cache_gib > 0:
            raise SettingError("cache_gib", f"must be positive, got {cache_gib}")
        if dtype not in (None, "float32", "bfloat16", "float16"):
            raise SettingError("dtype", f"must be null, float32, bfloat16 or float16, got {dtype!r}")
        if find_spec("vllm") is None:
            raise ConfigError(
                "engine=vllm needs the package vllm, which is not installed: see requirements-vllm.txt, or set "
                "engine=native"
            )
        self.max_model_len, self.max_num_seqs, self.cache_gib = max_model_len, max_num_seqs, cache_gib
        self.dtype, self.eager, self.sleep = dtype, eager, sleep
        self.policy: Policy | None = None
        self.llm: Any = None  # vllm.LLM, once there is a policy
        self.version: tuple = ()  # of the weights that it has
        self.drawing: Drawing | None = None  # while `sample` runs
        self.asleep = False

    def attach(self, policy: Policy) -> None:
        """Raises ConfigError: the policy is of a family that vLLM cannot be handed the visual tokens of, or reads less
        than max_model_len tokens."""
        config = policy.model.config
        if config.model_type not in MODEL_TYPES:
            raise ConfigError(
                f"engine=vllm draws with models of type {', '.join(MODEL_TYPES)}, and model.path is one of type "
                f"{config.model_type}: set engine=native"
            )
        longest = config.get_text_config().max_position_embeddings
        if self.max_model_len > longest:
            raise ConfigError(
                f"engine.max_model_len must be at most {longest}, which is what the model reads, got "
                f"{self.max_model_len}"
            )

    # --------------------------------------------------------------------------------------------------------- weights

    def sync(self, policy: Policy, step: int) -> None:
        """Costs nothing where the weights are those of the last call."""
        version = weight_version(policy)
        if self.running and version == self.version:
            return
        self.attach(policy)
        if not self.running or self.policy.model.config.to_dict() != policy.model.config.to_dict():
            self.start(policy)
        self.policy, self.version = policy, version
        if not self.asleep:  # or they are handed over when it wakes
            self.load()

    @property
    def running(self) -> bool:
        """Whether it has a vLLM, which another engine in this process may have taken the place of."""
        from papo.rollout import inside_vllm

        return inside_vllm.runs(self.llm)

    def start(self, policy: Policy) -> None:
        """vLLM with a model like the policy's, whose weights are still to come.

        Raises:
            ConfigError: it cannot be started with these settings.
        """
        from papo.rollout import inside_vllm

        settings = {
            "dtype": self.dtype or str(policy.head.weight.dtype).removeprefix("torch."),
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.max_num_seqs,
            "kv_cache_memory_bytes": int(self.cache_gib * GIB),
            "enforce_eager": self.eager,
            "enable_sleep_mode": self.sleep and accelerated(policy),
        }
        if accelerated(policy):
            # A share of the device that must be free, of which the policy has most; what is used is cache_gib.
            settings["gpu_memory_utilization"] = 0.01
        self.asleep = False
        with tempfile.TemporaryDirectory() as folder:
            policy.model.config.save_pretrained(folder)  # all that it reads from a disk
            try:
                self.llm = inside_vllm.start(folder, settings, lambda: self.drawing, policy.device)
            except (ValueError, RuntimeError) as error:
                raise ConfigError(f"engine=vllm cannot start with these settings: {error}") from error

    def load(self) -> None:
        """Hands the policy's weights over, and forgets what was computed with others."""
        with own_precision(self.policy):
            self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights(self.policy, self.dtype)})
            self.forget()

    def forget(self) -> None:
        """Keys and values of prompts are found again by their tokens and pictures, whatever weights made them."""
        assert self.llm.reset_prefix_cache(), "responses are still being drawn"
        self.llm.llm_engine.reset_encoder_cache()

    # ---------------------------------------------------------------------------------------------------------- sample

    @torch.no_grad()
    def sample(
        self, prompts: PromptBatch, features: Features, group_size: int, sampling: Sampling, seeds: Sequence[int]
    ) -> Responses:
        """See Engine.

        Raises:
            RuntimeError: the policy's weights are others than those of the last `sync`.
            ConfigError: a prompt and its response do not fit max_model_len.
            TrainingDiverged: the log-probabilities are not finite.
        """
        assert self.policy is not None, "sync comes first"
        if not self.running or weight_version(self.policy) != self.version:
            raise RuntimeError(
                "the policy's weights have changed since the engine was given them, or another engine was started: "
                "call engine.sync(policy, step) before engine.sample"
            )
        inputs = self.inputs(prompts, features)
        longest = int(prompts.prompt_mask.sum(-1).max()) + sampling.max_new_tokens
        if longest > self.max_model_len:
            raise ConfigError(
                f"engine.max_model_len={self.max_model_len} is too short for a prompt of "
                f"{longest - sampling.max_new_tokens} tokens and a response of {sampling.max_new_tokens} "
                f"(rollout.max_new_tokens); set engine.max_model_len={longest} or more"
            )
        params = request_params(sampling, group_size, self.policy.eos.tolist(), len(prompts))
        T = sampling.max_new_tokens
        uniform = torch.cat([seeding.uniform(seed, group_size, T) for seed in seeds])
        self.drawing = Drawing(sampling, self.policy.banned, uniform.to(self.policy.device))
        if self.asleep:
            self.llm.wake_up()
            self.load()
            self.asleep = False
        try:
            with own_precision(self.policy):
                lengths, finished = self.generate(inputs, params)
            responses = self.drawing.responses(lengths, finished, self.policy.pad_token_id)
        finally:
            self.drawing = None
        if self.sleep and accelerated(self.policy):
            self.llm.sleep(level=2)  # weights are dropped: those of the policy are here to be had again
            self.asleep = True
        if not torch.isfinite(responses.logprobs).all():
            raise TrainingDiverged(
                "the engine's log-probabilities are not finite: the policy's weights hold NaN or infinity; "
                "lower optimizer.lr, or use an engine.dtype with more range"
            )
        return responses

    def inputs(self, prompts: PromptBatch, features: Features) -> list[dict[str, Any]]:
        """Each prompt as vLLM takes it: token ids with one placeholder for each picture, and its visual tokens."""
        merge = prompts.images.layout.merge_size**2
        places = iter(zip(prompts.images.grid, prompts.images.patches(), strict=True))
        found = []
        for n, (ids, mask) in enumerate(zip(prompts.prompt_ids, prompts.prompt_mask, strict=True)):
            own = [next(places) for _ in range(prompts.images.counts[n])]
            sizes = [patches // merge for _, patches in own]
            prompt = {"prompt_token_ids": collapsed(ids[mask].tolist(), self.policy.family.image_token_id, sizes)}
            if own:
                grid = torch.stack([grid for grid, _ in own]).cpu()
                prompt["multi_modal_data"] = {"image": {"image_embeds": features[n], "image_grid_thw": grid}}
            found.append(prompt)
        return found

    def generate(self, inputs: list[dict[str, Any]], params: list[dict[str, Any]]) -> tuple[list[int], list[bool]]:
        """Tokens of each of the B responses, and whether it came to its end; what was drawn is in `drawing`."""
        from vllm import SamplingParams

        outputs = self.llm.generate(inputs, [SamplingParams(**of_prompt) for of_prompt in params], use_tqdm=False)
        rows = [row for output in outputs for row in sorted(output.outputs, key=lambda row: row.index)]
        drawn = self.drawing.ids.tolist()
        # Which row a request is rides on its seed: one taken for another would be a response to another prompt.
        assert all(list(row.token_ids) == ids[: len(row.token_ids)] for row, ids in zip(rows, drawn, strict=True))
        return [len(row.token_ids) for row in rows], [row.finish_reason == "stop" for row in rows]


class Drawing:
    """What B rows draw in one call of `sample`: each its token t by its own number t, as the policy itself does.

    Args:
        banned: [k] int64, tokens that are never drawn.
        uniform: [B, T] in [0, 1).
    """

    def __init__(self, sampling: Sampling, banned: Tensor, uniform: Tensor) -> None:
        self.sampling, self.banned, self.uniform = sampling, banned, uniform
        self.ids = torch.zeros(uniform.shape, dtype=torch.long, device=uniform.device)
        self.logprobs = torch.zeros(uniform.shape, device=uniform.device)

    def __call__(self, logits: Tensor, rows: Sequence[int], steps: Sequence[int]) -> Tensor:
        """[b, V] float32 of which nothing but the drawn token is possible; ids and log-probabilities are kept.

        Args:
            logits: [b, V] float32, as the model has them.
            rows, steps: b of them: which row each is, and how many tokens it has drawn before.
        """
        logits = logits / self.sampling.score_temperature
        tokens = draw(next_token_probs(logits, self.sampling, self.banned), self.uniform[rows, steps])
        self.ids[rows, steps] = tokens
        self.logprobs[rows, steps] = logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)
        return torch.full_like(logits, float("-inf")).scatter_(-1, tokens[:, None], 0.0)

    def responses(self, lengths: Sequence[int], finished: Sequence[bool], pad_token_id: int) -> Responses:
        device, width = self.ids.device, max(lengths)
        mask = torch.arange(width, device=device) < torch.tensor(lengths, device=device)[:, None]
        return Responses(
            response_ids=self.ids[:, :width].where(mask, pad_token_id),
            response_mask=mask,
            logprobs=self.logprobs[:, :width].where(mask, 0.0),
            finished=torch.tensor(finished, device=device),
        )


def request_params(sampling: Sampling, group_size: int, eos: list[int], prompts: int) -> list[dict[str, Any]]:
    """vllm.SamplingParams of each prompt. Nothing in them draws: temperature 1 leaves the one token that is possible.

    vLLM gives child g of a request with seed s the seed s + g: so the number of its row reaches what draws.
    """
    common = {
        "n": group_size,
        "temperature": 1.0,
        "max_tokens": sampling.max_new_tokens,
        "stop_token_ids": eos,
        "ignore_eos": True,  # the config's own, which need not be the policy's
        "detokenize": False,
    }
    return [common | {"seed": n * group_size} for n in range(prompts)]


def collapsed(ids: Sequence[int], placeholder: int, sizes: Sequence[int]) -> list[int]:
    """Token ids with one placeholder in the place of each picture's run of them.

    Args:
        sizes: visual tokens of each picture, in order; runs may touch.

    Raises:
        ValueError: the placeholders are not as many as the visual tokens.
    """
    if (count := sum(token == placeholder for token in ids)) != sum(sizes):
        raise ValueError(f"a prompt has {count} image placeholders for {sum(sizes)} visual tokens")
    ahead, left, found = iter(sizes), 0, []
    for token in ids:
        if token == placeholder:
            left = (left or next(ahead)) - 1
            if left:  # the last of a run stays
                continue
        found.append(token)
    return found


def weights(policy: Policy, dtype: str | None = None) -> Iterable[tuple[str, Tensor]]:
    """The policy's weights under the names that they were loaded with, an adapter added in.

    Args:
        dtype: that the engine computes in; None = that of the policy's weights.
    """
    state = parameters(policy)
    merged = state if policy.lora is None else merged_state(policy.model, state, exact=dtype == "float32")
    return merged.items()


def parameters(policy: Policy) -> dict[str, Tensor]:
    """By the names of the model's state dict; asked for that, weights put together for a step would be shares again."""
    return dict(policy.model.named_parameters(remove_duplicate=False))


@torch.no_grad()
def weight_version(policy: Policy) -> tuple:
    """Differs from what it was wherever a weight was written to since.

    torch counts what is written into each tensor, but for AdamW(fused=True), which moves every weight that has a
    gradient: so one number of each is held against what it was. Shares that are gathered anew are other tensors, though
    the same weights: of these, sums tell, for a small step leaves most of what is rounded to bfloat16 where it was.
    """
    state = parameters(policy).values()
    if isinstance(policy, FSDPModule):
        return id(policy), tuple(torch.stack([tensor.sum(dtype=torch.float64) for tensor in state]).tolist())
    middles = torch.stack([tensor.flatten()[tensor.numel() // 2].float() for tensor in state])
    return id(policy), tuple((tensor.data_ptr(), tensor._version) for tensor in state), tuple(middles.tolist())


def accelerated(policy: Policy) -> bool:
    return policy.device.type != "cpu"


@contextmanager
def own_precision(policy: Policy) -> Iterator[None]:
    """Within a trainer's step, what vLLM computes is cast by no autocast."""
    with torch.autocast(policy.device.type, enabled=False), torch.no_grad():
        yield

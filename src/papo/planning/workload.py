"""What a step of a configuration is made of: how many prompts and responses, how long, which branches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from papo.building import built, settings_of
from papo.errors import ConfigError
from papo.objective import Objective
from papo.objective.branch import CLEAN, CURRENT, Branch, Need, merged
from papo.planning.pieces import Lengths
from papo.policy.families import reader_of
from papo.policy.families.llava import Llava
from papo.policy.families.llava_onevision import LlavaOnevision
from papo.policy.families.qwen2_vl import Qwen2VL
from papo.policy.loading import family_at, locate
from papo.policy.processing import PromptProcessor, load_processor
from papo.policy.vlm import Policy
from papo.training.scoring import divided

ITEMS = 64  # that are looked at where the data draws its own


@dataclass(frozen=True)
class Workload:
    """A step on one device."""

    prompts: int  # N of the step
    share: int  # of an update
    micro: int  # of a micro-batch
    group: int  # G
    once: Mapping[Branch, Need]  # branches that are scored once a step
    every: Mapping[Branch, Need]  # and in each update
    per_prompt: Mapping[str, int]  # how many pictures of a view there are for one of the prompt's
    early: int  # views that come with the prompts
    drawn: tuple[tuple[int, int, int], ...]  # prompts at one time, responses to each, tokens: in training and measuring
    refills: bool = False  # whether further prompts are drawn in place of groups that teach nothing

    @property
    def reference(self) -> bool:
        return any(branch.policy == "reference" for branch in (*self.once, *self.every))


def workload(cfg: DictConfig, devices: int) -> Workload:
    """Of one of `devices` devices, the one with most prompts."""
    prompts, algorithm = math.ceil(cfg.data.batch_size / devices), cfg.algorithm
    at_once, val = cfg.engine.get("prompts_at_once"), cfg.val
    asked = math.ceil(min(cfg.data.val_batch_size, cfg.data.val.get("size") or cfg.data.val_batch_size))
    measured = (min(at_once or asked, asked), val.samples, val.sampling.max_new_tokens)
    if "objective" not in algorithm:  # supervised: one target to each prompt, in one update
        micro = min(algorithm.micro_batch_prompts, prompts)
        every = {CURRENT: Need(gradient=True)}
        return Workload(prompts, prompts, micro, 1, {}, every, {CLEAN: 1}, 0, (measured,))
    objective: Objective = built(algorithm.objective)
    passes = merged([objective.passes(), *(part.passes() for part in objective.reward_parts())])
    once, every = divided(passes, single_update=algorithm.updates_per_rollout == 1)
    makers = {"corrupted": algorithm.corruption, "noised": algorithm.noise, **algorithm.views}
    looked_at = sorted({branch.view for branch in passes} - {CLEAN})
    per_prompt = {name: cfg.group_size if makers[name].get("per") == "response" else 1 for name in looked_at}
    share = math.ceil(prompts / algorithm.updates_per_rollout)
    drawn = ((min(at_once or prompts, prompts), cfg.group_size, cfg.rollout.max_new_tokens), measured)
    if algorithm.blind_guess.coef:
        drawn += ((min(at_once or prompts, prompts), algorithm.blind_guess.group_size, cfg.rollout.max_new_tokens),)
    return Workload(
        prompts=prompts,
        share=share,
        micro=min(algorithm.micro_batch_prompts, share),
        group=cfg.group_size,
        once=once,
        every=every,
        per_prompt={CLEAN: 1} | per_prompt,
        early=sum(early(makers[name]) for name in looked_at),
        drawn=drawn,
        refills=algorithm.max_refills > 0,
    )


def early(maker: DictConfig) -> bool:
    """Whether a view is made where the data is loaded, so that a batch carries it."""
    return bool(getattr(built(maker), "early", False))


def lengths(cfg: DictConfig, policy: Policy) -> tuple[Lengths, str]:
    """The longest prompt and response, and where they are from: `plan`, else drawn data, else the bounds that are set.

    Raises:
        ConfigError: nothing bounds them.
    """
    plan, (longest, largest) = cfg.plan, seen(cfg, processor_of(cfg))
    tokens = plan.prompt_tokens or longest or cfg.data.max_prompt_tokens
    if tokens is None:
        raise ConfigError("data.max_prompt_tokens=null bounds no prompt; a plan needs plan.prompt_tokens=N")
    source = "plan.prompt_tokens" if plan.prompt_tokens else f"{ITEMS} items" if longest else "data.max_prompt_tokens"
    patches, visual, pixels = picture(cfg, policy, plan.picture_pixels or largest)
    found = Lengths(
        prompt=tokens,
        response=plan.response_tokens or cfg.rollout.max_new_tokens,
        pictures=plan.pictures,
        patches=patches,
        visual=visual,
        pixels=pixels,
    )
    if found.visual * found.pictures > tokens:
        raise ConfigError(
            f"plan.prompt_tokens={tokens} are fewer than those of {found.pictures} pictures of {visual} each"
        )
    return found, source


def picture(cfg: DictConfig, policy: Policy, area: int | None) -> tuple[int, int, int]:
    """Patches and visual tokens of a picture, and the numbers that it is made of.

    Args:
        area: of the largest picture after resizing, pixels; None = unknown.
    """
    vision = policy.model.config.vision_config
    if isinstance(policy.family, Qwen2VL):
        if area is None:
            raise ConfigError("model.max_pixels=null bounds no picture; a plan needs plan.picture_pixels=N")
        merged_ = vision.spatial_merge_size**2
        patches = max(1, area // (vision.patch_size**2 * merged_)) * merged_  # of whole visual tokens
        return patches, patches // merged_, patches * 3 * vision.temporal_patch_size * vision.patch_size**2
    if isinstance(policy.family, Llava) and not isinstance(policy.family, LlavaOnevision):
        patches = (vision.image_size // vision.patch_size) ** 2
        return patches, patches, 3 * vision.image_size**2
    raise ConfigError(
        f"model.path={cfg.model.path} is of type {policy.model.config.model_type!r}, which cuts pictures into tiles: "
        f"how much memory these take is not planned yet"
    )


def processor_of(cfg: DictConfig) -> PromptProcessor | None:
    """The model's own, where it lies in a folder; of an untrained lab model, which has none, the shipped one's."""
    path = cfg.model.get("path", "lab_qwen")
    source = locate(path)
    if not any(Path(source).glob("*processor_config.json")):
        return None
    config, family = family_at(source, path)
    processor = load_processor(source, config, family.reader)
    with settings_of(cfg, "model"):
        reader_of(processor).limit_pixels(cfg.model.get("min_pixels"), cfg.model.get("max_pixels"))
    return PromptProcessor(processor, cfg.prompt.instruction)


def seen(cfg: DictConfig, processor: PromptProcessor | None) -> tuple[int | None, int | None]:
    """Tokens of the longest prompt and area of the largest picture, in pixels, of the first items where the data draws
    its own; else the largest area that the processor makes. None where that is not known."""
    if processor is None:
        return None, cfg.model.get("max_pixels")
    image_processor = processor.processor.image_processor
    if cfg.data.train.get("_target_") != "papo.lab.LabDataset":
        return None, dict(image_processor.size).get("longest_edge")
    items = built(cfg.data.train)
    prompts = processor.prompts([items[n] for n in range(min(ITEMS, len(items)))])
    side = getattr(image_processor, "patch_size", None) or processor.layout.patch_size
    return prompts.prompt_ids.shape[1], max(prompts.images.patches()) * side**2

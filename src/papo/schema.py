"""What may stand at the keys of conf/ that no target takes, or that another package's target takes without looking.

All others are arguments of this package's classes and functions, which say it themselves.
"""

import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NotRequired, TypedDict

from omegaconf import DictConfig

from papo.arguments import (
    Count,
    CountOrOff,
    Must,
    NotNegative,
    Positive,
    SettingsOf,
    Share,
    Text,
    Weight,
    check_value,
)
from papo.building import Look, joined, settings_of
from papo.data.sources.split import Rule
from papo.errors import SettingError
from papo.evaluation.exchange.exporting import FORMATS
from papo.evaluation.judge import Judge
from papo.evaluation.published import Card

Seed = Annotated[int, Must("lie in 0..4294967295", lambda seed: 0 <= seed < 2**32)]  # numpy's
Decay = Annotated[float, Must("lie in [0, 1)", lambda beta: 0 <= beta < 1)]


class Val(TypedDict):
    training_items: CountOrOff


class Resume(TypedDict):
    allow: Sequence[str]


class Plan(TypedDict):
    only: bool
    device_gib: Positive
    prompt_tokens: Count | None
    pictures: Annotated[int, Must("be 0 (none) or positive", lambda pictures: pictures >= 0)]
    picture_pixels: Count | None
    response_tokens: Count | None


class Prompt(TypedDict):
    instruction: str


class Model(TypedDict):
    train: Annotated[Sequence[str], Must("name vision, projector or language: something has to be trained", bool)]


class Optimizer(TypedDict):
    """torch's refuses these too, but does not say of which argument."""

    lr: NotRequired[NotNegative]
    weight_decay: NotRequired[NotNegative]
    betas: NotRequired[tuple[Decay, Decay]]


class Trainer(TypedDict):
    images_every: Count


class Logger(TypedDict):
    """Lightning's loggers take anything, or say no types."""

    save_dir: NotRequired[Text]
    name: NotRequired[str]
    version: NotRequired[int | str]
    flush_logs_every_n_steps: NotRequired[Count]
    run_name: NotRequired[Text]
    experiment_name: NotRequired[Text]
    tracking_uri: NotRequired[Text]
    project: NotRequired[Text]
    offline: NotRequired[bool]


class TrainKeys(TypedDict):
    """Of conf/train.yaml."""

    name: Text
    seed: Seed
    mask_ratio: Share
    guessable_share: Share
    perception_coef: Weight
    entropy_coef: Weight
    corrupted_entropy_coef: Weight
    blind_guess_coef: Weight
    kl_coef: Weight
    group_size: Count
    val: Val
    ckpt_path: Text | None
    export: Text | None
    resume: Resume
    overwrite: bool
    plan: Plan
    run_dir: Text
    model: Model
    prompt: Prompt
    optimizer: Optimizer
    trainer: Trainer
    callbacks: Mapping[str, Annotated[Mapping, Must("have a _target_", lambda of: "_target_" in of)] | None]
    logger: Logger


class Report(TypedDict):
    first_items: CountOrOff
    first_responses: CountOrOff
    looking_items: CountOrOff
    looking_cells: Count


class Rescore(TypedDict):
    path: Text | None
    rule: Rule | None
    score: Text | None
    judge: Annotated[Mapping, SettingsOf(Judge)]
    min_agreement: Share


class AnswersCache(TypedDict):
    path: Text | None
    any_batch: bool


class EvaluateKeys(TypedDict):
    """Of conf/evaluate.yaml."""

    answers_cache: AnswersCache
    export: Sequence[Literal[*FORMATS]]
    rescore: Rescore
    compare: Sequence[Text]
    seed: Seed
    guessable: bool
    published: Mapping[str, Mapping[str, Annotated[Mapping, SettingsOf(Card)]]]
    limit: Count | None
    mask_ratio: Share
    report: Report
    run_dir: Text
    prompt: Prompt


def check_all(cfg: DictConfig, keys: type) -> None:
    """Looks through a whole configuration, and builds of it only what holds settings; see papo.building.check.

    Args:
        keys: TrainKeys or EvaluateKeys.

    Raises:
        ConfigError: the first that cannot work.
    """
    look = Look(cfg)
    with settings_of(cfg):
        check_keys(look, keys)
    look.through("")


def check_keys(look: Look, keys: type, place: str = "") -> None:
    """Raises SettingError where a key is missing, of another type or out of range."""
    there = look.found(place)[1] if place else look.whole
    for name, hint in typing.get_type_hints(keys, include_extras=True).items():
        key = joined(place, name)
        if name not in there:
            if name in keys.__required_keys__:
                raise SettingError(key, "must be set")
            continue
        value = look.found(key)[1]
        if isinstance(value, dict):
            value = {inside: look.found(joined(key, inside))[1] for inside in value}
        if typing.is_typeddict(hint):
            check_value(key, value, Mapping)
            check_keys(look, hint, key)
        else:
            check_value(key, value, typing.get_args(hint)[0] if typing.get_origin(hint) is NotRequired else hint)

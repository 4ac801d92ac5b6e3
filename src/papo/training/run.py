"""One training run: build everything, measure, train, measure again, leave a complete run directory."""

from __future__ import annotations

import contextlib
import io
import itertools
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Timer
from omegaconf import DictConfig, OmegaConf

from papo import ranks
from papo.building import built, settings_of
from papo.data.apart import doubts, shared
from papo.data.module import PromptData
from papo.errors import ConfigError, DiskFull, SettingError
from papo.files import lacks_room
from papo.interrupts import stopping_at_once
from papo.objective.branch import CLEAN
from papo.overrides import without_effect
from papo.policy.loading import Loaded
from papo.policy.positions import Within, positions_of
from papo.policy.processing import PromptProcessor
from papo.rewards.grading import own
from papo.run_dir import RunDir, check_unused, continues, forget_peak_memory
from papo.schema import TrainKeys, check_all
from papo.training import launching
from papo.training.base import PolicyModule
from papo.training.beginning import first_lines
from papo.training.blind import training_blind, training_lines
from papo.training.callbacks import GracefulStop
from papo.training.ending import figures, nothing_learnt, table, warnings
from papo.training.exporting import exported, save
from papo.training.hyperparameters import log_hyperparameters
from papo.training.optimizers import StochasticAdamW
from papo.training.precision import check_precision
from papo.training.resume import HowFar, check_held_out, check_same, replanned, steps_behind, usable
from papo.training.strategies import ShardedWeights
from papo.training.trainer import NoLogger, check_logger

FIRST = 16  # items of the run that are looked at before it: pictures differ in size
IN_DOUBT = 128  # where these say too little; no more, for photographs wait in memory together
TENSORBOARD = "lightning.pytorch.loggers.TensorBoardLogger"


def train(cfg: DictConfig) -> dict[str, Any]:
    """Runs one experiment, in as many processes as `strategy` says, and returns what it wrote to metrics.json; with
    `plan.only` plans it, and returns what it wrote to plan.json; with `export` makes a model of what another run left.

    Args:
        cfg: as composed from conf/train.yaml; `run_dir` is where everything goes.

    Raises:
        ConfigError: a setting cannot work, or the folder holds a run; raised before anything is written.
        DiskFull: the folder has no room left; the last checkpoint is in place.
        GraderFailed: a grader of your own kept failing; the last checkpoint is in place.
        Interrupted: it was asked to stop while it measured; the message says how to go on.
        TrainingDiverged: updates stayed non-finite; the last checkpoint is in place.
        ProcessLost: one of several processes died; the last checkpoint is in place.
    """
    check_settings(cfg)
    if cfg.export is not None:
        return exported(cfg)
    if cfg.plan.only:
        from papo.planning import planned  # with torch's tensors without memory, which a run need not import

        return planned(cfg)
    if launching.number(cfg) == 0:
        print(*(f"{line}\n" for line in without_effect(cfg)), sep="", end="")
    return launching.launched(trained, cfg) if launching.needed(cfg) else trained(cfg)


def check_settings(cfg: DictConfig) -> None:
    """Looks through the whole configuration, as far as that can be done without a model and data; writes nothing.

    Raises:
        ConfigError: the first setting that cannot work.
    """
    check_all(cfg, TrainKeys)
    with settings_of(cfg, "logger"):
        check_logger(cfg.logger)
    with settings_of(cfg):
        check_names(cfg)


def check_names(cfg: DictConfig) -> None:
    """Raises SettingError where a term looks at a view that nothing makes, or the monitor at no term."""
    algorithm = cfg.algorithm
    if "objective" not in algorithm:
        return
    views = [CLEAN, "corrupted", "noised", *(algorithm.views or {})]
    terms = [name for name, term in algorithm.objective.items() if OmegaConf.is_dict(term)]
    asked = [("callbacks.monitor.term", "a term of algorithm.objective", terms)]
    looking = ["algorithm.blind_guess", *(f"algorithm.objective.{term}" for term in terms)]
    asked += [(f"{key}.view", "a view that something makes", views) for key in looking]
    for key, kind, known in asked:
        name = OmegaConf.select(cfg, key)
        if name is not None and name not in known:
            raise SettingError(key, f"must be {kind} ({', '.join(known)}), got {name!r}")


def trained(cfg: DictConfig) -> dict[str, Any]:
    """`train` in one of the run's processes, of which the first prints and writes."""
    first = launching.number(cfg) == 0
    with contextlib.ExitStack() as stack:
        if not first:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        started = time.perf_counter()
        forget_peak_memory()
        far = HowFar(Path(cfg.run_dir) / "checkpoints" / "last.ckpt", cfg.ckpt_path)
        stack.enter_context(stopping_at_once(far))
        unused = (cfg.run_dir, cfg.ckpt_path, cfg.overwrite, cfg.model.get("path"))
        if first:
            check_unused(*unused)
        own.count_anew()
        loaded, module, data = build(cfg)
        module.cost.began = started
        done, ckpt_path = 0, None
        if cfg.ckpt_path is not None:
            ckpt_path = usable(cfg.ckpt_path)
            done = steps_behind(ckpt_path, module)
            check_same(cfg)
            check_held_out(cfg, ckpt_path, data.val)
            module.replanned = replanned(ckpt_path, module)
        trainer = build_trainer(cfg, done)
        trainer.strategy.connect(module)
        trainer.strategy.setup_environment()  # from here on the ranks know one another
        if ranks.count() != launching.processes(cfg):
            raise ConfigError(
                f"the run has {ranks.count()} processes, and strategy.devices x strategy.num_nodes are "
                f"{launching.processes(cfg)}: start as many"
            )
        run = None
        stack.enter_context(naming_a_full_disk(Path(cfg.run_dir)))
        if first:
            run = RunDir(cfg.run_dir)
            stack.enter_context(run.held())
            check_unused(*unused)  # another run may have come and gone
            if cfg.overwrite and not continues(cfg.run_dir, cfg.ckpt_path):
                run.clear()
            run.start(cfg, fast_layers=loaded.fast_layers, replanned=module.replanned)
            print(*first_lines(cfg, loaded, trainer, data.train), sep="\n", flush=True)
        far.begun, far.when = True, "before the first step"
        folder = Path(ranks.of_first(cfg.run_dir))  # there now
        if folder != Path(cfg.run_dir):  # torchrun's processes have asked for an unused one each
            with contextlib.suppress(OSError):  # not empty, or gone
                Path(cfg.run_dir).rmdir()
        for rows, name in ((data.skips, "skipped.jsonl"), (data.too_guessable, "guessable.jsonl")):
            rows.log_to(folder / name)
        cut = measured_and_trained(trainer, module, data, ckpt_path, far)
        ended, far.when = cut is None, "before the model was written"
        state = module.weights.state()
        if run is not None:
            save(run, loaded, cfg, state)
        metrics = results(cfg, module, data, trainer, cut) | module.cost.total()
        failures = own.failures(ranks.gathered(own.counted()))
        if run is not None:
            run.write("metrics.json", metrics)
            far.when, far.done = "when all was written", ended
            log_hyperparameters(trainer, cfg, metrics)
        if first:
            print(summary(metrics, failures, module, folder, cut))
    return metrics


@contextlib.contextmanager
def naming_a_full_disk(folder: Path) -> Iterator[None]:
    """Inside, what cannot be written for want of room ends the run with one message.

    Raises:
        DiskFull: it could not.
    """
    try:
        yield
    except Exception as error:
        if not lacks_room(error):
            raise
        last = folder / "checkpoints" / "last.ckpt"
        kept = f"ckpt_path={last} goes on from what was saved last" if last.is_file() else "nothing was saved yet"
        raise DiskFull(f"{folder} has no room left ({error}); {kept}") from error


def measured_and_trained(
    trainer: Trainer, module: PolicyModule, data: PromptData, ckpt_path: str | None, far: HowFar
) -> Cut | None:
    """Measures, trains and measures again, unless it was cut short.

    Args:
        far: is told how far that has come.

    Raises:
        Interrupted: it was asked to stop before the first step or after the last one.
    """
    if ckpt_path is None:
        trainer.validate(module, data, verbose=False)
    far.when = "in the midst of training"  # where a first signal does not end the step first
    trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    cut = cut_short(trainer, module)
    if cut is None:
        far.when = "after the last step, before all was measured"
        trainer.validate(module, data, verbose=False)
    return cut


class Cut(NamedTuple):
    """A run that ended before it was done."""

    why: str
    needs: str = ""  # to go on


def cut_short(trainer: Trainer, module: PolicyModule) -> Cut | None:
    """None where a run is done: by its last step, whatever came with that, or by a callback that ends runs."""
    clocks = [callback.time_remaining() for callback in trainer.callbacks if isinstance(callback, Timer)]
    # Each rank has clocks of its own; Lightning asks those of the first one.
    over = ranks.of_first(any(left is not None and left <= 0 for left in clocks))
    if module.step >= module.total_steps:
        return None
    if any(callback.stopped for callback in trainer.callbacks if isinstance(callback, GracefulStop)):
        return Cut("interrupted")
    if over:
        return Cut("interrupted: trainer.lightning.max_time is over", ", and more of it: it is that of all sessions")
    return None if trainer.should_stop else Cut("interrupted: Lightning ended it")


def ended_by(module: PolicyModule, cut: Cut | None) -> str | None:
    """What ended a run before its last step; None where it made all of them."""
    if cut is not None:
        return cut.why.removeprefix("interrupted: ")
    return None if module.step >= module.total_steps else module.ended_by or "a callback"


def results(
    cfg: DictConfig, module: PolicyModule, data: PromptData, trainer: Trainer, cut: Cut | None
) -> dict[str, Any]:
    """What goes into metrics.json, but for what the whole run cost."""
    asked_blind, ended = training_blind(trainer), cut is None
    found, pace = figures(module.history, ended=ended), module.cost.step_seconds
    return {
        "name": cfg.name,
        "accuracy_before": found["before"]["mean"],
        "accuracy_after": found["after"]["mean"] if ended else None,
        "accuracy": f"avg@{cfg.val.samples}",
        **found,
        "training_blind": None if asked_blind is None else asked_blind.to_dict(),
        "steps": module.step,
        "interrupted": not ended,
        "ended_by": ended_by(module, cut),
        "skipped_rows": data.skips.count(),
        "guessable_rows": data.too_guessable.count(),
        "seconds_per_step": statistics.median(pace) if pace else None,
        "seed": cfg.seed,
        "world_size": trainer.world_size,
        "global_batch": cfg.data.batch_size,
    }


def build(cfg: DictConfig) -> tuple[Loaded, PolicyModule, PromptData]:
    """Everything that a run is made of; writes nothing.

    Raises:
        ConfigError: from any constructor that refused its settings.
    """
    seed_everything(cfg.seed, workers=True, verbose=False)
    loaded: Loaded = built(cfg.model)
    loaded.policy.train()
    processor = PromptProcessor(loaded.processor, cfg.prompt.instruction)
    module: PolicyModule = built(cfg.algorithm, policy=loaded.policy, processor=processor)
    check_precision(cfg.trainer.precision, cfg.trainer.accelerator, loaded.policy, module.make_optimizer)
    check_strategy(cfg, module)
    response = max(cfg.rollout.max_new_tokens, cfg.val.sampling.max_new_tokens)
    length = Within(processor.length, positions_of(loaded.policy.model.config), response)
    screened = {"length": length, "needs": module.check_item}
    data: PromptData = built(cfg.data, collate=module.collate, val_collate=processor.prompts, **screened)
    further = itertools.islice(data.first(IN_DOUBT), FIRST, None)
    module.check_data(itertools.chain(data.firsts(), data.first(FIRST)), further)
    found = doubts(cfg.data.train, cfg.data.val) or shared(data.train, data.val)
    print(*(f"{doubt}\n" for doubt in found), sep="", end="")
    return loaded, module, data


def check_strategy(cfg: DictConfig, module: PolicyModule) -> None:
    """Raises ConfigError where the optimizer cannot work on shares of weights."""
    sharded = OmegaConf.select(cfg, "strategy.lightning._target_") == f"{ShardedWeights.__module__}.ShardedWeights"
    if sharded and isinstance(module.configure_optimizers(), StochasticAdamW):
        raise ConfigError("strategy=fsdp needs optimizer=adamw: adamw_bf16 rounds weights that are whole")


def build_trainer(cfg: DictConfig, done: int) -> Trainer:
    """The trainer with its callbacks and its logger, for the steps after `done`; writes nothing.

    Raises:
        ConfigError: from any constructor that refused its settings, or a logger whose package is not installed.
    """
    callbacks = [built(callback) for callback in cfg.callbacks.values() if callback is not None]
    # What was logged of steps that come again does not count.
    again = {"purge_step": done + 1} if done and cfg.logger._target_ == TENSORBOARD else {}
    logger = built(cfg.logger, **again) if launching.number(cfg) == 0 else NoLogger()
    # One process needs no other: Lightning's group of one would stay behind in what is run next.
    alone = {"strategy": "auto"} if launching.processes(cfg) == 1 else {}
    trainer = built(cfg.trainer.lightning, done=done, callbacks=callbacks, logger=logger, **alone)
    if cfg.data.batch_size < trainer.world_size:
        raise ConfigError(
            f"data.batch_size must be at least the number of processes, which share a step's prompts: got "
            f"{cfg.data.batch_size} for {trainer.world_size}"
        )
    return trainer


def summary(
    metrics: Mapping[str, Any], failures: Iterable[str], module: PolicyModule, folder: Path, cut: Cut | None
) -> str:
    """What a run ends with: the table, how long it took, and what it did that nobody wants."""
    ended, history = cut is None, module.history
    pace = f"{metrics['steps']} steps, {metrics['seconds']:.0f} s, {metrics['peak_memory_gib']:.2f} GiB"
    if ended and metrics["ended_by"]:
        pace += f"; ended by {metrics['ended_by']} before its {module.total_steps} steps were made"
    if cut is not None:
        pace += f"; {cut.why}, resume with ckpt_path={folder / 'checkpoints' / 'last.ckpt'}{cut.needs}"
    lines = [
        table(history, metrics["accuracy"], ended=ended),
        *training_lines(metrics["training_blind"]),
        *failures,
        pace,
        str(folder),
        *nothing_learnt(metrics["steps"], module.updates_made),
        *(warnings(history) if ended else ()),
    ]
    return "\n" + "\n".join(lines)

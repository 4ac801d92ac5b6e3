"""What a run leaves behind while it trains, and how it stops."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from matplotlib.figure import Figure

from papo import ranks
from papo.arguments import Text
from papo.errors import SettingError
from papo.figures import token_heat
from papo.files import replacing
from papo.interrupts import SIGNALS
from papo.objective.branch import CLEAN, CURRENT, Branch, Need
from papo.training.base import PolicyModule
from papo.training.history import HELD_OUT_LOG
from papo.training.papo import PapoModule
from papo.training.resume import previous_of
from papo.types import Rollouts


def at_least_one(name: str, steps: int) -> int:
    """The steps, if there are any.

    Raises:
        SettingError: there are not; `name` is the argument.
    """
    if steps < 1:
        raise SettingError(name, f"must be at least 1, got {steps}")
    return steps


def write_checkpoint(trainer: Trainer, path: Path, kept: Path | None = None) -> None:
    """A checkpoint of all ranks in one file, which is there whole or not at all.

    Args:
        kept: where the one that it replaces stays.
    """
    if ranks.is_first():
        with replacing(path, kept=kept) as part:
            trainer.save_checkpoint(part)
    else:
        trainer.save_checkpoint(path)  # writes nothing, but the first one waits for it


class Checkpointer(Callback):
    """Writes checkpoints/last.ckpt every so many steps and at the end, always at a step boundary.

    The one before stays beside it, as previous.ckpt: what is damaged on a disk is often what was written last.
    """

    def __init__(self, run_dir: Text | Path, every: int) -> None:
        self.path = Path(run_dir) / "checkpoints" / "last.ckpt"
        self.saved: int | None = None  # step of the last one
        self.good = True  # whether there is none at self.path, or a good one, which is worth keeping
        self.every = at_least_one("every", every)

    def on_train_start(self, trainer: Trainer, module) -> None:
        """What the run went on from is kept as long as nothing later is: not a damaged file in its place."""
        self.saved = None if trainer.ckpt_path is None else module.step
        self.good = trainer.ckpt_path is None or Path(trainer.ckpt_path).name != previous_of(self.path).name

    def on_train_batch_end(self, trainer: Trainer, module, outputs, batch, batch_idx) -> None:
        if trainer.should_stop or module.step == module.total_steps or module.step % self.every == 0:
            self.save(trainer)
            self.saved = module.step

    def on_validation_end(self, trainer: Trainer, module) -> None:
        """Where a validation follows its step, the checkpoint has what it found, and what a monitor did about that."""
        if module.during and (trainer.should_stop or self.saved == module.step):
            self.save(trainer, again=self.saved == module.step)

    def save(self, trainer: Trainer, again: bool = False) -> None:
        """
        Args:
            again: whether the last one is of the same step, and the one before therefore still that.
        """
        write_checkpoint(trainer, self.path, kept=previous_of(self.path) if self.good and not again else None)
        self.good = True


class GracefulStop(Callback):
    """Ctrl-C or SIGTERM ends training after the current step; a second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False  # this process
        self.stopped = False  # the run
        self._previous: dict[int, object] = {}

    # From on_train_start to on_train_end: Lightning sets a SIGTERM handler of its own before, and takes it back after.
    def on_train_start(self, trainer: Trainer, module) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # signals belong to the main thread; embedding programs handle their own

        def stop(number: int, frame) -> None:
            if self.asked:  # then a signal means what it meant before, which is to stop at once
                before = self._previous[signal.SIGINT]
                if callable(before):
                    before(number, frame)
                raise KeyboardInterrupt
            self.asked = True
            if ranks.count() == 1:
                self.stopped = trainer.should_stop = True
            print("\nstopping after this step; once more stops at once and loses it", flush=True)

        self._previous = {number: signal.signal(number, stop) for number in SIGNALS}

    def on_train_batch_end(self, trainer: Trainer, module, outputs, batch, batch_idx) -> None:
        self.agree(trainer)

    def on_validation_end(self, trainer: Trainer, module) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self.agree(trainer)

    def agree(self, trainer: Trainer) -> None:
        """What one rank is asked all do, after the same step, and before anything else looks at it."""
        if ranks.anywhere(self.asked):
            self.stopped = trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, module) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def keep_steps(path: Path, last: int) -> None:
    """Drops the lines of later steps, which come again, so that each is recorded once; and one that was cut off."""
    if path.exists():
        with path.open() as lines, replacing(path) as part, part.open("w") as kept:
            kept.writelines(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= last)


class StepLog(Callback):
    """Every step's metrics to the logger and the progress bar, every response to rollouts.jsonl.

    Args:
        run_dir: where rollouts.jsonl goes.
        images_every: steps between pictures and sample texts, which TensorBoard shows; other loggers get the metrics.
    """

    def __init__(self, run_dir: Text | Path, images_every: int) -> None:
        self.path = Path(run_dir) / "rollouts.jsonl"
        self.images_every = at_least_one("images_every", images_every)

    def on_fit_start(self, trainer: Trainer, module: PapoModule) -> None:
        if ranks.is_first():
            keep_steps(self.path, module.step)

    def on_train_batch_end(self, trainer: Trainer, module: PapoModule, outputs, batch, batch_idx) -> None:
        metrics, rollouts = module.metrics, module.rollouts
        trainer.logger.log_metrics(metrics, step=module.step)
        bar = {"s/step": metrics["time/step"]}
        if "reward/mean" in metrics:
            bar = {"reward": metrics["reward/mean"]} | bar
        bar |= {name: metrics[metric] for metric, name in module.objective.headlines().items() if metric in metrics}
        module.log_dict(bar, prog_bar=True, logger=False)
        own = [] if rollouts is None else records(rollouts, module.step)
        found = [record for of_rank in ranks.gathered(own) for record in of_rank]
        if not ranks.is_first() or not found:
            return  # or a step whose groups were all dead
        with self.path.open("a") as file:
            for _, record in sorted(found, key=lambda of: of[0]):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        shown = module.step % self.images_every == 1 or self.images_every == 1
        if shown and rollouts is not None and isinstance(trainer.logger, TensorBoardLogger):
            self.log_samples(trainer, module, rollouts)

    def log_samples(self, trainer: Trainer, module: PapoModule, rollouts: Rollouts) -> None:
        """The first image beside each view of it, and the first group: responses, rewards, tokens by their KL."""
        step = module.step
        writer = trainer.logger.experiment
        item, G = rollouts.prompts.items[0], rollouts.group_size
        group = zip(rollouts.texts[:G], rollouts.rewards[:G], strict=True)
        # Indented text is shown verbatim: nothing that the model wrote is rendered.
        lines = [f"    {item.question}", f"    answer: {item.answer}", ""]
        lines += [f"    {result.total:.2f}  {' '.join(text.split())}" for text, result in group]
        writer.add_text("samples/group", "\n".join(lines), step)
        for name, view in rollouts.views.items():
            if name != CLEAN and view.per == "prompt" and item.images:
                pair = [images.pixels() for images in (rollouts.prompts.images, view.images)]
                writer.add_image(f"views/{name}", torch.cat(pair, dim=2), step)
                # Callbacks run outside of the run's precision, where some attention refuses float32 weights.
                with trainer.precision_plugin.forward_context():
                    figure = divergence_figure(module, rollouts.select([0]), name)
                writer.add_figure(f"samples/kl_{name}", figure, step)


class HeldOutLog(Callback):
    """What each validation measured of each item to held_out.jsonl.

    Args:
        run_dir: where it goes.
    """

    def __init__(self, run_dir: Text | Path) -> None:
        self.path = Path(run_dir) / HELD_OUT_LOG
        self.last: int | None = None  # step of the last validation; None where another process may have recorded some

    def on_fit_start(self, trainer: Trainer, module: PolicyModule) -> None:
        if ranks.is_first():
            keep_steps(self.path, module.step)

    def on_validation_end(self, trainer: Trainer, module: PolicyModule) -> None:
        if module.idle or not ranks.is_first():
            return
        # The validation of all items takes the place of a short one; a run in a used directory begins the file anew.
        if self.last is None or self.last >= module.step:
            keep_steps(self.path, module.step - 1)
        self.last = module.step
        with self.path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in module.held_out_rows)


# Responses and tokens of each that a figure has room for.
FIGURE_ROWS, FIGURE_TOKENS = 8, 48


@torch.no_grad()
def divergence_figure(module: PapoModule, group: Rollouts, view: str) -> Figure:
    """The responses to one prompt, each token coloured by KL(pi || pi on the view) over the vocabulary, nats."""
    other = Branch("current", view)
    scores = module.scoring.now(group, {branch: Need(states=True) for branch in (CURRENT, other)})
    mask = group.responses.response_mask
    kl = module.scoring.full_kl(scores, mask)(CURRENT, other)
    shown = [(group.responses.response_ids[r], kl[r], mask[r]) for r in range(min(len(mask), FIGURE_ROWS))]
    return token_heat(
        [module.processor.tokens(ids[real][:FIGURE_TOKENS]) for ids, _, real in shown],
        [values[real][:FIGURE_TOKENS].tolist() for _, values, real in shown],
        row_labels=[f"{result.total:.2f}" for result in group.rewards[:FIGURE_ROWS]],
        label=f"KL(π ‖ π on the {view} view), nats",
    )


def records(rollouts: Rollouts, step: int) -> list[tuple[int, dict]]:
    """One JSON-able record per response, each with the place of its prompt."""
    return [
        (
            row // rollouts.group_size if rollouts.places is None else rollouts.places[row // rollouts.group_size],
            {
                "step": step,
                "id": item.id,
                "question": item.question,
                "answer": item.answer,
                "response": rollouts.texts[row],
                "reward": rollouts.rewards[row].total,
                **{f"reward_{part}": value for part, value in rollouts.rewards[row].parts.items()},
                "reason": rollouts.rewards[row].reason,
                "advantage": round(rollouts.advantages[row].item(), 6),
            },
        )
        for row, item in (
            (row, rollouts.prompts.items[row // rollouts.group_size]) for row in range(len(rollouts.texts))
        )
    ]

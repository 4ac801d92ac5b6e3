"""Tasks for both processes of a run; a module of its own because fresh processes import what they are to do."""

import gc
import os
import shutil
import signal
import time
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch.callbacks import Timer
from omegaconf import DictConfig
from quick_composing import quicken
from torch import distributed, nn

from papo import ranks
from papo.errors import GraderFailed


def train_and_exchange(runs: dict[str, DictConfig], path: str, cfg: DictConfig) -> dict[str, Any]:
    """Both tasks in the same two processes, which take seconds to start; training's finds them unacquainted."""
    return {"trained": train_each(runs), **exchanges_and_shards(path)}


def train_each(runs: dict[str, DictConfig]) -> dict[str, Any]:
    """Several runs, one after another; of those that go on in place, in a copy of what they go on from.

    Beside each there is what its policy thought in the end, see `final_scores`.
    """
    from papo.training import run as training  # which the other tasks have no time for

    quicken()
    gc.collect()
    gc.freeze()  # see conftest.py
    gc.set_threshold(50_000, 20, 20)
    measured_and_trained, found = training.measured_and_trained, {}

    def and_scored(trainer, module, data, ckpt_path, far):
        ended = measured_and_trained(trainer, module, data, ckpt_path, far)
        scores = final_scores(module, data)  # in shares or whole, as the strategy has it
        if ranks.is_first():
            torch.save(scores, far.last.parents[1] / "final_scores.pt")
        return ended

    training.measured_and_trained = and_scored  # of this process, which ends with its task
    for name, run in runs.items():
        copy_for(run)
        found[name] = training.trained(run)
    return found


@torch.no_grad()
def final_scores(module: Any, data: Any) -> list[dict[str, torch.Tensor]]:
    """Of each held-out item, by itself: what transformers' own forward pass takes, and log-probabilities [T] in nats of
    a response of known tokens, by the policy that was trained."""
    found = []
    for n in range(len(data.val)):
        prompt = module.processor.prompts([data.val[n]])
        responses = module.processor.targets([f"<think> red = {n} </think> \\boxed{{{n}}}"])
        context = module.policy.prefill(prompt, module.policy.encode(prompt.images))
        logprobs = module.policy.score(context, responses, temperature=1.0).logprobs
        found.append(
            {
                "ids": torch.cat([prompt.prompt_ids[0], responses.response_ids[0]]),
                "pixel_values": prompt.images.pixel_values,
                "image_grid_thw": prompt.images.grid,
                "logprobs": logprobs[0],
            }
        )
    return found


def copy_for(run: DictConfig) -> None:
    if "copy_of" in run:
        if ranks.is_first():
            shutil.copytree(run.copy_of, run.run_dir)
        ranks.anywhere(True)  # the other one waits for it
        del run["copy_of"]


def join() -> None:
    distributed.init_process_group("gloo")


def exchanges_and_shards(path: str) -> dict[str, Any]:
    if not distributed.is_initialized():
        join()
    precisions = None, torch.bfloat16
    return {
        "exchanges": exchanges(),
        "shards": [sharded(path, dtype) for dtype in precisions],
        "late_clock": late_clock(),
        "references": ranks.gathered([reference_in_shares(path, dtype) for dtype in precisions]),
    }


def late_clock() -> list[str | None]:
    """What each rank says has cut a run short whose time is over by the clock of rank 0 alone."""
    from papo.training import run as training

    clock = Timer({"seconds": 3600 * ranks.rank()})
    clock.on_train_start(None, None)
    trainer = SimpleNamespace(callbacks=[clock], should_stop=True)
    cut = training.cut_short(trainer, SimpleNamespace(step=1, total_steps=2))
    return ranks.gathered(cut and cut.why)


def exchanges() -> dict[str, Any]:
    """What papo.ranks makes of values that differ between the ranks."""
    own = ranks.rank()
    used, unused, everywhere = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    everywhere.grad = torch.full((2,), 1.0 + own)
    if own == 1:
        used.grad = torch.tensor([3.0, 4.0])
    wide = nn.Parameter(torch.zeros(2, 3, dtype=torch.bfloat16))
    wide.grad = torch.arange(6.0).reshape(3, 2).bfloat16().mul(1 + own).t()  # not contiguous
    ranks.add_gradients([used, unused, wide, everywhere])
    return {
        "count": ranks.count(),
        "numbers": ranks.gathered(own),
        "first": (ranks.is_first(), ranks.of_first(f"rank {own}")),
        "dealt": ranks.gathered(list(ranks.dealt(range(5)))),
        "collected": ranks.collected([10 * n for n in ranks.dealt(range(5))]),
        "batches": ranks.gathered(ranks.batches(5, 48)),
        "few": ranks.gathered(ranks.batches(1, 48)),
        "anywhere": (ranks.anywhere(own == 1), ranks.anywhere(False)),
        "total": ranks.total(own + 1),
        "summed": ranks.summed({"both": 1.0 + own} | ({"last": 5.0} if own == 1 else {})),
        "means": ranks.means({"all": [1.0, 2.0] if own == 0 else [6.0], "one": [4.0] * own, "none": []}),
        "gradients": [used.grad.tolist(), unused.grad, everywhere.grad.tolist(), wide.grad.tolist()],
    }


def one_fails(cfg: DictConfig) -> dict[str, Any]:
    """Rank 1 fails, as the configuration says, while rank 0 waits for it."""
    join()
    if ranks.rank() == 1:
        if cfg.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if cfg.how == "interrupted":
            os.kill(os.getpid(), signal.SIGINT)
        raise KeyError("a bug")
    ranks.total(1)
    return {}


def asked_to_stop(cfg: DictConfig) -> dict[str, Any]:
    """Both wait until they are asked, and then fail, saying how often that was."""
    join()
    asked = []
    signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    distributed.barrier()  # both listen
    if ranks.is_first():
        os.kill(os.getppid(), signal.SIGTERM)
    deadline = time.monotonic() + 60
    while not asked and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)  # a second one would be here by now
    raise GraderFailed(f"asked {ranks.gathered(len(asked))} times")


def sharded(path: str, dtype: torch.dtype | None) -> dict[str, Any]:
    """What papo.training.weights.Sharded leaves each rank, and what it makes of gradients."""
    from torch.distributed.device_mesh import init_device_mesh

    from papo.policy.loading import load_policy
    from papo.rollout import vllm
    from papo.training.weights import Sharded

    policy = load_policy(path, dtype="float32", chunk_tokens=100).policy
    whole = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    weights = Sharded(policy, init_device_mesh("cpu", (2,)), dtype)
    shares = sum(parameter.to_local().numel() for parameter in policy.parameters())
    parameters = list(policy.parameters())  # as an optimizer has them
    chosen = (0, 1, 2, len(parameters) - 1)
    gradients = []
    for _ in range(3):
        weights.gather()
        handed_over = {f"model.{name}": tensor for name, tensor in vllm.weights(policy)}  # to another engine
        kept = dict(policy.named_parameters(remove_duplicate=False))  # what it leaves here
        same = handed_over.keys() == kept.keys() and all(
            torch.equal(each[name], value.to(dtype or value.dtype))
            for each in (handed_over, kept)
            for name, value in whole.items()
        )
        used, everywhere, _, last = (list(policy.parameters())[n] for n in chosen)
        for _ in range(ranks.rank()):  # rank 0 has no pass
            (3 * used.sum()).backward()
            (3 * last.sum()).backward()
        for _ in range(1 + ranks.rank()):  # and one less of the other
            everywhere.sum().backward()
        weights.add_gradients(parameters)
        found = [parameters[n].grad for n in chosen]
        gradients.append([None if grad is None else grad.full_tensor().unique().tolist() for grad in found])
        for parameter in parameters:
            parameter.grad = None
    state = weights.state()
    return {
        "shares": ranks.gathered(shares),
        "whole": sum(value.numel() for value in whole.values()),
        "same": same,
        "gradients": gradients,
        "state": {name: tuple(value.shape) for name, value in state.items()} if ranks.is_first() else {},
        "policy": {name.removeprefix("model."): tuple(value.shape) for name, value in whole.items()},
    }


def reference_in_shares(path: str, dtype: torch.dtype | None) -> dict[str, Any]:
    """What a rank has of the reference of a policy whose vision tower is frozen, and where that was already trained
    when it was sharded, as where a run goes on."""
    from torch.distributed.device_mesh import init_device_mesh

    from papo.policy.loading import load_policy
    from papo.policy.reference import Reference
    from papo.rollout import vllm
    from papo.training.weights import Sharded

    policy = load_policy(path, dtype="float32", chunk_tokens=100, train=["language"]).policy
    loaded = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    trained = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    reference = Reference(policy)
    weights = Sharded(policy, init_device_mesh("cpu", (2,)), dtype)
    with torch.no_grad():
        for parameter in weights.trained():
            parameter.to_local().add_(1)
    reference.share_out(weights.kept)
    weights.gather()
    own = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    (shares,) = reference._gathered.args
    versions = [vllm.weight_version(policy)]
    with reference.present():
        versions.append(vllm.weight_version(policy))
        (there,) = reference._policy
        found = {name: parameter.detach().clone() for name, parameter in there.named_parameters()}
        frozen = {p.data_ptr() for name, p in policy.named_parameters() if name not in trained}
        shared = frozen == {p.data_ptr() for name, p in there.named_parameters() if name not in trained}
    versions.append(vllm.weight_version(policy))
    back = all(torch.equal(value, own[name]) for name, value in policy.named_parameters())
    weights.release()
    with torch.no_grad():
        weights.trained()[0].to_local().view(-1)[0].add_(0.1)
    weights.gather()
    versions.append(vllm.weight_version(policy))
    return {
        "versions": [versions[0] == version for version in versions[1:]],
        "kept": sum(share.untyped_storage().nbytes() for share in shares),
        "trained": sum(loaded[name].numel() for name in trained),
        "total": sum(value.numel() for value in loaded.values()),
        "as_loaded": all(torch.equal(found[name], value.to(found[name].dtype)) for name, value in loaded.items()),
        "shared": shared,
        "moved": all(torch.equal(own[name], found[name]) == (name not in trained) for name in own),
        "back": back,
        "gone": reference._policy == (),
    }

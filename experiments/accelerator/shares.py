"""Do shares of weights (FSDP2) train on a device as whole weights do? One process, four updates of the lab's base.

    python experiments/accelerator/shares.py [cpu|cuda]

train.py runs one process as strategy=single; this builds papo.training.weights by itself, by NCCL on a CUDA device.
Prints loss, gradient norm and a sum of the drawn tokens of each update, then one of all weights.
"""

from __future__ import annotations

import os
import sys

import torch
from torch import distributed, nn

from papo.lab import LabDataset
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.training.weights import Sharded, Whole, as_tensor

PROMPTS, GROUP, UPDATES = 8, 4, 4


def trained(device: str, dtype: torch.dtype | None, sharded: bool) -> None:
    loaded = load_policy("lab_qwen", dtype="float32", chunk_tokens=4096)
    policy = loaded.policy.eval().to(device)
    prompts = PromptProcessor(loaded.processor, "").prompts([*LabDataset("train", PROMPTS)]).to(device)
    mesh = distributed.init_device_mesh(device, (1,))
    weights = Sharded(policy, mesh, dtype) if sharded else Whole(policy)
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 1e-3)
    for update in range(UPDATES):
        weights.gather()
        with torch.autocast(device, torch.bfloat16, enabled=dtype is not None):
            with torch.no_grad():
                context = policy.prefill(prompts, policy.encode(prompts.images))
                responses = policy.sample(context, GROUP, Sampling(20), range(PROMPTS))
            mask = responses.response_mask
            for _ in range(2):  # micro-batches
                scores = policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses)
                loss = -(scores.logprobs * mask).sum() / mask.sum() / 2
                loss.backward()
        weights.add_gradients(parameters)
        norm = as_tensor(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        optimizer.step()
        optimizer.zero_grad()
        print(f"  {update} {loss.item():.6f} {norm.item():.5f} {responses.response_ids.sum().item()}")
    print(f"  {sum(value.double().abs().sum().item() for value in weights.state().values()):.3f}")


def main(device: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "RANK": "0", "WORLD_SIZE": "1"}
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    print(torch.__version__, distributed.get_backend())
    for dtype in (None, torch.bfloat16):
        for sharded in (False, True):
            print("bf16-mixed" if dtype else "32-true", "shares" if sharded else "whole")
            trained(device, dtype, sharded)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "cuda" if torch.cuda.is_available() else "cpu")

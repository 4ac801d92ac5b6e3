"""Names of weights, tensors and plain values from their content: the same for the same content, on every machine."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any

import torch
import transformers
from torch import Tensor

from papo.policy.vlm import Policy
from papo.rollout.vllm import weights

NAMES = ("_name_or_path", "architectures", "transformers_version")  # in a config: where it is from, not what it does


def what_rounds(policy: Policy) -> list[Any]:
    """What the rounding of a policy's numbers depends on, beside what it computes."""
    cuda = policy.device.type == "cuda"
    device = torch.cuda.get_device_name(policy.device) if cuda else torch.backends.cpu.get_cpu_capability()
    attention = {str(getattr(m.config, "_attn_implementation", "")) for m in policy.modules() if hasattr(m, "config")}
    versions = [str(torch.__version__), transformers.__version__]
    return [device, sorted(attention), versions, torch.get_num_threads(), torch.get_float32_matmul_precision()]


def digest_of_policy(policy: Policy) -> str:
    """Of the weights, an adapter added in, and of what the model's config makes of them."""
    state = sorted(weights(policy))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # hashing lets other threads run
        digests = list(threads.map(digest_of_tensor, (tensor for _, tensor in state)))
    return digest([name for name, _ in state], digests, without_names(policy.model.config.to_dict()))


def without_names(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: without_names(value) for key, value in config.items() if key not in NAMES}
    return config


def digest_of_tensor(tensor: Tensor) -> str:
    values = tensor.detach().flatten().contiguous().cpu().view(torch.uint8).numpy()
    return digest(str(tensor.dtype), list(tensor.shape), blake2b(values, digest_size=16).hexdigest())


def digest(*parts: Any) -> str:
    """32 hexadecimal digits of plain types."""
    return blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()

"""Answers kept across evaluations: drawn once, read by any evaluation that asks the same weights the same again.

What is asked decides an answer: the weights with their adapter and data type, the prompt's tokens, the pixels as the
model reads them (after resizing and corruption), the sampling, and above temperature 0 the item's seed, which its id is
part of. Names of models, benchmarks and views do not.

That is so in exact arithmetic. Rounding depends besides on how an answer is drawn: on the prompts beside it, which
decide padding and shapes of products, on k, device, versions, kernels. Of 192 responses of lab_qwen drawn in batches of
1 instead of 48 on a CPU, 132 had other bits in float32 and none another text; in bfloat16 two had another text. So what
is read was drawn in the same way, and the evaluation is the same to the byte; `any_batch` reads it in any case.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from papo.errors import ConfigError
from papo.evaluation.digests import digest, digest_of_policy, digest_of_tensor, what_rounds
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.seeding import repeats
from papo.types import PromptBatch, Responses

FORMAT = 1  # raised whenever the same question gets another answer, or a line means something else
Group = list[tuple[list[int], bool]]  # k responses to a prompt: tokens, and whether the response came to its end
Draw = Callable[[PromptBatch, Sequence[int]], Responses]  # with a seed for each prompt


class AnswerCache:
    """The answers of one model, in a folder that any number of evaluations may read and write at one time.

    DIR/<digest of the weights>/<one for each process>.jsonl; a line is ["<digest>", {"asked", "drawn", "ids",
    "finished"}]. Nobody writes to another's file, so nothing is locked; what others add after the start is not seen.

    Args:
        path: the folder.
        policy: that answers, where it will.
        engine: the settings of what draws, with its _target_.
        fast_layers: which were chosen, see Loaded.
        any_batch: whether answers are read that were drawn in another way.
        weights: the digest of the policy's; None = they are hashed, which takes a second per GB and thread.

    Raises:
        ConfigError: the folder cannot be read.

    Attributes:
        read: responses that were read so far.
        apart: responses that are there, but drawn in another way, and were drawn again.
    """

    def __init__(
        self,
        path: str,
        policy: Policy,
        engine: Mapping[str, Any],
        fast_layers: str,
        any_batch: bool = False,
        weights: str | None = None,
    ) -> None:
        self.path, self.any_batch, self.read, self.apart = path, any_batch, 0, 0
        self.pad, self.vocabulary = policy.pad_token_id, policy.model.config.get_text_config().vocab_size
        model, special = weights or digest_of_policy(policy), [policy.banned.tolist(), policy.eos.tolist()]
        self.asking = [FORMAT, model, special, engine["_target_"], engine.get("dtype")]
        self.drawing = [*what_rounds(policy), engine, fast_layers]
        self.folder = Path(path) / model
        self.own: Path | None = self.folder / f"{uuid.uuid4().hex}.jsonl"
        self.places: dict[str, dict[str, tuple[Path, int]]] = {}  # file and byte of each line, by asked and drawn
        try:
            damaged = self._look_through()
        except OSError as error:
            raise ConfigError(f"answers_cache={path} cannot be read ({error}); name another folder, or null") from error
        said = f"; {damaged} damaged or unfinished lines are ignored" if damaged else ""
        print(f"answers_cache={path}: these weights ({model}) have answered {len(self.places)} prompts{said}")

    def responses(
        self, prompts: PromptBatch, seeds: Sequence[int], k: int, sampling: Sampling, draw: Draw
    ) -> Responses:
        """k responses to each prompt: read, or drawn and kept. Of what is read the log-probabilities are NaN."""
        asked = [digest(*self.asking, *question) for question in questions(prompts, seeds, sampling)]
        asked = [digest(key, times) for key, times in zip(asked, repeats(asked), strict=True)]
        drawn = digest(*self.drawing, k, asked)
        found = {n: self._find(key, drawn, k, sampling.max_new_tokens) for n, key in enumerate(asked)}
        missing = [n for n in found if found[n] is None]
        if missing and not self.any_batch:
            missing = list(found)  # with fewer prompts beside them, they might be rounded otherwise
        self.read += (len(found) - len(missing)) * k
        if missing:
            whole = len(missing) == len(found)
            fresh = draw(prompts if whole else prompts.select(missing), [seeds[n] for n in missing])
            found |= zip(missing, groups_of(fresh, k), strict=True)
            new = {asked[n]: found[n] for n in missing}
            self._keep(new, digest(*self.drawing, k, list(new)))
            if whole:
                return fresh
        return as_responses([response for group in found.values() for response in group], self.pad, prompts)

    def _find(self, asked: str, drawn: str, k: int, longest: int) -> Group | None:
        there = self.places.get(asked, {})
        ways = [drawn, *there] if self.any_batch else [drawn]
        self.apart += k * (bool(there) and there.keys().isdisjoint(ways))
        for way in filter(there.__contains__, ways):
            group = group_at(*there[way], asked, way)
            if len(group) >= k and all(0 < len(ids) <= longest and max(ids) < self.vocabulary for ids, _ in group):
                return group[:k]  # each response has random numbers of its own, whatever k is
        return None

    def _keep(self, groups: Mapping[str, Group], drawn: str) -> None:
        if self.own is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.own.open("ab") as file:
                for asked, group in groups.items():
                    start = file.tell()
                    file.write(as_line(asked, drawn, group))
                    self.places.setdefault(asked, {})[drawn] = (self.own, start)
        except OSError as error:  # the evaluation has its answers all the same
            print(f"answers_cache={self.path} cannot be written ({error.strerror}): no more answers are kept there")
            self.own = None

    def _look_through(self) -> int:
        """Remembers where the lines of all files are; returns how many are damaged."""
        damaged = 0
        for path in sorted(self.folder.glob("*.jsonl")):
            start = 0
            with path.open("rb") as file:
                for line in file:
                    fields = parsed(line)
                    if fields is None:
                        damaged += 1
                    else:
                        self.places.setdefault(fields["asked"], {})[fields["drawn"]] = (path, start)
                    start += len(line)
        return damaged


def check_folder(path: str) -> None:
    """Raises ConfigError: the folder cannot be made or written to."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        probe = Path(path) / f".{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"answers_cache={path} must be a folder that can be written ({error.strerror}); name another, or null"
        ) from error


def questions(prompts: PromptBatch, seeds: Sequence[int], sampling: Sampling) -> list[list[Any]]:
    """What each prompt asks."""
    pictures = zip(prompts.images.grid.tolist(), map(digest_of_tensor, prompts.images.parts()), strict=True)
    rows = zip(prompts.prompt_ids, prompts.prompt_mask, prompts.images.counts, seeds, strict=True)
    return [
        [asdict(sampling), seed if sampling.temperature else None, ids[real].tolist()]
        + [next(pictures) for _ in range(count)]
        for ids, real, count, seed in rows
    ]


def told(caches: Sequence[AnswerCache]) -> str:
    """What the last line says of them; nothing where there are none."""
    if not caches:
        return ""
    read, apart = (sum(getattr(cache, name) for cache in caches) for name in ("read", "apart"))
    more = f" ({apart} more were there from other batches: answers_cache.any_batch=true reads them)" if apart else ""
    return f", {read} of them read from answers_cache={caches[0].path}{more}"


# --------------------------------------------------------------------------------------------------------------- lines


def as_line(asked: str, drawn: str, group: Group) -> bytes:
    ids, finished = zip(*group, strict=True)
    return signed(json.dumps({"asked": asked, "drawn": drawn, "ids": ids, "finished": finished}).encode())


def signed(text: bytes) -> bytes:
    return b'["%s", %s]\n' % (blake2b(text, digest_size=16).hexdigest().encode(), text)


def parsed(line: bytes) -> dict[str, Any] | None:
    """The fields of a line; None where it is not as it was written."""
    text = line[len(signed(b"")) - 2 : -2]
    fields = json.loads(text) if signed(text) == line else None
    return fields if fields is not None and fields.keys() == {"asked", "drawn", "ids", "finished"} else None


def group_at(path: Path, start: int, asked: str, drawn: str) -> Group:
    """What the line there has; nothing where the file has changed since it was looked through."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(start)
        fields = parsed(file.readline())
        if fields is not None and (fields["asked"], fields["drawn"]) == (asked, drawn):
            return list(zip(fields["ids"], fields["finished"], strict=True))
    return []


def groups_of(responses: Responses, k: int) -> list[Group]:
    rows = zip(responses.response_ids, responses.response_mask, responses.finished.tolist(), strict=True)
    found = [(ids[real].tolist(), finished) for ids, real, finished in rows]
    return [found[start : start + k] for start in range(0, len(found), k)]


def as_responses(rows: Group, pad: int, prompts: PromptBatch) -> Responses:
    """On the device of the prompts."""
    ids = [torch.tensor(row) for row, _ in rows]
    mask = pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in ids], batch_first=True)
    unknown = torch.zeros(mask.shape).masked_fill(mask, float("nan"))
    responses = Responses(pad_sequence(ids, True, pad), mask, unknown, torch.tensor([finished for _, finished in rows]))
    return responses.to(prompts.prompt_ids.device)

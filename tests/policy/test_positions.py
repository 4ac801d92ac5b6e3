"""How far a model reads, and what goes beyond that."""

import pytest
from tiny_families import CASES
from transformers import AutoConfig, Gemma3TextConfig, LlamaConfig, Qwen2Config

from papo.errors import ConfigError
from papo.policy.positions import Within, positions_of

YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        (LlamaConfig(max_position_embeddings=4096), 4096),
        (Qwen2Config(max_position_embeddings=32768, rope_parameters=YARN), 131072),  # as Qwen2.5's pages have it
        (Qwen2Config(max_position_embeddings=131072, rope_parameters=YARN), 131072),
        (
            LlamaConfig(
                max_position_embeddings=4096,
                rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
            ),
            8192,
        ),
        (Gemma3TextConfig(max_position_embeddings=1024), 1024),  # of each kind of layer its own
    ],
)
def test_what_a_model_reads(config, positions):
    assert positions_of(config) == positions


@pytest.mark.parametrize("name", CASES)
def test_every_family_says_it(saved_family, name):
    assert positions_of(AutoConfig.from_pretrained(saved_family(name))) == 1024


def test_a_prompt_with_its_response_lies_within():
    assert Within(lambda item: 30, 40, 10)(None) == 30
    assert Within(lambda item: 31, None, 10)(None) == 31
    with pytest.raises(ValueError, match=r"prompt of 31 tokens and response of 10 \(rollout\.max_new_tokens\)"):
        Within(lambda item: 31, 40, 10)(None)


def test_a_response_that_leaves_no_room_is_refused():
    with pytest.raises(ConfigError, match=r"rollout\.max_new_tokens=40 leaves a prompt no room"):
        Within(lambda item: 1, 40, 40)

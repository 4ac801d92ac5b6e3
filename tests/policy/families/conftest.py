"""Each family's tiny model, loaded as a user loads it."""

import pytest
from tiny_families import CASES, OTHERS, VARIANTS

from papo.policy.loading import Loaded, load_policy
from papo.policy.processing import PromptProcessor
from papo.types import Item, PromptBatch, Responses

GROUP_SIZE = 2
LENGTHS = [5, 1, 3, 4, 2, 6, 4, 1]  # of two responses to each of four prompts


@pytest.fixture(params=CASES | VARIANTS | OTHERS, scope="session")
def family(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def folder(family, saved_family):
    return saved_family(family)


@pytest.fixture(scope="session")
def load(folder):
    def load(**settings) -> Loaded:
        return load_policy(folder, **{"dtype": "float32", "chunk_tokens": 100} | settings)

    return load


@pytest.fixture(scope="session")
def loaded(load) -> Loaded:
    """For tests that only look."""
    return load()


@pytest.fixture(scope="session")
def processor(loaded) -> PromptProcessor:
    return PromptProcessor(loaded.processor, "Think.")


@pytest.fixture(scope="session")
def items(family_items) -> tuple[Item, ...]:
    return family_items


@pytest.fixture(scope="session")
def prompts(processor, items) -> PromptBatch:
    return processor.prompts(items)


@pytest.fixture(scope="session")
def responses(make_responses) -> Responses:
    return make_responses(LENGTHS, width=7)

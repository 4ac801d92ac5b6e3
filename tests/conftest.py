"""Which tests are of which kind, and what all tests begin with."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: no test may reach for a network

import gc

import pytest

KINDS = {
    "integration": "integration",
    "config": "integration",  # composes and builds every file of conf/
    "test_conf.py": "integration",
    "test_schemas.py": "integration",  # reads eleven data sets from files of six formats
    "families": "integration",  # holds nine models to transformers' own numbers
    "test_families.py": "integration",
    "test_precision.py": "integration",
    "test_devices.py": "integration",
    "test_interrupts.py": "integration",  # starts processes
    "test_worker.py": "integration",  # likewise
    "test_plan.py": "integration",  # plans whole configurations
    "test_inspect.py": "integration",  # papo inspect
    "test_verbs.py": "integration",  # the commands
    "test_running.py": "integration",  # papo study run
    "test_own.py": "hostile",  # graders in processes of their own
    "test_notebooks.py": "notebook",
    "test_hostile.py": "hostile",
    "test_hacking.py": "hostile",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests that are not of the core, by where they lie and what they use."""
    for test in items:
        for part in test.path.relative_to(test.config.rootpath).parts:
            if part in KINDS:
                test.add_marker(KINDS[part])
        if "browser" in getattr(test, "fixturenames", ()):
            test.add_marker("browser")


def pytest_collection_finish() -> None:
    """What was imported stays: looking through it for garbage again and again would be a tenth of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_configure(config: pytest.Config) -> None:
    """The process that deals the tests out runs none, and does without what they share: seconds of imports."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tiny_policy")

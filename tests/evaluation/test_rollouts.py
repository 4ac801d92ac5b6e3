"""How long responses may be: what a run's recipe says, and what is said of those that were cut off."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from papo.evaluation.records import Record
from papo.evaluation.rollouts import as_trained, cut_off
from papo.overrides import CONF
from papo.report import GradedResponse

PAPER = {"_target_": "papo.policy.sampling.Sampling", "max_new_tokens": 2048, "temperature": 1.0, "top_p": 0.99}


@pytest.fixture
def command():
    """The configuration of a command."""

    def command(*overrides):
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("evaluate", [*overrides, "run_dir=."], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg

    yield command
    HydraConfig.instance().cfg = None
    GlobalHydra.instance().clear()


@pytest.fixture
def model(tmp_path):
    """A folder with a recipe."""

    def model(rollout):
        OmegaConf.save({"rollout": rollout, "seed": 3}, tmp_path / "papo.yaml")
        return f"model.path={tmp_path}"

    return model


def test_a_run_is_evaluated_with_its_own_rollout(command, model, capsys):
    cfg = command(model(PAPER))
    found = as_trained(cfg)
    assert dict(found.rollout) == {**PAPER, "top_k": 0}
    assert cfg.rollout.max_new_tokens == 40  # nothing is changed in place
    assert "rollout.max_new_tokens=2048 rollout.top_p=0.99; " in capsys.readouterr().out


@pytest.mark.parametrize("override", ["rollout=lab", "rollout=paper", "rollout.max_new_tokens=7", "rollout.top_k=3"])
def test_what_the_command_says_is_done(command, model, override, capsys):
    cfg = command(model({**PAPER, "max_new_tokens": 99}), override)
    assert as_trained(cfg) is cfg
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "recipe",
    [{**PAPER, "_target_": "os.system"}, {**PAPER, "max_new_tokens": 40, "top_p": 1.0}, None],
    ids=["code that comes with a model", "no other one", "none"],
)
def test_nothing_else_is_taken(command, model, recipe, capsys):
    cfg = command(model(recipe))
    assert as_trained(cfg) is cfg
    assert capsys.readouterr().out == ""
    assert as_trained(command("model.path=lab_qwen")).rollout.max_new_tokens == 40  # shipped with its recipe


def answered(id, *finished, view="image"):
    return Record(id, "?", "", {}, {view: tuple(GradedResponse("", "wrong", None, "", finished=f) for f in finished)})


def test_much_that_was_cut_off_is_said():
    records = {
        "few": {"a": [answered(str(n), *[n != 0] * 2) for n in range(100)]},
        "many": {"a": [answered("0", True, True, False, None)], "b": [answered("0", True, None)]},
        "blind": {"a": [answered("0", False, view="blind")]},
    }
    many, blind = cut_off(records, 40)
    assert many.startswith("many: 33.3 % of the responses of a were cut off after 40 tokens")
    assert blind.startswith("blind: 100.0 % ")
    assert "rollout.max_new_tokens" in many

"""A run's settings, as they are held against another's."""

from papo.settings import settings


def test_where_a_run_lies_and_how_it_got_there_are_no_settings():
    config = {"run_dir": "a/b", "overwrite": True, "resume": {"allow": ["seed"]}, "seed": 3, "log": "a/b/events"}
    config["callbacks"] = {"progress": {"refresh_rate": 2}}
    assert settings(config) == {"seed": 3, "log": "/events"}


def test_a_folder_whose_name_is_in_other_words_is_no_setting_either():
    def of(run_dir):
        return {"run_dir": run_dir, "engine": {"_target_": "papo.rollout.NativeEngine"}, "log": {"dir": run_dir}}

    assert settings(of("out")) == settings(of("a/b")) == {"engine._target_": "papo.rollout.NativeEngine", "log.dir": ""}


def test_a_folder_elsewhere_is_known_wherever_it_stands():
    def of(run_dir):
        own = {"_target_": "my.Callback", "to": run_dir, "all": [f"{run_dir}/a", "b"], "uri": f"file://{run_dir}/c"}
        return {"run_dir": run_dir, "callbacks": {"mine": own}, "data": f"{run_dir}s/of/another"}

    found, other = settings(of("/x/1")), settings(of("/y/z/2"))
    assert (found.pop("data"), other.pop("data")) == ("/x/1s/of/another", "/y/z/2s/of/another")
    assert found == other


def test_what_came_later_is_none_where_it_does_nothing():
    """Runs that were made before have no such key, and are no others for that."""
    data = {
        "require_image": False,
        "train": {"path": "x", "allow_outside": False},
        "val": {"path": "x", "allow_outside": True},
    }
    found = settings({"run_dir": "r", "data": data})
    assert found == {"data.train.path": "x", "data.val.path": "x", "data.val.allow_outside": True}


def test_one_process_is_what_every_run_was():
    strategy = {"devices": 1, "num_nodes": 1, "lightning": "auto"}
    lightning = {"strategy": "auto", "devices": 1, "num_nodes": 1}
    config = {
        "run_dir": "r",
        "strategy": strategy,
        "trainer": {"lightning": lightning},
        "engine": {"prompts_at_once": None},
        "algorithm": {"rollout_correction": None},
    }
    assert settings(config) == {}
    strategy["devices"] = lightning["devices"] = 2
    assert settings(config) == {"strategy.devices": 2, "trainer.lightning.devices": 2}

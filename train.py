"""python train.py experiment=papo_qwen mask_ratio=0.6"""

import hydra
from omegaconf import DictConfig

from papo import cli
from papo.sweep import going_on


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    from papo import train  # after Hydra has read the command line, which is quick

    return cli.guarded(going_on(train))(cfg)


if __name__ == "__main__":
    cli.run(main)

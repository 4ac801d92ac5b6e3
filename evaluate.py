"""python evaluate.py model.path=outputs/papo_qwen/<run>"""

import hydra
from omegaconf import DictConfig

from papo import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    from papo import evaluate  # after Hydra has read the command line, which is quick

    cli.guarded(evaluate)(cfg)


if __name__ == "__main__":
    cli.run(main)

"""python train.py experiment=papo_qwen mask_ratio=0.6"""

from papo import cli
from papo.verbs import train

if __name__ == "__main__":
    cli.run(train)

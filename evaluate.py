"""python evaluate.py model.path=outputs/papo_qwen/<run>"""

from papo import cli
from papo.verbs import evaluate

if __name__ == "__main__":
    cli.run(evaluate)

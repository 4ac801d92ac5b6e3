#!/usr/bin/env bash
# The lab's base model from nothing, by its three stages, and what it can do: bash experiments/lab_base/make.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-outputs/lab_base}

python train.py experiment=sft_lab_read hydra.run.dir="$out/read" overwrite=true
python train.py experiment=sft_lab_even model.path="$out/read" hydra.run.dir="$out/even" overwrite=true
python train.py experiment=sft_lab model.path="$out/even" hydra.run.dir="$out/base" overwrite=true
python evaluate.py model.path="$out/base" 'benchmarks=[lab,lab_guessable]' benchmarks.lab.size=2000 k=4 hydra.run.dir="$out/sampled"
python evaluate.py model.path="$out/base" 'benchmarks=[lab]' benchmarks.lab.size=2000 k=1 rollout.temperature=0 \
    'views=[image]' hydra.run.dir="$out/greedy"

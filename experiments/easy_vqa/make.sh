#!/usr/bin/env bash
# The base of data=easy_vqa from the lab's, by its two stages, and what it can do: bash experiments/easy_vqa/make.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-outputs/easy_vqa_base}

python train.py experiment=sft_easy_vqa_read hydra.run.dir="$out/read" overwrite=true
python train.py experiment=sft_easy_vqa model.path="$out/read" hydra.run.dir="$out/base" overwrite=true
python evaluate.py model.path="$out/base" 'benchmarks=[easy_vqa]' benchmarks.easy_vqa.split=test benchmarks.easy_vqa.even=true \
    benchmarks.easy_vqa.size=2000 k=4 hydra.run.dir="$out/sampled"

# Needs the environment of requirements.txt, active.
.PHONY: test lint mutation

test:
	pytest

lint:
	ruff format --check . && ruff check .

# An hour and a half: deliberately breaks objective/ and corruption/ and counts what the tests notice (experiments/mutation).
mutation:
	python -m pip install --quiet mutmut==3.8.1
	rm -rf mutants
	OMP_NUM_THREADS=1 mutmut run
	OMP_NUM_THREADS=1 python experiments/mutation/left_out.py
	python experiments/mutation/score.py

# Needs the environment of requirements.txt, active.
.PHONY: test lint mutation grading-oracle

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

# Where the tests of math-verify disagree with our graders, which never run it (experiments/grading_oracle).
grading-oracle:
	rm -rf outputs/oracle && mkdir -p outputs/oracle
	python -m pip download --quiet --no-deps --no-binary :all: math-verify==0.9.0 -d outputs/oracle
	tar -xf outputs/oracle/*.tar.gz -C outputs/oracle
	python experiments/grading_oracle/run.py outputs/oracle

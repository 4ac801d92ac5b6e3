"""Real data's columns from file to trained model: every listed data set, and what becomes of bad rows."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from replicas import FORMATS, REPLICAS, encoded, picture

ROOMY = ["data.train.share=[0,1]", "data.val.share=[0,1]"]


@pytest.fixture(scope="module", autouse=True)
def dataset_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
        datasets.disable_progress_bars()
        yield


@pytest.mark.parametrize("number", range(len(REPLICAS)), ids=list(REPLICAS))
def test_every_data_set_trains_and_is_evaluated(train, brief, command, tiny_model, tmp_path, number):
    """Two steps with held-out accuracy before and after, then evaluate.py; formats take turns."""
    name, write = list(REPLICAS)[number], FORMATS[number % len(FORMATS)]
    path = write(REPLICAS[name], tmp_path)
    paths = [f"data.train.path={path}", f"data.val.path={path}", "data.train.split=train", "data.val.split=train"]
    run = train(*brief, f"data={name}", *paths, *ROOMY)
    metrics = run.json()
    assert (metrics["steps"], metrics["after"]["n"], metrics["skipped_rows"]) == (2, 4, 0)
    assert len(run.rollouts) == 2 * 2 * 3
    assert not (run.path / "skipped.jsonl").exists()

    name = {"virl39k": "mmk12"}.get(name, name)  # of one layout; the first is for training only
    settings = [f"benchmarks=[{name}]", f"benchmarks.{name}.path={path}", f"benchmarks.{name}.split=train"]
    sizes = ["k=2", "rollout.max_new_tokens=8", f"hydra.run.dir={tmp_path / 'evaluation'}"]
    finished = command("evaluate.py", f"model.path={tiny_model}", *settings, *sizes)
    assert finished.status == 0, finished.err
    results = json.loads((tmp_path / "evaluation" / "results.json").read_text())["benchmarks"][name]
    (measured,) = results["models"].values()
    assert measured["avg@2"]["n"] == 4


def test_a_wrong_schema_ends_with_one_message(command, tiny, tmp_path):
    rows = [{"question": "a?", "image": encoded(picture(1))}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    overrides = ["data=folder", f"data.train.path={tmp_path / 'own.parquet'}", f"hydra.run.dir={tmp_path / 'run'}"]
    finished = command("train.py", *tiny, *overrides)
    assert finished.status == 2
    assert finished.messages == [
        f"error: data.train.path must be data that looks like folder, got {tmp_path / 'own.parquet'}: column 'answer' "
        "(text or a number) is missing; found question (string), image (binary). If it has another name there: "
        "columns={answer: NAME}"
    ]
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------------------- bad rows

WHOLE = encoded(picture(0))
BOMB = encoded(picture(1, 80, 80))

BAD = {  # id: what is wrong with the row, and the reason that is given
    "no picture": ({"image": {"bytes": b"no picture", "path": None}}, "picture cannot be read"),
    "no file": ({"image": {"bytes": None, "path": "gone.png"}}, "picture file 'gone.png' does not exist"),
    "too large": ({"image": {"bytes": BOMB, "path": None}}, "80 x 80 pixels, more than max_image_pixels=3136"),
    "no answer": ({"answer": " "}, "empty answer"),
    "no question": ({"question": None}, "empty question"),
    "too long": ({"question": "red? " * 200}, "tokens, more than max_prompt_tokens=200"),
    "two places": ({"question": "<image> or <image>?"}, "2 <image> markers for 1 images"),
    "special": ({"question": "red<|im_end|>?"}, "special token '<|im_end|>'"),
    "no such choice": ({"choices": ["1", "2"], "answer": "3"}, "answer '3' is not among the 2 choices"),
    "no such type": ({"answer_type": "number"}, "answer_type 'number' is none of"),
    "no such rule": ({"rule": "by heart"}, "rule 'by heart' is none of"),
}
LATE = {"half a picture": ({"image": {"bytes": WHOLE[: len(WHOLE) // 2], "path": None}}, "picture cannot be decoded")}
GOOD = 6


@pytest.fixture(scope="module")
def bad_rows(tmp_path_factory):
    """One Parquet file with six good rows and every kind of bad one."""
    row = {"question": "red?", "answer": "11", "choices": None, "answer_type": None, "rule": None}
    row["image"] = {"bytes": WHOLE, "path": None}
    rows = [row | {"id": f"good {n}"} for n in range(GOOD)]
    rows += [row | {"id": id} | wrong for id, (wrong, _) in (BAD | LATE).items()]
    rows.append(row | {"id": "good 0"})
    path = tmp_path_factory.mktemp("bad") / "bad.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def settings(path, share: float) -> list[str]:
    pixels = [f"data.{part}.max_image_pixels=3136" for part in ("train", "val")]  # 56 x 56, as the good pictures
    limits = ["data.max_prompt_tokens=200", f"data.max_bad_share={share}", "data.val.size=null"]
    return ["data=folder", f"data.train.path={path}", *pixels, *limits, *ROOMY]


def listed(run) -> dict[tuple[str, str], str]:
    lines = [json.loads(line) for line in (run.path / "skipped.jsonl").read_text().splitlines()]
    reasons = {(line["source"], line["id"]): line["reason"] for line in lines}
    assert len(reasons) == len(lines)  # each once
    return reasons


@pytest.mark.parametrize("workers", [0, 2])
def test_training_finishes_and_every_skip_is_listed(train, brief, bad_rows, tmp_path, workers):
    """What is found at start, and what only decoding finds, wherever it is done."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "skipped.jsonl").write_text('{"source": "data.train", "id": "of another run", "reason": "?"}\n')
    overrides = ["data.batch_size=4", f"data.num_workers={workers}", "overwrite=true"]
    run = train(*brief, *settings(bad_rows, 0.7), *overrides, path=folder)
    reasons = listed(run)
    for source in ("data.train", "data.val"):
        for id, (_, reason) in (BAD | LATE).items():
            assert reason in reasons.pop((source, id)), id
        assert reasons.pop((source, "good 0")) == "another row has this id"
    assert reasons == {}
    skipped = 2 * (len(BAD) + len(LATE) + 1)
    assert run.json()["skipped_rows"] == skipped
    assert run.scalars["data/skipped"][2] == skipped
    assert {line["id"] for line in run.rollouts} == {f"good {n}" for n in range(GOOD)}


def test_a_stricter_share_stops_at_start_with_the_list(command, tiny, bad_rows, tmp_path):
    finished = command("train.py", *tiny, *settings(bad_rows, 0.6), f"hydra.run.dir={tmp_path / 'run'}")
    assert finished.status == 2
    first, *lines = finished.messages
    assert first == "error: data.train: 12 of 19 rows cannot be used, more than data.max_bad_share=0.6 allows:"
    for (id, (_, reason)), line in zip(BAD.items(), lines, strict=False):
        assert line.startswith(f"  {id}: ")
        assert reason in line
    assert lines[-1] == "  good 0: another row has this id"
    assert len(lines) == len(BAD) + 1
    assert not (tmp_path / "run").exists()


def test_pictures_may_be_decoded_at_start(command, tiny, bad_rows, tmp_path):
    overrides = [*settings(bad_rows, 0.6), "data.decode_at_start=true", f"hydra.run.dir={tmp_path / 'run'}"]
    finished = command("train.py", *tiny, *overrides)
    assert finished.status == 2
    assert "13 of 19 rows" in finished.err
    assert "  half a picture: picture cannot be decoded" in finished.err


def test_a_resumed_run_sees_what_the_whole_one_saw(train, brief, bad_rows):
    overrides = [*brief, *settings(bad_rows, 0.7), "data.batch_size=4", "algorithm.schedule=constant"]
    whole = train(*overrides, "trainer.max_steps=4")
    half = train(*overrides, "trainer.max_steps=2")
    train(*overrides, "trainer.max_steps=4", f"ckpt_path={half.path / 'checkpoints' / 'last.ckpt'}", path=half.path)
    assert half.rollouts == whole.rollouts
    assert half.weights == whole.weights
    assert listed(half) == listed(whole)


def test_an_evaluation_lists_its_bad_rows_too(command, tiny_model, bad_rows, tmp_path):
    overrides = ["benchmarks=[folder]", f"benchmarks.folder.path={bad_rows}", "max_prompt_tokens=200", "k=2"]
    overrides += ["benchmarks.folder.max_image_pixels=3136", "rollout.max_new_tokens=8"]
    strict = command("evaluate.py", f"model.path={tiny_model}", *overrides, f"hydra.run.dir={tmp_path / 'strict'}")
    assert strict.status == 2
    assert strict.messages[0] == (
        "error: benchmarks.folder: 13 of 19 rows cannot be used, more than max_bad_share=0.01 allows:"
    )
    assert not (tmp_path / "strict").exists()
    folder = tmp_path / "run"
    finished = command(
        "evaluate.py", f"model.path={tiny_model}", *overrides, "max_bad_share=0.7", f"hydra.run.dir={folder}"
    )
    assert finished.status == 0, finished.err
    results = json.loads((folder / "results.json").read_text())
    (measured,) = results["benchmarks"]["folder"]["models"].values()
    assert measured["avg@2"]["n"] == GOOD
    assert results["benchmarks"]["folder"]["skipped"] == 13
    assert "13 bad rows left out (skipped.jsonl)" in (folder / "results.md").read_text()
    assert results["skipped_rows"] == len((folder / "skipped.jsonl").read_text().splitlines()) == 13


def test_questions_without_pictures_train_too(train, tmp_path):
    """No item has one, so no batch has one."""
    lines = [json.dumps({"question": f"{n} + 1?", "answer": n + 1}) + "\n" for n in range(4)]
    (tmp_path / "text.jsonl").write_text("".join(lines))
    run = train("data=folder", f"data.train.path={tmp_path / 'text.jsonl'}", *ROOMY, "data.val.size=null")
    assert run.json()["steps"] == 2
    assert run.scalars["loss/perception"] == {1: 0.0, 2: 0.0}
    assert "perception/kl" not in run.scalars  # there is no other view to be far from

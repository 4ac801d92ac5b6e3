"""evaluate.py rescore=DIR: saved answers under another grader, without a model."""

import json
import re
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import OmegaConf
from PIL import Image

from papo import evaluate
from papo.data.sources import table_source
from papo.errors import ConfigError
from papo.evaluation.records import Record
from papo.evaluation.results import records_file
from papo.report import GradedResponse
from papo.rewards.grading import own
from papo.study.composing import hydra

WRITTEN = {"changes.jsonl", "config.yaml", "provenance.json", "records", "results.json", "results.md"}
GOLDS = {"half": r"\frac{1}{2}", "twelve": "12", "root": r"\sqrt{2}"}
TAGS = {"kind": "number"}


STRICT = "def strict(item, response):\n    return item.answer in response\n"  # letter by letter


@pytest.fixture
def own_grader(tmp_path, monkeypatch):
    """The dotted path of STRICT."""
    (tmp_path / "letter_by_letter.py").write_text(STRICT)
    monkeypatch.syspath_prepend(tmp_path)
    own._stop()  # a new process may import it
    yield "letter_by_letter.strict"
    own._stop()


@pytest.fixture
def data(tmp_path):
    """Three questions of one's own."""
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    rows = [
        {"id": id, "question": f"How much is {id}?", "answer": gold, "rule": "math", "image": "picture.png"}
        for id, gold in GOLDS.items()
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def saved(data, tmp_path):
    """Writes the folder of an evaluation: what each model boxed, all with one verdict."""

    def saved(name, models, verdict="wrong", **settings):
        folder = tmp_path / name
        for number, (model, boxed) in enumerate(models.items()):
            file = records_file(folder, number, model, "folder")
            file.parent.mkdir(parents=True)
            records = [
                Record(id, f"How much is {id}?", GOLDS[id], TAGS, {"image": tuple(map(graded(verdict), answers))})
                for id, answers in boxed.items()
            ]
            file.write_text("".join(record.to_json() + "\n" for record in records))
        results = {"models": list(models), "k": 2, "temperature": 1.0, "seed": 0, "skipped_rows": 0}
        results |= {"schema": 2, "views": {"image": None}, "benchmarks": {"folder": {}}}
        (folder / "results.json").write_text(json.dumps(results))
        source = {"_target_": "papo.data.sources.table_source", "schema": "folder", "path": str(data)}
        config = {"prompt": {"instruction": "Box it."}, "benchmarks": {"folder": source}, **settings}
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
        return folder

    return saved


def graded(verdict):
    return lambda boxed: GradedResponse(rf"so \boxed{{{boxed}}}", verdict, boxed, "then", ("so", " x"), (0.5, 0.25))


@pytest.fixture
def rescore(tmp_path, capsys):
    """Grades a folder anew: results, what is printed, and the new folder."""

    def rescore(folder, *overrides, to="anew"):
        with hydra():
            out = tmp_path / to
            cfg = compose("evaluate", [f"rescore.path={folder}", f"run_dir={out}", *overrides])
            results = evaluate(cfg)
        return results, capsys.readouterr().out, out

    return rescore


ANSWERS = {"half": ["0.5", "2/4"], "twelve": ["12.0", "13"], "root": ["1.41", r"\sqrt{2}"]}


def test_the_present_rule_of_the_data_grades(saved, rescore):
    results, printed, out = rescore(saved("then", {"m": ANSWERS}))
    assert {file.name for file in out.iterdir()} == WRITTEN
    assert results == json.loads((out / "results.json").read_text())
    assert (results["models"], results["k"], results["temperature"], results["schema"]) == (["m"], 2, 1.0, 2)
    assert results["benchmarks"]["folder"]["models"]["m"]["avg@2"]["mean"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    of = results["rescored"]["benchmarks"]["folder"]["m"]
    assert (of["responses"], of["changes"]) == (6, {"wrong to correct": {"responses": 4, "items": 3}})
    assert of["differences"]["avg@2"]["mean"] == pytest.approx(2 / 3)
    assert "6 responses graded in" in printed
    assert (out / "results.md").read_text().strip() in printed
    assert "| wrong to correct | 4 of 3 items |" in printed
    (file,) = (out / "records").glob("*/*.jsonl")
    records = [Record.from_json(line) for line in file.read_text().splitlines()]
    assert [[response.verdict for response in record.views["image"]] for record in records] == [
        ["correct", "correct"], ["correct", "wrong"], ["wrong", "correct"],
    ]  # fmt: skip
    first = records[0].views["image"][0]
    assert (first.text, first.tokens, first.kl) == (r"so \boxed{0.5}", ("so", " x"), (0.5, 0.25))
    assert "0.5" in first.reason


def test_every_change_is_written_with_its_reasons(saved, rescore):
    _, printed, out = rescore(saved("then", {"m": ANSWERS}))
    rows = [json.loads(line) for line in (out / "changes.jsonl").read_text().splitlines()]
    assert [(row["item"], row["response"]) for row in rows] == [("half", 0), ("half", 1), ("twelve", 0), ("root", 1)]
    assert rows[2] == {
        "benchmark": "folder",
        "model": "m",
        "item": "twelve",
        "view": "image",
        "response": 0,
        "right": "12",
        "before": {"verdict": "wrong", "answer": "12.0", "reason": "then"},
        "now": {"verdict": "correct", "answer": "12.0", "reason": rows[2]["now"]["reason"]},
        "text": r"so \boxed{12.0}",
    }
    assert "4 of 4; all, with their texts, are in changes.jsonl" in printed


def test_graders_are_compared_one_after_the_other(saved, rescore, own_grader):
    """What exact says, then what a grader of one's own says of the same answers."""
    first, _, exact = rescore(saved("then", {"m": ANSWERS}), "rescore.rule=exact", to="exact")
    assert first["benchmarks"]["folder"]["models"]["m"]["avg@2"]["mean"] == pytest.approx((0 + 0 + 0.5) / 3)
    second, _, out = rescore(exact, f"rescore.rule={own_grader}", to="own")
    assert second["rescored"]["from"] == [str(exact)]
    assert second["rescored"]["rule"] == own_grader
    rows = [json.loads(line) for line in (out / "changes.jsonl").read_text().splitlines()]
    assert [(row["item"], row["response"], row["now"]["verdict"]) for row in rows] == [("twelve", 0, "correct")]
    assert second["benchmarks"]["folder"]["models"]["m"]["avg@2"]["mean"] == pytest.approx((0 + 0.5 + 0.5) / 3)


CARD = "source: a paper, measured: all, figures: {m: [60, 61.5]}, prompt: Box it., pixels: null, grader: rule math"


def test_published_figures_stand_beside_ours(saved, rescore):
    card = f"+published.folder.report={{{CARD}, temperature: 0}}"
    results, printed, out = rescore(saved("then", {"m": ANSWERS}), card)
    assert results["published"]["folder"]["report"]["differs"] == ["temperature"]
    assert results["published"]["folder"]["ours"]["grader"] == "rule math"
    assert "| m     | 60.0 to 61.5" in printed
    assert "another temperature; not known: pixels" in printed
    again, _, _ = rescore(out, "rescore.rule=exact", to="again")  # which has them in its settings
    assert again["published"]["folder"]["report"]["differs"] == ["grader", "temperature"]


@pytest.mark.parametrize(
    ("temperature", "message"),
    [("-1", "published.folder.report.temperature must not be negative, got -1"), ("1, x: 1", "report.x is unknown")],
)
def test_a_card_that_cannot_be_is_refused(saved, rescore, temperature, message):
    with pytest.raises(ConfigError, match=message):
        rescore(saved("then", {"m": ANSWERS}), f"+published.folder.report={{{CARD}, temperature: {temperature}}}")


def test_a_judge_reads_what_no_rule_can(saved, data, rescore, monkeypatch):
    """Off by default; what it was asked and replied is kept, and named wherever its figures stand."""
    data.write_text(
        data.read_text().replace("half", "two").replace(r"\\frac{1}{2}", "2").replace('"math"', '"mathvista"')
    )
    folder = saved("then", {"m": {"twelve": ["12", "12"]}})
    (file,) = (folder / "records").rglob("*.jsonl")
    file.write_text(file.read_text().replace(r"so \\boxed{12}", "it is a dozen", 1))
    without, _, _ = rescore(folder, to="without")
    assert without["benchmarks"]["folder"]["models"]["m"]["avg@2"]["mean"] == 0.5
    monkeypatch.setattr("papo.evaluation.judge.Judge.ask", lambda judge, prompt: "12")
    server = ["rescore.judge.url=http://localhost:8000/v1", "rescore.judge.model=reader"]
    card = f"+published.folder.report={{{CARD}, temperature: 0}}"
    results, printed, out = rescore(folder, *server, card, to="judged")
    assert "; asked of the judge reader: 1, " in printed
    assert results["benchmarks"]["folder"]["models"]["m"]["avg@2"]["mean"] == 1
    assert results["rescored"]["judge"] == {"model": "reader", "asked": 1}
    assert results["published"]["folder"]["ours"]["grader"] == "rule mathvista, then the judge reader"
    (row,) = (json.loads(line) for line in (out / "judge.jsonl").read_text().splitlines())
    assert (row["item"], row["reply"], row["verdict"]) == ("twelve", "12", "correct")
    assert "it is a dozen" in row["prompt"]


def test_the_first_items_alone(saved, rescore):
    results, printed, _ = rescore(saved("then", {"m": ANSWERS}), "limit=2")
    assert (results["limit"], results["benchmarks"]["folder"]["items"]) == (2, 2)
    assert "of the first 2 rows alone" in printed


def test_nothing_that_changed_is_said(saved, rescore):
    right = {id: [gold] for id, gold in GOLDS.items()}
    _, printed, out = rescore(saved("then", {"m": right}, verdict="correct"))
    assert "none changed" in printed
    assert "now less before" not in printed
    assert (out / "changes.jsonl").read_text() == ""


def test_two_evaluations_are_paired_on_what_both_answered(saved, rescore):
    less = {id: ["13", gold] for id, gold in list(GOLDS.items())[:2]}
    first = saved("one", {"m": ANSWERS}, rollout={"top_p": 1.0})
    second = saved("two", {"m": less, "n": less}, rollout={"top_p": 0.5})
    results, printed, _ = rescore(first, f"compare=[{second}]")
    assert results["models"] == [f"{first}: m", f"{second}: m", "n"]
    of = results["benchmarks"]["folder"]
    assert of["items"] == 2
    assert of["differences"][f"{first}: m - n"]["avg@2"]["mean"] == pytest.approx(((1 - 0.5) + (0.5 - 0.5)) / 2)
    assert "2 items that were answered in all of" in printed
    assert "how they were asked" in printed  # nobody knows at which sizes of pictures
    for model in (f"{second}: m", "n"):
        assert re.search(rf"^\| {re.escape(model)} +\| rollout.top_p +\| 0.5 +\| 1.0 ", printed, re.MULTILINE)


def test_answers_about_other_pictures_are_not_paired(saved, rescore):
    """Two data sets may name their items alike and ask the same of other pictures, with other right answers."""
    first, second = saved("one", {"m": ANSWERS}), saved("two", {"n": ANSWERS})
    for folder, picture in ((first, "a"), (second, "b")):
        (file,) = (folder / "records").rglob("*.jsonl")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        rows[0]["picture"] = "same"
        rows[1]["picture"] = picture
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    other = f"benchmarks.folder: {list(ANSWERS)[1]} shows another picture in {second} than in {first}: "
    with pytest.raises(ConfigError, match=re.escape(other)):
        rescore(first, f"compare=[{second}]")
    # The second is not looked at; "same" is the picture of nothing here.
    rescore(first, f"compare=[{second}]", "limit=1", "rescore.min_agreement=0")


def test_the_data_may_lie_elsewhere_by_now(saved, data, command, tmp_path):
    folder = saved("then", {"m": ANSWERS})
    moved = data.rename(data.with_name("moved.jsonl"))
    gone = command("evaluate.py", f"rescore={folder}", f"hydra.run.dir={tmp_path / 'out'}")
    assert (gone.status, gone.messages) == (2, [f"error: benchmarks.folder.path must exist, got {data}"])
    named = ["benchmarks=[folder]", f"benchmarks.folder.path={moved}"]
    found = command("evaluate.py", f"rescore={folder}", *named, f"hydra.run.dir={tmp_path / 'out'}")
    assert found.status == 0, found.err
    assert {file.name for file in (tmp_path / "out").iterdir()} == WRITTEN


def test_no_model_is_loaded(saved, rescore, monkeypatch):
    monkeypatch.setattr("papo.evaluation.run.PromptProcessor", None)
    results, _, _ = rescore(saved("then", {"m": ANSWERS}), "model.path=/nowhere")
    assert results["models"] == ["m"]


def test_rows_in_another_order_are_not_graded(tmp_path, saved, data, rescore):
    """One question for all, and no ids: only the pictures say which row is which."""
    rows = []
    for number, gold in enumerate(GOLDS.values()):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / f"{number}.png")
        rows.append({"question": "How much?", "answer": gold, "rule": "math", "image": f"{number}.png"})

    def write(rows):
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    write(rows)
    items = list(map(table_source(schema="folder", path=str(data)).__getitem__, range(3)))
    folder = saved("then", {"m": ANSWERS})
    responses = tuple(map(graded("wrong"), ("1", "2")))
    records = [Record(item.id, item.question, item.answer, {}, {"image": responses}, item.picture) for item in items]
    next(folder.rglob("folder.jsonl")).write_text("".join(record.to_json() + "\n" for record in records))
    rescore(folder)
    write(rows[1:] + rows[:1])
    with pytest.raises(ConfigError, match=r"3 of 3 items show another picture .*, whose is that of folder-2 by now"):
        rescore(folder, to="moved")
    write(rows)
    for number in range(3):  # the same ones, as another file format has them
        Image.new("RGB", (64, 64), (number, 1, 0)).save(tmp_path / f"{number}.png")
    with pytest.raises(ConfigError, match=r"3 of 3 items show another picture .* or lower rescore.min_agreement"):
        rescore(folder, to="other")
    _, printed, _ = rescore(folder, "rescore.min_agreement=0", to="let_in")
    assert "3 of 3 items show another picture than was answered" in printed


def test_an_answer_that_was_mended_counts(saved, data, rescore):
    data.write_text(data.read_text().replace('"12"', '"13"'))
    _, _, out = rescore(saved("then", {"m": ANSWERS}))
    rows = [json.loads(line) for line in (out / "changes.jsonl").read_text().splitlines()]
    assert [(row["item"], row["right"]) for row in rows if row["item"] == "twelve"] == [("twelve", "13")]


JUDGE = ["rescore.judge.url=http://localhost:1/v1", "rescore.judge.model=m"]


@pytest.mark.parametrize(
    ("mend", "overrides", "message"),
    [
        (lambda folder, data: (folder / "results.json").unlink(), [], "no finished evaluation: results.json"),
        (lambda folder, data: (folder / "config.yaml").write_text("a: ["), [], "an evaluation that cannot be read"),
        (lambda folder, data: (folder / "config.yaml").write_text("a: 1"), [], "an evaluation that cannot be read"),
        (
            lambda folder, data: next(folder.rglob("*.jsonl")).write_text('{"id": 1}\n'), [],
            "an evaluation that cannot be read",
        ),
        (
            lambda folder, data: data.write_text(data.read_text().replace('"half"', '"other"')), [],
            "benchmarks.folder lacks 1 of the 3 items that were answered, such as half",
        ),
        (
            lambda folder, data: data.write_text(data.read_text().replace("is half", "was half")), [],
            "item half asks something else",
        ),
        (
            lambda folder, data: (folder / "config.yaml").write_text(
                (folder / "config.yaml").read_text().rstrip("\n") + "\n    streaming: true\n"
            ),
            [],
            "benchmarks.folder must be one source, not streamed",
        ),
        (lambda folder, data: None, JUDGE, "rescore.judge.url=http://localhost:1/v1 would never be asked"),
        (lambda folder, data: None, ["rescore.rule=exact", *JUDGE], "/v1 would never be asked"),
        (lambda folder, data: None, ["rescore.rule=maths"], "rescore.rule must be one of exact"),
        (lambda folder, data: None, ["rescore.rule=no.such"], "rule no.such of item half cannot be imported"),
        (lambda folder, data: None, ["guessable=true"], "guessable must be false with rescore=DIR"),
        (lambda folder, data: None, ["compare=[/nowhere]"], "compare.0 must exist, got /nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_graded_is_told_and_nothing_written(saved, data, rescore, tmp_path, mend, overrides, message):
    folder = saved("then", {"m": ANSWERS})
    mend(folder, data)
    with pytest.raises(ConfigError, match=message):
        rescore(folder, *overrides)
    assert not (tmp_path / "anew").exists() or not list((tmp_path / "anew").iterdir())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["rescore=/nowhere"], "rescore.path must exist, got /nowhere"),
        (["rescore={folder}", "hydra.run.dir={folder}"], "holds the answers themselves"),
        (["rescore={folder}", "compare=[{folder}]"], "name answers twice"),
        (["rescore={folder}", "benchmarks=[lab]"], "has no answers to benchmarks=lab, only to folder"),
        (["rescore.rule=math"], "rescore.rule=math needs rescore=DIR"),
        (["rescore.judge.url=http://localhost:1/v1"], "rescore.judge.url=http://localhost:1/v1 needs rescore=DIR"),
        (["rescore.judge.model=m"], "rescore.judge.model=m needs rescore=DIR"),
        (["rescore.score=s"], "rescore.score=s needs rescore=DIR"),
        (["rescore={folder}", "rescore.score=s"], "rescore.score=s must be null where no file of another tool is read"),
        (["rescore={folder}", "rescore.judge.model=m"], "rescore.judge.model=m needs rescore.judge.url"),
        (["rescore={folder}", "k=3", "views=[image]", "limit=2"], "k=3, views=[image] would change nothing"),
        (["rescore={folder}", "model=qwen2_5_vl_3b"], "model=qwen2_5_vl_3b would change nothing"),
        (["rescore={folder}", "rollout.temperature=0"], "rollout.temperature=0 would change nothing"),
        (["rescore={folder}", "rescore.judge.url=http://example.com"], "rescore.judge.url must be http://localhost"),
        (["rescore={folder}", "rescore.judge.url=http://localhost:1/v1"], "rescore.judge.model must name the model"),
    ],
)
def test_mistakes_on_the_command_line(saved, command, tmp_path, overrides, message):
    folder, out = saved("then", {"m": ANSWERS}), tmp_path / "out"
    finished = command("evaluate.py", f"hydra.run.dir={out}", *(text.format(folder=folder) for text in overrides))
    assert finished.status == 2
    assert message in finished.err
    assert len(finished.messages) == 1
    assert not out.exists()


def test_a_hostile_answer_cannot_act_on_the_terminal(saved, rescore):
    hostile = "\x1b[2J\u202e|"
    answers = ANSWERS | {"twelve": [f"12}} \\boxed{{{hostile}", "13"]}
    _, printed, _ = rescore(saved("then", {"m": answers}, verdict="correct"))
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "␛[2J" in printed


# ------------------------------------------------------------------------------------------------- files of other tools

THEIRS = Path(__file__).parents[1] / "evaluation" / "exchange" / "theirs"


def named(data):
    """The benchmark that such a file answers, as this command would name it."""
    return ["benchmarks=[folder]", f"benchmarks.folder.path={data}"]


@pytest.mark.parametrize(
    ("name", "means"),
    [("lmms_eval_k1.jsonl", [1, 0, 0]), ("lmms_eval_k2.jsonl", [1, 0, 0.5]), ("lmms_eval_reasoning.jsonl", [1, 0, 0])],
)
def test_samples_of_lmms_eval_are_graded(data, rescore, name, means):
    results, printed, _out = rescore(THEIRS / name, *named(data))
    k = 2 if name.endswith("k2.jsonl") else 1
    (model,) = results["models"]
    assert (model, results["k"], results["temperature"]) == (str(THEIRS / name), k, None)
    found = results["benchmarks"]["folder"]["models"][model]
    assert found[f"avg@{k}"]["mean"] == pytest.approx(sum(means) / 3)
    assert results["rescored"]["benchmarks"]["folder"] == {}
    assert "readable" not in found  # nobody knows what format was asked for
    assert "verdicts before and now" not in printed


def test_where_their_grader_differs(data, rescore):
    """Theirs compared letter by letter: it took 12 for right, which no box holds, and not the half."""
    results, _printed, out = rescore(THEIRS / "lmms_eval_k1.jsonl", *named(data), "rescore.score=exact_match")
    (of,) = results["rescored"]["benchmarks"]["folder"].values()
    one = {"responses": 1, "items": 1}
    assert of["changes"] == {"wrong to correct": one, "correct to wrong": one}
    rows = [json.loads(line) for line in (out / "changes.jsonl").read_text().splitlines()]
    assert [row["before"]["reason"] for row in rows] == ["exact_match = 0.0", "exact_match = 1.0"]


def test_predictions_of_vlmevalkit_are_paired_with_ours(saved, data, rescore):
    """Three answers of ours to each of theirs: avg@2 less avg@1."""
    ours, theirs = saved("ours", {"m": ANSWERS}), THEIRS / "vlmevalkit.xlsx"
    results, _printed, _ = rescore(ours, f"compare=[{theirs}]")
    assert results["models"] == ["m", str(theirs)]
    (compared,) = results["benchmarks"]["folder"]["differences"].values()
    assert compared["avg@2 - avg@1"]["mean"] == pytest.approx(((1 - 1) + (0.5 - 0) + (0.5 - 0)) / 3)
    assert list(results["rescored"]["benchmarks"]["folder"]) == ["m"]


def test_a_graded_file_is_graded_again(data, rescore):
    """Its config.yaml knows no instruction either."""
    first, _, out = rescore(THEIRS / "lmms_eval_k1.jsonl", *named(data))
    again, _, _ = rescore(out, to="again")
    (model,) = first["models"]
    assert again["benchmarks"]["folder"]["models"] == {model: first["benchmarks"]["folder"]["models"][model]}


@pytest.mark.parametrize("format", ["lmms_eval", "vlmevalkit", "vlmevalkit_xlsx"])
def test_what_is_exported_comes_back(saved, data, rescore, format):
    first, _, out = rescore(saved("ours", {"m": ANSWERS}), f"export=[{format}]")
    (file,) = (path for path in (out / "exports").rglob("*") if path.is_file())
    again, printed, back = rescore(file, *named(data), to="back")
    assert again["benchmarks"]["folder"]["models"][str(file)] == first["benchmarks"]["folder"]["models"]["m"]
    assert "none changed" in printed
    ours, theirs = ([json.loads(line) for line in next(of.rglob("folder.jsonl")).open()] for of in (out, back))
    assert ours == theirs


def test_their_answers_keep_what_they_came_with(data, rescore):
    _, _, out = rescore(THEIRS / "lmms_eval_k2.jsonl", *named(data), "export=[lmms_eval]")
    (file,) = (path for path in (out / "exports").rglob("*.jsonl") if path.is_file())
    rows = [json.loads(line) for line in file.read_text().split("\n") if line]
    theirs = [json.loads(line) for line in (THEIRS / "lmms_eval_k2.jsonl").read_text().split("\n") if line]
    assert [{name: row[name] for name in row if name != "papo"} for row in rows] == theirs
    assert [row["papo"]["views"]["image"][0]["verdict"] for row in rows] == ["correct", "wrong", "wrong"]


@pytest.mark.parametrize(
    ("mend", "overrides", "message"),
    [
        (lambda text: text.replace("is half", "was").replace("frac", "d"), [], "1 of 3 rows have neither the question"),
        (lambda text: text.replace('"doc_id": 1', '"doc_id": 7'), [], "answers row 7, and 0 more, which benchmarks"),
        (lambda text: text.replace('"doc_id": 1', '"doc_id": 0'), [], "answers item half twice"),
        (lambda text: text.replace('"resps"', '"other"', 1), [], r"as many answers to each item, got \[1, 2\]"),
        (lambda text: text, ["rescore.score=acc"], "rescore.score=acc must be a field of"),
        (lambda text: text, ["rescore.score=exact_match"], "must be 0 or 1 for one response"),
        (lambda text: "", [], "has no answers"),
        (lambda text: text[:50], [], "line 1 is no sample of lmms-eval"),
        (lambda text: text, ["benchmarks=[folder,lab]"], "benchmarks must name the one that"),
    ],
)  # fmt: skip
def test_a_file_that_answers_something_else_is_refused(data, rescore, tmp_path, mend, overrides, message):
    file = tmp_path / "samples.jsonl"
    file.write_text(mend((THEIRS / "lmms_eval_k2.jsonl").read_text()))
    with pytest.raises(ConfigError, match=message) as refused:
        rescore(file, *named(data), *overrides)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "anew").exists()


def test_rows_that_look_like_others_may_be_allowed(data, rescore, tmp_path):
    file = tmp_path / "samples.jsonl"
    file.write_text((THEIRS / "lmms_eval_k1.jsonl").read_text().replace("is half", "was").replace("frac", "d"))
    _, printed, _ = rescore(file, *named(data), "rescore.min_agreement=0.6")
    assert "1 of 3 rows have neither the question nor the answer of their item" in printed


def test_an_evaluation_writes_them_too(command, tiny_model, tmp_path):
    settings = [f"model.path={tiny_model}", "k=2", "rollout.max_new_tokens=8", "benchmarks.lab.size=3", "views=[image]"]
    settings += ["report.first_items=0", "report.looking_items=0", "export=[lmms_eval,vlmevalkit]"]
    finished = command("evaluate.py", *settings, f"hydra.run.dir={tmp_path / 'out'}")
    assert finished.status == 0, finished.err
    files = sorted(path.name for path in (tmp_path / "out" / "exports").rglob("*") if path.is_file())
    assert files == ["0_" + files[0][2:], "papo_samples_lab.jsonl"]
    (samples,) = (tmp_path / "out" / "exports").rglob("*.jsonl")
    assert [json.loads(line)["doc_id"] for line in samples.open()] == [0, 1, 2]

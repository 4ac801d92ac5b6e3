"""How the files beside this one were made: by lmms-eval 0.7.3's own code and by VLMEvalKit's, ms-vlmeval 0.0.20.

pip install lmms-eval xlsxwriter validators sty && pip install --no-deps ms-vlmeval && python make.py OUT
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd

GOLDS = {"half": r"\frac{1}{2}", "twelve": "12", "root": r"\sqrt{2}"}
ANSWERS = {
    "half": ["<think>a\nb</think> \\boxed{0.5}", r"\boxed{2/4}"],
    "twelve": ["12", "\\boxed{13} \u2028 \r ü \x07"],
    "root": ["", r"\boxed{\sqrt{2}}"],
}
HOSTILE = 'tab\t "quoted"\nline\r_x0041_ 12 \x07 ü'


def request(doc, responses):
    question = f"How much is {doc['id']}?\nAnswer."
    return SimpleNamespace(
        doc=doc,
        resps=responses,
        args=(question, {"max_new_tokens": 16}, "doc_to_visual", 0, "task", "test"),
        filtered_resps={"none": responses[0]},  # what their default filter, take_first, makes of them
        raw_filtered_resps={},
        token_counts=[],
    )


def grade(doc, results):
    right = float(results[0].strip() == doc["answer"])
    return {"exact_match": right, "detail": {"id": doc["id"], "pred": results[0]}}


def dump_of_vlmevalkit():
    """Its own `dump`, without what its package imports first: a hundred models."""
    (place,) = importlib.util.find_spec("vlmeval").submodule_search_locations
    for name, folder in (("vlmeval", Path(place)), ("vlmeval.smp", Path(place) / "smp")):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return importlib.import_module("vlmeval.smp.file").dump


def main(out: Path) -> None:
    # Here, for the tests' doctests import every file, and the package is none of theirs.
    from lmms_eval.evaluator import _process_document_results
    from lmms_eval.loggers.evaluation_tracker import EvaluationTracker

    config = SimpleNamespace(repeats=1)
    task = SimpleNamespace(config=config, process_results=grade, doc_to_target=lambda doc: doc["answer"])
    for name, k, tags in (("k1", 1, None), ("k2", 2, None), ("reasoning", 1, [["<think>", "</think>"]])):
        tracker = EvaluationTracker(output_path=str(out))
        tracker.general_config_tracker.model_name_sanitized, tracker.date_id = name, "20260101_000000"
        samples = []
        for number, (id, gold) in enumerate(GOLDS.items()):
            doc = {"id": id, "question": f"How much is {id}?", "answer": gold}
            item = (number, doc, [request(doc, ANSWERS[id][:k])])
            found = _process_document_results(item, task=task, filter_key="none", reasoning_tags=tags, log_samples=True)
            samples.append(found.logged_sample)
        tracker.save_results_samples("mytask", samples)
    rows = [
        {
            "index": number,
            "question": f"How much is {id}?",
            "answer": gold,
            "category": None if number else "c",
            "prediction": HOSTILE if id == "twelve" else ANSWERS[id][0] or "NA",
        }
        for number, (id, gold) in enumerate(GOLDS.items())
    ]
    dump = dump_of_vlmevalkit()
    for ending in ("tsv", "xlsx"):
        dump(pd.DataFrame(rows), str(out / f"m_d.{ending}"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

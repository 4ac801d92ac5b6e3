"""Small copies of every listed data set, in every format that a source reads: real columns, content of our own."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
from PIL import Image as Pictures

TEXT = Value("string")


def picture(seed: int, width: int = 56, height: int = 56) -> Pictures.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Pictures.fromarray(values)


@dataclass(frozen=True)
class Replica:
    """Rows of one data set; a picture column holds a PIL picture, a list of them, or None."""

    features: dict[str, Any]
    rows: list[dict[str, Any]]

    def pictures(self) -> list[str]:
        """Columns of one picture."""
        return [name for name, feature in self.features.items() if isinstance(feature, Image)]

    def picture_lists(self) -> list[str]:
        lists = {name: feature for name, feature in self.features.items() if isinstance(feature, List)}
        return [name for name, feature in lists.items() if isinstance(feature.feature, Image)]

    def dataset(self) -> Dataset:
        return Dataset.from_list(self.rows, features=Features(self.features))


def problems(*rows: tuple[str, str, list[Pictures.Image]]) -> Replica:
    features = {"images": List(Image()), "problem": TEXT, "answer": TEXT}
    return Replica(features, [{"problem": p, "answer": a, "images": i} for p, a, i in rows])


def mathvista() -> Replica:
    metadata = dict.fromkeys(("category", "context", "grade", "language", "source", "split", "task"), TEXT)
    metadata |= {"img_height": Value("int64"), "img_width": Value("int64"), "skills": List(TEXT)}
    names = ("pid", "question", "image", "unit", "answer", "question_type", "answer_type", "query")
    features = dict.fromkeys(names, TEXT) | {"precision": Value("float64"), "choices": List(TEXT)}
    features |= {"decoded_image": Image(), "metadata": metadata}

    def row(pid, question, answer, kind, *, choices=None, unit=None, precision=None, skills=("arithmetic reasoning",)):
        about = {"category": "math-targeted-vqa", "context": "bar chart", "grade": "daily life", "language": "english"}
        about |= {"source": "ours", "split": "testmini", "task": "figure question answering", "skills": list(skills)}
        return {
            "pid": pid,
            "question": question,
            "image": f"images/{pid}.jpg",
            "decoded_image": picture(int(pid)),
            "choices": choices,
            "unit": unit,
            "precision": precision,
            "answer": answer,
            "question_type": "multi_choice" if choices else "free_form",
            "answer_type": kind,
            "metadata": about | {"img_height": 56, "img_width": 56},
            "query": "not used",
        }

    rows = [
        row("1", "Which bar is higher?", "red", "text", choices=["red", "blue"], skills=["a b", "c d"]),
        row("2", "How many bars?", "4", "integer"),
        row("3", "How long is it?", "1.25", "float", unit="cm", precision=2.0),
        row("4", "Which values are there?", "[1, 2]", "list"),
    ]
    return Replica(features, rows)


def mmmu_pro() -> Replica:
    features = dict.fromkeys(("id", "question", "options", "answer", "subject"), TEXT)
    features |= {f"image_{n}": Image() for n in range(1, 8)}

    def row(id, question, options, answer, images):
        shown = {f"image_{n}": images[n - 1] if n <= len(images) else None for n in range(1, 8)}
        return {"id": id, "question": question, "options": options, "answer": answer, "subject": "Art"} | shown

    ten = str([f"option {n}" for n in range(10)])
    rows = [
        row("test_Art_1", "What is in <image 1>?", ten, "J", [picture(1)]),
        row("test_Art_2", "Is <image 2> like <image 1>?", "['yes', 'no']", "A", [picture(2), picture(3, 84, 56)]),
        row("test_Art_3", "Which one?", "['<image 1>', '<image 2>']", "B", [picture(4), picture(5)]),
        row("test_Art_4", "Without a marker?", "['<a>', \"it's\"]", "B", [picture(6)]),
    ]
    return Replica(features, rows)


def vision() -> Replica:
    features = dict.fromkeys(("id", "options", "answer", "subject"), TEXT) | {"image": Image()}
    return Replica(
        features,
        [
            {"id": f"v{n}", "options": "['x', 'y', 'z']", "answer": "ABC"[n % 3], "subject": "Art", "image": picture(n)}
            for n in range(4)
        ],
    )


def mathverse() -> Replica:
    names = ("sample_index", "problem_index", "problem_version", "question", "answer", "question_type", "query_wo")
    features = dict.fromkeys((*names, "query_cot"), TEXT) | {"image": Image()}
    features["metadata"] = dict.fromkeys(("split", "source", "subject", "subfield"), TEXT)

    def row(n, version, question, answer, kind):
        about = {"split": "testmini", "source": "ours", "subject": "Plane Geometry", "subfield": "Angle"}
        return {
            "sample_index": str(n),
            "problem_index": "1",
            "problem_version": version,
            "question": question,
            "answer": answer,
            "question_type": kind,
            "query_wo": "not used",
            "query_cot": "not used",
            "image": picture(n),
            "metadata": about,
        }

    rows = [
        row(1, "Text Dominant", "Find x.\nChoices:\nA:3\nB:4", "B", "multi-choice"),
        row(2, "Vision Only", "", "A", "multi-choice"),
        row(3, "Text Lite", "Find y.", "4.5", "free-form"),
        row(4, "Text Lite", "Find z.", "12", "free-form"),
    ]
    return Replica(features, rows)


def chartqa() -> Replica:
    author = ClassLabel(names=["human", "machine"])
    features = {"image": Image(), "query": TEXT, "label": List(TEXT), "human_or_machine": author}
    asked = [
        ("How high is red?", ["5"], 0),
        ("Share of blue?", ["12%", "0.12"], 1),
        ("Who?", ["Ann"], 0),
        ("N?", ["0"], 1),
    ]
    rows = [
        {"query": query, "label": label, "human_or_machine": by, "image": picture(n)}
        for n, (query, label, by) in enumerate(asked)
    ]
    return Replica(features, rows)


def logicvista() -> Replica:
    asked = [("Which comes next?", "A"), ("Which two?", "B, D"), ("Nobody knows?", ""), ("Last?", "C")]
    rows = [{"question": q, "answer": a, "image": picture(n)} for n, (q, a) in enumerate(asked)]
    return Replica({"question": TEXT, "image": Image(), "answer": TEXT}, rows)


def folder() -> Replica:
    names = ("id", "question", "answer", "answer_type", "rule", "rationale")
    features = dict.fromkeys(names, TEXT) | {"images": List(Image()), "choices": List(TEXT), "labels": List(TEXT)}
    features |= {"precision": Value("float64"), "tags": {"level": TEXT}}

    def row(id, question, answer, images, **more):
        empty = dict.fromkeys(("answer_type", "rule", "rationale", "choices", "labels", "precision", "tags"))
        return {"id": id, "question": question, "answer": answer, "images": images} | empty | more

    rows = [
        row("one", "What colour is <image>, and <image>?", "red", [picture(1), picture(2)], tags={"level": "hard"}),
        row("two", "How many?", "7", [picture(3, 84, 56)], rationale="seven = 7"),
        row("three", "One and one?", "2.0", [], answer_type="float", precision=1.0),
        row("four", "Which?", "b", [picture(4)], choices=["a", "b"], labels=["B"]),
    ]
    return Replica(features, rows)


REPLICAS = {
    "chartqa": chartqa(),
    "mathvista": mathvista(),
    "virl39k": problems(
        ("<image>How many circles?", "\\boxed{3}", [picture(1)]),
        ("<image>\nFind x. (A) 1 (B) 2", "B", [picture(2)]),
        ("<image> and <image>: the sum?", "\\frac{1}{2}", [picture(3), picture(4, 84, 56)]),
        ("One and one?", "2", []),
    ),
    "geometry3k": problems(*((f"<image>Find side {n}.", f"{n} \\sqrt {{ 2 }}", [picture(n)]) for n in range(1, 5))),
    "mmk12": problems(*((f"<image>Which option {n}?", "ABCD"[n - 1], [picture(n)]) for n in range(1, 5))),
    "clevr_count": problems(*((f"<image>How many items {n}?", str(n), [picture(n)]) for n in range(1, 5))),
    "mathverse": mathverse(),
    "logicvista": logicvista(),
    "mmmu_pro": mmmu_pro(),
    "mmmu_pro_vision": vision(),
    "folder": folder(),
}


def encoded(image: Pictures.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def stored(replica: Replica, store) -> list[dict[str, Any]]:
    """The rows with every picture as `store` returns it."""
    rows = []
    for row in replica.rows:
        row = dict(row)
        for name in replica.pictures():
            row[name] = None if row[name] is None else store(row[name])
        for name in replica.picture_lists():
            row[name] = [store(image) for image in row[name]]
        rows.append(row)
    return rows


def hub_parquet(replica: Replica, root: Path) -> Path:
    """As a hub lays it out: a folder with a file per split and shard."""
    (root / "data").mkdir()
    replica.dataset().to_parquet(root / "data" / "train-00000-of-00001.parquet")
    (root / "data" / "test-00000-of-00001.parquet").write_bytes(b"not looked at")
    return root


def plain_parquet(replica: Replica, root: Path) -> Path:
    """What other programs write: pictures as bare bytes, nothing that `datasets` left for itself."""
    pq.write_table(pa.Table.from_pylist(stored(replica, encoded)), root / "table.parquet")
    return root / "table.parquet"


def saved_to_disk(replica: Replica, root: Path) -> Path:
    DatasetDict({"train": replica.dataset(), "other": replica.dataset().select([0])}).save_to_disk(root / "saved")
    return root / "saved"


def raw_arrow(replica: Replica, root: Path) -> Path:
    replica.dataset().save_to_disk(root / "saved")
    shutil.move(next((root / "saved").glob("*.arrow")), root / "table.arrow")
    return root / "table.arrow"


class Files:
    """Writes pictures into a folder and says where."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pictures").mkdir(parents=True)

    def __call__(self, image: Pictures.Image) -> str:
        name = f"pictures/{len(list((self.root / 'pictures').iterdir()))}.png"
        image.save(self.root / name)
        return name


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def jsonl(replica: Replica, root: Path) -> Path:
    return write_lines(root / "table.jsonl", stored(replica, Files(root)))


def image_folder(replica: Replica, root: Path) -> Path:
    """A folder per split, whose metadata names the pictures."""
    names = {"image": "file_name", "images": "file_names"}
    names = {name: names.get(name, f"{name}_file_name") for name in (*replica.pictures(), *replica.picture_lists())}
    rows = stored(replica, Files(root / "train"))
    rows = [{names.get(name, name): value for name, value in row.items()} for row in rows]
    write_lines(root / "train" / "metadata.jsonl", rows)
    return root


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar with these files, in order."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def tars(replica: Replica, root: Path) -> Path:
    """WebDataset's: two tars, by a pattern, with a file for each picture and one for the other fields."""
    rows: list[dict[str, bytes]] = []
    for number, row in enumerate(replica.rows):
        fields = {name: value for name, value in row.items() if name not in replica.picture_lists()}
        files: dict[str, bytes] = {}
        for name in replica.pictures():
            if row[name] is not None:
                files[f"{number}.png" if name == "image" else f"{number}.{name}.png"] = encoded(row[name])
            fields[name] = None
        for name in replica.picture_lists():
            files |= {f"{number}.{n}.png": encoded(image) for n, image in reversed([*enumerate(row[name])])}
        rows.append(files | {f"{number}.json": json.dumps(fields).encode()})
    for shard, part in enumerate((rows[:2], rows[2:])):
        write_tar(root / f"train-{shard}.tar", {name: content for files in part for name, content in files.items()})
    return root / "train-*.tar"


FORMATS = (hub_parquet, plain_parquet, saved_to_disk, raw_arrow, jsonl, image_folder, tars)

"""Answers kept across evaluations: what is read is what would be drawn, and nothing else is read."""

import functools
import json
from dataclasses import replace

import pytest
import torch
from PIL import ImageOps

from papo.corruption import RandomPatchMask
from papo.errors import ConfigError
from papo.evaluation.answer_cache import AnswerCache, check_folder, signed, told
from papo.evaluation.digests import digest_of_policy
from papo.evaluation.measure import Examination, views_of
from papo.evaluation.records import RecordFile
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine

K = 3
SETTINGS = {"_target_": "papo.rollout.NativeEngine", "prompts_at_once": None}


class Counting(NativeEngine):
    """How many responses were drawn."""

    def __init__(self):
        super().__init__()
        self.drawn = 0

    def sample(self, prompts, features, group_size, sampling, seeds):
        self.drawn += len(prompts) * group_size
        return super().sample(prompts, features, group_size, sampling, seeds)


class Unstartable(Counting):
    """An engine that takes minutes to start."""

    def sync(self, policy, step):
        raise ConfigError("it was started")


@pytest.fixture
def examine(make_policy, processor, items, tmp_path):
    """The records of an examination, and how many responses were drawn for it; with the cache in `tmp_path / cache`."""
    policy = make_policy()

    def examine(of=items, cached=True, policy=policy, engine=SETTINGS, any_batch=False, draws=Counting, **settings):
        settings = {"k": K, "batch_size": 2, "sampling": Sampling(6), "seed": 7, "token_items": 2} | settings
        drawing, views = draws(), views_of(["image", "masked", "blind"], RandomPatchMask(mask_ratio=0.6))
        file = RecordFile(tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl", settings["batch_size"], len(of))
        examination = Examination(**settings, views=views, engine=drawing, token_responses=2)
        cache = (AnswerCache(str(tmp_path / "cache"), policy, engine, "off", any_batch),) if cached else ()
        return examination(policy, processor, of, file, "name", *cache), drawing.drawn

    return examine


def shards(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.jsonl"))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_read_is_what_was_drawn(examine, items, temperature):
    """Under all views, with the measured tokens; and nothing is drawn."""
    settings = {"sampling": Sampling(6, temperature)}
    plain, drawn = examine(cached=False, **settings)
    first, drawn_first = examine(**settings)
    again, drawn_again = examine(**settings)
    assert plain == first == again
    assert (drawn, drawn_first, drawn_again) == (3 * len(items) * K, drawn, 0)


def test_an_engine_is_started_where_it_has_to_draw(examine, items):
    records, _ = examine(of=items[:3])
    assert examine(of=items[:3], draws=Unstartable) == (records, 0)
    with pytest.raises(ConfigError, match="it was started"):
        examine(draws=Unstartable)


def other_weights(policy):
    with torch.no_grad():
        next(policy.model.parameters()).flatten()[5] += 1e-3
    return policy


@pytest.mark.parametrize(
    "changed",
    [
        {"sampling": Sampling(5)},
        {"sampling": Sampling(6, temperature=0.9)},
        {"sampling": Sampling(6, top_p=0.9)},
        {"sampling": Sampling(6, top_k=5)},
        {"seed": 8},
        {"k": K - 1},
        {"batch_size": 3},
        {"engine": {"_target_": "other.Engine", "prompts_at_once": None}},
        {"engine": {**SETTINGS, "prompts_at_once": 1}},
    ],
    ids=str,
)
def test_other_settings_are_other_answers(examine, items, changed):
    few = functools.partial(examine, of=items[1:4])
    few()
    records, drawn = few(**changed)
    assert drawn == sum(record.responses for record in records)
    own = {name: value for name, value in changed.items() if name != "engine"}
    assert records == few(cached=False, **own)[0]


def test_other_weights_are_other_answers(examine, items, make_policy):
    few = functools.partial(examine, of=items[:2])
    few()
    assert few(policy=other_weights(make_policy()))[1] > 0
    assert few(policy=make_policy().to(torch.bfloat16))[1] > 0
    assert few(policy=make_policy())[1] == 0


@pytest.mark.parametrize("name", ["banned", "eos"])
def test_tokens_that_end_or_are_never_drawn_count(examine, make_policy, name):
    examine()
    policy = make_policy()
    setattr(policy, name, torch.cat([getattr(policy, name), torch.tensor([11])]))
    assert examine(policy=policy)[1] > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda item: replace(item, question=item.question + " Now."),
        lambda item: replace(item, images=(ImageOps.invert(item.images[0]), *item.images[1:])),
        lambda item: replace(item, id="other"),
    ],
    ids=["words", "pixels", "id, which seeds are made of"],
)
def test_another_item_is_another_answer(examine, items, change):
    pictured = [item for item in items if item.images][:1]
    examine(of=pictured)
    other = [change(item) for item in pictured]
    records, drawn = examine(of=other)
    assert drawn > 0
    assert records == examine(of=other, cached=False)[0]


def test_what_changes_no_answer_is_not_asked_for(examine, items):
    """Gold answers and tags; greedily the item's id and the seed, too, but for what is masked from them."""
    examine()
    renamed = [replace(item, answer="5", tags={"a": "b"}, labels=("6",)) for item in items]
    records, drawn = examine(of=renamed)
    assert drawn == 0
    assert [record.answer for record in records] == ["5"] * len(items)
    plain = [item for item in items if not item.images]
    greedy = Sampling(6, temperature=0.0)
    examine(of=plain, sampling=greedy)
    assert examine(of=[replace(item, id="z") for item in plain], sampling=greedy, seed=8)[1] == 0


def test_companions_decide_whether_it_is_read(examine, items):
    """Rounding depends on them: without any_batch nothing is read that was drawn in another batch."""
    examine(of=items[:4])
    _, drawn = examine(of=items)
    assert drawn == 3 * K  # four items were in batches of their own before
    assert examine(of=items[1:3])[1] == 2 * 3 * K
    assert examine(of=[items[0], items[3]], any_batch=True)[1] == 0


def test_from_any_batch_a_part_is_read_and_the_rest_drawn(examine, items):
    examine(of=items[1:3])
    records, drawn = examine(of=items[:4], any_batch=True)
    assert drawn == 2 * 3 * K
    assert records == examine(of=items[:4], cached=False)[0]
    fewer = examine(of=items[:4], any_batch=True, k=K - 1)  # the first of more
    assert fewer == (examine(of=items[:4], cached=False, k=K - 1)[0], 0)
    # Of one item without a picture all views are one question.
    assert examine(of=items[:4], any_batch=True, k=K + 1)[1] == (3 * 3 + 1) * (K + 1)


def test_one_question_twice_in_a_batch(examine, items):
    twice = [items[0], items[0]]
    first, _ = examine(of=twice)
    again, drawn = examine(of=twice)
    assert (first, drawn) == (again, 0)


def test_one_process_reads_what_it_wrote(processor, policy, items, tmp_path):
    cache = AnswerCache(str(tmp_path), policy, SETTINGS, "off")
    engine = NativeEngine()
    engine.sync(policy, 0)
    prompts = processor.prompts(items)

    def draw(prompts, seeds):
        return engine.sample(prompts, policy.encode(prompts.images), K, Sampling(6), seeds)

    drawn = cache.responses(prompts, range(len(items)), K, Sampling(6), draw)
    read = cache.responses(prompts, range(len(items)), K, Sampling(6), lambda *_: pytest.fail("drawn again"))
    assert torch.equal(read.response_ids, drawn.response_ids)
    assert torch.equal(read.response_mask, drawn.response_mask)
    assert torch.equal(read.finished, drawn.finished)
    assert read.logprobs[read.response_mask].isnan().all()
    assert (cache.read, cache.apart) == (len(items) * K, 0)
    cache.responses(prompts.select([0]), [0], K, Sampling(6), draw)
    assert (cache.read, cache.apart) == (len(items) * K, K)
    assert told([cache]) == (
        f", {len(items) * K} of them read from answers_cache={tmp_path} ({K} more were there from other batches: "
        "answers_cache.any_batch=true reads them)"
    )
    assert told([]) == ""


def test_two_at_one_time_write_files_of_their_own(policy, processor, items, tmp_path, examine):
    """Each knows what was there when it began; a third knows both."""
    first, second = (AnswerCache(str(tmp_path / "cache"), policy, SETTINGS, "off") for _ in range(2))
    engine = NativeEngine()
    engine.sync(policy, 0)
    for cache, prompts in ((first, processor.prompts(items[:2])), (second, processor.prompts(items[2:]))):
        cache.responses(
            prompts,
            [5] * len(prompts),
            K,
            Sampling(6),
            lambda of, seeds: engine.sample(of, policy.encode(of.images), K, Sampling(6), seeds),
        )
    assert len(shards(tmp_path)) == 2
    assert len(AnswerCache(str(tmp_path / "cache"), policy, SETTINGS, "off").places) == len(items)


def cut(content: bytes) -> bytes:
    return content[:-9]


def changed(content: bytes) -> bytes:
    """Another token in the first line."""
    start = content.index(b'"ids": [[') + 9
    return content[:start] + (b"9" if content[start : start + 1] != b"9" else b"8") + content[start + 1 :]


def garbage(content: bytes) -> bytes:
    return b"\xff\xfe[[[\n" + content[content.index(b"\n") + 1 :]


def signed_garbage(content: bytes) -> bytes:
    """As whoever knows the format writes it."""
    return signed(b'{"asked": 1}') + content[content.index(b"\n") + 1 :]


@pytest.mark.parametrize("damage", [cut, changed, garbage, signed_garbage])
def test_damaged_lines_are_said_and_not_trusted(examine, tmp_path, capsys, damage):
    whole, _ = examine()
    (path,) = shards(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    capsys.readouterr()
    records, drawn = examine()
    assert records == whole
    assert drawn == 2 * K or damage is cut  # the batch of the line, under its view
    assert 0 < drawn <= 2 * K
    assert "; 1 damaged or unfinished lines are ignored\n" in capsys.readouterr().out
    assert examine()[1] == 0


@pytest.mark.parametrize("ids", [[10**6], [], [5] * 7], ids=["no token", "nothing", "too long"])
def test_answers_that_cannot_be_are_drawn_again(examine, tmp_path, ids):
    whole, _ = examine()
    (path,) = shards(tmp_path)
    first, *others = path.read_bytes().splitlines(keepends=True)
    fields = json.loads(first)[1] | {"ids": [ids] * K}
    path.write_bytes(signed(json.dumps(fields).encode()) + b"".join(others))
    records, drawn = examine()
    assert (records, drawn) == (whole, 2 * K)


@pytest.mark.parametrize("same", [None, "asked", "drawn"])
def test_a_file_that_changes_meanwhile_is_not_trusted(processor, policy, items, tmp_path, same):
    """Gone, or with a sound line of another prompt or another way in the place."""
    engine = NativeEngine()
    engine.sync(policy, 0)
    prompts = processor.prompts(items[:1])

    def draw(prompts, seeds):
        return engine.sample(prompts, policy.encode(prompts.images), K, Sampling(6), seeds)

    asked = (prompts, [5], K, Sampling(6), draw)
    drawn = AnswerCache(str(tmp_path / "cache"), policy, SETTINGS, "off").responses(*asked)
    cache = AnswerCache(str(tmp_path / "cache"), policy, SETTINGS, "off")
    (path,) = shards(tmp_path)
    fields = json.loads(path.read_bytes())[1]
    path.unlink()
    if same is not None:
        other = {"asked": "another", "drawn": "another", "ids": [[5]] * K, "finished": [True] * K}
        path.write_bytes(signed(json.dumps(other | {same: fields[same]}).encode()))
    again = cache.responses(*asked)
    assert torch.equal(again.response_ids, drawn.response_ids)
    assert not again.logprobs.isnan().any()


def test_without_room_the_evaluation_goes_on(processor, policy, items, tmp_path, capsys):
    cache = AnswerCache(str(tmp_path), policy, SETTINGS, "off")
    cache.folder.touch()  # where it would write
    engine = NativeEngine()
    engine.sync(policy, 0)
    for _ in range(2):
        cache.responses(
            processor.prompts(items),
            range(len(items)),
            K,
            Sampling(6),
            lambda of, seeds: engine.sample(of, policy.encode(of.images), K, Sampling(6), seeds),
        )
    assert capsys.readouterr().out.count("cannot be written (File exists): no more answers are kept there") == 1


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^answers_cache=.*file must be a folder that can be written \(File exists"):
        check_folder(str(tmp_path / "file"))


def test_a_policy_is_called_by_what_it_computes(make_policy):
    policy = make_policy()
    name = digest_of_policy(policy)
    policy.model.config._name_or_path = "elsewhere"
    assert digest_of_policy(policy) == name
    policy.model.config.text_config.rms_norm_eps *= 2
    assert digest_of_policy(policy) != name
    adapted = make_policy(lora={"r": 2, "alpha": 4})
    assert digest_of_policy(adapted) == name  # which starts as no change
    with torch.no_grad():
        next(p for n, p in adapted.model.named_parameters() if ".lora_B." in n).add_(1)
    assert digest_of_policy(adapted) != name

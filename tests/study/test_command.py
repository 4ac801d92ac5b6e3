"""What `python -m papo.study` is told, and what it makes of it."""

from papo.study.__main__ import asked_for


def test_only_can_be_repeated():
    found = asked_for(["arm=a,b", "seed=0", "arm=c", "x=p=q"])
    assert found == {"arm": ["a", "b", "c"], "seed": ["0"], "x": ["p=q"]}

"""Black pictures, for what training gains without seeing."""

import pickle

from papo.data.blank import Blanked
from papo.lab import LabDataset


def test_pictures_are_black_and_the_words_stay():
    items = list(LabDataset("train", 3))
    for item, black in zip(items, (Blanked(items)[n] for n in range(3)), strict=True):
        (picture,) = black.images
        assert picture.size == item.images[0].size
        assert picture.getextrema() == ((0, 0),) * 3
        other = pickle.loads(pickle.dumps(black.counterfactual))
        assert other(5)[0].tobytes() == picture.tobytes()
        assert (black.question, black.answer, black.id) == (item.question, item.answer, item.id)

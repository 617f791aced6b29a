"""Which models take a batch in parts."""

import pytest

from skyloom.core.errors import BadConfig
from skyloom.settings.models import read_model


def test_a_model_that_learns_from_a_batch_as_a_whole_takes_it_in_no_parts():
    entry = {"kind": "moco", "modality": "image", "training": {"accumulate": 2}}
    with pytest.raises(BadConfig, match=r"models\.m\.training\.accumulate: 2 is not allowed; moco learns from a batch"):
        read_model("m", entry)
    assert read_model("d", {**entry, "kind": "astrodino"}).training.accumulate == 2

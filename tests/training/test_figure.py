"""The loss curve: what is drawn is what the metrics say."""

import json

import pytest

from skyloom.core.errors import BadInput
from skyloom.figures import style
from skyloom.training.figure import draw


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A function rows -> (axis labels, split -> points) of the figure."""

    def drawn(rows):
        found = {}

        def save(figure, path):
            axis, *others = figure.axes
            found["others"] = {o.get_title(): [line.get_xydata().tolist() for line in o.lines] for o in others}
            lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
            found["axis"] = axis.get_xlabel(), axis.get_ylabel(), axis.get_title(), lines

        monkeypatch.setattr(style, "save", save)
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        draw(tmp_path / "metrics.jsonl", tmp_path / "loss.png", "mine")
        drawn.others = found["others"]
        return found["axis"]

    return drawn


def test_losses_of_both_splits_are_drawn_against_the_step(drawn):
    rows = [{"step": s, "split": k, "loss": s + v} for s in (0, 5) for k, v in (("train", 1), ("validation", 2))]
    lines = {"train": [[0, 1], [5, 6]], "validation": [[0, 2], [5, 7]]}
    assert drawn(rows) == ("step", "loss", "mine", lines)


def test_what_else_a_training_says_has_panels_of_its_own(drawn):
    rows = [{"step": s, "split": "train", "lr": 1, "loss": 2, "effective_rank": s / 2, "top1": s} for s in (0, 4)]
    rows += [{"step": 4, "split": "validation", "loss": 3, "top1": 0.5}, {"step": 4, "split": "fit", "misfit": 7}]
    assert drawn(rows)[3] == {"train": [[0, 2], [4, 2]], "validation": [[4, 3]]}
    assert drawn.others == {"effective rank": [[[0, 0], [4, 2]]], "top1": [[[0, 0], [4, 4]], [[4, 0.5]]]}


def test_a_fitted_model_shows_what_its_rows_say(drawn):
    rows = [{"component": i, "split": "train", "explained_variance": i / 4} for i in (1, 2)]
    assert drawn(rows) == ("component", "explained variance", "mine", {"train": [[1, 0.25], [2, 0.5]]})


def test_an_untrained_model_has_an_empty_figure(drawn):
    assert drawn([]) == ("step", "loss", "mine", {})


def test_wrong_metrics_get_one_line(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1, "loss": 2}\n')
    with pytest.raises(BadInput, match="m.jsonl: expected a row of metrics a line"):
        draw(tmp_path / "m.jsonl", tmp_path / "x.png", "mine")

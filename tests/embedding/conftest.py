"""The tiny survey and the models trained on it, of the tests of training."""

from tests.training.conftest import configs, contents, outputs, survey, tokens, trained  # noqa: F401

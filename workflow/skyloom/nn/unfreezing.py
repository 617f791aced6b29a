"""Encoders of which only the last blocks learn on."""

from torch import nn

from skyloom.core.errors import BadConfig


def last_blocks(encoder: nn.Module, wanted: int) -> list[nn.Module]:
    """The last `wanted` blocks of an encoder; BadConfig if it has fewer."""
    blocks = list(getattr(encoder, "blocks", ()))
    if wanted > len(blocks):
        raise BadConfig(f"unfrozen: {wanted} is not allowed; the encoder has {len(blocks)} blocks")
    return blocks[len(blocks) - wanted :]


def rest_in_evaluation(encoder: nn.Module, learning: list[nn.Module], mode: bool) -> None:
    """Put the blocks that learn in training mode, or not, and the rest of their encoder in evaluation: no dropout."""
    encoder.eval()
    for block in learning:
        block.train(mode)


def fixed(encoders: nn.Module, learning: list[nn.Module], prefix: str) -> tuple[str, ...]:
    """Names, with a prefix, of all that never changes of encoders of which some blocks learn."""
    learn = {id(part) for block in learning for part in block.state_dict(keep_vars=True).values()}
    state = encoders.state_dict(prefix=prefix, keep_vars=True)
    return tuple(name for name, part in state.items() if id(part) not in learn)

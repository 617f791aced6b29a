"""The architecture of a model as it is, drawn from the network itself (Xia et al. 2025, figure 1)."""

from matplotlib.patches import FancyBboxPatch

from skyloom.figures import style
from skyloom.models.networks import parameter_count


@style.look()
def draw(network, card: dict, path) -> None:
    """Modalities, their maps, the encoder and the heads, with sizes and numbers of weights."""
    names = list(network.sizes)
    fig = style.figure(height=3.9)
    axis = fig.subplots()
    axis.set(xlim=(0, len(names)), ylim=(0, 5.1))
    axis.set_axis_off()
    config = network.config
    masks = config.masks
    gaps = f"{masks.vector:.0%}" + (f" to {masks.largest:.0%}" if masks.largest > masks.vector else "")
    for place, (name, colour) in enumerate(zip(names, style.CYCLE, strict=False)):
        size, patch, tokens = network.sizes[name], network.patches[name], network.counts[name]
        some = f"{masks.scalar:.0%} each" if name == "scalars" else f"{gaps} in spans"
        hidden = f"hidden: {masks.modality:.0%} whole,\n{some}"
        _box(axis, place, 0.05, f"{style.pretty(name)}\n{size} numbers\n{hidden}", colour, 0.85)
        weights = parameter_count(network.entry[name])
        each = "a number" if patch == 1 else f"{patch} numbers"
        count = "1 token" if tokens == 1 else f"{tokens} tokens"
        _box(axis, place, 1.15, f"{config.entry}, {weights:,} weights\n{count}, {each} each", colour, 0.6)
        _box(axis, place, 4.2, f"head, {parameter_count(network.head[name]):,} weights", colour, 0.55)
        for y0, y1 in ((0.9, 1.15), (1.75, 2.05), (3.85, 4.2)):
            axis.annotate("", (place + 0.5, y1), (place + 0.5, y0), arrowprops={"arrowstyle": "->", "lw": 0.8})
    total = sum(network.counts.values())
    parts = [
        f"{total} tokens of width {config.dim} + one table of positions",
        f"{config.layers} layers, {config.heads} heads, norm {config.norm} attention and MLP;"
        f" {sum(map(parameter_count, network.blocks)):,} weights",
        f"{parameter_count(network):,} numbers in all, {config.kept:,} kept galaxies of"
        f" {sum(network.sizes.values()):,} numbers among them; says {config.says}",
    ]
    axis.add_patch(
        FancyBboxPatch((0.06, 2.1), len(names) - 0.12, 1.65, boxstyle="round,pad=0.02", fc="#f2f2f2", lw=0.9)
    )
    axis.text(len(names) / 2, 2.92, "\n".join(parts), ha="center", va="center", fontsize=9)
    axis.text(0.05, 4.95, style.pretty(card.get("name", "")), fontsize=10)
    style.save(fig, path)


def _box(axis, place: int, y: float, text: str, colour: str, height: float) -> None:
    box = FancyBboxPatch(
        (place + 0.06, y), 0.88, height, boxstyle="round,pad=0.01", fc="white", ec=colour, lw=1.2, mutation_aspect=3
    )
    axis.add_patch(box)
    axis.text(place + 0.5, y + height / 2, text, ha="center", va="center", fontsize=6.2)

"""The architecture of the network as it is, drawn from itself (Himes et al. 2025, figure 1)."""

from matplotlib.patches import FancyBboxPatch

from skyloom.figures import style
from skyloom.models.networks import parameter_count

COLOURS = {"hsc_image": style.CYCLE[0], "spectrum": style.CYCLE[1]}
UNITS = {"hsc_image": "pixels in 5 bands", "spectrum": "numbers"}


def draw(axis, network) -> None:
    """Tokens, encoders, fusion, pooling and heads from left to right, with sizes and numbers of weights."""
    config = network.config
    axis.set(xlim=(0, 10.4), ylim=(0, 4))
    axis.set_axis_off()
    rows = dict(zip(network.counts, (2.55, 0.35), strict=True))
    each = {"hsc_image": f"{config.patch} x {config.patch} {UNITS['hsc_image']}", "spectrum": f"{config.slice} numbers"}
    size = {
        "hsc_image": f"{config.image_size} x {config.image_size} x 5",
        "spectrum": f"{len(network.wavelength):,} numbers",
    }
    for name, y in rows.items():
        colour = COLOURS[name]
        some = f"{style.pretty(name)}\n{size[name]}\n{network.counts[name]} tokens of\n{each[name]}"
        _box(axis, 0.05, y, 1.75, 1.1, some, colour)
        weights = _count(network.encoders[name])
        _box(axis, 2.1, y, 1.6, 1.1, f"encoder\n{_many(config.layers, 'layer')}, width {config.dim}\n{weights}", colour)
        pooled = f"pooled by\nattention\n{_count(network.pool[name])}"
        _box(axis, 6.05, y, 1.2, 1.1, pooled, colour)
        parts = [network.decoder[name]] + ([network.look[name]] if config.decoder == "tokens" else [])
        drawn = f"{style.pretty(name)} drawn\nof what was hidden\nhead, {_count(*parts)}"
        if name == "spectrum" and config.generator:
            drawn += f"\ngenerator, {parameter_count(network.generator):,}"
        _box(axis, 8.7, y, 1.65, 1.1, drawn, colour)
        for x0, x1 in ((1.8, 2.1), (3.7, 4.0), (5.75, 6.05)):
            _arrow(axis, (x0, y + 0.55), (x1, y + 0.55))
    if network.photometry is not None:
        circles = _many(len(config.apertures), "circle")
        light = f"photometry of what is shown,\n{circles}, {_count(network.photometry)};\nto the redshift's head too"
        _box(axis, 1.05, 1.65, 2.15, 0.7, light, COLOURS["hsc_image"])
        _arrow(axis, (1.4, 2.55), (1.4, 2.35))
        _arrow(axis, (2.6, 2.35), (2.6, 2.55))
    fusion = f"fusion\n{_many(config.fusion, 'block')}:\neach attends\nto the other\n{_count(network.fusion)}"
    _box(axis, 4.0, 0.35, 1.75, 3.3, fusion, style.CYCLE[2])
    _box(axis, 7.35, 1.6, 1.05, 0.8, f"joint vector\n{2 * config.dim}", style.INK)
    says = "one number" if config.redshift == "point" else "a density"
    _box(axis, 8.7, 1.6, 1.65, 0.8, f"redshift: {says}\nhead, {_count(network.redshift)}", style.CYCLE[3])
    for y in rows.values():
        _arrow(axis, (7.25, y + 0.55), (7.6, 2.4 if y > 1 else 1.6))
        if config.decoder == "pooled":
            _arrow(axis, (8.2, 2.4 if y > 1 else 1.6), (8.7, y + 0.55))
        else:  # places of the hidden look at what is shown, past the joint vector
            end = y + 0.9 if y > 1 else y + 0.2
            _arrow(axis, (5.75, end + (0.22 if y > 1 else -0.22)), (8.7, end), over=0.15 if y > 1 else -0.15)
    _arrow(axis, (8.4, 2.0), (8.7, 2.0))


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _count(*modules) -> str:
    return f"{sum(map(parameter_count, modules)):,} weights"


def _box(axis, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    box = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.01", fc="white", ec=colour, lw=1.2, zorder=2)
    axis.add_patch(box)
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=6.4, zorder=3)


def _arrow(axis, start, end, over: float = 0.0) -> None:
    look = {"arrowstyle": "->", "lw": 0.8, "connectionstyle": f"arc3,rad={-over}", "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=look, zorder=1)

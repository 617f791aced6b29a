"""Where the project is, and the real observations that may lie beside it (tests skip where they are absent)."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "workflow"
SHARED = ROOT.parent / "shared" / "data"

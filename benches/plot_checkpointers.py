"""Draws what `checkpointers.py --json` measured: `python benches/plot_checkpointers.py FILE.json docs/checkpointer.svg`.

Needs matplotlib and nothing else, so that an environment of its own is enough.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

COLORS = {"SqliteSaver": "#b5542f", "SqliteSaver + DeltaChannel": "#8a8a8a", "JochSaver": "#1f6f5c"}
PANELS = (("KB", "stored, KB"), ("step ms", "one step (put + put_writes), ms"), ("get_state ms", "get_state, ms"))


def main() -> None:
    rows = json.loads(Path(sys.argv[1]).read_text())
    mpl.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "joch", "axes.spines.top": False})
    mpl.rcParams["axes.spines.right"] = False
    figure, panels = plt.subplots(1, len(PANELS), figsize=(10, 3.2), layout="constrained")
    for panel, (column, label) in zip(panels, PANELS, strict=True):
        for saver, color in COLORS.items():
            points = sorted((row["steps"], row[column]) for row in rows if row["saver"] == saver)
            panel.loglog(*zip(*points, strict=True), marker="o", markersize=4, color=color, label=saver)
        panel.set_xlabel("messages in the thread")
        panel.set_title(label, fontsize=9, loc="left")
        panel.grid(which="major", linewidth=0.3)
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()

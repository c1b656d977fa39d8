"""Draws the results of a run as SVG, without any library: CPU per request, a group of bars for each workload."""

from html import escape

COLOURS = {"weir": "#0b6e4f", "nginx": "#6b8f71", "haproxy": "#4a7c9b", "envoy": "#9b5d8a", "caddy": "#c98b3c", "traefik": "#7d7d7d"}
OTHERS = "#b0b0b0"
BAR, GAP, GROUP = 14, 4, 16
LEFT, WIDTH, RIGHT, TOP = 130, 560, 190, 76


def cpu(document):
    """An SVG of the workloads in `document` that have a cost for each request; `None` if there is none."""
    groups = [
        (word, {name: row for name, row in results["summary"].items()})
        for word, results in document["workloads"].items()
        if "samples" in results and results["summary"]
    ]
    if not groups:
        return None
    y, bars = TOP, []
    for word, rows in groups:
        # Each group has a scale of its own: a handshake costs twenty times what a small answer does.
        most = max(row["cpu_us"] for row in rows.values())
        height = len(rows) * (BAR + GAP)
        bars.append(_text(LEFT - 10, y + height / 2, word, "end", "bold"))
        for name, row in rows.items():
            bars += _bar(y, name, row, most)
            y += BAR + GAP
        y += GROUP
    title = "CPU time per request, µs: median of the rounds, ± half of the range between them"
    machine, versions = document["machine"], document["versions"]
    below = f"{machine['cpu']}, Linux {machine['kernel']}"
    measured = ", ".join(f"{name} {text}" for name, text in versions.items())
    width = LEFT + WIDTH + RIGHT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 8:.0f}" font-family="sans-serif" font-size="11">'
    ground = f'<rect width="{width}" height="{y + 8:.0f}" fill="white"/>'
    lines = [head, ground, _text(16, 22, title, "start", "bold"), _text(16, 40, below), _text(16, 54, measured), *bars, "</svg>"]
    return "\n".join(lines) + "\n"


def _bar(y, name, row, most):
    """One proxy's bar, with its figure behind it."""
    scale = WIDTH / most / 1.25
    length, half = row["cpu_us"] * scale, row["cpu_us"] * row["spread_percent"] / 100 * scale
    ratio = f" ({row['ratio']:.2f} × nginx)" if row["ratio"] else ""
    middle = y + BAR / 2
    return [
        f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{COLOURS.get(name, OTHERS)}"/>',
        f'<path d="M{LEFT + length - half:.1f} {middle}H{LEFT + length + half:.1f}" stroke="black"/>',
        _text(LEFT + length + half + 6, middle, f"{name}: {row['cpu_us']:.1f}{ratio}"),
    ]


def _text(x, y, text, anchor="start", weight="normal"):
    place = f'x="{x:.1f}" y="{y:.1f}" dominant-baseline="middle" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text {place}>{escape(text)}</text>"

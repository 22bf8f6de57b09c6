# SPDX-License-Identifier: Apache-2.0
"""A bar chart as SVG: per workload a group of bars, one a path."""
from xml.sax.saxutils import escape

COLOURS = ["#9aa5b1", "#cbd2d9", "#d9822b", "#c23030", "#752f75", "#b6d9c7", "#2b95d6", "#0f9960", "#0a6640", "#5c7080"]
BAR, GAP, HEIGHT, LEFT, TOP = 26, 40, 260, 60, 60


def svg(title, unit, groups, series):
    """groups: [(name, {series: value})], series in order; one scale a group."""
    width = LEFT + len(groups) * (len(series) * BAR + GAP) + 20
    legend = TOP + HEIGHT + 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{legend + 22 * ((len(series) + 3) // 4) + 10}" '
        f'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
        f'<text x="{LEFT}" y="42" fill="#5c7080">{escape(unit)}</text>',
    ]
    x = LEFT
    for name, values in groups:
        top = max(values.values(), default=1) or 1
        for i, key in enumerate(series):
            if key in values:
                height = max(1, values[key] / top * HEIGHT)
                y = TOP + HEIGHT - height
                out.append(f'<rect x="{x}" y="{y:.1f}" width="{BAR - 4}" height="{height:.1f}" fill="{COLOURS[i % len(COLOURS)]}"/>')
                out.append(f'<text x="{x + BAR / 2 - 2}" y="{y - 3:.1f}" text-anchor="middle" font-size="9">{values[key]:.3g}</text>')
            x += BAR
        out.append(f'<text x="{x - len(series) * BAR / 2}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{escape(name)}</text>')
        x += GAP
    for i, key in enumerate(series):
        lx, ly = LEFT + (i % 4) * 140, legend + (i // 4) * 22
        out.append(f'<rect x="{lx}" y="{ly}" width="12" height="12" fill="{COLOURS[i % len(COLOURS)]}"/>')
        out.append(f'<text x="{lx + 18}" y="{ly + 10}">{escape(key)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"

# SPDX-License-Identifier: Apache-2.0
"""Horizontal bars as SVG, without a library: one group a measurement, one bar a tunnel."""
COLOURS = ("#0b6e4f", "#7d8597", "#a3b18a", "#bc6c25", "#6d597a", "#355070")
BAR, GAP, LEFT, WIDTH = 18, 26, 150, 760


def bars(groups, title):
    """`groups`: [(heading, unit, [(name, value)…])…]"""
    rows, y = [], 44
    names = []
    for heading, unit, values in groups:
        rows.append(f'<text x="16" y="{y + 13}" font-weight="bold">{heading}, {unit}</text>')
        y += GAP
        top = max(v for _, v in values) or 1
        for name, value in values:
            if name not in names:
                names.append(name)
            colour = COLOURS[names.index(name) % len(COLOURS)]
            width = (WIDTH - LEFT - 90) * value / top
            rows.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{name}</text>'
                        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 3}" fill="{colour}"/>'
                        f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">{value:,.2f}</text>')
            y += BAR
        y += 14
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
            f'<text x="16" y="24" font-size="15">{title}</text>{"".join(rows)}</svg>\n')

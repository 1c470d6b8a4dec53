"""The verdicts as one HTML page that needs nothing but itself: the paper's tables with our figures in every cell."""

from collections.abc import Iterable, Sequence
from html import escape

from hybridkit.verdict import claims, published, verdicts
from hybridkit.verdict.reporting import Report, remarks, unseen
from hybridkit.verdict.verdicts import Verdict

#: A sign beside the word of every verdict and claim, so that neither colour nor sign has to be told apart.
SIGNS = {
    "reproduced": "✓",
    "direction holds": "↗",
    "differs": "✗",
    "not comparable": "–",
    "holds": "✓",
    "does not hold": "✗",
    "not tested": "–",
}
_MEANS = {
    "reproduced": "ours is no further off than seeds scatter, or than the printed digits tell",
    "direction holds": "ours is another value, but the mixtures of the row stand in the published order",
    "differs": "ours is another value, and the mixtures stand in another order",
    "not comparable": "no run with the paper's encoder, data, benchmark and training has this figure",
}
# Blue, orange and vermilion of the Okabe-Ito palette, as lines beside words: for any eyes, on light and dark.
_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 25%, Canvas); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem;
  background: Canvas; color: CanvasText; }
h1, h2, h3 { line-height: 1.2; }
table { border-collapse: collapse; margin: 0.75rem 0 1.5rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0.25rem 0; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
.grids { display: flex; flex-wrap: wrap; gap: 0 2rem; }
.scroll { overflow-x: auto; max-width: 100%; }
.scroll:focus-visible { outline: 2px solid; }
.cell span { display: block; white-space: nowrap; }
.ours { display: block; font-size: 0.85em; }
.mark { font-size: 0.85em; padding-left: 0.4rem; border-left: 0.3rem solid #999; }
.reproduced, .holds { border-color: #0072b2; }
.direction-holds { border-color: #e69f00; }
.differs, .does-not-hold { border-color: #d55e00; }
summary { cursor: pointer; font-weight: 600; padding: 0.4rem 0; }
details { border-bottom: 1px solid var(--line); }
.number { text-align: right; }
"""


def to_html(report: Report) -> str:
    """The whole page."""
    parts = [_start(report), _overview(report), _claims(report), _read(report)]
    parts += [_table(number, report.verdicts) for number in published.captions()]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Verdict on the published numbers</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _start(report: Report) -> str:
    paper = published.source()
    against = [name for name in verdicts.tally(report.verdicts) if name]
    told = f"set beside {_joined(against)}" if against else "and nothing that they can be compared with"
    return (
        f"<h1>Verdict on the published numbers</h1>\n<p>The numbers of {escape(paper['paper'])} "
        f"(read from {escape(paper['read_from'])}), {told}.</p>"
    )


def _joined(names: Sequence[str]) -> str:
    return " and ".join(f"<strong>{escape(name)}</strong>" for name in names)


def _mark(word: str, told: str = "") -> str:
    """The sign of a verdict, and the word or what is `told` in its place."""
    return f'<span class="mark {word.replace(" ", "-")}">{SIGNS[word]} {told or word}</span>'


def _grid(caption: str, head: Iterable[str], rows: Iterable[tuple[str, Sequence[str]]], numbers: bool = False) -> str:
    """A table: column heads, and rows of a head and its cells, which are HTML already."""
    kind = ' class="number"' if numbers else ""
    columns = "".join(f'<th scope="col"{kind if place else ""}>{name}</th>' for place, name in enumerate(head))
    body = "\n".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td{kind}>{cell}</td>" for cell in cells)}</tr>'
        for name, cells in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _overview(report: Report) -> str:
    parts = ["<h2>Overview</h2>\n<ul>"]
    parts += [f"<li>{_mark(word)} {meaning}</li>" for word, meaning in _MEANS.items()]
    parts.append(
        "</ul>\n<p>In the tables, ± is the largest difference that still counts as reproduced: two standard deviations "
        "over seeds, or the printed precision if that is more or if there is one seed. The brackets hold the 95 % "
        "interval over questions, which allows for nothing. A star marks a note.</p>"
    )
    for experiment, tables in verdicts.tally(report.verdicts).items():
        rows = [
            (f'<a href="#table-{number}">Table {number}</a>', [str(count) for count in counts.values()])
            for number, counts in tables.items()
            if any(counts.values())
        ]
        title = f"Cells against {experiment}" if experiment else "Cells without a counterpart"
        parts.append(_grid(title, ["Table", *map(_mark, verdicts.VERDICTS)], rows, numbers=True))
    return "\n".join(parts)


def _claims(report: Report) -> str:
    rows = [
        (
            f"{one.claim}. {escape(claims.CLAIMS[one.claim])}",
            [_mark(one.state, one.told), f"{len(one.tested)} of {one.parts}"],
        )
        for one in report.claims
    ]
    parts = ["<h2>The claims</h2>", _grid("The paper's claims", ["Claim", "Verdict", "Comparisons made"], rows)]
    parts += [f"<p>{escape(unseen(report))}</p>"] if unseen(report) else []
    return "\n".join([*parts, *(_comparisons(one) for one in report.claims if one.tested)])


def _comparisons(one: claims.ClaimVerdict) -> str:
    head = ["Comparison", "Lead", "95 % interval", "p", "p, adjusted", "Seeds", "Verdict"]
    rows = []
    for part in one.tested:
        between = "not known" if part.interval is None else "{:+.3g} to {:+.3g}".format(*part.interval)
        chances = ["no test" if p is None else f"{p:.4f}" for p in (part.p, part.adjusted)]
        seeds = "not known" if part.p is None else " and ".join(map(str, dict.fromkeys(part.seeds)))
        state = _mark("holds" if part.holds else "does not hold")
        cells = [
            f"{part.lead:+.3g}",
            between,
            *chances,
            seeds,
            f'{state}<span class="ours">{escape(part.reason)}</span>',
        ]
        rows.append((escape(str(part.comparison)), cells))
    table = _grid(f"Claim {one.claim}", head, rows)
    return f"<details><summary>Comparisons of claim {one.claim}</summary>\n{table}</details>"


def _read(report: Report) -> str:
    parts = ["<h2>What was read</h2>"]
    for names, told in remarks(report).items():
        parts.append(f"<p>{escape(names)}</p>\n{_list(told)}")
    return "\n".join(parts) if len(parts) > 1 else f"{parts[0]}\n<p>No finished run.</p>"


def _list(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _table(number: int, found: Sequence[Verdict]) -> str:
    """One table of the paper, cut into parts that fit on a page, once for each experiment that has figures for it."""
    mine = [one for one in found if one.cell.table == number]
    columns = list(dict.fromkeys(one.cell.column for one in mine))
    width = 3 if len(columns) == 18 else 6  # the large tables hold six groups of three mixtures
    parts = [f'<h2 id="table-{number}">Table {number}</h2>\n<p>{escape(published.captions()[number])}</p>']
    for experiment in dict.fromkeys(one.experiment for one in mine):
        some = {(one.cell.row, one.cell.column): one for one in mine if one.experiment == experiment}
        title = f"against {experiment}" if experiment else "without a counterpart"
        grids = [_part(number, some, columns[at : at + width]) for at in range(0, len(columns), width)]
        shown = f'<div class="grids">{"".join(grids)}</div>{_reasons(some.values())}'
        opened = " open" if number <= 2 else ""
        parts.append(f"<details{opened}><summary>Table {number} {escape(title)}</summary>\n{shown}</details>")
    if notes := dict.fromkeys(f"{one.cell.row}, {one.cell.column}: {note}" for one in mine for note in one.cell.notes):
        parts.append(f"<p>What is known to be wrong or open in this table:</p>{_list(_merged(notes))}")
    return "\n".join(parts)


def _merged(notes: Iterable[str]) -> list[str]:
    """Notes, each once, with all the places that it is about."""
    places: dict[str, list[str]] = {}
    for note in notes:
        place, _, text = note.partition(": ")
        places.setdefault(text, []).append(place)
    return [f"{'; '.join(where)}: {text}" for text, where in places.items()]


def _part(number: int, some: dict[tuple[str, str], Verdict], columns: Sequence[str]) -> str:
    """The cells of some columns as a table; those that have none are left out."""
    rows = list(dict.fromkeys(row for row, column in some if column in columns))
    columns = [column for column in columns if any((row, column) in some for row in rows)]
    if not rows:
        return ""
    filled = [(escape(row), [_cell(some.get((row, column))) for column in columns]) for row in rows]
    head = "model" if number <= 2 else "asked in"
    return _grid(f"Table {number}: {columns[0]} to {columns[-1]}", [head, *map(escape, columns)], filled)


def _cell(one: Verdict | None) -> str:
    if one is None:
        return ""
    noted = " *" if one.cell.notes else ""
    lines = [f"<span>paper {one.cell.printed}{noted}</span>"]
    if one.ours is not None:
        allowed = verdicts.tolerance(one.cell, one.ours)
        digits = one.cell.decimals
        lines.append(f'<span class="ours">ours {one.ours.value:.{digits}f} ± {allowed:.{digits + 1}f}</span>')
        if ours := one.ours.interval:
            lines.append(f'<span class="ours">[{ours[0]:.{digits}f}, {ours[1]:.{digits}f}]</span>')
    return f'<div class="cell">{"".join(lines)}{_mark(one.verdict)}</div>'


def _reasons(found: Iterable[Verdict]) -> str:
    """Why cells are not reproduced: each reason once, with the cells that have it."""
    places: dict[str, list[str]] = {}
    for one in found:
        if one.verdict != "reproduced":
            places.setdefault(one.reason, []).append(f"{one.cell.row}, {one.cell.column}")
    if not places:
        return ""
    told = [
        f"{'; '.join(where) if len(where) <= 3 else f'{len(where)} cells'}: {reason}"
        for reason, where in places.items()
    ]
    return f"<details><summary>Why not reproduced</summary>{_list(told)}</details>"

"""A report as one HTML page: no script, no other host, charts as inline SVG."""

from __future__ import annotations

import html

from entromask.analysis.report.document import (
    Block,
    Bullets,
    Document,
    Figure,
    Figures,
    Paragraph,
    Table,
)
from entromask.analysis.report.page_style import STYLE

# Nothing is loaded and nothing is run, whatever the names of runs hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def to_html(document: Document) -> str:
    """The page; its charts are drawn here, by vl-convert.

    Raises:
        ImportError: vl-convert is not installed.
    """
    title = html.escape(document.title)
    body = [f"<h1>{title}</h1>", *(f"<p>{html.escape(line)}</p>" for line in document.lead)]
    for section in document.sections:
        heading = html.escape(section.title)
        body.append(f"<section>\n<h2>{heading}</h2>")
        body += [_block(block, section.title) for block in section.blocks]
        body.append("</section>")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{title}</title>",
            f"<style>\n{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _block(block: Block, title: str) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Bullets):
        items = "\n".join(f"<li>{html.escape(item)}</li>" for item in block.items)
        return f"<ul>\n{items}\n</ul>"
    if isinstance(block, Figures):
        drawn = "\n".join(map(_figure, block.figures))
        note = f'<p class="note">{html.escape(block.caption)}</p>'
        return f'<div class="figures">\n{drawn}\n</div>\n{note}'
    return _table(block, title)


def _figure(figure: Figure) -> str:
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(figure.spec)
    return (
        f"<figure><figcaption>{html.escape(figure.title)}</figcaption>\n"
        f'<div class="chart" role="img" aria-label="{html.escape(figure.alt)}" tabindex="0">'
        f"{svg}</div></figure>"
    )


def _table(table: Table, title: str) -> str:
    heads = "".join(
        f'<th scope="col"{_words(i, table)}>{html.escape(head)}</th>'
        for i, head in enumerate(table.head)
    )
    rows = []
    for position, row in enumerate(table.rows):
        cells = []
        for i, cell in enumerate(row):
            text = html.escape(cell.text)
            text = f"<strong>{text}</strong>" if cell.bold else text
            tag, scope = ("th", ' scope="row"') if i == 0 else ("td", "")
            cells.append(f"<{tag}{scope}{_words(i, table)}>{text}</{tag}>")
        rule = ' class="rule"' if position in table.rules else ""
        rows.append(f"<tr{rule}>{''.join(cells)}</tr>")
    body = "\n".join(rows)
    # What scrolls is reached by the keyboard, and has a name.
    name = f'role="region" aria-label="Table: {html.escape(title)}" tabindex="0"'
    return (
        f'<div class="scroll" {name}>\n'
        f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _words(column: int, table: Table) -> str:
    return ' class="words"' if column < table.left else ""

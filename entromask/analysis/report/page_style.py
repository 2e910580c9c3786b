"""The style of the HTML page: light and dark, on paper, on a phone."""

STYLE = """\
:root { color-scheme: light dark; --ink: #1a1c20; --paper: #ffffff; --soft: #5a6068;
  --rule: #d4d8dd; --stripe: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #15181c; --soft: #a4abb3; --rule: #3a4048; --stripe: #1d2126; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; }
main { max-width: 90rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem;
  border-bottom: 1px solid var(--rule); }
p, li { max-width: 60rem; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; margin: .6rem 0; }
.note, section > .scroll + ul { color: var(--soft); font-size: .875rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .8125rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .45rem; text-align: right; white-space: nowrap; font-weight: 400; }
.words { text-align: left; }
th.words[scope="row"] { white-space: normal; min-width: 9rem; max-width: 20rem;
  overflow-wrap: anywhere; }
thead th { font-weight: 600; border-bottom: 1.5px solid var(--ink); vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--stripe); }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
tr.rule > * { border-top: 1px solid var(--soft); }
strong { font-weight: 700; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; margin: 1rem 0 .4rem; }
figure { margin: 0; max-width: 100%; }
figcaption { font-weight: 600; font-size: .875rem; max-width: 26rem; overflow-wrap: anywhere; }
.chart { overflow-x: auto; }
.chart svg { display: block; max-width: 100%; min-width: 20rem; height: auto; }
:focus-visible { outline: 2px solid #0072b2; outline-offset: 2px; }
@media print {
  :root { --ink: #000000; --paper: #ffffff; --soft: #444444; --rule: #bbbbbb; --stripe: #ffffff; }
  @page { size: A4 landscape; margin: 12mm; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll, .chart { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .15rem .3rem; }
}
"""

"""The page's style sheet: phone, screen, print; light and dark."""

CSS = """
:root { color-scheme: light dark; --ink: #1f2329; --soft: #57606a; --paper: #ffffff;
  --line: #c9d1d8; --tint: #f3f5f7; --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #a3acb5; --paper: #14171b;
  --line: #3c444d; --tint: #1d2227; --link: #7ab7ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main, header, nav, footer { max-width: 1180px; margin: 0 auto; padding: 0 16px; }
main { padding-bottom: 3rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1.5rem 0 .3rem; }
h2 { font-size: 1.35rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem;
  border-bottom: 2px solid var(--line); }
h3 { font-size: 1.12rem; margin: 2rem 0 .5rem; }
h4 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
h1, h2, h3, h4, p, li, figcaption, summary { overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 75ch; }
ul { margin: .4rem 0; padding-left: 1.3rem; max-width: 75ch; }
a { color: var(--link); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0;
  max-width: none; margin: .8rem 0; }
.note, figcaption, small { color: var(--soft); }
small { font-size: .82em; font-weight: normal; white-space: nowrap; }
figcaption, .note { font-size: .9rem; max-width: 80ch; }
figure { margin: 1rem 0 1.4rem; }
.panels { display: grid; gap: 1rem 1.4rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.panels svg { width: 100%; height: auto; max-width: 420px; display: block; }
.scroll { overflow-x: auto; margin: 1rem 0; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .35rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 70px); }
tbody th, thead th:first-child { position: sticky; left: 0; background: var(--paper); }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; }
table.numbers td, table.numbers thead th:not(:first-child) { text-align: right;
  padding: .3rem 0 .3rem .9rem; overflow-wrap: normal; }
table.numbers td { white-space: nowrap; }
table.numbers td a { text-decoration: none; }
table.numbers td a:hover { text-decoration: underline; }
table.numbers td u { text-decoration: underline 1.5px; text-underline-offset: 3px; }
thead th { border-bottom: 1.5px solid var(--ink); vertical-align: bottom; }
thead th { max-width: 11rem; }
thead th small { display: block; }
tbody th { font-weight: normal; min-width: 8.5rem; }
@media (max-width: 600px) { tbody th { min-width: 6rem; max-width: 8.5rem; }
  thead th { max-width: 7.5rem; } }
tbody tr { border-bottom: 1px solid var(--line); }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--link); }
article { border: 1px solid var(--line); border-radius: 8px; padding: .4rem 1rem; margin: .8rem 0; }
pre { background: var(--tint); padding: .6rem .8rem; border-radius: 6px; margin: .6rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #333; --paper: #fff; --line: #bbb;
    --tint: #f3f5f7; --link: #000; }
  @page { margin: 14mm; }
  body { font-size: 10pt; }
  main, header, footer { max-width: none; padding: 0; }
  nav { display: none; }
  .panels { grid-template-columns: repeat(3, 1fr); gap: .6rem; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  table.numbers td { white-space: normal; }
  tbody th { min-width: 0; }
  figure, tr, article, svg { break-inside: avoid; }
  h2, h3, h4, caption { break-after: avoid; }
  a { text-decoration: none; }
}
"""

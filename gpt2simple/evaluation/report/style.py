"""The look of a report: light and dark, from a phone's width up."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1c1e; --soft: #5c5c66; --line: #d9d9df; --card: #f6f6f8;
  --train: #2f6fb0; --held: #c8401b; --best: #8a5a00; --mark: #ffd9c7; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --back: #16171a; --text: #ececf0; --soft: #a9a9b4; --line: #3a3b42;
  --card: #202127; --train: #7db4ee; --held: #ff8f6b; --best: #f1c15b; --mark: #6b2f18; --link: #8ec5ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.55 system-ui, sans-serif; }
main, header, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.5rem 0 .3rem; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1.5rem; }
h3 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
h1, h2, h3, p, li, td, th, summary, pre, figcaption { overflow-wrap: anywhere; }
a { color: var(--link); } :focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -100vw; } 
.skip:focus { left: 1rem; top: .5rem; background: var(--back); padding: .4rem; }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
.verdict { background: var(--card); border-left: .35rem solid var(--train); padding: .7rem 1rem; border-radius: .3rem; }
.verdict.overfitted, .verdict.learned_nothing { border-color: var(--held); }
.verdict p { margin: .3rem 0; } .verdict ul { margin: .3rem 0; padding-left: 1.2rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.figures div { background: var(--card); border-radius: .3rem; padding: .5rem .7rem; }
.figures dt { color: var(--soft); font-size: .85rem; } .figures dd { margin: 0; font-size: 1.15rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
.chart { margin: .5rem 0; max-width: 38rem; } .chart svg { width: 100%; height: auto; display: block; }
.chart text { fill: var(--soft); font-size: 13px; }
.grid { stroke: var(--line); fill: none; } .guide { stroke: var(--best); fill: none; stroke-dasharray: 4 4; }
.line { fill: none; stroke-width: 2; } .line.train { stroke: var(--train); } .line.held { stroke: var(--held); }
.line.raw { stroke: var(--train); stroke-width: 1; opacity: .3; } 
.line.natural { stroke: var(--soft); stroke-dasharray: 5 4; }
.dot.train { fill: var(--train); } .dot.held { fill: var(--held); } .dot.natural { fill: var(--soft); }
.line.model0, .key.model0, .dot.model0 { --c: var(--train); }
.line.model1, .key.model1, .dot.model1 { --c: var(--held); }
.line.model2, .key.model2, .dot.model2 { --c: #2f9e6b; } .line.model3, .key.model3, .dot.model3 { --c: #9b6bd3; }
.line.model4, .key.model4, .dot.model4 { --c: #c98a1b; } .line.model5, .key.model5, .dot.model5 { --c: #8a8a95; }
.line[class*=model] { stroke: var(--c); } .dot[class*=model] { fill: var(--c); }
.legend .key[class*=model] { background: var(--c); }
circle.best { fill: var(--best); stroke: var(--back); stroke-width: 2; }
.legend { list-style: none; margin: .2rem 0 0; padding: 0; font-size: .9rem; } .legend li { display: flex; gap: .5rem; }
.key { flex: none; width: 1.1rem; height: .3rem; margin-top: .6rem; border-radius: .2rem; background: var(--soft); }
.key.train { background: var(--train); } .key.raw { background: var(--train); opacity: .4; }
.key.natural { background: var(--soft); }
.key.held { background: var(--held); } .key.best { background: var(--best); height: .7rem; margin-top: .4rem; }
pre { white-space: pre-wrap; background: var(--card); padding: .7rem; border-radius: .3rem; margin: .4rem 0;
  font: .9rem/1.5 ui-monospace, monospace; }
mark { background: var(--mark); color: inherit; border-radius: .15rem; }
details { border: 1px solid var(--line); border-radius: .3rem; margin: .5rem 0; padding: .3rem .7rem; }
summary { cursor: pointer; padding: .3rem 0; min-height: 1.8rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .92rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th { overflow-wrap: normal; } td { overflow-wrap: break-word; min-width: 3rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); gap: 1rem; }
"""

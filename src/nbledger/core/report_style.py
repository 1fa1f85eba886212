"""The style sheet of a report's page, for light and dark screens and for paper."""

STYLE = """
:root { color-scheme: light dark; --soft: #5f6b76; --line: #d5dae0; --plus: #e3f4e6; --minus: #fbe7e5;
  --good: #1c7c3c; --bad: #b3261e; --was: #6b7a90; --is: #1f6feb; --ground: #fff; --ink: #1c2127; --box: #f6f8fa }
@media (prefers-color-scheme: dark) { :root { --soft: #a2adb9; --line: #3a424c; --plus: #173a23; --minus: #4a1f1c;
  --good: #62c98a; --bad: #ff8b80; --was: #93a1b5; --is: #6cb0ff; --ground: #14181d; --ink: #e6eaee; --box: #1d232a } }
@media print { details > pre { display: block } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums }
main { max-width: 1100px; margin: 0 auto; padding: 16px 20px 60px; overflow-wrap: anywhere }
h1 { font-size: 1.5em; margin: 0.6em 0 0.2em } h2 { font-size: 1.15em; margin: 1.8em 0 0.4em; padding-bottom: 3px;
  border-bottom: 1px solid var(--line) } h3 { font-size: 1em; margin: 1.1em 0 0.3em }
p { margin: 0.4em 0 } ul, ol { margin: 0.3em 0; padding-left: 1.6em }
.soft { color: var(--soft); font-weight: 400 } .better { color: var(--good) } .worse { color: var(--bad) }
.same, .other { color: var(--soft) }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.92em }
.scroll { overflow-x: auto; margin: 4px 0 8px } table { border-collapse: collapse; font-size: 0.95em }
th, td { padding: 3px 14px 3px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
th { font-weight: 600; color: var(--soft); white-space: nowrap } .num { text-align: right }
td svg { vertical-align: middle } .drawn { display: flex; flex-wrap: wrap; gap: 12px 24px } figure { margin: 0 }
figcaption { font-size: 0.9em } details { margin: 4px 0 } summary { cursor: pointer }
pre { background: var(--box); padding: 8px 10px; overflow-x: auto; margin: 4px 0 10px; line-height: 1.35 }
pre span { display: inline-block; min-width: 100% } .plus { background: var(--plus) } .minus { background: var(--minus) }
svg { max-width: 100% } svg text { font: 10px system-ui, sans-serif; fill: var(--soft) }
svg .axis { stroke: var(--line) } svg .way { stroke: var(--was); stroke-width: 2 }
svg .way.better { stroke: var(--good) } svg .way.worse { stroke: var(--bad) }
svg circle.was { fill: var(--ground); stroke: var(--was); stroke-width: 1.5 } svg circle.is { fill: var(--is) }
svg circle.better { fill: var(--good) } svg circle.worse { fill: var(--bad) }
svg polyline { fill: none; stroke-width: 1.6 } svg polyline.was { stroke: var(--was); stroke-dasharray: 5 3 }
svg polyline.is { stroke: var(--is) } .spread line.was, .spread rect.was { stroke: var(--was) }
.spread line.is, .spread rect.is { stroke: var(--is) } .spread rect { fill: var(--ground) }
.spread .middle { stroke: var(--ink); stroke-width: 2 }
"""

"""The style sheet of a report: on a page of its own, for light and dark screens and for paper, or within somebody else's."""

from __future__ import annotations

import re

WITHIN = "nbledger-report"
"""The class of the element that holds a report."""

_PARTS = """
h1, .h1 { font-size: 1.5em; font-weight: 700; margin: 0.6em 0 0.2em }
h2, .h2 { font-size: 1.15em; font-weight: 700; margin: 1.8em 0 0.4em; padding-bottom: 3px; border-bottom: 1px solid var(--line) }
h3, .h3 { font-size: 1em; font-weight: 700; margin: 1.1em 0 0.3em }
p { margin: 0.4em 0 } ul, ol { margin: 0.3em 0; padding-left: 1.6em }
.soft { color: var(--soft); font-weight: 400 } .better { color: var(--good) } .worse { color: var(--bad) }
.same, .other { color: var(--soft) }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.92em; color: inherit }
.scroll { overflow-x: auto; margin: 4px 0 8px } table { border-collapse: collapse; font-size: 0.95em; margin: 0; color: inherit }
th, td { padding: 3px 14px 3px 0; text-align: left; vertical-align: top; border: 0; border-bottom: 1px solid var(--line) }
th, td { overflow-wrap: break-word } th.num, td.num { text-align: right; white-space: nowrap }
th { font-weight: 600; color: var(--soft); white-space: nowrap }
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

_PAGE = """
:root { color-scheme: light dark; --soft: #5f6b76; --line: #d5dae0; --plus: #e3f4e6; --minus: #fbe7e5;
  --good: #1c7c3c; --bad: #b3261e; --was: #6b7a90; --is: #1f6feb; --ground: #fff; --ink: #1c2127; --box: #f6f8fa }
@media (prefers-color-scheme: dark) { :root { --soft: #a2adb9; --line: #3a424c; --plus: #173a23; --minus: #4a1f1c;
  --good: #62c98a; --bad: #ff8b80; --was: #93a1b5; --is: #6cb0ff; --ground: #14181d; --ink: #e6eaee; --box: #1d232a } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
@media (max-width: 640px) { td:not(.num) { min-width: 5em } }
main { max-width: 1100px; margin: 0 auto; padding: 16px 20px 60px; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums }
"""

# JupyterLab's variables, with fallbacks that read well on light and dark pages that have none.
_GUEST = f"""
.{WITHIN} {{ --soft: var(--jp-ui-font-color2, #808a94); --line: var(--jp-border-color2, #8886); --plus: #2ea0432e;
  --minus: #f851492e; --good: var(--jp-success-color1, #2e8b57); --bad: var(--jp-error-color1, #d9463b); --was: #8b96a5;
  --is: var(--jp-brand-color1, #2a8bc0); --ground: var(--jp-layout-color0, Canvas); --ink: var(--jp-ui-font-color1, currentColor);
  --box: var(--jp-layout-color2, #8881); color: var(--jp-ui-font-color1, inherit); overflow-wrap: anywhere;
  font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: var(--jp-ui-font-size1, 13px); line-height: 1.5;
  font-variant-numeric: tabular-nums }}
"""


def _scoped(rules: str) -> str:
    """The rules for what is within a report, and nothing else on the page."""

    def rule(found: re.Match[str]) -> str:
        names = (f".{WITHIN} {name.strip()}" for name in found[1].split(","))
        return f"{', '.join(names)} {{{found[2]}}}\n"

    return re.sub(r"([^{}]+)\{([^{}]*)\}", rule, rules).strip()


PAGE = f"{_PAGE}{_scoped(_PARTS)}\n"
"""Of a page of its own."""
GUEST = f"{_GUEST}{_scoped(_PARTS)}\n"
"""Of a report within a notebook."""

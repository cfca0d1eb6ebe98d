"""A journey as one HTML page that needs nothing else: no script, font or image, nothing from the network."""

from __future__ import annotations

from html import escape
from typing import Final

from dashtam.journey.result import Failure, Result, StepOutcome

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
:root { --good: #15803d; --bad: #b91c1c; --warn: #a16207; }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --bad: #f87171; --warn: #facc15; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.score { font-size: 2.5rem; font-weight: 700; } .passed { color: var(--good); } .failed { color: var(--bad); }
.slow { color: var(--warn); } .skipped, .quiet { opacity: .65; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { text-align: left; font-weight: 600; } .number { text-align: right; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
.story { border-left: 4px solid var(--bad); padding: .2rem 0 .2rem 1rem; }
pre { background: var(--soft); padding: 1rem; overflow-x: auto; border-radius: .4rem; font-size: .85rem; }
@media (max-width: 30rem) { .budget { display: none; } dl { grid-template-columns: 1fr; } }
"""

_MARKS: Final = {"passed": "✓", "failed": "✗", "skipped": "·"}


def as_html(result: Result) -> str:
    """Render the page; everything that came from outside is escaped."""
    verdict = "passed" if result.passed else "failed"
    headline = f"{result.score} passed" if result.passed else f"Failed, {result.score} passed"
    cleaned = "passed" if result.clean_up.left_behind is None else "failed"
    rows = "\n".join(_row(step) for step in result.steps)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{headline} · Dashtam journey</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Dashtam journey</h1>
<p class="score {verdict}">{headline}</p>
<dl>
<dt>Server</dt><dd>{escape(result.base_url)}{escape(result.prefix)}</dd>
<dt>Account</dt><dd>{escape(result.address)}</dd>
<dt>Time</dt><dd>{result.total_ms:.0f} ms</dd>
<dt>Clean-up</dt><dd class="{cleaned}">{escape(result.clean_up.detail)}</dd>
</dl>
{_story(result.failure)}
<h2>Steps</h2>
<table>
<thead><tr><th class="number">#</th><th></th><th>Step</th><th class="number">ms</th>
<th class="number budget">budget</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _row(step: StepOutcome) -> str:
    reached = step.status != "skipped"
    ms = f"{step.ms:.0f}" if reached else ""
    remark = ' <span class="slow">slow</span>' if step.slow else ""
    return (
        f'<tr class="{step.status}"><td class="number">{step.number}</td>'
        f'<td title="{step.status}">{_MARKS[step.status]}</td><td>{escape(step.name)}{remark}</td>'
        f'<td class="number">{ms}</td><td class="number budget quiet">{step.budget_ms}</td></tr>'
    )


def _story(failure: Failure | None) -> str:
    if failure is None:
        return ""
    facts = {
        "Sent": failure.sends,
        "Expected": failure.expected,
        "Saw": failure.saw,
        "Diagnosis": failure.diagnosis,
    }
    if not failure.unreachable:
        facts["Hint"] = failure.hint
    told = "\n".join(f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in facts.items() if text)
    wire = f"<pre>{escape(failure.exchange.text())}</pre>" if failure.exchange else ""
    return f"""<h2>Step {failure.number}, {escape(failure.name)}, failed</h2>
<div class="story"><dl>
{told}
</dl></div>
{wire}"""

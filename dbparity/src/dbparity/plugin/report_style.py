"""How the HTML report looks, by day and by night, on paper and on a telephone."""

STYLE = """
:root { color-scheme: light dark; --quiet: #666; --line: #ccc; --bad: #a40000; --good: #1b6e1b; --soft: #f4f4f4; }
@media (prefers-color-scheme: dark) {
  :root { --quiet: #aaa; --line: #444; --bad: #ff8a80; --good: #8fd18f; --soft: #222; }
}
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: .8rem 0 .2rem; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; font-size: .85rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: .3rem; padding: .3rem .6rem; margin: .4rem 0; }
summary { cursor: pointer; }
.quiet { color: var(--quiet); }
.outcome { font-weight: 600; }
.failed, .error, .crashed, .unfinished { color: var(--bad); }
.passed { color: var(--good); }
.finding { border-left: .25rem solid var(--line); padding-left: .6rem; margin: .6rem 0; }
.finding.fail { border-color: var(--bad); color: inherit; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0;
  white-space: pre-wrap; }
"""

"""The report as one page that needs nothing else: no script, no file beside it, no network.

Elements are made by `element`, which escapes whatever is not an element itself: nothing that a test prints can
become markup.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from dbparity.plugin.report_style import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dbparity.plugin.report_format import Document, Failure, Run, Section, Test

BAD = ("crashed", "unfinished", "failed", "error")
VOID = frozenset({"meta"})
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the browser is told: this page loads and runs nothing, whatever stands in it."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str) -> Html:
    """An element; `class_` and `http_equiv` are spelt so because Python wants it."""
    spelt = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    if name in VOID:
        return Html(f"<{name}{spelt}>")
    inside = "".join(each if isinstance(each, Html) else escape(each) for each in content)
    return Html(f"<{name}{spelt}>{inside}</{name}>\n")


def page(document: Document) -> str:
    """The whole page: what failed first, with all that is known of it; then the run, then the rest."""
    tests = document["tests"]
    bad = sorted(
        (each for each in tests if each["outcome"] in BAD), key=lambda each: BAD.index(each["outcome"])
    )
    sensitive = [each for each in tests if each["ci_sensitive"] and each not in bad]
    told = [each for each in tests if each["timeline"] and each not in bad and each not in sensitive]
    title = f"dbparity: {_totals(document)}"
    body = element(
        "main",
        element("h1", title),
        element("p", _subtitle(document["run"]), class_="quiet"),
        *(
            [_preformatted("Stopped before its end", stopped)]
            if (stopped := document["run"]["stopped"])
            else []
        ),
        *_part(
            "Not collected",
            (_preformatted(each["nodeid"], each["traceback"]) for each in document["not_collected"]),
        ),
        *_part("Failing", (_test(each, is_open=True) for each in bad)),
        *_part("Findings", (_finding(each) for each in document["findings"])),
        *_part("Notices", (element("p", each) for each in document["notices"])),
        *_part("ci_sensitive", (_test(each) for each in sensitive)),
        *_part("Timelines", (_test(each) for each in told)),
        *_part("The run", [_run(document["run"])]),
        *_part("In the order in which they ran", _order(document)),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", title),
        Html(f"<style>{STYLE}</style>\n"),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}"


def _part(title: str, content: Iterable[Html]) -> list[Html]:
    inside = list(content)
    return [element("section", element("h2", title), *inside)] if inside else []


def _totals(document: Document) -> str:
    counted = document["totals"]
    first = [*BAD, "passed"]
    names = [*(each for each in first if each in counted), *sorted(counted.keys() - set(first))]
    return ", ".join(f"{counted[each]} {each}" for each in names) or "no test ran"


def _subtitle(run: Run) -> str:
    return f"{run['started']}, {run['duration']:.1f} s, run {run['id']}, exit status {run['exit_status']}"


def _test(test: Test, *, is_open: bool = False) -> Html:
    facts = [test["isolation"], f"{test['duration']:.2f} s"]
    facts += [f"on {test['worker']}"] if test["worker"] != "main" else []
    facts += [f"attempt {test['attempts']}"] if test["attempts"] > 1 else []
    summary = element(
        "summary",
        element("span", test["outcome"], class_=f"outcome {test['outcome']}"),
        " ",
        element("code", test["nodeid"]),
        " ",
        element("span", ", ".join(filter(None, facts)), class_="quiet"),
    )
    reason = [element("p", f"ci_sensitive: {test['ci_sensitive']}")] if test["ci_sensitive"] else []
    content = [
        *reason,
        *(_failure(each) for each in test["failures"]),
        *(_finding(each) for each in test["findings"]),
        *(_section(each) for each in test["sections"] if each["title"] != "dbparity: findings"),
    ]
    return _details(summary, content, is_open=is_open)


def _details(summary: Html, content: Iterable[Html], *, is_open: bool) -> Html:
    made = element("details", summary, *content)
    return Html(made.replace("<details>", "<details open>", 1)) if is_open else made


def _failure(failure: Failure) -> Html:
    code = f" (SQLSTATE {failure['sqlstate']})" if failure["sqlstate"] else ""
    head = f"{failure['when']}: {failure['type']}{code}" if failure["type"] else failure["when"]
    where = f" at {failure['at']}" if failure["at"] else ""
    return element(
        "div",
        element("h3", head + where),
        element("pre", failure["message"]),
        _details(element("summary", "traceback"), [element("pre", failure["traceback"])], is_open=False),
    )


def _finding(finding: Mapping[str, Any]) -> Html:
    test = [element("p", str(finding["test"]), class_="quiet")] if finding["test"] else []
    remedy = [element("p", f"What to do: {finding['remedy']}")] if finding["remedy"] else []
    evidence = [element("pre", "\n".join(finding["evidence"]))] if finding["evidence"] else []
    return element(
        "div",
        element("p", element("strong", f"{finding['detector']}: "), str(finding["message"])),
        *test,
        *evidence,
        *remedy,
        class_=f"finding {finding['strictness']}",
    )


def _section(section: Section) -> Html:
    return _preformatted(
        f"{section['title'].removeprefix('dbparity: ')} ({section['when']})", section["text"]
    )


def _preformatted(title: str, text: str) -> Html:
    return element("div", element("h3", title), element("pre", text))


def _run(run: Run) -> Html:
    facts = {
        "schema": f"{run['schema']} from {run['migrations']}" if run["migrations"] else run["schema"],
        "isolation": run["isolation"],
        "guessed": ", ".join(run["guesses"]),
        "workers": ", ".join(run["workers"]),
        "versions": ", ".join(f"{name} {number}" for name, number in run["versions"].items()),
    }
    for worker, database in run["databases"].items():
        own = database["worker_database"]
        works = f", working on {own}" if own != database["name"] else ""
        facts[f"database ({worker})"] = (
            f"{database['backend']} {database['name']}{works}. {database['built']}"
        )
        facts[f"verdict ({worker})"] = database["verdict"]
    rows = [
        element("tr", element("th", name), element("td", value)) for name, value in facts.items() if value
    ]
    return element("table", *rows)


def _order(document: Document) -> list[Html]:
    tests = {(each["worker"], each["nodeid"]): each for each in document["tests"]}
    return [
        _details(
            element("summary", f"{worker}: {len(nodeids)} tests"),
            [element("ol", *(_place(tests[worker, each]) for each in nodeids))],
            is_open=False,
        )
        for worker, nodeids in document["order"].items()
    ]


def _place(test: Test) -> Html:
    return element(
        "li",
        element("span", test["outcome"], class_=f"outcome {test['outcome']}"),
        " ",
        element("code", test["nodeid"]),
        " ",
        element("span", f"{test['duration']:.3f} s", class_="quiet"),
    )

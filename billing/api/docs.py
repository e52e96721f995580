"""`/docs` and `/problems`: the API's description as plain pages, made from the OpenAPI document and the table of
problems. No script, no other host.
"""

import base64
import hashlib
import html
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from litestar import Response, get

from billing.api.problem_types import PAGE, PROBLEM_TYPES, ProblemType
from billing.api.problems import MEDIA_TYPE

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
body{color:#161b22;background:#f6f7f9}
h1{font-size:1.75rem}section{background:#fff;border:1px solid #d8dee4;border-radius:10px;padding:1rem;margin:1rem 0}
h2{font-size:1rem;margin:0}code,.verb{font-family:ui-monospace,monospace}.verb{color:#0b5cad;font-weight:650}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0}
th{font-weight:550}a{color:#0b5cad}p{white-space:pre-line}
summary{cursor:pointer;color:#0b5cad}pre{overflow-x:auto;font-size:.875rem}
@media (prefers-color-scheme:dark){body{color:#e8ecf1;background:#0e1116}
section{background:#161b22;border-color:#2b323b}
a,.verb,summary{color:#6cb0ff}}
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
VERBS = ("get", "post", "put", "patch", "delete")


def render_docs(document: Mapping[str, Any]) -> str:
    """The page for an OpenAPI document (as a dict)."""
    title = html.escape(str(document["info"]["title"]))
    about = html.escape(str(document["info"].get("description") or ""))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{about}</p>"
        f'<p>As a document for tools: <a href="/openapi.json">/openapi.json</a>. What can go wrong: '
        f'<a href="{PAGE}">{PAGE}</a></p>'
        f"{''.join(_sections(document))}</html>"
    )


def problems_route() -> Any:
    """The route handler for the page to which every problem's `type` leads."""

    @get(PAGE, include_in_schema=False, sync_to_thread=False)
    def problems() -> Response[str]:
        return Response(render_problems(), media_type="text/html", headers={"content-security-policy": POLICY})

    return problems


def render_problems() -> str:
    """The table of problems as a page, with one anchor a slug."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Problems</title><style>{STYLE}</style><h1>Problems</h1>"
        f"<p>What can go wrong with a request, by the type that its answer names.</p>"
        f"{''.join(map(_problem, PROBLEM_TYPES.values()))}</html>"
    )


def _problem(kind: ProblemType) -> str:
    again = "" if kind.retry_after_s is None else f" Retry-After is {kind.retry_after_s} s."
    return (
        f'<section id="{kind.slug}"><h2><span class="verb">{kind.status}</span> <code>{kind.slug}</code></h2>'
        f"<p>{html.escape(kind.title)}. {html.escape(kind.advice)}{again}</p>"
        f"<p>For example: {html.escape(kind.example)}</p></section>"
    )


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    for path, item in document["paths"].items():
        for verb in VERBS:
            if operation := item.get(verb):
                yield _section(path, verb, operation)


def _section(path: str, verb: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(_parameter(parameter) for parameter in operation.get("parameters", ()))
    table = f"<table><tr><th>Parameter<th>In<th>Meaning</tr>{rows}</table>" if rows else ""
    answers = "".join(
        f"<tr><td><code>{html.escape(status)}</code><td>{html.escape(str(answer.get('description', '')))}"
        f"{_examples(answer)}</tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    return (
        f'<section><h2><span class="verb">{verb.upper()}</span> <code>{html.escape(path)}</code></h2>'
        f"<p>{html.escape(str(operation.get('description') or operation.get('summary') or ''))}</p>{table}"
        f"<table><tr><th>Answer<th>Meaning</tr>{answers}</table></section>"
    )


def _examples(answer: Mapping[str, Any]) -> str:
    """Of an answer that is no problem: those are on a page of their own."""
    shown = ""
    for media_type, content in answer.get("content", {}).items():
        for example in content["examples"].values() if media_type != MEDIA_TYPE else ():
            value = example["value"]
            text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
            shown += f"<details><summary>{html.escape(media_type)}</summary><pre>{html.escape(text)}</pre></details>"
    return shown


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema", {})
    about = parameter.get("description") or schema.get("description") or ""
    if "enum" in schema:
        about += f": {', '.join(schema['enum'])}"
        about += f"; {schema['default']} if absent" if "default" in schema else ""
    if parameter.get("required") and parameter["in"] == "query":
        about += "; required"
    return (
        f"<tr><td><code>{html.escape(parameter['name'])}</code><td>{html.escape(parameter['in'])}"
        f"<td>{html.escape(str(about))}</tr>"
    )

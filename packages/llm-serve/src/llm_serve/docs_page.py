"""The page under `/docs`: the OpenAPI description as one HTML file that loads nothing.

A serving node may see no other machine than its clients, so no script, style or image comes from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, th { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 2rem; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .6rem; }
th, td { text-align: left; vertical-align: top; }
th { font-weight: normal; white-space: nowrap; }
h2 code { background: #8882; border-radius: 4px; padding: .1rem .4rem; }
""".strip()
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "maxItems": "at most so many:",
    "maxLength": "letters, at most:",
}


def docs_page(description: Mapping[str, Any]) -> str:
    """HTML of an OpenAPI description: every path, and the fields of its body."""
    info = description["info"]
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['description'])} <a href='openapi.json'>openapi.json</a></p>",
    ]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('summary', ''))}</p>")
            parts += _fields(operation)
    head = f"<meta charset='utf-8'><title>{escape(info['title'])}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>"


def _fields(operation: Mapping[str, Any]) -> Iterator[str]:
    body = operation.get("requestBody")
    if body is None:
        return
    schema = body["content"]["application/json"]["schema"]
    required = set(schema.get("required", ()))
    yield "<table>"
    for name, field in schema["properties"].items():
        default = "required" if name in required else f"default {field.get('default')!r}"
        said = [field.get("description", "").rstrip("."), *_bounds(field)]
        cells = (_type_of(field), default, ". ".join(part for part in said if part))
        yield f"<tr><th>{escape(name)}</th>"
        yield "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def _type_of(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type_of(choice) for choice in field["anyOf"]))
    if "enum" in field:
        return " or ".join(map(repr, field["enum"]))
    if field.get("type") == "array" and "items" in field:
        return f"list of {_type_of(field['items'])}"
    return str(field.get("type", field.get("$ref", "any value").rpartition("/")[2]))


def _bounds(field: Mapping[str, Any]) -> Iterator[str]:
    for choice in (field, *field.get("anyOf", ())):
        for name, words in _BOUNDS.items():
            if name in choice:
                yield f"{words} {choice[name]}"

"""Makes the HTML of Great Expectations open without a network.

Its pages take styles, scripts, fonts and a logo from ten hosts (bootstrap, jquery, vega,
font-awesome, and an image that tells its makers that a page was opened). make_offline takes those
out, puts a small stylesheet of ours in their place, and removes pictures that no page shows. Its
index is a table that a script draws, so index.html leads to the result instead. The content is not
touched.
"""

from __future__ import annotations

import re
from pathlib import Path

_REMOTE = re.compile(
    r"""<script[^>]*\ssrc=["']https?://[^>]*>\s*</script>"""
    r"""|<link[^>]*\shref=["']https?://[^>]*>"""
    r"""|<img[^>]*\ssrc=["']https?://[^>]*>"""
)
_REMOTE_IN_STYLE = re.compile(r"""url\((["']?)https?://[^)]*\)""")
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1100px; padding: 1rem;
  color: #222; background: #fff }
nav, .navbar, .modal, .sr-only, .cooltip-body, footer, #ge-cta-footer { display: none }
h1, h2, h3, h4, h5 { line-height: 1.25; margin: 1.4rem 0 .5rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
td, th { border: 1px solid #ddd; padding: .35rem .6rem; text-align: left; vertical-align: top }
ul { padding-left: 1.2rem }
.badge { background: #eef; border-radius: 4px; padding: 0 .3rem }
.text-success, .fa-check-circle::before { color: #18794e }
.text-danger, .fa-times::before { color: #c62828 }
.fa-check-circle::before { content: "\\2714" }
.fa-times::before { content: "\\2718" }
a { color: #0b57d0 }
</style>"""


def make_offline(docs: Path) -> None:
    """Rewrites every page and stylesheet under `docs` in place."""
    result = next(docs.glob("validations/**/*.html"))
    (docs / "index.html").write_text(_leading_to(result.relative_to(docs).as_posix()), "utf-8")
    pages = sorted(docs.rglob("*.html"))
    texts = [_without_remote(page.read_text("utf-8")) for page in pages]
    for page, text in zip(pages, texts, strict=True):
        page.write_text(text, "utf-8")
    for sheet in docs.rglob("*.css"):
        sheet.write_text(_REMOTE_IN_STYLE.sub("none", sheet.read_text("utf-8")), "utf-8")
    for picture in (docs / "static").rglob("*"):
        if picture.suffix in (".gif", ".png", ".otf") and not _used(picture.name, texts):
            picture.unlink()


def _leading_to(page: str) -> str:
    return (
        "<!doctype html><title>Data Docs</title>"
        f'<meta http-equiv="refresh" content="0; url={page}">'
        f'<p><a href="{page}">Validation result</a></p>\n'
    )


def _without_remote(page: str) -> str:
    page = _REMOTE_IN_STYLE.sub("none", _REMOTE.sub("", page))
    return page.replace("</head>", f"{_STYLE}</head>", 1)


def _used(name: str, texts: list[str]) -> bool:
    return any(name in text for text in texts)

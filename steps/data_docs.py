"""The Data Docs page of Great Expectations, made to open without a network.

It takes styles, scripts, fonts and a logo from ten hosts (bootstrap, jquery, vega, font-awesome,
and an image that tells its makers that a page was opened). Those are taken out, and a small
stylesheet of ours stands in their place; the content is not touched. There is one page and not the
whole site: its index is a table that only a script could draw, and costs as much as the checks.
"""

from __future__ import annotations

import re
from typing import Any

_ELSEWHERE = re.compile(
    r"""<script[^>]*\ssrc=["']https?://[^>]*>\s*</script>"""
    r"""|<link[^>]*\shref=[^>]*>"""
    r"""|<img[^>]*\ssrc=["']https?://[^>]*>"""
)
_REMOTE_IN_STYLE = re.compile(r"""url\((["']?)https?://[^)]*\)""")
_LINK_TO_THE_SITE = re.compile(r"""\shref=["']\.\./[^"']*["']""")
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1100px; padding: 1rem;
  color: #222; background: #fff }
nav, .navbar, .modal, .sr-only, .cooltip-body, footer, #ge-cta-footer,
  a[data-toggle], #navigation, .col-lg-2 { display: none }
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


def page(result: Any) -> str:
    """The page of a validation result, as Great Expectations draws it, openable offline."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    return offline(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result)))


def offline(html: str) -> str:
    """The page without what it would load from elsewhere, with a stylesheet of ours."""
    html = _LINK_TO_THE_SITE.sub("", _REMOTE_IN_STYLE.sub("none", _ELSEWHERE.sub("", html)))
    return html.replace("</head>", f"{_STYLE}</head>", 1)

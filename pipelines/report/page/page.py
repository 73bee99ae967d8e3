"""The report as a folder: `index.html`, which holds everything but the pictures, and `media/`.

Text from data reaches the page in two ways only: through Jinja's escaping, or as JSON that scripts
insert with `textContent`. The content security policy allows only the page's own scripts, by their
digests, and no network requests, so that text from data could not run as code.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from smolmix.pipelines.report.page.charts import PALETTE
from smolmix.pipelines.report.page.sections import Section, sections
from smolmix.pipelines.report.samples.cards import Card
from smolmix.pipelines.stats.terminal import number, size
from smolmix.version import __version__

_WIDE = ("flow", "constraints-share")
_ROWS_SHOWN = 60


def asset(name: str) -> str:
    """Return the text of a file in `assets/`."""
    return files("smolmix.pipelines.report.page").joinpath("assets", name).read_text("utf-8")


@cache
def vega_script() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script, from vl-convert."""
    import vl_convert

    code: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def json_text(value: object) -> str:
    """Return JSON that is safe inside a script element, whatever its strings contain."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for bad, good in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(bad, good)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def policy(scripts: Sequence[str], *, connect: str = "'none'", images: str = "'self' file:") -> str:
    """Return a content security policy that allows only these scripts."""
    digests = (hashlib.sha256(s.encode()).digest() for s in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        f"img-src {images} data:; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def environment() -> jinja2.Environment:
    """Return the template environment: autoescaping, and errors for unknown names."""
    loader = jinja2.FunctionLoader(asset)
    env = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["figure"] = number
    env.filters["size"] = size
    return env


def report_page(figures: Mapping[str, Any], cards: Sequence[Card]) -> str:
    """Return a mixture's `index.html`.

    Args:
        figures: from `smolmix.pipelines.report.figures.figures`.
        cards: samples for the browser.
    """
    return _page(
        f"Mixture {figures['name']}",
        sections(figures),
        about=figures["about"],
        made_from=f"selection {figures['provenance']['selection']}",
        browser={"figures": Markup(json_text(figures)), "samples": Markup(json_text(cards))},
    )


def workspace_page(name: str, parts: Sequence[Section]) -> str:
    """Return a workspace's `index.html`: sections of tables, no samples to browse."""
    return _page(f"Workspace {name}", parts, about="", made_from="its stages", browser=None)


def _page(
    title: str,
    parts: Sequence[Section],
    *,
    about: str,
    made_from: str,
    browser: Mapping[str, Markup] | None,
) -> str:
    plots = {p.id: p.spec for s in parts for p in s.plots}
    scripts = [vega_script()] if plots else []
    scripts.append(asset("plots.js"))
    if browser is not None:
        scripts += [asset(n) for n in ("cards.js", "browser.js", "report.js")]
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            title=title,
            about=about,
            sections=parts,
            wide=_WIDE,
            limit=_ROWS_SHOWN,
            css=Markup(asset("report.css")),
            policy=policy(scripts),
            plots=Markup(json_text(plots)),
            palette=Markup(json_text(PALETTE)),
            browser_data=browser,
            scripts=[Markup(s) for s in scripts],
            version=__version__,
            made_from=made_from,
        )
    )

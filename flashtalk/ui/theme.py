"""How the page looks: Gradio's theme in our colours, and what goes into the page's head. Read by ui/build.py.

Everything else of the looks is in static/style.css, whose variables repeat these colours.
"""

from __future__ import annotations

from pathlib import Path

from gradio.themes import Base, Color, Size

STATIC = Path(__file__).resolve().parent / "static"

CORAL = Color(
    name="coral",
    c50="#fff3ee",
    c100="#ffe4d9",
    c200="#ffc7b2",
    c300="#ffa384",
    c400="#ff7d56",
    c500="#f95d33",
    c600="#cf3f18",
    c700="#b23314",
    c800="#8c2a14",
    c900="#6f2614",
    c950="#3d1007",
)
SAND = Color(
    name="sand",
    c50="#fbf8f3",
    c100="#f5efe6",
    c200="#e9e0d3",
    c300="#d6cabb",
    c400="#a99c8e",
    c500="#6b6059",
    c600="#5f564f",
    c700="#453e3a",
    c800="#2b2624",
    c900="#1e1a19",
    c950="#151211",
)
_ABOUT = "A picture and a voice in, a talking person out."
_FALLBACKS = ("PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", "sans-serif")
_TEXT = ("Instrument Sans Variable", "Instrument Fallback", *_FALLBACKS)


def build_theme() -> Base:
    """Gradio's theme in our colours, round corners and our type."""
    radius = Size(name="round", xxs="6px", xs="8px", sm="10px", md="12px", lg="16px", xl="20px", xxl="28px")
    base = Base(
        primary_hue=CORAL,
        secondary_hue=CORAL,
        neutral_hue=SAND,
        radius_size=radius,
        font=list(_TEXT),
        font_mono=["ui-monospace", "monospace"],
    )
    return base.set(
        body_background_fill="#fbf8f3",
        body_background_fill_dark="#151211",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1e1a19",
        background_fill_secondary="#f5efe6",
        background_fill_secondary_dark="#191615",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1e1a19",
        block_border_color="#e9e0d3",
        block_border_color_dark="#332d2a",
        border_color_primary="#e9e0d3",
        border_color_primary_dark="#332d2a",
        block_shadow="none",
        body_text_color_subdued="#6b6059",
        body_text_color_subdued_dark="#b3a79c",
        block_info_text_color="#6b6059",
        block_info_text_color_dark="#b3a79c",
        input_placeholder_color="#6b6059",
        input_placeholder_color_dark="#b3a79c",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        input_background_fill="#fbf8f3",
        input_background_fill_dark="#151211",
        button_primary_background_fill="#cf3f18",
        button_primary_background_fill_dark="#f95d33",
        button_primary_background_fill_hover="#b23314",
        button_primary_background_fill_hover_dark="#ff7d56",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#1e0a04",
        button_large_radius="999px",
        button_medium_radius="999px",
        button_small_radius="999px",
    )


def head() -> str:
    """Tags for the head of the page, before Gradio's: language and shade, type, and what a search engine shows."""
    names = ("head.js", "login.js", "head.css")
    script, login, style = ((STATIC / name).read_text(encoding="utf-8") for name in names)
    fonts = ("bricolage-grotesque-latin.woff2", "instrument-sans-latin.woff2")
    preload = '<link rel="preload" href="ft/public/static/fonts/{}" as="font" type="font/woff2" crossorigin>'
    links = "".join(preload.format(font) for font in fonts)
    about = f'<meta name="description" content="{_ABOUT}"><meta name="color-scheme" content="light dark">'
    about += '<link rel="icon" href="ft/public/static/icon.png">'
    return f"{about}{links}<style>{style}</style><script>{script}</script><script>{login}</script>"

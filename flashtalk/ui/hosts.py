"""By which names an app may be asked that asks nobody for a password. For ui/guard.py and app.py.

Whoever owns a name can make it stand for this machine once his page is open (DNS rebinding): to the browser both are
one site then, and only the name that it asks for tells them apart. Addresses stand for nothing else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

ANY = "*"
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+))(?::\d*)?", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE)
_LETTERS = 64
_REFUSAL = """\
This app does not answer to the name {name}. Open it by its address, or start it with --allow-host {name}; with a \
password (--auth NAME:PASSWORD), any name will do.
此应用不接受以 {name} 为名的访问。请用 IP 地址打开，或在启动时加上 --allow-host {name}；\
设置密码（--auth 用户名:密码）后任何名称均可。
"""


def is_ours(host: str | None, names: Collection[str]) -> bool:
    """Whether a request with this header comes by an address, as localhost, by one of `names` (small letters; ANY: by
    whichever), or without one, as no browser does.
    """
    if host is None or ANY in names:
        return True
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found["v6"] or found["name"]).lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or name in names or _is_address(name)


def is_name(told: str) -> bool:
    """Whether it can stand in `names`."""
    return told == ANY or _NAME.fullmatch(told) is not None


def refusal(host: str) -> str:
    """What to set, in both languages."""
    name = host.partition(":")[0] or host
    return _REFUSAL.format(name=name[:_LETTERS])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

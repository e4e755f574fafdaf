"""A headless Chromium that can reach only this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver


@contextmanager
def chromium(profile: Path, *more: str) -> Iterator[webdriver.Chrome]:
    """Yield a browser with a fresh profile."""
    options = webdriver.ChromeOptions()
    for option in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        *more,
    ):
        options.add_argument(option)
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(found.values()), f"Debian's chromium and chromium-driver are needed: {found}"
    options.binary_location = str(found["chromium"])
    service = webdriver.ChromeService(str(found["chromedriver"]))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()

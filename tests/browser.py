"""The Chromium that tests open pages in: found here by `make` and by the tests alike, and driven by Playwright.

Run as a script it prints the browser's version, or ends with what to do about a missing one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page, Route, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip
"""Nothing but the page itself uses the network, and no name leads anywhere."""
_WAYS_OUT = "install Chromium (Debian: apt-get install chromium) or set CHROMIUM to the path of a browser built on it"


class NoBrowserError(Exception):
    """There is no Chromium on this machine, or none that starts."""


def chromium() -> str:
    """The path of the browser: $CHROMIUM, or else the first of the usual names on the PATH; NoBrowserError if none."""
    named = os.environ.get("CHROMIUM")
    if named:
        found = shutil.which(named)
        if found is None:
            raise NoBrowserError(f"CHROMIUM={named} is no program that can be run; {_WAYS_OUT}")
        return found
    for name in _NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    raise NoBrowserError(f"tests of pages need a browser, and there is no {' or '.join(_NAMES)}; {_WAYS_OUT}")


def version() -> str:
    """What the browser says of itself; NoBrowserError if it does not start, as a stub that only names a package."""
    path = chromium()
    run = subprocess.run([path, "--version"], capture_output=True, text=True)
    if run.returncode != 0:
        raise NoBrowserError(f"{path} does not start ({run.stderr.strip()}); {_WAYS_OUT}")
    return run.stdout.strip()


@dataclass
class Watched:
    """A page with a record of what went wrong on it."""

    page: Page
    outside: list[str] = field(default_factory=list)
    """What it asked of others; none of it got out."""
    errors: list[str] = field(default_factory=list)
    """Errors that no script caught."""
    timeout_seconds: float = 30
    """How long anything on the page may take."""

    def ask(self, function: str, argument: object = None) -> Any:
        """What the JavaScript *function* of one *argument* gives, or an error when its time is over."""
        late = f"no answer in {self.timeout_seconds:g} s"
        stop = f"new Promise((_, stop) => setTimeout(stop, {1000 * self.timeout_seconds}, new Error('{late}')))"
        return self.page.evaluate(f"argument => Promise.race([({function})(argument), {stop}])", argument)


@contextmanager
def watched_page(own: str) -> Iterator[Watched]:
    """A page of a fresh headless browser; only addresses that begin with *own* are reached."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_FLAGS)  # no sandbox, as root needs
        context = browser.new_context(viewport={"width": 1600, "height": 1000})
        watched = Watched(context.new_page())

        def admit(route: Route) -> None:
            if route.request.url.startswith((own, "data:", "blob:")):
                route.continue_()
            else:
                watched.outside.append(route.request.url)
                route.abort()

        context.route("**/*", admit)
        watched.page.on("websocket", lambda socket: watched.outside.append(socket.url))
        watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
        watched.page.set_default_timeout(1000 * watched.timeout_seconds)
        try:
            yield watched
        finally:
            context.close()
            browser.close()


def main() -> int:
    """Print the version of the browser, or what to do without one; the exit code says which."""
    try:
        print(version())
    except NoBrowserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The pages behind mailed links: what they send, and what they do in a real browser against the real service."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Browser, Page, async_playwright

import dashtam
from dashtam.settings import Settings
from tests.makers import CHEAP, OTHER_PASSWORD, PASSWORD, Deployment, deployed, new_email

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGES = ["/verify-email", "/reset-password", "/confirm-email"]
FORGED = ("Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix")
TOKEN = "dot1_" + "A" * 43

pytestmark = pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)


class TestWithoutABrowser:
    @pytest.mark.parametrize("path", PAGES)
    async def test_a_page_carries_the_headers_that_keep_its_secret(
        self, service: Deployment, path: str
    ) -> None:
        answer = await service.client.get(path)
        assert answer.status_code == 200
        policy = dict(
            part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "connect-src": "'self'",
            "img-src": "data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
        }
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"

    @pytest.mark.parametrize("path", PAGES)
    async def test_a_page_loads_nothing_from_elsewhere_and_has_nothing_inline(
        self, service: Deployment, path: str
    ) -> None:
        html = (await service.client.get(path)).text
        loaded = re.findall(r'(?:src|href|action)="([^"]*)"', html)
        assert sorted(loaded) == ["data:,", "static/landing.js", "static/pages.css"]
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", html)
        assert "<noscript>" in html

    @pytest.mark.parametrize(
        ("name", "type_"), [("landing.js", "text/javascript"), ("pages.css", "text/css")]
    )
    async def test_script_and_style_are_served_here(self, service: Deployment, name: str, type_: str) -> None:
        answer = await service.client.get(f"/static/{name}")
        assert answer.headers["content-type"] == f"{type_}; charset=utf-8"
        assert answer.text == (Path(dashtam.__file__).parent / "static" / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|insertAdjacent|document\.write|eval\(|https?://", answer.text)

    async def test_opening_a_link_spends_nothing(self, service: Deployment) -> None:
        email = await service.register()
        token = await service.token(email, "verify-email")
        for _ in range(5):
            assert (await service.client.get("/verify-email")).status_code == 200
        head = await service.client.head("/verify-email")
        options = await service.client.options("/verify-email")
        assert (head.status_code, head.content) == (200, b"")
        assert options.status_code == 405
        answer = await service.post("/auth/verify-email", {"token": token})
        assert answer.status_code == 200

    async def test_no_header_has_a_say_in_a_page_or_in_a_mailed_link(self, service: Deployment) -> None:
        forged = dict.fromkeys(FORGED, "evil.example") | {
            "Forwarded": "host=evil.example;proto=http",
            "Origin": "https://evil.example",
            "Referer": "https://evil.example/",
        }
        for path in PAGES:
            plain = (await service.client.get(path)).text
            assert (await service.client.get(path, headers=forged)).text == plain
        email = new_email()
        body = {"email": email, "password": PASSWORD, "name": "Ada"}
        await service.post("/auth/register", body, headers=forged)
        (mail,) = await service.mails(email, 1)
        assert (
            re.findall(r"https?://[^\s#\"<]+", mail.text + mail.html)
            == ["http://testserver/verify-email"] * 2
        )
        assert "evil" not in mail.text + mail.html


@pytest.fixture
def chromium() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        missing = f"there is none of {', '.join(BROWSERS)}; apt-get install chromium"
        if os.environ.get("DASHTAM_REQUIRE_BROWSER") == "1":
            pytest.fail(f"DASHTAM_REQUIRE_BROWSER=1, and {missing}")
        pytest.skip(f"NOT TESTED IN A BROWSER: {missing}")
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        await launched.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


@pytest.fixture
async def site(settings: Settings, listener: socket.socket) -> AsyncIterator[Deployment]:
    """The service on a real port, its links leading there."""
    here = settings.model_copy(update={"public_url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    async with deployed(here, hash_cost=CHEAP) as running:
        config = uvicorn.Config(running.app, lifespan="off", log_config=None, http="httptools")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield running
        server.should_exit = True
        await task


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: object) -> AsyncIterator[Page]:
    """A page of its own in the browser; what it asks of other origins, and what it complains about, must be nothing."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    page = await context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "violates" in said.text else None)
    await page.goto(url)
    yield page
    origin = re.match(r"https?://[^/]+", url)
    assert origin is not None
    assert [one for one in asked if not one.startswith((origin[0], "data:"))] == []
    assert [one for one in asked if "dot1_" in one.partition("#")[0]] == []
    assert complaints == []
    await context.close()


class TestVerifying:
    async def test_one_press_verifies_the_address(self, site: Deployment, browser: Browser) -> None:
        email = await site.register()
        link = _link((await site.mails(email, 1))[0].text)
        async with opened(browser, link) as page:
            button = page.get_by_role("button", name="Verify my address")
            await button.wait_for()
            assert page.url == link.partition("#")[0], "the secret has left the address bar"
            assert (await site.log_in(email)).status_code == 403, "nothing is spent before the press"
            await button.click()
            await page.get_by_role("heading", name="Your address is verified").wait_for()
            assert await button.count() == 0
            assert "log in now" in await page.get_by_role("status").inner_text()
            assert await page.evaluate("document.activeElement.id") == "title"
        assert (await site.log_in(email)).status_code == 200

    async def test_it_can_be_done_with_the_keyboard_alone(self, site: Deployment, browser: Browser) -> None:
        email = await site.register()
        async with opened(browser, _link((await site.mails(email, 1))[0].text)) as page:
            await page.get_by_role("button").wait_for()
            await page.keyboard.press("Tab")
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", name="Your address is verified").wait_for()

    async def test_a_spent_link_says_so_and_what_to_do(self, site: Deployment, browser: Browser) -> None:
        link = f"{site.settings.public_url}/verify-email#token={TOKEN}"
        async with opened(browser, link) as page:
            await page.get_by_role("button").click()
            alert = page.get_by_role("alert").filter(has_text="no longer works")
            await alert.wait_for()
            assert "Ask for a new verification mail" in await alert.inner_text()
            assert not await page.locator("form").is_visible()

    async def test_a_link_without_its_secret_says_so(self, site: Deployment, browser: Browser) -> None:
        async with opened(browser, f"{site.settings.public_url}/verify-email") as page:
            await page.get_by_role("alert").filter(has_text="the link is not complete").wait_for()
            assert not await page.locator("form").is_visible()

    async def test_another_link_in_the_same_tab_starts_afresh(
        self, site: Deployment, browser: Browser
    ) -> None:
        email = await site.register()
        link = _link((await site.mails(email, 1))[0].text)
        async with opened(browser, link.partition("#")[0]) as page:
            await page.get_by_role("alert").filter(has_text="not complete").wait_for()
            await page.evaluate("hash => { location.hash = hash }", "#" + link.partition("#")[2])
            await page.get_by_role("button", name="Verify my address").click()
            await page.get_by_role("heading", name="Your address is verified").wait_for()

    async def test_a_server_that_is_away_can_be_asked_again(self, site: Deployment, browser: Browser) -> None:
        email = await site.register()
        async with opened(browser, _link((await site.mails(email, 1))[0].text)) as page:
            await page.route("**/auth/verify-email", lambda route: route.abort())
            await page.get_by_role("button").click()
            await page.get_by_role("alert").filter(has_text="cannot be reached").wait_for()
            await page.unroute("**/auth/verify-email")
            await page.get_by_role("button").click()
            await page.get_by_role("heading", name="Your address is verified").wait_for()

    async def test_what_the_server_says_is_shown_as_text(self, site: Deployment, browser: Browser) -> None:
        nasty = '<img src=x onerror="document.title=1">'
        body = {"detail": nasty, "errors": [{"pointer": f"/{nasty.replace('/', '')}", "message": nasty}]}
        async with opened(browser, f"{site.settings.public_url}/verify-email#token={TOKEN}") as page:
            await page.route(
                "**/auth/verify-email",
                lambda route: route.fulfill(status=429, json=body, headers={"Retry-After": "7"}),
            )
            await page.get_by_role("button").click()
            alert = page.get_by_role("alert").filter(has_text=nasty)
            await alert.wait_for()
            assert "try again in 7 seconds" in await alert.inner_text()
            assert await page.locator("img").count() == 0

    async def test_without_scripts_the_page_says_what_it_needs(
        self, site: Deployment, browser: Browser
    ) -> None:
        link = f"{site.settings.public_url}/verify-email#token={TOKEN}"
        async with opened(browser, link, java_script_enabled=False) as page:
            assert "needs JavaScript" in await page.inner_text("main")
            assert not await page.locator("form").is_visible()


class TestResetting:
    async def test_a_new_password_is_set_after_the_mistakes_are_mended(
        self, site: Deployment, browser: Browser
    ) -> None:
        email = await site.verified()
        link = await _reset_link(site, email)
        async with opened(browser, link) as page:
            password = page.get_by_label("New password")
            await password.wait_for()
            assert page.url == link.partition("#")[0]
            await _press(page, "short", "short")
            await (
                page.get_by_role("alert").filter(has_text="at least 15 characters; this one has 5").wait_for()
            )
            await _press(page, OTHER_PASSWORD, OTHER_PASSWORD + "!")
            await page.get_by_role("alert").filter(has_text="not the same").wait_for()
            assert await page.evaluate("document.activeElement.id") == "again"
            await _press(page, email + "1", email + "1")
            await page.get_by_role("alert").filter(has_text="Choose another").wait_for()
            await page.get_by_label("Show the password").check()
            assert await password.get_attribute("type") == "text"
            await _press(page, OTHER_PASSWORD, OTHER_PASSWORD)
            await page.get_by_role("heading", name="Your new password is set").wait_for()
            assert await page.locator("input").count() == 0
        assert (await site.log_in(email, OTHER_PASSWORD)).status_code == 200
        assert (await site.log_in(email)).status_code == 401

    async def test_a_spent_link_shows_no_form(self, site: Deployment, browser: Browser) -> None:
        async with opened(browser, f"{site.settings.public_url}/reset-password#token={TOKEN}") as page:
            await page.get_by_role("alert").filter(has_text="Ask for a new link").wait_for()
            assert not await page.locator("form").is_visible()

    async def test_opening_and_looking_spends_nothing(self, site: Deployment, browser: Browser) -> None:
        email = await site.verified()
        link = await _reset_link(site, email)
        for _ in range(2):
            async with opened(browser, link) as page:
                await page.get_by_label("New password").wait_for()
        token = link.partition("#token=")[2]
        assert (await site.post("/password-resets/check", {"token": token})).status_code == 200


async def test_a_new_address_is_confirmed(site: Deployment, browser: Browser) -> None:
    account = await site.logged_in()
    new = new_email()
    asked = await site.post(
        "/auth/me/email", {"new_email": new, "password": PASSWORD}, headers=account.bearer
    )
    assert asked.status_code == 202
    async with opened(browser, _link((await site.mails(new, 1))[0].text)) as page:
        await page.get_by_role("button", name="Confirm my new address").click()
        await page.get_by_role("heading", name="Your new address is confirmed").wait_for()
    assert (await site.log_in(new)).status_code == 200


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", [320, 1280])
async def test_a_page_fits_its_screen(site: Deployment, browser: Browser, path: str, width: int) -> None:
    async with opened(
        browser, f"{site.settings.public_url}{path}", viewport={"width": width, "height": 640}
    ) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


def _link(text: str) -> str:
    (link,) = re.findall(r"https?://\S+", text)
    return str(link)


async def _reset_link(site: Deployment, email: str) -> str:
    await site.post("/password-resets", {"email": email})
    return f"{site.settings.public_url}/reset-password#token={await site.token(email, 'reset-password')}"


async def _press(page: Page, first: str, second: str) -> None:
    await page.locator("#password").fill(first)
    await page.locator("#again").fill(second)
    await page.get_by_role("button").click()

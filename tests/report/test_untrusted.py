"""The page in headless Chromium under text that would like to be more: nothing runs, nothing leaves."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from report.cases import CANARY, HOSTILE, hostile_report, item

from papo.report import Report


def test_what_a_model_wrote_stays_text(browser):
    """Every item is looked at; nothing of it runs, and nothing is asked for outside the file."""
    browser.open(hostile_report())
    browser.run("document.activeElement.blur()")
    for n, text in enumerate(HOSTILE):
        assert browser.run("return window.canary") is None, f"after {n}"
        if n < 11:  # those that are shown as they are
            assert browser.texts("#item h3") == [f"{n}{text}"]
            assert browser.texts(".tokens .token")[0] == text
            assert browser.texts(".plain") == [text, text]  # with the image, and without
        else:
            assert browser.texts("#item h3")[0].startswith(f"{n}")
        browser.press("j")
    browser.search("<script>", f"{sum('<script>' in text for text in HOSTILE)} of {len(HOSTILE)}")
    assert browser.run("return window.canary") is None
    made = browser.run("return [...document.querySelectorAll('main *')].map((e) => e.localName)")
    assert not {"script", "iframe", "style", "link", "object", "embed"} & set(made)
    assert browser.complaints() == []
    asked = browser.requests()
    assert [url for url in asked if not url.startswith("data:")] == [f"file://{browser.folder}/report.html"]
    assert any(url.startswith("data:image/png") for url in asked)  # the log does see what the page asks for


class Ear:
    """A server that hears every request."""

    def __init__(self) -> None:
        self.heard = heard = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                heard.append(self.path)
                self.send_response(204)
                self.end_headers()

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()


def test_the_policy_stops_what_escaping_would_have_missed(browser):
    """Markup put into the page on purpose: were there ever a hole, it would neither run nor reach out."""
    browser.open(Report("t", items=(item(),)))
    ear = Ear()
    script = """
        const [address, canary, done] = arguments;
        const place = document.createElement("div");
        document.body.append(place);
        place.innerHTML = `<img src="x" onerror="${canary}"><img src="${address}/img">
          <a href="javascript:${canary}">x</a>
          <style>@import "${address}/import";</style><div style="background:url(${address}/background)">x</div>
          <iframe src="${address}/frame"></iframe><form action="${address}/form" method="post"><button>x</button></form>
          <video src="${address}/video"></video><svg><image href="${address}/svg"/></svg>`;
        for (const [name, set] of [["script", "src"], ["link", "href"]]) {
          const made = document.createElement(name);
          if (name === "link") made.rel = "stylesheet";
          made[set] = `${address}/${name}`;
          document.head.append(made);
        }
        const inline = document.createElement("script");
        inline.textContent = canary;
        document.head.append(inline);
        place.querySelector("form").submit();
        place.querySelector("a").click();
        navigator.sendBeacon(`${address}/beacon`);
        Promise.allSettled([fetch(`${address}/fetch`, { mode: "no-cors" })]).then(() => setTimeout(done, 300));"""
    browser.driver.set_script_timeout(20)
    browser.driver.execute_async_script(script, ear.address, CANARY)
    ear.server.shutdown()
    ear.server.server_close()
    assert ear.heard == []
    assert browser.run("return window.canary") is None
    assert sum("Content Security Policy" in complaint for complaint in browser.complaints()) >= 10


def test_a_request_would_be_heard(browser, tmp_path):
    """The two tests above would notice: the same attempts in a page without the policy."""
    ear = Ear()
    path = tmp_path / "open.html"
    path.write_text(f"<!DOCTYPE html><img src='{ear.address}/img'><img src=x onerror='{CANARY}'>")
    browser.open_file(path)
    assert browser.run("return window.canary") == 1
    assert any(url == f"{ear.address}/img" for url in browser.requests())
    ear.server.shutdown()
    ear.server.server_close()
    assert ear.heard == ["/img"]

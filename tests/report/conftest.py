"""A headless Chromium for the page, with a log of everything that it asks for."""

import json
import shutil
from pathlib import Path

import pytest

from papo.report import Report, write_report

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # there is none for root, as whom CI runs
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1400,1000",
)


class Browser:
    """Chromium on one report at a time."""

    def __init__(self, driver, folder: Path) -> None:
        self.driver = driver
        self.folder = folder

    def open(self, report: Report) -> None:
        path = self.folder / "report.html"
        write_report(report, path)
        self.open_file(path)

    def open_file(self, path: Path) -> None:
        self.requests(), self.complaints()  # forgets those of the page before
        self.driver.get(path.as_uri())

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((found) => found.textContent)"
        return self.run(script, selector)

    def press(self, *keys: str) -> None:
        """Real keys, to whatever has the focus."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def choose(self, label: str, option: str) -> None:
        """The option that begins so, in the select with this label."""
        from selenium.webdriver.support.select import Select

        select = Select(self.driver.find_element("xpath", f"//label[text()='{label}']/select"))
        select.select_by_visible_text(next(o.text for o in select.options if o.text.startswith(option)))

    def search(self, text: str, count: str) -> None:
        """Types it, and waits until the page says that it shows so many items."""
        self.click("#query")
        self.press(text)
        self.wait(lambda: self.texts("#count") == [count])

    def wait(self, until) -> None:
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 10, 0.02).until(lambda _: until())

    def requests(self) -> list[str]:
        """Addresses asked for since the last call, but for parts of Chromium's own first page, which may come late."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("chrome://")]

    def complaints(self) -> list[str]:
        """Errors and blocked attempts that the console was told of since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="the page is driven with selenium")
    from selenium.webdriver.chrome.service import Service

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("the page is driven in Chromium: Debian's packages chromium and chromium-driver are missing")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium  # both paths are given, so selenium looks for nothing to download
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    driver.set_page_load_timeout(60)
    driver.get("about:blank")
    yield Browser(driver, tmp_path_factory.mktemp("report"))
    driver.quit()

"""How large is a report with maps, and how fast does it open?  python experiments/looking/page.py REPORT.html"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000")
READY = "return document.querySelector('.cells i')?.title && [...document.images].every((image) => image.complete)"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("report", type=Path)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--pictures", type=Path, help="folder for report_light.png and report_dark.png")
    arguments = parser.parse_args()
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    address = arguments.report.resolve().as_uri()
    seconds = []
    for _ in range(arguments.times):
        driver.get("about:blank")
        start = time.perf_counter()
        driver.get(address)
        while not driver.execute_script(READY):  # the first item's pictures and maps are there
            time.sleep(0.005)
        seconds.append(time.perf_counter() - start)
    size = arguments.report.stat().st_size / 1e6
    low, high = min(seconds), max(seconds)
    print(f"{size:.1f} MB, open after {statistics.median(seconds):.2f} s (median; {low:.2f} to {high:.2f})")
    if arguments.pictures:
        for scheme in ("light", "dark"):
            media = [{"name": "prefers-color-scheme", "value": scheme}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
            driver.execute_script("document.getElementById('item').scrollIntoView()")
            driver.get_screenshot_as_file(str(arguments.pictures / f"report_{scheme}.png"))
    driver.quit()


if __name__ == "__main__":
    main()

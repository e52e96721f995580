"""What a careful eye would find in the layout of the page, by geometry: `layout.js` says how."""

from pathlib import Path

from selenium import webdriver

SOURCE = Path(__file__).with_name("layout.js")
LEAST_PX = 24
"""Of a control, by mouse and keyboard."""
LEAST_BY_TOUCH_PX = 44


def defects(driver: webdriver.Chrome, *, touch: bool = False) -> list[str]:
    """One line a defect."""
    found = driver.execute_script(SOURCE.read_text(), LEAST_BY_TOUCH_PX if touch else LEAST_PX)
    return [str(line) for line in found]

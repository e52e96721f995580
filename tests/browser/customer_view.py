"""What the view of one customer shows, read at one moment."""

from typing import Any, NamedTuple

from selenium import webdriver

from tests.browser.reading import WAIT_S

READ = """
const [name, query, done] = arguments;
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const text = (selector, root = document) => root.querySelector(selector)?.innerText ?? "";
const link = document.createElement("a");
link.href = `/customers/${encodeURIComponent(name)}${query}`;
document.body.append(link);
link.click(); // the page takes it as any link of its own
link.remove();

const exactly = (cell) => cell.querySelector("[title]")?.title ?? cell.innerText.split(" ")[0];
const loaded = () => document.title.startsWith(`${name} ·`) && !document.querySelector("[aria-busy=true], .ghost")
  && document.querySelector("main .chart, main .empty, main .failed");
const frame = () => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));

(async () => {
  do await frame(); while (!loaded());
  all(".chart .tools button").find((button) => button.innerText === "Show as table")?.click();
  all("details").forEach((details) => { details.open = true; });
  await frame();
  done({
    heading: document.querySelector("h1 span")?.title || text("h1"),
    label: text(".hero .label"), total: text(".figure .amount"), of: text(".figure .of"),
    percent: text(".hero-bar .number"), access: text(".hero .chip"),
    facts: Object.fromEntries(all(".facts div").map((fact) => [text("dt", fact), text("dd", fact)])),
    lines: all(".lines tbody tr").map((row) => ({
      rate: text(".name", row), group: text(".group", row), unit: text(".unit", row), price: text(".price", row),
      quantity: text(".quantity", row).split(" ")[0], exact: exactly(row.querySelector(".quantity")),
      amount: text(".spend", row),
    })),
    sum: text(".lines tfoot .spend"),
    unpriced: all("details li").map((item) => item.innerText),
    chart: all(".chart .rows tr").map((row) => all("th, td", row).map((cell) => cell.innerText)),
    sentence: text(".chart figcaption"), blank: text(".plot .nothing"),
  });
})();
"""


class Shown(NamedTuple):
    """Texts as people read them; `chart`: its rows as a table, with their head."""

    heading: str
    label: str
    total: str
    of: str
    percent: str
    access: str
    facts: dict[str, str]
    lines: list[dict[str, str]]
    sum: str
    unpriced: list[str]
    chart: list[list[str]]
    sentence: str
    blank: str


def open_customer(driver: webdriver.Chrome, name: str, query: str = "") -> Shown:
    """Goes there from any view as a link does, and reads when everything is loaded. `query`: what the chart shows."""
    driver.set_script_timeout(WAIT_S)
    found: dict[str, Any] = driver.execute_async_script(READ, name, query)
    return Shown(**found)

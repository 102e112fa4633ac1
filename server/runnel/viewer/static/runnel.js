// What pages can do beyond links and forms: keys, one Tab stop per table, times in the reader's zone.
// Everything works without this file; nothing here asks the server for anything.

document.documentElement.classList.add("js");

// Addresses that MLflow's clients print (/#/experiments/1/runs/ID) lead to the pages here.
const printed = location.hash.match(/^#\/experiments\/(\d+)(?:\/runs\/([\w-]+))?/);
if (printed && document.body.dataset.root === "./") {
  location.replace(printed[2] ? `runs/${printed[2]}` : `experiments/${printed[1]}`);
}

// The address to paste into a client is the one by which the browser came here: only it knows what proxies made of it.
for (const origin of document.querySelectorAll("[data-origin]")) {
  origin.textContent = new URL(document.body.dataset.root, location.href.replace(/[?#].*/, "")).href.replace(/\/$/, "");
}

// Times: the exact value on hover is in the reader's zone.
const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.valueOf())) time.title = exactly.format(moment);
}

// Tables: one Tab stop each, at the current row; arrows, j and k go on from there.
const tables = [...document.querySelectorAll("table[data-rows]")];
const stops = "a[href], input, summary";
for (const table of tables) {
  const region = table.parentElement;
  const items = table.querySelectorAll(stops);
  if (!items.length) continue;
  for (const item of items) item.tabIndex = -1;
  const first = table.querySelector("tbody th a") ?? items[0];
  first.tabIndex = 0;
  region.tabIndex = -1;
  table.addEventListener("focusin", (event) => {
    for (const item of table.querySelectorAll('[tabindex="0"]')) item.tabIndex = -1;
    event.target.tabIndex = 0;
    for (const row of document.querySelectorAll("tr.current")) row.classList.remove("current");
    event.target.closest("tbody tr")?.classList.add("current");
  });
}

const currentRow = () => document.querySelector("tr.current");
const focusRow = (row, column) => {
  const items = row?.querySelectorAll(stops) ?? [];
  (items[column] ?? row?.querySelector("th a") ?? items[0])?.focus();
};

function step(by) {
  const row = currentRow();
  if (!row) {
    focusRow(tables[0]?.tBodies[0]?.rows[0]);
    return;
  }
  const rows = [...row.closest("table").rows];
  const column = [...row.querySelectorAll(stops)].indexOf(document.activeElement);
  focusRow(rows[rows.indexOf(row) + by], column >= 0 ? column : undefined);
}

function arrow(event) {
  const row = event.target.closest?.("table[data-rows] tr");
  if (!row) return false;
  const rows = [...row.closest("table").rows];
  const items = [...row.querySelectorAll(stops)];
  const column = items.indexOf(event.target);
  if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    items[column + (event.key === "ArrowLeft" ? -1 : 1)]?.focus();
    return true;
  }
  const to = rows.indexOf(row) + (event.key === "ArrowUp" ? -1 : 1);
  focusRow(rows[to], row.closest("thead") || rows[to]?.closest("thead") ? undefined : column);
  return true;
}

// Selecting rows, and comparing them.
const compare = document.getElementById("compare");
const chosen = () => document.querySelectorAll('input[name="runs"]:checked').length;
function showChosen() {
  if (!compare) return;
  const count = chosen();
  compare.querySelector("[data-count]").textContent = count ? String(count) : "";
  compare.querySelector("button").disabled = count < 2;
}
document.addEventListener("change", showChosen);
addEventListener("pageshow", showChosen); // the way back keeps what was selected
showChosen();

// Keys.
const help = document.getElementById("help");
const focusBox = (id) => {
  const box = document.getElementById(id);
  box?.focus();
  box?.select();
  return Boolean(box);
};
const keys = {
  j: () => step(1),
  k: () => step(-1),
  x: () => currentRow()?.querySelector('input[type="checkbox"]')?.click(),
  c: () => compare && chosen() > 1 && compare.requestSubmit(),
  "/": () => focusBox("search"),
  f: () => focusBox("filter"),
  "?": () => help.showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target.matches?.('input:not([type="checkbox"]), textarea, select')) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key.startsWith("Arrow") ? arrow(event) : keys[event.key]) {
    event.preventDefault();
    keys[event.key]?.();
  }
});
document.querySelector("[data-help]")?.addEventListener("click", () => help.showModal());

// Small menus close when one clicks beside them, or by Escape.
addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.columns[open]")) if (!menu.contains(event.target)) menu.open = false;
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details.columns[open]")) menu.open = false;
});

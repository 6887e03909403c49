"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const first = (selector) => document.querySelector(selector);

// Theme: automatic, dark, light. A browser may refuse storage to a page opened from a file; the choice then lasts until the page is closed.
const themes = ["automatic", "dark", "light"];
const stored = { get: () => { try { return localStorage.getItem("detect-theme"); } catch { return null; } },
                 set: (name) => { try { localStorage.setItem("detect-theme", name); } catch { return; } } };
const themeButton = first("#theme");
function useTheme(name) {
  document.documentElement.style.colorScheme = name === "automatic" ? "light dark" : name;
  themeButton.textContent = `Theme: ${name}`;
  themeButton.value = name;
}
useTheme(themes.includes(stored.get()) ? stored.get() : "automatic");
themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  useTheme(themes[(themes.indexOf(themeButton.value) + 1) % themes.length]);
  stored.set(themeButton.value);
});

// Sorting: numbers in descending order first, names in ascending order; a second click reverses the order.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
};
const compare = (a, b) => typeof a === "number" ? b - a : a.localeCompare(b);
for (const table of all("table.sortable")) {
  all("thead th", table).forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    button.type = "button";
    heading.append(button);
    button.addEventListener("click", () => {
      const reversed = heading.dataset.reversed === "no";
      all("thead th", table).forEach((other) => { other.removeAttribute("aria-sort"); delete other.dataset.reversed; });
      heading.dataset.reversed = reversed ? "yes" : "no";
      const rows = [...table.tBodies[0].rows];
      const descending = rows.length > 0 && typeof valueOf(rows[0], column) === "number";
      heading.setAttribute("aria-sort", descending !== reversed ? "descending" : "ascending");
      rows.sort((a, b) => (reversed ? -1 : 1) * compare(valueOf(a, column), valueOf(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
}

// The curve of one class in front of the others.
const curve = first("#curve");
if (curve) {
  curve.parentElement.hidden = false;
  curve.addEventListener("change", () => {
    for (const line of all("#curves .line.class")) {
      line.classList.toggle("chosen", line.dataset.name === curve.value);
    }
  });
}

// Gallery: a filter by kind and class, some cards at a time, and one of them enlarged.
const cards = all(".card");
const step = 12;
if (cards.length) {
  const [kind, className, more, count] = ["#kind", "#class", "#more", "#num-shown"].map(first);
  const zoom = first("#zoom");
  let limit = step, matching = cards, current = 0;
  const show = () => {
    matching = cards.filter((card) => (!kind.value || card.dataset.kind === kind.value) &&
      (!className.value || JSON.parse(card.dataset.classes).includes(className.value)));
    for (const card of cards) card.hidden = true;
    for (const card of matching.slice(0, limit)) card.hidden = false;
    more.hidden = matching.length <= limit;
    count.textContent = `${Math.min(limit, matching.length)} of ${matching.length} examples`;
  };
  const enlarge = (index) => {
    current = (index + matching.length) % matching.length;
    const copy = matching[current].cloneNode(true);
    copy.hidden = false;
    for (const button of all(".enlarge", copy)) button.remove();
    first("#zoomed").replaceChildren(...copy.childNodes);
  };
  first("#filter").hidden = false;
  first("#filter").addEventListener("submit", (event) => event.preventDefault());
  for (const select of [kind, className]) select.addEventListener("change", () => { limit = step; show(); });
  more.addEventListener("click", () => {
    const next = matching[limit];
    limit += step;
    show();
    next.querySelector(".enlarge").focus();
  });
  for (const card of cards) {
    const open = () => { enlarge(matching.indexOf(card)); zoom.showModal(); };
    const button = card.querySelector(".enlarge");
    button.hidden = false;
    button.addEventListener("click", open);
    card.querySelector(".pair").addEventListener("click", open);
  }
  zoom.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") enlarge(current + 1);
    if (event.key === "ArrowLeft") enlarge(current - 1);
  });
  show();
}

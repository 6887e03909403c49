"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);

// Theme: automatic, dark, light. A page opened from a file may be refused storage; the choice then lasts as long as it is open.
const themes = ["automatic", "dark", "light"];
const stored = { get: () => { try { return localStorage.getItem("detect-theme"); } catch { return null; } },
                 set: (name) => { try { localStorage.setItem("detect-theme", name); } catch { return; } } };
const themeButton = one("#theme");
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

// Sorting: numbers fall first, names rise first; the same heading again turns the order round.
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
      const turned = heading.dataset.turned === "no";
      all("thead th", table).forEach((other) => { other.removeAttribute("aria-sort"); delete other.dataset.turned; });
      heading.dataset.turned = turned ? "yes" : "no";
      const rows = [...table.tBodies[0].rows];
      const falling = rows.length > 0 && typeof valueOf(rows[0], column) === "number";
      heading.setAttribute("aria-sort", falling !== turned ? "descending" : "ascending");
      rows.sort((a, b) => (turned ? -1 : 1) * compare(valueOf(a, column), valueOf(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
}

// One class's curve in front of the others.
const curve = one("#curve");
if (curve) {
  curve.parentElement.hidden = false;
  curve.addEventListener("change", () => {
    for (const line of all("#curves .line.class")) {
      line.classList.toggle("chosen", line.dataset.name === curve.value);
    }
  });
}

// Gallery: a filter by kind and class, some cards at a time, and one of them large.
const cards = all(".card");
const step = 12;
if (cards.length) {
  const [kind, className, more, shown] = ["#kind", "#class", "#more", "#shown"].map(one);
  const zoom = one("#zoom");
  let room = step, fitting = cards, current = 0;
  const show = () => {
    fitting = cards.filter((card) => (!kind.value || card.dataset.kind === kind.value) &&
      (!className.value || JSON.parse(card.dataset.classes).includes(className.value)));
    for (const card of cards) card.hidden = true;
    for (const card of fitting.slice(0, room)) card.hidden = false;
    more.hidden = fitting.length <= room;
    shown.textContent = `${Math.min(room, fitting.length)} of ${fitting.length} examples`;
  };
  const enlarge = (place) => {
    current = (place + fitting.length) % fitting.length;
    const copy = fitting[current].cloneNode(true);
    copy.hidden = false;
    for (const button of all(".enlarge", copy)) button.remove();
    one("#zoomed").replaceChildren(...copy.childNodes);
  };
  one("#filter").hidden = false;
  one("#filter").addEventListener("submit", (event) => event.preventDefault());
  for (const select of [kind, className]) select.addEventListener("change", () => { room = step; show(); });
  more.addEventListener("click", () => {
    const first = fitting[room];
    room += step;
    show();
    first.querySelector(".enlarge").focus();
  });
  for (const card of cards) {
    const open = () => { enlarge(fitting.indexOf(card)); zoom.showModal(); };
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

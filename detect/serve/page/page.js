"use strict";
// One photo at a time: it is sent once for its detections, and again for each "why this box?".
// All detections from LOWEST on are there, so that the slider needs no request.

const LOWEST = 0.05;
const get = (id) => document.getElementById(id);
const canvas = get("photo");
let photo = null; // {file, bitmap, detections, masks, why}
let order = 0; // of the newest photo or question; older answers are ignored

function say(text, wrong = false) {
  get("message").textContent = text;
  get("message").className = wrong ? "wrong" : "";
}

function color(label, alpha = 1, lightness = 45) {
  let hash = 0;
  for (const letter of label) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  return `hsl(${(hash * 137) % 360} 85% ${lightness}% / ${alpha})`;
}

async function ask(path, file) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
  } catch {
    throw new Error("the service does not answer, or refused a photo of this size");
  }
  const content = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (!answer.ok) throw new Error(content.error.replace(/^image: /, ""));
  return content;
}

// COCO's run lengths (maskApi.c, rleFrString) as an image in the color of the class
function maskImage(mask, label) {
  const runs = [];
  let at = 0;
  while (at < mask.counts.length) {
    let number = 0, shift = 0, more = true;
    while (more) {
      const bits = mask.counts.charCodeAt(at++) - 48;
      number += (bits & 31) * 2 ** shift;
      more = (bits & 32) !== 0;
      shift += 5;
      if (!more && bits & 16) number -= 2 ** shift;
    }
    runs.push(runs.length > 2 ? number + runs[runs.length - 2] : number);
  }
  const [height, width] = mask.size;
  const layer = new OffscreenCanvas(width, height);
  const pen = layer.getContext("2d");
  pen.fillStyle = color(label, 0.45);
  let pixel = 0; // column by column
  runs.forEach((length, index) => {
    for (let end = pixel + length; index % 2 && pixel < end; ) {
      const x = Math.floor(pixel / height), y = pixel % height, run = Math.min(end - pixel, height - y);
      pen.fillRect(x, y, 1, run);
      pixel += run;
    }
    if (index % 2 === 0) pixel += length;
  });
  return layer;
}

const shown = () => photo.detections.filter((each) => each.score >= Number(get("score").value));

function outline(pen, box, style, width, dash = []) {
  const [x1, y1, x2, y2] = box;
  pen.setLineDash(dash);
  pen.lineWidth = width;
  pen.strokeStyle = style;
  pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
  pen.setLineDash([]);
}

function draw() {
  const pen = canvas.getContext("2d");
  const zoom = Math.max(1, canvas.width / (canvas.clientWidth || canvas.width)); // lines and letters are 2 and 13 pixels of the screen
  const line = Math.round(2 * zoom);
  const letter = Math.round(13 * zoom);
  pen.drawImage(photo.bitmap, 0, 0, canvas.width, canvas.height);
  const visible = shown();
  for (const each of [...visible].reverse()) {
    if (each.mask) pen.drawImage((each.layer ??= maskImage(each.mask, each.label)), 0, 0);
    outline(pen, each.box, color(each.label), each.rank === photo.why?.rank ? 2 * line : line);
  }
  if (visible.some((each) => each.rank === photo.why?.rank)) {
    outline(pen, photo.why.proposal, "white", line, [4 * line, 3 * line]);
    if (photo.why.anchor) outline(pen, photo.why.anchor, "white", line, [line, 2 * line]);
  }
  pen.font = `${letter}px system-ui, sans-serif`;
  pen.textBaseline = "bottom";
  for (const each of [...visible].reverse()) {
    const text = `${each.label} ${each.score.toFixed(2)}`, width = pen.measureText(text).width + letter / 2;
    const x = Math.max(0, Math.min(each.box[0], canvas.width - width));
    const y = each.box[1] > 1.3 * letter ? each.box[1] : Math.min(each.box[1] + 1.3 * letter, canvas.height);
    pen.fillStyle = color(each.label, 1, 27); // white on it is readable in every hue
    pen.fillRect(x, y - 1.3 * letter, width, 1.3 * letter);
    pen.fillStyle = "white";
    pen.fillText(text, x + letter / 4, y - letter / 10);
  }
}

function list() {
  const visible = shown();
  get("score-text").textContent = Number(get("score").value).toFixed(2);
  get("count").textContent = `${visible.length} of ${photo.detections.length} detections`;
  get("detections").replaceChildren(...visible.map((each) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(each.rank === photo.why?.rank));
    const parts = [["swatch", ""], ["name", each.label], ["number", each.score.toFixed(2)], ["ask", "why this box?"]];
    button.append(...parts.map(([kind, text]) => {
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = text;
      if (kind === "swatch") part.style.background = color(each.label);
      return part;
    }));
    button.addEventListener("click", () => explain(each));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

function show() {
  draw();
  list();
}

async function detect(file) {
  const mine = ++order;
  get("why").hidden = true;
  say(`detecting on ${file.name} ...`);
  try {
    const answer = await ask(`predict?score=${LOWEST}`, file);
    if (mine !== order) return;
    canvas.width = answer.width;
    canvas.height = answer.height;
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
    if (mine !== order) return;
    if (bitmap === null) throw new Error(`found ${answer.detections.length} detections, but this browser cannot show the photo`);
    photo = { file, bitmap, why: null, detections: answer.detections.map((each, index) => ({ ...each, rank: index + 1 })) };
    get("result").hidden = false;
    say(`${file.name}: ${answer.width} x ${answer.height} pixels`);
    show();
  } catch (error) {
    if (mine !== order) return;
    get("result").hidden = true;
    say(`${file.name}: ${error.message}`, true);
  }
}

async function explain(detection) {
  const mine = ++order;
  say(`asking why ${detection.label} ${detection.score.toFixed(2)} ...`);
  try {
    const answer = await ask(`explain?rank=${detection.rank}`, photo.file);
    if (mine !== order) return;
    photo.why = answer;
    get("why-title").textContent = `Why this box? ${answer.label} ${answer.score.toFixed(2)}`;
    get("sentences").replaceChildren(...answer.sentences.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
    get("figure").hidden = answer.figure === null;
    if (answer.figure !== null) get("figure").src = answer.figure;
    get("why").hidden = false;
    say("");
    show();
    get("why").scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (mine === order) say(error.message, true);
  }
}

get("file").addEventListener("click", (event) => (event.target.value = "")); // so that the same photo can be chosen again
get("file").addEventListener("change", (event) => event.target.files[0] && detect(event.target.files[0]));
get("score").addEventListener("input", () => photo && show());
window.addEventListener("resize", () => photo && draw());
canvas.addEventListener("click", (event) => {
  const scale = canvas.width / canvas.clientWidth, x = event.offsetX * scale, y = event.offsetY * scale;
  const hits = shown().filter(({ box }) => box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3]);
  const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
  if (hits.length) explain(hits.reduce((small, each) => (area(each) < area(small) ? each : small)));
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    get("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) {
      get("file").value = ""; // it would go on naming the photo before
      detect(event.dataTransfer.files[0]);
    }
  });
}
fetch("health").then((answer) => answer.json()).then((health) => {
  get("model").textContent = `${health.file}: ${health.model}, ${health.classes.length} classes${health.masks ? ", with masks" : ""}, ${health.device}`;
  get("score").value = Math.max(LOWEST, health.score);
  get("score-text").textContent = Number(get("score").value).toFixed(2);
});

// One question and its answer, as they stand on the page.

import { render } from "./markdown.js";

const SLOW_ABOVE_CHARS = 20_000; // a long text is drawn less often
const SLOW_MS = 250;
const SVG = "http://www.w3.org/2000/svg";
const THUMB_DOWN =
  "M2 2h2.5v7H2zM5.5 2h5.6c.9 0 1.6.6 1.8 1.4l.9 3.6c.3 1.1-.5 2-1.6 2H9.4l.6 2.8c.2 1-.5 1.9-1.5 1.9-.4 0-.8-.3-.9-.7L5.5 9z";

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

export class Turn {
  constructor(question) {
    this.question = question;
    this.answer = "";
    this.kept = false; // part of what the model is told with the next question
    this.node = element("article", "turn");
    this.asked = element("p", "asked", question);
    this.body = element("div", "answer");
    this.foot = element("div", "foot");
    this.node.append(this.asked, this.body, this.foot);
    this.frame = 0;
    this.drawn_ms = 0;
    this.begin();
  }

  /** Waiting for the first word. */
  begin() {
    this.answer = "";
    this.body.replaceChildren();
    this.foot.replaceChildren();
    this.node.setAttribute("aria-busy", "true");
    this.node.classList.remove("failed");
    this.node.classList.add("running");
    this.say("thinking");
  }

  /** A word on how it stands, until text comes. */
  say(words) {
    const note = element("p", "note", words);
    const dots = element("span", "dots");
    dots.setAttribute("aria-hidden", "true");
    dots.append(element("i"), element("i"), element("i"));
    note.append(dots);
    this.body.replaceChildren(note);
  }

  queued(position) {
    this.say(position <= 1 ? "waiting for a backend, next in line" : `waiting for a backend, number ${position} in line`);
  }

  resumed() {
    this.body.dataset.resumed = "true";
  }

  add(text) {
    this.answer += text;
    if (this.frame) return;
    const slow = this.answer.length > SLOW_ABOVE_CHARS;
    const wait = slow ? SLOW_MS - (performance.now() - this.drawn_ms) : 0;
    this.frame = 1;
    setTimeout(() => requestAnimationFrame(() => this.draw()), Math.max(0, wait));
  }

  draw() {
    this.frame = 0;
    this.drawn_ms = performance.now();
    if (!this.answer) return;
    const follow = atEnd();
    this.body.replaceChildren(render(this.answer));
    if (follow) toEnd();
  }

  /** It is over: `done` as the bridge tells it; `wrong(entry)` says that the cache's answer is none. */
  done(fields, wrong) {
    this.end();
    this.kept = this.answer !== "";
    if (!this.answer) this.body.replaceChildren(element("p", "note still", "Nothing came back."));
    this.foot.append(quietLine(fields, this.body.dataset.resumed));
    if (fields.entry) this.foot.lastElementChild.append(thumb(() => wrong(fields.entry)));
  }

  /** It failed: said in words, with a button that asks again. */
  failed(error, again) {
    this.end();
    this.kept = false;
    this.node.classList.add("failed");
    if (!this.answer) this.body.replaceChildren();
    const box = element("div", "error");
    box.setAttribute("role", "alert");
    box.append(element("p", "", error.message));
    const seconds = Math.ceil(error.retry_after_s ?? 0);
    const button = element("button", "plain", seconds > 1 ? `Try again in ${seconds} s` : "Try again");
    button.type = "button";
    button.addEventListener("click", again);
    if (seconds > 1) {
      button.disabled = true;
      setTimeout(() => Object.assign(button, { disabled: false, textContent: "Try again" }), seconds * 1000);
    }
    box.append(button);
    this.foot.replaceChildren(box);
  }

  end() {
    this.draw();
    this.node.classList.remove("running");
    this.node.removeAttribute("aria-busy");
  }
}

/** Whether the person looks at the end of the page, and so wants to follow it. */
export function atEnd() {
  return window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;
}

export function toEnd() {
  window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
}

/** A button that says that this answer, which came from the cache, is wrong. */
function thumb(report) {
  const button = element("button", "wrong");
  button.append(thumbDown());
  button.type = "button";
  button.title = "This is wrong: forget it in the cache";
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", () => {
    report();
    button.replaceWith(element("span", "reported", "forgotten: ask again for another answer"));
  });
  return button;
}

/** Drawn, since a machine without a font for symbols shows an empty box. */
function thumbDown() {
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("viewBox", "0 0 16 16");
  icon.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", THUMB_DOWN);
  icon.append(path);
  return icon;
}

function quietLine(fields, resumed) {
  const line = element("p", "quiet");
  if (fields.backend) line.append(element("span", "backend", fields.backend));
  if (fields.cache) {
    const near = fields.cache === "semantic" && fields.similarity !== null;
    const chip = element("span", "cache", near ? `semantic ${fields.similarity.toFixed(2)}` : fields.cache);
    chip.dataset.cache = fields.cache;
    chip.title = CACHE[fields.cache] ?? "";
    line.append(chip);
  }
  const cached = ["exact", "semantic", "joined"].includes(fields.cache);
  if (fields.tokens_per_s && !cached) line.append(element("span", "", `${Math.round(fields.tokens_per_s)} tokens/s`));
  if (fields.ttft_s != null) line.append(element("span", "", `first word after ${time(fields.ttft_s)}`));
  if (resumed) line.append(element("span", "", "taken over by another backend"));
  if (fields.finish_reason === "cancelled") line.append(element("span", "", "stopped"));
  if (fields.finish_reason === "length") line.append(element("span", "", "cut at the length limit"));
  return line;
}

const CACHE = {
  miss: "Not in the cache: a backend made this answer",
  exact: "The same question was answered before",
  semantic: "A question that means the same was answered before",
  joined: "Somebody was being told this answer already",
};

function time(seconds) {
  return seconds < 0.9995 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

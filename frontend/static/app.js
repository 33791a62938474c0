// The page: holds the conversation, asks one question at a time, shows what comes.

import { Link } from "./link.js";
import { Turn, atEnd, toEnd } from "./turn.js";

const HISTORY_MAX_BYTES = 300 * 1024; // of turns in one message; the bridge takes 512 KiB

const $ = (id) => document.getElementById(id);
const [talk, composer, question, send, latest] = ["talk", "composer", "question", "send", "latest"].map($);

const STATES = { connecting: "connecting", online: "connected", offline: "not connected, trying again", idle: "resting" };

let turns = [];
let running = null; // the turn that is being answered
let id = 0;

const link = new Link(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`, take, (state) => {
  $("link").dataset.state = state;
  $("link").firstElementChild.textContent = STATES[state];
  if ((state === "offline" || state === "idle") && running) {
    finish((turn) => fail(turn, {
      message: turn.answer
        ? "The connection was lost, so this answer is not complete."
        : "The server of this page can't be reached.",
    }));
  }
});

function take(message) {
  if (message.id !== id || !running) return;
  if ("text" in message) running.add(message.text);
  else if ("queued" in message) running.queued(message.queued);
  else if ("resumed" in message) running.resumed();
  else if ("dropped" in message) forget(message.dropped);
  else if ("done" in message) finish((turn) => turn.done(message.done, (entry) => link.send({ wrong: entry })));
  else if ("error" in message) finish((turn) => fail(turn, message.error));
}

function fail(turn, error) {
  turn.failed(error, () => {
    if (running) return;
    turn.begin();
    ask(turn);
  });
}

function finish(how) {
  const turn = running;
  running = null;
  const follow = atEnd();
  how(turn);
  if (follow) toEnd();
  show();
}

/** Ask a turn's question, with what was said before it. */
function ask(turn) {
  running = turn;
  id += 1;
  const before = turns.slice(0, turns.indexOf(turn)).filter((t) => t.kept);
  const size = (t) => 2 * 20 + new TextEncoder().encode(JSON.stringify([t.question, t.answer])).length;
  let bytes = before.reduce((sum, t) => sum + size(t), 0);
  let drop = 0;
  while (bytes > HISTORY_MAX_BYTES) bytes -= size(before[drop++]);
  if (drop) forget(drop);
  link.send({
    id,
    question: turn.question,
    turns: before.slice(drop).map((t) => ({ question: t.question, answer: t.answer })),
  });
  show();
}

/** The oldest turns no longer count: they stay readable, dimmed, above a line that says so. */
function forget(count) {
  const gone = turns.filter((t) => t.kept).slice(0, count);
  if (!gone.length) return;
  for (const turn of gone) {
    turn.kept = false;
    turn.node.classList.add("forgotten");
  }
  const note = talk.querySelector(".gap") ?? document.createElement("p");
  note.className = "gap";
  note.textContent = "The conversation outgrew the model: what stands above no longer counts";
  gone.at(-1).node.after(note);
}

function submit(text) {
  if (running || !text.trim()) return;
  const turn = new Turn(text.trim());
  turns.push(turn);
  talk.append(turn.node);
  question.value = "";
  ask(turn);
  toEnd();
  if (matchMedia("(pointer: coarse)").matches) question.blur(); // the keyboard hides half the answer
  else question.focus();
}

function stop() {
  if (running) link.send({ cancel: id });
}

function reset() {
  stop();
  running = null;
  id += 1;
  turns = [];
  talk.replaceChildren();
  show();
  question.focus();
}

/** Bring buttons and boxes in line with what is going on. */
function show() {
  $("welcome").hidden = turns.length > 0;
  $("new").hidden = turns.length === 0;
  talk.setAttribute("aria-busy", String(running !== null));
  send.classList.toggle("stop", running !== null);
  send.querySelector("span").textContent = running ? "Stop" : "Send";
  send.title = running ? "Stop" : "Send";
  send.disabled = !running && !question.value.trim();
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
  latest.hidden = turns.length === 0 || atEnd();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) stop();
  else submit(question.value);
});
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit(question.value);
});
question.addEventListener("input", () => {
  link.wake();
  show();
});
document.addEventListener("keydown", (event) => event.key === "Escape" && stop());
document.addEventListener("visibilitychange", () => document.hidden || link.wake());
document.addEventListener("scroll", () => (latest.hidden = turns.length === 0 || atEnd()), { passive: true });
window.addEventListener("resize", show);
latest.addEventListener("click", toEnd);
$("new").addEventListener("click", reset);
$("openers").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) submit(button.textContent);
});
show();

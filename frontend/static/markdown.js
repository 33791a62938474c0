// A small part of Markdown as DOM nodes: paragraphs, lists, headings, fenced code, **bold**, *italic*, `code`.
// Text becomes text nodes and nothing else: no HTML is parsed, no link is made, so a model can say what it likes.

const INLINE = /(`[^`\n]+`)|(\*\*[^*\n]+\*\*)|(\*[^*\s][^*\n]*\*)/g;
const FENCE = /^\s{0,3}```/;
const HEADING = /^#{1,6}\s+/;
const BULLET = /^\s{0,3}[-*+]\s+/;
const NUMBER = /^\s{0,3}(\d{1,4})[.)]\s+/;

/** The nodes for a text that may end anywhere: an open fence is code to the end. */
export function render(text) {
  const out = document.createDocumentFragment();
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) at += 1;
    else if (FENCE.test(lines[at])) at = code(lines, at + 1, out);
    else if (BULLET.test(lines[at])) at = list("ul", BULLET, lines, at, out);
    else if (NUMBER.test(lines[at])) at = list("ol", NUMBER, lines, at, out);
    else if (HEADING.test(lines[at])) heading(lines[at++], out);
    else at = paragraph(lines, at, out);
  }
  return out;
}

function element(name, parent) {
  return parent.appendChild(document.createElement(name));
}

function code(lines, at, out) {
  const body = [];
  while (at < lines.length && !FENCE.test(lines[at])) body.push(lines[at++]);
  element("code", element("pre", out)).textContent = body.join("\n");
  return at + 1;
}

function list(name, marker, lines, at, out) {
  const node = element(name, out);
  if (name === "ol") node.start = Number(NUMBER.exec(lines[at])[1]);
  while (at < lines.length && marker.test(lines[at])) inline(lines[at++].replace(marker, ""), element("li", node));
  return at;
}

function heading(line, out) {
  inline(line.replace(HEADING, ""), element("strong", element("p", out)));
}

function paragraph(lines, at, out) {
  const node = element("p", out);
  const starts = [FENCE, BULLET, NUMBER, HEADING];
  for (let first = true; at < lines.length && lines[at].trim(); first = false, at += 1) {
    if (!first && starts.some((start) => start.test(lines[at]))) break;
    if (!first) element("br", node);
    inline(lines[at], node);
  }
  return at;
}

function inline(text, parent) {
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    parent.append(text.slice(end, found.index));
    const [all, isCode, isBold] = found;
    const marks = isBold ? 2 : 1;
    element(isCode ? "code" : isBold ? "strong" : "em", parent).textContent = all.slice(marks, -marks);
    end = found.index + all.length;
  }
  parent.append(text.slice(end));
}

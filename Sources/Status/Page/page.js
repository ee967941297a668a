
"use strict";
(() => {
  const interval = 10000; // milliseconds from one request to the next
  const patience = 8000; // milliseconds that an answer may take
  let asked = Date.now();
  let answered = asked;
  let trouble = "";

  // Makes one node like another and touches only what differs, so that scroll, focus and selection stay.
  function take(old, fresh) {
    if (old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
    } else if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
    } else if (old.nodeType === Node.ELEMENT_NODE) {
      for (const { name, value } of fresh.attributes) {
        if (old.getAttribute(name) !== value) old.setAttribute(name, value);
      }
      for (const { name } of [...old.attributes]) {
        if (!fresh.hasAttribute(name)) old.removeAttribute(name);
      }
      const before = [...old.childNodes];
      const after = [...fresh.childNodes];
      after.forEach((node, index) => (index < before.length ? take(before[index], node) : old.append(node)));
      before.slice(after.length).forEach((node) => node.remove());
    }
  }

  // Fetches the page anew; what is the matter where that fails, else nothing.
  async function fetched() {
    let answer, text;
    try {
      answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(patience) });
      text = await answer.text();
    } catch {
      return "The exporter does not answer.";
    }
    if (!answer.ok) return `The exporter answers with an error (${answer.status}).`;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (!fresh.getElementById("connection")) return "Something else answers in the exporter's place.";
    take(document.body, fresh.body);
    document.title = fresh.title;
    answered = Date.now();
    return "";
  }

  async function refresh() {
    asked = Date.now();
    trouble = await fetched();
    tell();
  }

  // Says that what stands here is old, and how old.
  function tell() {
    const note = document.getElementById("connection");
    note.hidden = !trouble;
    if (!trouble) return;
    if (!note.firstChild) {
      const age = document.createElement("span");
      age.setAttribute("aria-hidden", "true"); // read out once, not every second
      note.append("", age);
    }
    const words = `${trouble} What stands here is old. `;
    if (note.firstChild.data !== words) note.firstChild.data = words;
    note.lastChild.textContent = `Last answer ${Math.round((Date.now() - answered) / 1000)} s ago.`;
  }

  setInterval(() => {
    if (document.hidden) return;
    if (Date.now() - asked >= interval) refresh();
    if (trouble) tell();
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
})();

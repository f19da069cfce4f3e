// Refreshes the page without reloading it, and sends its forms in the background. The page works without this script.
"use strict";

(() => {
  const POLL_INTERVAL_MS = 1000;
  let formsSent = 0; // a poll that was overtaken by a form shows the past, and is dropped

  async function fetchText(url, options = {}) {
    const response = await fetch(url, {...options, headers: {"X-Console-Fragment": "1"}});
    return response.status === 204 ? null : response.text();
  }

  // Replaces the elements of the page that have the ids of the fragment's. An element that is marked data-keep stays,
  // so that what the reader has opened remains open.
  function show(html) {
    const fragment = new DOMParser().parseFromString(html, "text/html");
    for (const incoming of fragment.querySelectorAll("[data-keep][id]")) {
      const present = document.getElementById(incoming.id);
      if (present) incoming.replaceWith(present);
    }
    const focused = document.activeElement;
    const focusedId = focused?.id;
    const typed = focused instanceof HTMLInputElement ? focused.value : null;
    for (const id of ["notice", "now", "log"]) {
      const incoming = fragment.getElementById(id);
      if (incoming) document.getElementById(id)?.replaceWith(incoming);
    }
    if (focusedId && document.activeElement?.id !== focusedId) {
      const successor = document.getElementById(focusedId);
      if (successor && typed !== null) successor.value = typed;
      successor?.focus({preventScroll: true});
    }
  }

  function report(problem) {
    const notice = document.getElementById("notice");
    notice.textContent = `The emulator does not respond: ${problem.message}`;
    notice.className = "notice bad";
  }

  async function poll() {
    const before = formsSent;
    try {
      const clock = document.getElementById("clock");
      clock.textContent = await fetchText(clock.dataset.poll);
      const html = await fetchText(document.getElementById("now").dataset.poll);
      if (html !== null && before === formsSent) show(html);
    } catch (problem) {
      report(problem);
    }
    setTimeout(poll, POLL_INTERVAL_MS);
  }

  async function send(form, submitter) {
    const body = new URLSearchParams(new FormData(form));
    if (submitter?.name) body.append(submitter.name, submitter.value);
    formsSent += 1;
    try {
      show(await fetchText(form.getAttribute("action"), {method: "POST", body}));
    } catch (problem) {
      report(problem);
    }
    formsSent += 1;
  }

  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    event.preventDefault();
    send(event.target, event.submitter);
  });

  setTimeout(poll, POLL_INTERVAL_MS);
})();

// What the page cannot do by itself: mark the open task, keep the reader's place while the feed is replaced, say when
// the line to the server is gone, and tell times in the reader's own zone. Everything works without it, only stiller.
(() => {
  "use strict";
  document.documentElement.classList.add("js");

  const narrow = matchMedia("(max-width: 59.99rem)");
  const find = (selector) => document.querySelector(selector);

  // --- times: the same words as pages/text.py ---------------------------------------------------------------------
  const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hour12: false });

  function ago(moment) {
    const seconds = (Date.now() - moment) / 1000;
    if (seconds < 10) return "just now";
    if (seconds < 60) return `${Math.floor(seconds / 10)}0 s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return date.format(moment);
  }

  function tellTimes() {
    for (const time of document.querySelectorAll("time")) {
      const moment = new Date(time.dateTime);
      const words = time.classList.contains("ago") ? ago(moment) : clock.format(moment);
      if (time.textContent !== words) time.textContent = words;
      time.title = exact.format(moment);
    }
  }

  // --- the open task ----------------------------------------------------------------------------------------------
  function markOpened() {
    const detail = find("#detail");
    for (const link of document.querySelectorAll("#feed [aria-current]")) link.removeAttribute("aria-current");
    if (!detail?.dataset.line) return;
    document.getElementById(`open-${detail.dataset.line}`)?.setAttribute("aria-current", "true");
    document.title = `${detail.dataset.title} · TaskRouter Enrich`;
  }

  // --- the reader's place -----------------------------------------------------------------------------------------
  let before = { lines: new Set(), anchor: null, top: 0, unfolded: [] };

  document.addEventListener("htmx:beforeSwap", (event) => {
    const lines = [...document.querySelectorAll("#feed .line")];
    const anchor = window.scrollY > 0 ? lines.find((line) => line.getBoundingClientRect().bottom > 60) : undefined;
    before = {
      lines: new Set(lines.map((line) => line.id)),
      anchor: event.detail.target.id === "feed" && anchor ? anchor.id : null,
      top: anchor ? anchor.getBoundingClientRect().top : 0,
      unfolded: [...document.querySelectorAll("#detail details[open]")].map((details) => details.id),
    };
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    const asked = event.detail.requestConfig.elt;
    if (event.detail.target.id === "feed") {
      for (const line of document.querySelectorAll("#feed .line")) {
        if (!before.lines.has(line.id)) line.classList.add("is-new");
      }
      const anchor = before.anchor && document.getElementById(before.anchor);
      if (anchor) window.scrollBy(0, anchor.getBoundingClientRect().top - before.top);
    } else if (asked.id === "detail") {
      for (const id of before.unfolded) document.getElementById(id)?.setAttribute("open", "");
    } else {
      // Opened by the reader: begin at its top, and where it takes the list's place, go there.
      find("#pane").scrollTop = 0;
      if (narrow.matches) {
        window.scrollTo(0, 0);
        find("#detail").focus({ preventScroll: true });
      }
    }
    markOpened();
    tellTimes();
  });

  // --- the line to the server -------------------------------------------------------------------------------------
  function live(isThere) {
    const sign = find("#live");
    if (!sign || sign.classList.contains("is-lost") === !isThere) return;
    sign.classList.toggle("is-lost", !isThere);
    sign.querySelector(".live-word").textContent = isThere ? "Live" : "No connection, trying again";
  }
  document.addEventListener("htmx:sendError", () => live(false));
  document.addEventListener("htmx:responseError", (event) => live(event.detail.xhr.status < 500));
  document.addEventListener("htmx:afterRequest", (event) => event.detail.successful && live(true));

  // --- whether somebody is there: a page that merely lies open does not keep a session alive -------------------------
  let isActive = false;
  for (const sign of ["pointermove", "keydown", "scroll", "touchstart"]) {
    addEventListener(sign, () => (isActive = true), { capture: true, passive: true });
  }
  document.addEventListener("htmx:configRequest", (event) => {
    if (isActive) event.detail.headers["X-Reader-Active"] = "1";
    isActive = false;
  });

  // --- small manners ----------------------------------------------------------------------------------------------
  // A click that asks for a new tab or window is the browser's, not htmx's.
  document.addEventListener(
    "click",
    (event) => {
      const wantsOwnTab = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
      if (wantsOwnTab && event.target.closest("a[hx-get]")) event.stopPropagation();
    },
    true,
  );

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("is-done");
    setTimeout(() => button.classList.remove("is-done"), 1500);
  });

  tellTimes();
  setInterval(tellTimes, 5000);
})();

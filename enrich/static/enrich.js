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

  const formats = {
    moment: date,
    hm: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false }),
    day: new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", hour12: false }),
  };

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
      const words = time.classList.contains("ago") ? ago(moment) : (formats[time.className] ?? clock).format(moment);
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
  // At its top the feed is replaced as a whole. Who has scrolled down keeps the lines that are there: those that
  // changed are renewed in place, and of new ones a notice tells.
  let before = { lines: new Set(), unfolded: [] };
  let address = null; // where the feed asks next, once lines were renewed in place

  const isAway = () => window.scrollY > 0 && find("#feed")?.offsetParent !== null;

  function renewInPlace(html) {
    const sent = new DOMParser().parseFromString(html, "text/html").getElementById("feed");
    if (!sent) return false;
    let fresh = 0;
    for (const line of sent.querySelectorAll(".line")) {
      const old = document.getElementById(line.id);
      if (!old) {
        fresh += 1;
        continue;
      }
      const opened = old.querySelector("[aria-current]");
      if (opened) line.querySelector("a").setAttribute("aria-current", "true");
      if (old.outerHTML.replace(/<time.*?<\/time>/g, "") === line.outerHTML.replace(/<time.*?<\/time>/g, "")) continue;
      const isFocused = old.contains(document.activeElement);
      old.replaceWith(line);
      htmx.process(line);
      if (isFocused) line.querySelector("a").focus({ preventScroll: true });
    }
    address = sent.getAttribute("hx-get");
    announce(fresh, sent.dataset.top);
    return true;
  }

  function announce(count, top) {
    const news = find("#news");
    if (!news || news.hasAttribute("hx-get")) return;
    if (!count) return news.replaceChildren();
    const link = news.querySelector("a") ?? news.appendChild(document.createElement("a"));
    link.href = top;
    link.textContent = count === 1 ? "1 newer task. Show it" : `${count} newer tasks. Show them`;
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("#news a");
    const feed = find("#feed[hx-get]");
    if (!link || !feed || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    window.scrollTo(0, 0);
    const fragment = new URL(feed.getAttribute("hx-get"), location.href);
    fragment.searchParams.delete("shown");
    htmx.ajax("GET", fragment.pathname + fragment.search, { target: "#feed", swap: "outerHTML" }).then(() => {
      find("#feed .line a")?.focus({ preventScroll: true });
    });
  });

  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.id === "feed" && address) event.detail.path = address;
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const isFeed = event.detail.target.id === "feed" && event.detail.xhr.status === 200;
    if (isFeed && isAway() && renewInPlace(event.detail.serverResponse)) {
      event.detail.shouldSwap = false;
      tellTimes();
      return;
    }
    before = {
      lines: new Set([...document.querySelectorAll("#feed .line")].map((line) => line.id)),
      unfolded: [...document.querySelectorAll("#detail details[open]")].map((details) => details.id),
    };
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    const asked = event.detail.requestConfig.elt;
    if (event.detail.target.id === "feed") {
      address = null;
      announce(0);
      for (const line of document.querySelectorAll("#feed .line")) {
        if (!before.lines.has(line.id)) line.classList.add("is-new");
      }
    } else if (event.detail.target.id !== "detail") {
      // somebody else's
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

  // What is open stays open when the reader searches or filters; an empty field is no part of the address.
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "filters") return;
    if (find("#detail")?.dataset.line) event.target.action = location.pathname;
    for (const field of event.target.elements) field.disabled = field.name !== "" && field.value === "";
    setTimeout(() => [...event.target.elements].forEach((field) => (field.disabled = false)));
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

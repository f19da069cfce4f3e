// The page's script: marks the open task, keeps the feed still while somebody reads it, shows a lost connection, and
// formats times in the reader's own time zone. The page works without it, but does not update itself.
(() => {
  "use strict";
  document.documentElement.classList.add("js");

  const narrow = matchMedia("(max-width: 59.99rem)");
  const find = (selector) => document.querySelector(selector);

  // --- times: the same rule as pages/formatting.py ----------------------------------------------------------------
  const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  // Formats by the class of the element. An element without one of these classes keeps the server's text.
  const formats = {
    clock: new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hour12: false }),
    moment: date,
    date: new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }),
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

  function showTimes() {
    for (const time of document.querySelectorAll("time")) {
      const moment = new Date(time.dateTime);
      const text = time.classList.contains("ago") ? ago(moment) : formats[time.className]?.format(moment);
      if (text !== undefined && time.textContent !== text) time.textContent = text;
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
  // The feed is replaced as a whole, unless it is held: then changed lines are updated in place, and a notice counts the
  // new ones. It is held while it is paused, scrolled, or has the pointer or the keyboard's focus, so that a line does not
  // move away under a click.
  let before = { lines: new Set(), unfolded: [] };
  // Address of the feed's next request after an update in place.
  let address = null;
  let isPaused = false;
  // The reader requested the new lines: the next response replaces the feed even while it is held.
  let isReloading = false;

  function isHeld() {
    const feed = find("#feed");
    if (!feed || feed.offsetParent === null) return false;
    return isPaused || window.scrollY > 0 || feed.matches(":hover") || feed.querySelector(":focus-visible") !== null;
  }

  function reloadFeed() {
    const fragment = new URL(find("#feed[hx-get]").getAttribute("hx-get"), location.href);
    fragment.searchParams.delete("shown");
    return htmx.ajax("GET", fragment.pathname + fragment.search, { target: "#feed", swap: "outerHTML" });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("#pause");
    if (!button) return;
    isPaused = !isPaused;
    button.setAttribute("aria-pressed", String(isPaused));
    showConnection();
    if (!isPaused && find("#feed[hx-get]")) {
      isReloading = true;
      reloadFeed();
    }
  });

  function updateInPlace(html) {
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
    isReloading = true;
    reloadFeed().then(() => find("#feed .line a")?.focus({ preventScroll: true }));
  });

  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.id !== "feed" || !address) return;
    event.detail.path = address;
    if (find("#news a") && !isHeld()) {
      // No longer held: request the whole feed, which has the new lines, instead of the changes since the last request.
      const fragment = new URL(address, location.href);
      fragment.searchParams.delete("shown");
      event.detail.path = fragment.pathname + fragment.search;
    }
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const isFeed = event.detail.target.id === "feed" && event.detail.xhr.status === 200;
    if (isFeed && !isReloading && isHeld() && updateInPlace(event.detail.serverResponse)) {
      event.detail.shouldSwap = false;
      showTimes();
      return;
    }
    // A button must not move away under the pointer; the next poll shows what has changed.
    if (event.detail.target.id === "sources" && find("#sources form:hover")) event.detail.shouldSwap = false;
    if (isFeed) isReloading = false;
    before = {
      lines: new Set([...document.querySelectorAll("#feed .line")].map((line) => line.id)),
      unfolded: [...document.querySelectorAll("#detail details[open]")].map((details) => details.id),
    };
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    const requester = event.detail.requestConfig.elt;
    if (event.detail.target.id === "feed") {
      address = null;
      announce(0);
      for (const line of document.querySelectorAll("#feed .line")) {
        if (!before.lines.has(line.id)) line.classList.add("is-new");
      }
    } else if (event.detail.target.id !== "detail") {
      // Neither the feed nor the detail: nothing to restore.
    } else if (requester.id === "detail") {
      for (const id of before.unfolded) document.getElementById(id)?.setAttribute("open", "");
    } else {
      // The reader opened a task: scroll to its top, and on a narrow screen, where it replaces the list, focus it.
      find("#pane").scrollTop = 0;
      if (narrow.matches) {
        window.scrollTo(0, 0);
        find("#detail").focus({ preventScroll: true });
      }
    }
    markOpened();
    showTimes();
  });

  // The open task stays open when the reader searches or filters. Empty fields are left out of the address.
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "filters") return;
    if (find("#detail")?.dataset.line) event.target.action = location.pathname;
    for (const field of event.target.elements) field.disabled = field.name !== "" && field.value === "";
    setTimeout(() => [...event.target.elements].forEach((field) => (field.disabled = false)));
  });

  // --- the connection to the server -------------------------------------------------------------------------------
  let isConnected = true;

  function showConnection() {
    const status = find("#live");
    if (!status) return;
    status.classList.toggle("is-lost", !isConnected);
    status.classList.toggle("is-paused", isConnected && isPaused);
    const word = !isConnected ? "No connection, trying again" : isPaused ? "Paused" : "Live";
    const element = status.querySelector(".live-word");
    // Screen readers announce a status region whenever its text is set, even to the same text.
    if (element.textContent !== word) element.textContent = word;
  }
  function setConnected(value) {
    isConnected = value;
    showConnection();
  }
  document.addEventListener("htmx:sendError", () => setConnected(false));
  document.addEventListener("htmx:responseError", (event) => setConnected(event.detail.xhr.status < 500));
  document.addEventListener("htmx:afterRequest", (event) => event.detail.successful && setConnected(true));

  // --- activity of the reader: an open page that nobody uses does not keep the session alive -----------------------
  let isActive = false;
  for (const type of ["pointermove", "keydown", "scroll", "touchstart"]) {
    addEventListener(type, () => (isActive = true), { capture: true, passive: true });
  }
  document.addEventListener("htmx:configRequest", (event) => {
    if (isActive) event.detail.headers["X-Reader-Active"] = "1";
    isActive = false;
  });

  // --- links and copy buttons -------------------------------------------------------------------------------------
  // Clicks that open a new tab or window are left to the browser.
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

  showTimes();
  setInterval(showTimes, 5000);
})();
